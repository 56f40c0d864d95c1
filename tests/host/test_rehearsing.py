"""Rehearsals: what a run costs, and whether it asks its prior for anything, told on a thumbnail."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fusionkit import compose
from fusionkit.host.rehearsing import SIDE, asks, rehearsed
from fusionkit.testing.doubles import ConstantWeights, WeightedMean

from .test_latents import Unshuffled

DIG = {"name": "dig", "prior": "", "resolution": 2}
ALONE = {"weighting": "fixed", "objective": {"name": "mse", "strength": 0.0}}
LATENT = {
    "estimator": Unshuffled(),
    "weighting": ConstantWeights((0.5, 0.5)),
    "objective": WeightedMean(0.0),
}


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (ALONE, False),
        ({**ALONE, "match": "auto"}, False),
        ({**ALONE, "noise": "auto"}, True),
        ({**ALONE, "objective": {"name": "mse", "strength": 0.1}}, True),  # by a trajectory
        ({**ALONE, "objective": {"name": "ddfm-em", "strength": 0.0}}, False),
        ({**ALONE, "weighting": DIG}, True),
        ({**ALONE, "weighting": {**DIG, "prior": "gaussian"}}, False),
        (LATENT, True),  # which encodes and decodes
    ],
)
def test_whether_a_prior_is_asked(how: dict[str, Any], expected: bool) -> None:
    assert asks(compose(**{"estimator": "gaussian", "device": "cpu", **how})) == expected


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("dynamic", [True, False])
def test_it_costs_what_the_run_costs(count: int, dynamic: bool) -> None:
    weighting = {**DIG, "dynamic": dynamic}
    pipe = compose(estimator="gaussian", weighting=weighting, objective="increments", device="cpu")
    size = (SIDE + 32, SIDE - 32)
    real = pipe(torch.zeros(count, 1, 1, *size), seed=0)
    assert rehearsed(pipe, count, size).nfe == pytest.approx(real.nfe)
    assert real.nfe > 1
