"""The documentation as a site: strictly built, whole, and from nowhere else."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.test_docstrings import MODULES

pytest.importorskip("mkdocs")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]

# What a page loads, in contrast to what it links to.
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?P<src>[^\"]+)\""
    r"|<link\b(?=[^>]*rel=\"(?:stylesheet|preconnect|icon)\")[^>]*href=\"(?P<href>[^\"]+)\""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_documentation_is_there(site):
    pages = {path.stem for path in (REPOSITORY / "docs").glob("*.md")}
    pages |= {"index", "changelog", "contributing"}
    assert pages <= {path.stem for path in site.glob("*.html")}
    assert list(site.rglob("*.py")) == []


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(site, module):
    page = (site / "reference" / f"{module}.html").read_text("utf-8")
    names = importlib.import_module(module).__all__
    assert names
    assert [name for name in names if f'id="{module}.{name}"' not in page] == []
    assert ":func:`" not in page


def test_pages_load_nothing_from_elsewhere(site):
    seen = 0
    for page in site.rglob("*.html"):
        for found in LOADED.finditer(page.read_text("utf-8")):
            target = found["src"] or found["href"]
            assert not re.match(r"\w+:|//", target), f"{page.name}: {target}"
            seen += 1
    assert seen > 20
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text("utf-8"))


def test_the_readme_is_the_first_page(site):
    page = (site / "index.html").read_text("utf-8")
    assert 'src="images/demo.jpg"' in page
    assert 'href="pipeline.html#the-default"' in page
    assert "plugins/example</code></a>" not in page  # no page: the text alone
