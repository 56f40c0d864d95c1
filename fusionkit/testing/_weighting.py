"""Flags of weightings alone: the simplex, and the provisional call."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ._drive import TOLERANCE, Outputs, call, drive, scene, started_by_hand, step_of
from .checks import Subject


def hard_sources() -> Iterator[tuple[str, Tensor]]:
    """Yield what to fuse where there is little to tell sources apart by, or nothing."""
    textured = scene()
    yield "textured", textured
    yield "constant", torch.stack([torch.full_like(textured[0], v) for v in (0.5, -0.25)])
    yield "identical", textured[:1].expand(2, -1, -1, -1, -1).clone()
    yield "black", torch.full_like(textured, -1.0)
    yield "one black", torch.stack([textured[0], torch.full_like(textured[0], -1.0)])
    yield "saturated", textured.sign()


def on_the_simplex(subject: Subject) -> None:
    """Weights are (K, B, 1, H, W), finite, >= 0 and sum to 1 over the sources, for any sources."""
    component = subject.build()
    for what, sources in hard_sources():
        for from_noise in (True, False):
            try:
                drive(subject, component, sources, from_noise=from_noise)
            except AssertionError as error:
                raise type(error)(f"{error} ({what} sources)") from error


def provisional_call_leaves_no_trace(subject: Subject) -> None:
    """Check that the call made before sampling starts does not change the weights after it."""
    component, sources = subject.build(), scene()
    results = []
    for provisional in (False, True):
        run, started, weights = started_by_hand(subject, component, sources)
        estimate = run.noise("fusionkit/testing/x0") * 0.3
        if provisional:
            call(subject, started, step_of(run, 0, run.sources.mean(0), True), weights)
        steps = [step_of(run, index, estimate) for index in range(run.steps)]
        results.append(Outputs(tuple(call(subject, started, s, weights) for s in steps), 1))
    difference = results[0].difference(results[1])
    subject.require(
        difference <= TOLERANCE,
        "nothing may be kept of the provisional step, but after one the weights differ by "
        f"{difference:.3g}",
    )


CHECKS = (on_the_simplex, provisional_call_leaves_no_trace)
