"""Fixtures that several test modules share."""

from __future__ import annotations

import os

# Tests work on tiny tensors, for which a second thread costs more than it brings, and far
# more where another process is busy. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported, too

import gc
import importlib.util
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionkit.recipes.finding import task_recipe
from tests.browser import CHROMIUM, DRIVER, prefer, resize, start_browser
from tests.remembering import remember_plugins

remember_plugins()

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = {"benchmarks": "fusionkit_benchmarks", "training": "fusionkit_training"}
"""Folders of tests, and the packages of their own that they are of."""


def pytest_collection() -> None:
    """Spare the collecting of garbage while thousands of tests are, which stay."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several processes, none is to be left alone with a long test in the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


class NotInstalled(pytest.Module):
    """A module of tests whose package is not installed: skipped before it is imported."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        folder = self.path.relative_to(REPOSITORY / "tests").parts[0]
        pytest.skip(
            f"{PACKAGES[folder]} is not installed: pip install ./{folder}", allow_module_level=True
        )


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    package = PACKAGES.get(module_path.relative_to(REPOSITORY / "tests").parts[0])
    if package is None or importlib.util.find_spec(package):
        return None
    return NotInstalled.from_parent(parent, path=module_path)


def data_folder() -> Path | None:
    """Return the folder of real image pairs, if there is one."""
    given = os.environ.get("FUSIONKIT_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared"
    return folder if (folder / "data" / "sources").is_dir() else None


def real_scenes() -> dict[str, list[Path]]:
    """Return the first scene of every set of ``sources/TASK/SET/PAIR_ROLE.ext``."""
    folder = data_folder()
    if folder is None:
        return {}
    scenes = {}
    for set_folder in sorted((folder / "data" / "sources").glob("*/*")):
        by_pair = defaultdict(list)
        for path in sorted(set_folder.iterdir()):
            by_pair[path.stem.rpartition("_")[0]].append(path)
        scenes[set_folder.name] = by_pair[min(by_pair)]
    return scenes


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Two small grey PNGs of one scene, each sharp in one half."""
    rows, columns = np.mgrid[:40, :52]
    scene = 127 + 60 * np.sin(columns / 2.0) + 40 * np.cos(rows / 3.0)
    smooth = np.full_like(scene, scene.mean())
    left = np.where(columns < 26, scene, smooth)
    right = np.where(columns < 26, smooth, scene)
    paths = []
    for name, image in (("left", left), ("right", right)):
        path = tmp_path / f"{name}.png"
        Image.fromarray(image.round().astype(np.uint8)).save(path)
        paths.append(str(path))
    return paths[0], paths[1]


@pytest.fixture
def a_light_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the default recipe names, what is tested here is the host: one without a network."""
    light = {
        "estimator": {"name": "gaussian"},
        "weighting": {"name": "dig", "stride": 1},
        "objective": {"name": "increments", "strength": 0.1},
        "sampler": {"name": "ddim"},
    }
    monkeypatch.setattr(
        "fusionkit.recipes.finding.task_recipe",
        lambda task: light if task == "general" else task_recipe(task),
    )


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromium-driver are not installed")
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    """The browser at desktop size, light, with empty logs; it must end without a complaint."""
    resize(chromium, 1280, 900)
    prefer(chromium)
    for log in ("browser", "performance"):
        chromium.get_log(log)
    yield chromium
    complaints = [entry["message"] for entry in chromium.get_log("browser")]
    chromium.get("about:blank")
    assert complaints == []
