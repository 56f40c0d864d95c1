"""The same command gives the same bits, whatever else is so: the table of docs/performance.md."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import fusionkit
from fusionkit.host.parts import Part
from fusionkit.host.pipeline import Pipeline
from tests.conftest import REPOSITORY

Images = NDArray[np.float32]

PUBLISHED = ("dig2dig", "ddfm", "ccf")
WAYS = (
    "1 or 2 threads",
    "alone or by `fuse_batch`",
    "first or last in a folder",
    "this process or another",
)
BUILT: dict[str, Part] = {}  # so that a network is read once
REGISTRY = fusionkit.load_plugins()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning"),
]


def scenes(height: int = 96, width: int = 352) -> Images:
    """Two sources of two scenes, (K, B, H, W): PyTorch shares planes so large among threads."""
    draw = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    made = []
    for scene in range(2):
        waves = 0.2 * np.sin(columns / (3 + scene)) + 0.15 * np.cos(rows / (4 + scene))
        image = 0.5 + waves + 0.08 * draw.standard_normal((height, width))
        left = columns < width // 2
        made.append([np.where(left, image, 0.5), np.where(left, 0.5, image)])
    return np.moveaxis(np.array(made, np.float32).clip(0, 1), 0, 1)


def composed(name: str) -> Pipeline:
    """Compose a recipe; the published ones, of a hundred steps and more, with a light prior."""
    light: dict[str, Any] = {"estimator": "gaussian", "steps": 3} if name in PUBLISHED else {}
    return fusionkit.compose(recipe=name, registry=REGISTRY, built=BUILT, device="cpu", **light)


def fused(pipeline: Pipeline, sources: Images) -> list[Images]:
    """Return the fused floats of a batch, which nothing has rounded."""
    return [np.asarray(r.image) for r in fusionkit.fuse_batch(list(sources), pipeline=pipeline)]


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", [*fusionkit.tasks(), *PUBLISHED])
def test_threads_batches_and_order_change_no_bit(name: str) -> None:
    sources = scenes()
    assert sources[0, 0].size > 32768  # elements that PyTorch gives to one thread at least
    pipeline = composed(name)
    torch.set_num_threads(1)
    together = fused(pipeline, sources)
    torch.set_num_threads(2)
    alone = [fused(pipeline, sources[:, [place]])[0] for place in (1, 0)]
    assert together[0].dtype == np.float32
    for one, other in zip(together, reversed(alone), strict=True):
        assert one.tobytes() == other.tobytes()


def digests(images: Sequence[Images]) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def test_another_process_changes_no_bit() -> None:
    names = ("general", "ddfm")
    code = (
        "from tests.host.test_determinism import *\n"
        f"for name in {names}: print(*digests(fused(composed(name), scenes())))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    here = [digests(fused(composed(name), scenes())) for name in names]
    assert [line.split() for line in done.stdout.splitlines()] == here


def test_the_table_says_what_is_tested_here() -> None:
    text = Path(REPOSITORY / "docs" / "performance.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| the same bits \| ([^|]+) \|$", text, re.MULTILINE)
    assert tuple(what for what, _ in rows) == WAYS
