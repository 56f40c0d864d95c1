"""The sources and their estimates are everybody's: who writes to them is named."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_fixed import Fixed
from fusionkit_objectives.mse import Mse
from fusionkit_samplers.ddim import DDIM
from torch import Tensor

from fusionkit import PluginError
from fusionkit.sampling.guide import sample
from fusionkit.sampling.levels import Schedule, choose_levels
from fusionkit.sampling.run import Run

WAYS: dict[str, Callable[[Run], Tensor]] = {
    "the sources": lambda run: run.sources,
    "one source": lambda run: run.sources[0],
    "an estimate": lambda run: run.source_estimate(1),
    "the estimate of one": lambda run: run.source_estimate(1, 0),
    "smaller sources": lambda run: run.reduced(2).sources,
    "a smaller estimate": lambda run: run.reduced(2).source_estimate(1),
}


def fused(weighting: Any = None, objective: Any = None, sampler: Any = None) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    sources = torch.rand((2, 1, 1, 8, 10), generator=generator) * 2 - 1
    schedule = Schedule.of(choose_levels(3, 80.0))
    run = Run(sources, [0], GaussianEstimator(correlation=2.0), schedule)
    steps = sample(run, weighting or Fixed(()), objective or Mse(0.1), sampler or DDIM())
    *_, last = steps
    return last.corrected


def test_who_only_reads_is_not_named() -> None:
    class Reads:
        def start(self, run):
            for way in WAYS.values():
                way(run).clone().zero_()
            return lambda step: torch.full_like(run.sources[:, :, :1], 0.5)

    assert torch.isfinite(fused(Reads())).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["start", "step"])
def test_a_weighting_that_writes(way: str, when: str) -> None:
    class Writes:
        def start(self, run):
            if when == "start":
                WAYS[way](run).zero_()

            def weigh(step):
                if step.index == 0 and when == "step":
                    WAYS[way](run).zero_()
                return torch.full_like(run.sources[:, :, :1], 0.5)

            return weigh

    where = "while starting" if when == "start" else "at step 1 of 3"
    with pytest.raises(PluginError, match=f"^weighting wrote to the sources .* {where}"):
        fused(Writes())


@pytest.mark.parametrize("way", WAYS)
def test_an_objective_that_writes(way: str) -> None:
    class Writes:
        def start(self, run):
            def rectify(step, weights):
                WAYS[way](run).mul_(0.5)
                return step.x0

            return SimpleNamespace(initial=lambda weights: run.sources[0], rectify=rectify)

    with pytest.raises(PluginError, match=r"^objective wrote to the sources"):
        fused(objective=Writes())


def test_a_sampler_that_writes() -> None:
    class Writes:
        def sample(self, run, guide):
            for step in DDIM().sample(run, guide):
                run.sources.zero_()
                yield step

    with pytest.raises(PluginError, match=r"^sampler wrote to the sources"):
        fused(sampler=Writes())
