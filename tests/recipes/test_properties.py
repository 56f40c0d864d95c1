"""What holds of every recipe of fusionkit's own, tried on scenes that hypothesis makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fusionkit
from fusionkit.host.parts import Part
from fusionkit.host.pipeline import Pipeline

REGISTRY = fusionkit.load_plugins()
BUILT: dict[str, Part] = {}  # so that a network is read once
PIPELINES: dict[str, Pipeline] = {}
DTYPES = ("uint8", "uint16", "float32")

# The same scenes in every run, however slow the machine.
examples = settings(
    derandomize=True,
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning"),
]
every_recipe = pytest.mark.parametrize("task", fusionkit.tasks())


def pipeline(task: str) -> Pipeline:
    if task not in PIPELINES:
        PIPELINES[task] = fusionkit.compose(registry=REGISTRY, built=BUILT, device="cpu", task=task)
    return PIPELINES[task]


def scene(
    seed: int, count: int, size: tuple[int, int], dtype: str, kinds: list[str], colour: bool
) -> list[NDArray[Any]]:
    """Return sources, each of a kind: smooth, noisy, of one value, or black and white."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    sources = []
    for kind in kinds[:count]:
        wave = np.sin(columns / draw.uniform(1, 9) + draw.uniform(0, 6)) * np.cos(rows / 5)
        planes = np.stack([0.5 + 0.4 * np.roll(wave, n, 1) for n in range(3 if colour else 1)], -1)
        if kind == "noise":
            planes = planes + 0.2 * draw.standard_normal(planes.shape)
        elif kind == "flat":
            planes = np.full_like(planes, draw.uniform())
        elif kind == "clipped":
            planes = (planes > 0.5).astype(float)
        stored = planes.squeeze(-1) if not colour else planes
        stored = stored.clip(0, 1) * top
        sources.append(stored.astype(dtype) if dtype == "float32" else stored.round().astype(dtype))
    return sources


scenes = st.builds(
    scene,
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 5),
    size=st.tuples(st.integers(2, 48), st.integers(2, 48)),
    dtype=st.sampled_from(DTYPES),
    kinds=st.lists(st.sampled_from(("smooth", "noise", "flat", "clipped")), min_size=5, max_size=5),
    colour=st.booleans(),
)


@every_recipe
@examples
@given(sources=scenes)
def test_size_depth_and_range_are_those_of_the_sources(
    task: str, sources: list[NDArray[Any]]
) -> None:
    fused = fusionkit.fuse(sources, pipeline=pipeline(task)).image
    assert fused.shape == sources[0].shape
    assert fused.dtype == sources[0].dtype
    assert np.isfinite(fused).all()
    if fused.dtype.kind == "f":
        assert fused.min() >= 0
        assert fused.max() <= 1


@every_recipe
@examples
@given(sources=scenes)
def test_it_is_the_same_again(task: str, sources: list[NDArray[Any]]) -> None:
    one = fusionkit.fuse(sources, pipeline=pipeline(task)).image
    again = fusionkit.fuse([source.copy() for source in sources], pipeline=pipeline(task)).image
    assert one.tobytes() == again.tobytes()


@every_recipe
@examples
@given(sources=scenes, turn=st.integers(1, 4))
def test_the_order_of_sources_decides_nothing(
    task: str, sources: list[NDArray[Any]], turn: int
) -> None:
    """To within rounding; in grey, since the first source with colour gives the hue."""
    if sources[0].ndim == 3:
        sources = [source[..., 0] for source in sources]
    turned = sources[turn % len(sources) :] + sources[: turn % len(sources)]
    one, other = (
        fusionkit.fuse(order, pipeline=pipeline(task)).image.astype(float)
        for order in (sources, turned)
    )
    top = 1 if sources[0].dtype.kind == "f" else np.iinfo(sources[0].dtype).max
    assert np.abs(one - other).max() <= top / 255
