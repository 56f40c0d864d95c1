"""The way in from outside: the example plugin, built, installed and used like anybody's.

Our wheel and the example's are installed into a fresh environment; the heavy
libraries are borrowed from this one, fusionkit itself is not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "plugins" / "example"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
FIRST_PARTY = PROJECT["entry-points"]["fusionkit"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("example"),
    pytest.mark.skipif(
        importlib.util.find_spec("pip") is None or importlib.util.find_spec("venv") is None,
        reason="needs pip and venv",
    ),
]


@dataclass(frozen=True)
class Installed:
    """A fresh environment with both wheels in it."""

    root: Path
    wheel: Path
    example_wheel: Path

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, outside the repository."""
        scripts = self.root / ("Scripts" if os.name == "nt" else "bin")
        return _run(str(scripts / command[0]), *command[1:], cwd=cwd)


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    hidden = ("PYTHONPATH", "PYTHONHOME", "PYTEST_ADDOPTS")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden and not name.startswith("FUSIONKIT_")
    }
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


def _build_wheel(source: Path, into: Path, name: str) -> Path:
    """Build from a copy: a build leaves its own traces in the tree, and reads those of others."""
    copy = into / f"source-{name}"
    ignored = shutil.ignore_patterns(
        ".*", "__pycache__", "build", "dist", "*.egg-info", "tests", "docs", "shared", "records"
    )
    shutil.copytree(source, copy, ignore=ignored)
    wheels = into / f"wheel-{name}"
    _run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--wheel-dir", str(wheels), str(copy)),
        cwd=into,
    )
    (wheel,) = wheels.iterdir()
    return wheel


