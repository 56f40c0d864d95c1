"""Pages of the site that are no file in docs/, and links that lead out of it."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
OF_THE_ROOT = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
LINK = re.compile(r"(!?\[[^\]]*\])\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and one for each module that the navigation refers to."""
    for source, page in OF_THE_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    for page in re.findall(r"reference/[\w.]+\.md", str(config.nav)):
        module = posixpath.basename(page).removesuffix(".md")
        text = f"# {module}\n\n::: {module}\n"
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Turn links between files of the repository into links of the site; else keep their text."""
    at_root = {page: source for source, page in OF_THE_ROOT.items()}
    uri = page.file.src_uri
    source = at_root.get(uri, f"docs/{uri}")

    def led(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / meant).exists():
            return link[0]  # mkdocs complains, if it is a link
        there = OF_THE_ROOT.get(meant, meant.removeprefix("docs/"))
        if files.get_file_from_path(there) is None:
            return text.removeprefix("!")[1:-1]
        return f"{text}({posixpath.relpath(there, posixpath.dirname(uri) or '.')}{anchor})"

    return LINK.sub(led, markdown)
