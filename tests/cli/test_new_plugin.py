"""``fusionkit new-plugin``: packages that install, are listed, and keep their promises."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fusionkit.cli import main
from fusionkit.contract.kinds import KINDS

NAMES = {kind.group: f"tried-{kind.group}" for kind in KINDS}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A package of each kind, in one folder."""
    folder = tmp_path_factory.mktemp("packages")
    for kind, name in NAMES.items():
        assert main(["new-plugin", name, "--kind", kind, "-o", str(folder / name)]) == 0
    return folder


def python(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with what is installed in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_packages_install_are_listed_and_keep_their_promises(packages, tmp_path):
    # Of a copy, since pip builds in the folder of a package.
    packages = shutil.copytree(packages, tmp_path / "packages")
    folders = [str(packages / name) for name in NAMES.values()]
    how = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(tmp_path)]
    done = python(tmp_path, "-m", "pip", "install", *how, *folders)
    assert done.returncode == 0, done.stderr
    listed = python(tmp_path, "-m", "fusionkit", "plugins", "--json")
    plugins = {each["name"]: each for each in json.loads(listed.stdout)}
    for kind, name in NAMES.items():
        assert plugins[name]["status"] == "loaded", plugins[name]
        assert (plugins[name]["distribution"], plugins[name]["version"]) == (
            f"fusionkit-{name}",
            "0.1.0",
        )
        (component,) = plugins[name]["components"]
        assert (component["kind"], component["name"]) == (kind, name)
    tests = [f"{folder}/tests" for folder in folders]
    options = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-c", os.devnull]
    done = python(tmp_path, "-m", "pytest", *options, "--rootdir", str(packages), *tests)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 60


def test_the_files_are_in_order(packages):
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,I,UP,B"]
    done = subprocess.run(
        [*ruff, "--line-length", "110", str(packages)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    for kind, name in NAMES.items():
        files = {
            str(path.relative_to(packages / name))
            for path in (packages / name).rglob("*")
            if path.is_file() and path.parent.name != ".ruff_cache"
        }
        assert files == {
            "pyproject.toml",
            "README.md",
            f"fusionkit_tried_{kind}.py",
            "tests/test_conformance.py",
            ".github/workflows/test.yml",
        }
        for file in files:
            assert not re.search(
                r"\$\{?(name|kind|module|Class)", (packages / name / file).read_text()
            )


@pytest.mark.slow
def test_a_component_does_something(packages, pair, tmp_path):
    file = packages / NAMES["weighting"] / "fusionkit_tried_weighting.py"
    name, out = NAMES["weighting"], tmp_path / "out.png"
    words = ["run", *map(str, pair), "-o", str(out), "--plugin", str(file), "--quiet"]
    assert main([*words, "--weighting", name, "--weighting.sharpness", "3"]) == 0
    assert json.loads((tmp_path / "out.png.json").read_text())["recipe"]["weighting"] == {
        "name": f"fusionkit_tried_weighting:{name}",
        "sharpness": 3.0,
    }


@pytest.mark.parametrize(
    "name",
    [
        *("", "Mine", "my_plugin", "my plugin", "-mine", "mine-", "1st", "mine--two", "ünser"),
        *(
            "../mine",
            "/tmp/mine",
            "mine.py",
            "mine\n",
            "$(touch x)",
            "mine;ls",
            "a" * 51,
            "\x1b[2J",
        ),
    ],
)
def test_names_that_are_none(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "--kind", "metric", "--", name]) == 2
    said = capsys.readouterr().err
    assert said.startswith("fusionkit: error: ")
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["metrics", "--kind", "metric"], "a plugin that is installed has it"),
        (["run", "--kind", "command"], "fusionkit has a command of this name itself"),
        (["train", "--kind", "command"], "a command that is installed has it"),
        (["ssim", "--kind", "metric"], "a metric that is installed has it"),
        (["general", "--kind", "recipe"], "a recipe that is installed has it"),
        (["auto", "--kind", "recipe"], "decided from the images"),
        (["steps", "--kind", "preparation"], "fusionkit run has a flag --steps already"),
        (["quiet", "--kind", "preparation"], "fusionkit run has a flag --quiet already"),
        (["mine", "--kind", "metrik"], "unknown kind 'metrik'. Did you mean metric?"),
        (["mine"], "--kind"),
        (["mine", "--kind", "metric", "-o", "there.txt"], "there.txt is there already"),
        (["mine", "--kind", "metric", "-o", "full"], "full is there already"),
        (["mine", "--kind", "metric", "-o", "there.txt/mine"], "it cannot be made"),
        (["mine", "--kind", "metric", "-o", "https://example.org/x"], "https://example.org/x"),
    ],
)
def test_what_is_refused(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.txt").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    before = {path: path.read_text() for path in tmp_path.rglob("*.txt")}
    assert main(["new-plugin", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert {path: path.read_text() for path in tmp_path.rglob("*.txt")} == before
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_that_is_shown_is_for_a_shell_and_steers_no_terminal(tmp_path, capsys):
    for name, shown in (("a b $x", "cd '"), ("red\x1b[31m", "red\\x1b[31m")):
        assert main(["new-plugin", "mine", "--kind", "metric", "-o", str(tmp_path / name)]) == 0
        said = capsys.readouterr().out
        assert shown in said
        assert "\x1b" not in said


def test_nothing_is_overwritten_and_an_empty_folder_is_filled(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fusionkit-mine").mkdir()
    assert main(["new-plugin", "mine", "--kind", "recipe"]) == 0
    assert "cd fusionkit-mine && pip install" in capsys.readouterr().out
    module = tmp_path / "fusionkit-mine" / "fusionkit_mine.py"
    module.write_text("changed")
    assert main(["new-plugin", "mine", "--kind", "metric"]) == 2
    assert module.read_text() == "changed"
    assert (tmp_path / "fusionkit-mine").stat().st_mode & 0o777 == 0o755