def _borrowed(folder: Path) -> Path:
    """Link what is installed here, but for what is ours: its entry points would be found too."""
    folder.mkdir()
    for path in sys.path:
        if path.endswith(("site-packages", "dist-packages")) and Path(path).is_dir():
            for entry in Path(path).iterdir():
                link = folder / entry.name
                if "fusionkit" not in entry.name and entry.suffix != ".pth" and not link.exists():
                    link.symlink_to(entry)
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build both wheels, and install them into a new environment."""
    folder = tmp_path_factory.mktemp("example-plugin")
    wheel = _build_wheel(REPOSITORY, folder, "host")
    example_wheel = _build_wheel(EXAMPLE, folder, "example")
    root = folder / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", str(root), cwd=folder)
    python = root / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _run(
        *(sys.executable, "-m", "pip", "--python", str(python), "install"),
        *("--no-deps", "--no-index", str(wheel), str(example_wheel)),
        cwd=folder,
    )
    # Only now, or pip would take this environment's fusionkit for that one's.
    (packages,) = root.rglob("site-packages")
    (packages / "borrowed.pth").write_text(f"{_borrowed(root / 'borrowed')}\n")
    return Installed(root, wheel, example_wheel)


@pytest.fixture
def three_sources(tmp_path: Path) -> list[str]:
    """Three grey PNGs of one scene: sharp on the left, sharp on the right, sharp nowhere."""
    rows, columns = np.mgrid[:41, :53]
    scene = 127 + 60 * np.sin(columns / 1.3) * np.cos(rows / 1.7)
    sharp = (columns < 26, columns >= 26, columns < 0)
    paths = []
    for n, mask in enumerate(sharp):
        path = tmp_path / f"source{n}.png"
        Image.fromarray(np.where(mask, scene, 127).round().astype(np.uint8)).save(path)
        paths.append(str(path))
    return paths


def test_our_wheel_is_whole_and_carries_no_example(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
    assert set(FIRST_PARTY) >= {"diffusion", "dig", "fixed", "objectives"}
    for package in FIRST_PARTY.values():
        modules = (REPOSITORY / "plugins").glob(f"{package}/**/*.py")
        carried = {path.relative_to(REPOSITORY / "plugins").as_posix() for path in modules}
        assert f"{package}/__init__.py" in carried
        assert carried <= set(names)
    recipes = {path.name for path in (REPOSITORY / "fusionkit" / "recipes").glob("*.toml")}
    assert "general.toml" in recipes
    assert {f"fusionkit/recipes/{name}" for name in recipes} <= set(names)
    assert "fusionkit/py.typed" in names
    modules = (REPOSITORY / "fusionkit").rglob("*.py")
    assert {path.relative_to(REPOSITORY).as_posix() for path in modules} <= set(names)
    assert [name for name in names if "example" in name or name.startswith("tests/")] == []


def test_the_example_is_two_modules(installed: Installed) -> None:
    with zipfile.ZipFile(installed.example_wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        (entry_points,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        assert "example = fusionkit_example" in archive.read(entry_points).decode()
    assert names == ["fusionkit_example.py", "fusionkit_example_sampling.py"]


def test_both_come_from_their_wheels(installed: Installed, tmp_path: Path) -> None:
    code = "import fusionkit, fusionkit_example as e; print(fusionkit.__file__); print(e.__file__)"
    lines = installed.run("python", "-c", code, cwd=tmp_path).stdout.splitlines()
    assert all(Path(line).is_relative_to(installed.root) for line in lines), lines


def test_plugins_lists_it(installed: Installed, tmp_path: Path) -> None:
    text = installed.run("fusionkit", "plugins", cwd=tmp_path).stdout
    assert "example  fusionkit-example 0.1.0  loaded" in text
    assert "sharpest" in text
    assert "charbonnier" in text
    for kind, name in (("recipe", "sharpest-focus"), ("reader", "grey"), ("command", "levels")):
        assert re.search(rf"^ +{kind} +{name} ", text, re.MULTILINE)
    shown = installed.run("fusionkit", "--help", cwd=tmp_path).stdout
    assert re.search(r"^  levels +print .*\(plugin example\)$", shown, re.MULTILINE)
    found = json.loads(installed.run("fusionkit", "plugins", "--json", cwd=tmp_path).stdout)
    assert {plugin["name"] for plugin in found} >= {"example", *FIRST_PARTY}
    assert {plugin["status"] for plugin in found} == {"loaded"}


def test_run_uses_its_components(
    installed: Installed, three_sources: list[str], tmp_path: Path
) -> None:
    chosen = ["--weighting", "sharpest", "--objective", "charbonnier"]
    options = ["--weighting.window", "5", "--objective.strength", "0.01", "--steps", "4"]
    installed.run(
        *("fusionkit", "run", *three_sources, "-o", "fused.png", "--quiet", *chosen, *options),
        cwd=tmp_path,
    )
    sources = np.stack([np.asarray(Image.open(path), dtype=float) for path in three_sources])
    fused = np.asarray(Image.open(tmp_path / "fused.png"), dtype=float)
    scene = np.where(np.arange(53) < 26, sources[0], sources[1])
    away = np.abs(np.arange(53) - 26) > 4  # from the seam, where windows see both sides
    # The prior costs a little; the mean of the three would miss by two thirds of the contrast.
    assert np.abs(fused - scene)[:, away].mean() < 4
    assert np.abs(sources.mean(0) - scene)[:, away].mean() > 12

    record = json.loads((tmp_path / "fused.png.json").read_text())
    assert "fusionkit-example" in json.dumps(record)
    assert record["recipe"]["weighting"] == {
        "name": "example:sharpest",
        "window": 5,
        "sharpness": 2.0,
    }
    assert record["recipe"]["objective"]["name"] == "example:charbonnier"


def test_run_uses_its_prior_and_sampler(
    installed: Installed, three_sources: list[str], tmp_path: Path
) -> None:
    chosen = ["--estimator", "wiener", "--sampler", "ancestral", "--objective", "charbonnier"]
    installed.run(
        *("fusionkit", "run", *three_sources[:2], "-o", "fused.png", "--quiet", *chosen),
        cwd=tmp_path,
    )
    recipe = json.loads((tmp_path / "fused.png.json").read_text())["recipe"]
    assert recipe["estimator"] == {"name": "example-sampling:wiener", "window": 7}
    assert recipe["sampler"] == {"name": "example-sampling:ancestral"}
    done = installed.run(
        *("fusionkit", "evaluate", "fused.png", "--sources", *three_sources[:2]),
        *("--metric", "nearest", "--json", "--quiet"),
        cwd=tmp_path,
    )
    (scene,) = json.loads(done.stdout)["methods"]["fused"]["scenes"].values()
    assert 0 <= scene["nearest"] < 20


def test_run_uses_its_preparation_and_recipe(
    installed: Installed, three_sources: list[str], tmp_path: Path
) -> None:
    chosen = ["--task", "sharpest-focus", "--destripe", "9"]
    installed.run(
        *("fusionkit", "run", *three_sources, "-o", "fused.png", "--quiet", *chosen), cwd=tmp_path
    )
    record = json.loads((tmp_path / "fused.png.json").read_text())
    assert record["recipe"]["weighting"]["name"] == "example:sharpest"
    assert record["recipe"]["preparations"] == {
        "destripe": {"name": "example-sampling:destripe", "window": 9}
    }
    assert record["components"]["destripe"]["distribution"] == "fusionkit-example"
    assert len(record["preparations"]["destripe"]["most"]) == 3


def test_its_own_tests_pass(installed: Installed, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    done = installed.run(
        *("python", "-m", "pytest", "-v", "-p", "no:cacheprovider", "tests"), cwd=tmp_path
    )
    assert "test_conformance[weighting-sharpest-on_the_simplex] PASSED" in done.stdout
    assert "test_sampling[sampler-ancestral-samples_the_prior] PASSED" in done.stdout
    assert "test_conformance[objective-charbonnier-identity_preserving] PASSED" in done.stdout
    left_out = [line for line in done.stdout.splitlines() if " SKIPPED" in line]
    (waived,) = left_out  # what the example itself says of its weak prior
    assert "test_sampling[estimator-wiener-denoises_a_smooth_image]" in waived


def test_doctor_finds_it_in_order(installed: Installed, tmp_path: Path) -> None:
    text = installed.run("fusionkit", "doctor", "example", cwd=tmp_path).stdout
    assert "Everything is in order." in text
    assert "weighting example:sharpest" in text


def test_without_it_the_names_are_unknown(installed: Installed, tmp_path: Path) -> None:
    code = (
        "import fusionkit; r = fusionkit.load_plugins(disabled=['fusionkit-example']); "
        "print(r.plugin('example').status, [p.component.name for p in r.all(fusionkit.WEIGHTING)])"
    )
    printed = installed.run("python", "-c", code, cwd=tmp_path).stdout
    assert printed.startswith("disabled")
    assert "sharpest" not in printed
