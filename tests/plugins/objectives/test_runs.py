"""``ddfm-em``, ``gradients`` and ``condition-bank`` in whole runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_objectives.base import RULES
from torch import Tensor

from fusionkit import Fused, compose
from fusionkit.testing import synthetic_sources

from .common import draw

pytestmark = pytest.mark.usefixtures("a_light_default")

VARIANTS: dict[str, dict[str, Any]] = {
    "ddfm-em": {"name": "ddfm-em"},
    "paper": {"name": "ddfm-em", "variant": "paper"},
    "released": {"name": "ddfm-em", "variant": "released"},
    "condition-bank": {"name": "condition-bank", "iterations": 5},
    "gradients": {"name": "gradients"},
    **{f"gradients, {rule}": {"name": "gradients", "base": rule} for rule in RULES[1:]},
}
OBJECTIVES = {name: {**table, "strength": 0.1} for name, table in VARIANTS.items()}
DEFAULTS = ("ddfm-em", "condition-bank", "gradients", *(n for n in OBJECTIVES if "," in n))


def run(objective: dict[str, Any], sources: Tensor, **settings: Any) -> Fused:
    settings = {
        "precision": "float64",
        "weighting": "dig",
        "correlation": 4.0,
        "start_sigma": 157.0,
        **settings,
    }
    prior = GaussianEstimator(exponent=3.0, correlation=settings.pop("correlation"))
    pipe = compose(estimator=prior, objective=objective, steps=4, device="cpu", **settings)
    return pipe(sources)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_with_a_strength_the_trajectory_alone_changes_the_output(name: str) -> None:
    # Fixed weights do not look at the estimates, so that the prior counts on the trajectory only.
    sources = draw(2, 1, 1, 16, 16)
    one, other = (
        run(OBJECTIVES[name], sources, weighting="fixed", correlation=c) for c in (4.0, 64.0)
    )
    assert not one.target_only
    assert (one.image - other.image).abs().mean() > 2 / 255


@pytest.mark.parametrize("name", DEFAULTS)
def test_by_default_it_is_not_evaluated(name: str) -> None:
    sources = synthetic_sources(3, 1, 1, 16, 16)
    hard = VARIANTS[name]
    one, other = (run(hard, sources, weighting="fixed", correlation=c) for c in (4.0, 64.0))
    assert one.target_only
    assert torch.equal(one.image, other.image)
    assert one.nfe == 0


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_identical_sources_come_back(name: str, precision: str) -> None:
    sources = draw(1, 2, 1, 7, 6).expand(3, 2, 1, 7, 6)
    image = run(VARIANTS[name], sources, precision=precision).image
    tolerance = {"float32": 1e-4, "float64": 1e-9}[precision]
    assert (image - sources[0]).abs().max() < tolerance


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("size", [(2, 2), (3, 2), (5, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_and_odd_sizes_in_grey_and_colour(
    name: str, size: tuple[int, int], channels: int
) -> None:
    K = 6 if name in DEFAULTS else 2
    sources = draw(K, 2, channels, *size)
    for settings in ({}, {"start_sigma": 3.0}):
        image = run(OBJECTIVES[name], sources, weighting="fixed", **settings).image
        assert image.shape == (2, channels, *size)
        assert torch.isfinite(image).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_float32_agrees_with_float64(name: str) -> None:
    sources = synthetic_sources(2, 1, 1, 21, 18)
    single, double = (
        run(OBJECTIVES[name], sources, precision=precision).image.double()
        for precision in ("float32", "float64")
    )
    # A quarter of a grey level of 255, whose step is 2/255.
    assert (single - double).abs().max() < 0.5 / 255
