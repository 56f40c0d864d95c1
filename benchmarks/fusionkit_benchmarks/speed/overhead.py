"""What the framework costs: its loop against one written by hand, with the same components."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fusionkit.contract.guiding import uses_trajectory
from fusionkit.contract.objective import Objective
from fusionkit.contract.run import Run as RunProtocol
from fusionkit.contract.run import Step
from fusionkit.contract.weighting import StartedWeighting
from fusionkit.errors import UsageError
from fusionkit.host.hardware import cost_clock
from fusionkit.host.parts import Part
from fusionkit.host.pipeline import Pipeline
from fusionkit.host.record import environment
from fusionkit.sampling.run import Run
from fusionkit.testing.doubles import synthetic_sources


class Replayed:
    """A weighting that gives the weights of an earlier run again, and computes nothing."""

    uses_trajectory = False

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = weights

    def start(self, run: RunProtocol) -> StartedWeighting:
        """Hand out the weights by the number of the step."""
        return lambda step: self.weights[step.index]


def overhead(pipeline: Pipeline, size: tuple[int, int], count: int, repeats: int) -> dict[str, Any]:
    """Measure the pipeline and the loop by hand in turn, by :func:`.cost_clock`; JSON-ready.

    Both are given the same sources, noise, estimator, objective and weights: those of a
    run that went before, so that what a weighting computes or has estimated counts in neither.

    Returns
    -------
    dict
        ``ratio`` is framework to hand; ``difference`` the largest of what came out.

    Raises
    ------
    UsageError
        The size is not what the estimator takes as it is, or would go in tiles; or the
        objective does not look at the fused trajectory, so that there is nothing to sample.
    """
    width, height = size
    objective: Objective = pipeline.parts["objective"].built
    _check(pipeline, size)
    given = synthetic_sources(count, H=height, W=width, dtype=pipeline.dtype).clamp(-1, 1)
    weights = []
    run: Any = None
    for done in pipeline.steps(given):
        weights.append(done.weights)
        run = done.step.run
    if run.tiled:
        raise UsageError(f"--size {width}x{height}: images go in tiles; choose a smaller size")
    replayed = Part(Replayed(weights), "weighting Replayed", {"name": "<replayed>"})
    parts = {**pipeline.parts, "weighting": replayed}
    framework = Pipeline(parts, pipeline.settings, pipeline.context)
    estimator = pipeline.parts["estimator"].built
    channels = pipeline.channels_of(1)

    def by_hand() -> Tensor:
        sources = given.to(pipeline.device).expand(-1, -1, channels, -1, -1)
        fresh = Run(sources, run.seeds, estimator, run.schedule)
        return sampled_by_hand(estimator, objective, fresh, weights, run.schedule.from_noise)

    def by_framework() -> Tensor:
        return framework(given).image

    images = [by_framework(), by_hand()]  # not counted: kernels are chosen, memory is got
    seconds = []
    for n in range(repeats):
        pair = [0.0, 0.0]
        for which in (0, 1) if n % 2 == 0 else (1, 0):
            began = cost_clock(pipeline.device)
            (by_framework, by_hand)[which]()
            pair[which] = cost_clock(pipeline.device) - began
        seconds.append(pair)
    ratios = [ours / bare for ours, bare in seconds]
    context = pipeline.context
    return {
        "size": list(size),
        "sources": count,
        "recipe": pipeline.as_recipe(),
        "environment": environment(context.device, context.precision),
        "seconds": seconds,
        "difference": float((images[0] - images[1]).abs().max()),
        "ratio": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "repeats": repeats,
        },
    }


@torch.no_grad()
def sampled_by_hand(
    estimator: Any, objective: Objective, run: Run, weights: Sequence[Tensor], from_noise: bool
) -> Tensor:
    """Sample as one would in a script: DDIM and nothing else, (B, 1, H, W).

    No padding, tiles, batches, checks, counting or plugins' mistakes to be caught.
    """
    fusion = objective.start(run)
    x = run.sigma[0] * run.noise("fusionkit/start")
    if not from_noise:
        x = fusion.initial(weights[0]) + x
    f: Tensor | None = None
    for i in range(run.steps):
        level = torch.full((len(x),), run.sigma[i], device=x.device, dtype=x.dtype)
        f = fusion.rectify(Step(run, i, x, estimator.denoise(x, level), f), weights[i])
        x = f + run.sigma[i + 1] / run.sigma[i] * (x - f)
    assert f is not None
    return f.mean(1, keepdim=True)


def _check(pipeline: Pipeline, size: tuple[int, int]) -> None:
    width, height = size
    multiple = pipeline.parts["estimator"].built.multiple_of
    if width % multiple or height % multiple:
        raise UsageError(
            f"--size {width}x{height}: the loop by hand does not pad: multiples of {multiple}"
        )
    if not uses_trajectory(pipeline.parts["objective"].built):
        raise UsageError(
            f"{pipeline.parts['objective'].label} does not look at the fused trajectory: there is "
            "nothing to sample; give it a strength above 0"
        )
