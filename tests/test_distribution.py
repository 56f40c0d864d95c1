"""What is published: an sdist with every file, and a page on the index without dead links."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from email import message_from_string
from importlib.util import find_spec
from pathlib import Path

import pytest

import fusionkit
from tests.conftest import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    # Looked for and not imported: in a process that has distutils already, that fails.
    pytest.mark.skipif(find_spec("setuptools") is None, reason="needs setuptools"),
    pytest.mark.skipif(
        not (REPOSITORY / ".git").exists(),
        reason="needs a checkout: what belongs to it is asked of git",
    ),
]
# A link, or a picture, whose target is relative.
RELATIVE = re.compile(r"\]\((?!\w+:|#)")


def listed(*flags: str) -> set[str]:
    """Return files of the checkout, as git lists them, that are there."""
    done = subprocess.run(
        ["git", "ls-files", "-z", *flags],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in done.stdout.split("\0") if name and (REPOSITORY / name).is_file()}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the checkout, without what git ignores: builds of its own leave traces in it."""
    folder = tmp_path / "copy"
    for name in listed("--cached", "--others", "--exclude-standard"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


def build(folder: Path, call: str) -> str:
    """Call a hook of the build backend, which makes what it says in the folder; return its name."""
    code = f"import setuptools.build_meta as b; print(b.{call})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture
def description(copy: Path) -> Callable[[], str]:
    """Build the metadata, and return the text of the page on the index."""

    def built() -> str:
        info = copy / build(copy, "prepare_metadata_for_build_wheel('.')")
        metadata = message_from_string((info / "METADATA").read_text("utf-8"))
        assert metadata["License-Expression"] == "MIT AND CC-BY-SA-4.0"
        assert metadata["Description-Content-Type"] == "text/markdown"
        return str(metadata.get_payload())

    return built


def test_the_sdist_holds_every_file(copy):
    with tarfile.open(copy / build(copy, "build_sdist('.')")) as archive:
        names = [
            member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()
        ]
    held = {name for name in names if ".egg-info/" not in name} - {"PKG-INFO", "setup.cfg"}
    assert {"tests/conftest.py", ".ci/run", "LICENSE", "LICENSES/CC-BY-SA-4.0.txt"} <= held
    assert listed() - held == set()
    assert held - listed("--cached", "--others", "--exclude-standard") == set()


def test_the_wheel_holds_host_and_plugins_alone(copy):
    with zipfile.ZipFile(copy / build(copy, "build_wheel('.')")) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    plugins = {folder.name for folder in (copy / "plugins").glob("fusionkit_*") if folder.is_dir()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "fusionkit",
        "fusionkit_start.py",
        *plugins,
    }


def test_without_a_site_the_description_refers_to_nothing(description):
    text = description()
    assert text.lstrip().startswith("# fusionkit")
    assert "![" not in text
    assert "Made by `make demo`" not in text  # the caption of a picture
    assert not RELATIVE.search(text)
    assert "](https://arxiv.org/abs/2503.18627)" in text
    commands = re.findall("^fusionkit .*$", (REPOSITORY / "README.md").read_text("utf-8"), re.M)
    assert commands
    assert all(command in text for command in commands)


def test_with_a_site_its_links_lead_there(copy, description):
    project = copy / "pyproject.toml"
    urls = '[project.urls]\nDocumentation = "https://example.org/fusionkit/"\n'
    project.write_text(project.read_text("utf-8").replace("[project.urls]\n", urls), "utf-8")
    text = description()
    assert "](https://example.org/fusionkit/images/demo.jpg)" in text
    assert re.search(r"\]\(https://example\.org/fusionkit/[\w-]+\.html#[\w-]+\)", text)
    assert "Made by `make demo`" in text
    assert not RELATIVE.search(text)


def test_the_citation_and_the_packages_beside_are_of_this_version():
    citation = (REPOSITORY / "CITATION.cff").read_text("utf-8")
    assert re.findall("^version: (.*)$", citation, re.MULTILINE) == [fusionkit.__version__]
    for project in REPOSITORY.glob("*/pyproject.toml"):
        about = tomllib.loads(project.read_text("utf-8"))["project"]
        assert about["version"] == fusionkit.__version__, project


def test_every_package_says_that_it_is_typed():
    modules = [
        *REPOSITORY.glob("fusionkit/__init__.py"),
        *REPOSITORY.glob("*/fusionkit_*/__init__.py"),
    ]
    packages = [module.parent for module in modules]
    assert len(packages) > 5
    assert [package.name for package in packages if not (package / "py.typed").is_file()] == []
