"""The page on the package index: README.md, whose links of the checkout lead nowhere there.

Everything else stands in pyproject.toml. Once ``[project.urls]`` has a ``Documentation``, whose
pages are those of ``make docs``, the links lead there; until then their text stays, and pictures
are left out with their captions.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<target>[^)]+)\)")
CAPTIONED = re.compile(r"!\[[^\]]*\]\((?!\w+:)[^)]+\)\n(\n\*[^*]+\*\n)?\n")


def away_from_the_checkout(text: str, site: str | None) -> str:
    """Return Markdown whose relative links lead to the site, or are gone if there is none."""

    def led(link: re.Match[str]) -> str:
        if site is None or not link["target"].startswith("docs/"):
            return link["text"]
        page = re.sub(r"\.md\b", ".html", link["target"].removeprefix("docs/"))
        return f"{link['picture']}[{link['text']}]({site.rstrip('/')}/{page})"

    return LINK.sub(led, text if site else CAPTIONED.sub("", text))


urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
readme = (ROOT / "README.md").read_text("utf-8")
setup(
    long_description=away_from_the_checkout(readme, urls.get("Documentation")),
    long_description_content_type="text/markdown",
)
