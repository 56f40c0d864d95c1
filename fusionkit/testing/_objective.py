"""Flags of objectives alone: what they may return, and what may influence it."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit.contract.objective import IDENTITY_PRESERVING
from fusionkit.errors import UsageError

from ._drive import (
    TOLERANCE,
    call,
    constant,
    drive,
    in_its_name,
    sampled,
    scene,
    started_by_hand,
    step_of,
)
from ._weighting import hard_sources
from .checks import Subject
from .doubles import WhiteGaussian

INITIAL_LIMIT = 2.0
"""How far from 0 an initial fusion of sources in [-1, 1] may go: estimates overshoot a little."""

AWAY = 0.5
"""How far from identical sources their fusion may be, of their root mean square."""


def finite(subject: Subject) -> None:
    """``rectify`` returns (B, C, H, W), finite for any sources, from noise or a first fusion."""
    component = subject.build()
    for what, sources in hard_sources():
        for from_noise in (True, False):
            try:
                drive(subject, component, sources, from_noise=from_noise)
            except AssertionError as error:
                raise type(error)(f"{error} ({what} sources)") from error


def initial_fusion(subject: Subject) -> None:
    """Check that ``initial`` is (B, C, H, W), in about [-1, 1], in the dtype of the run."""
    component = subject.build()
    for what, sources in hard_sources():
        run, started, weights = started_by_hand(subject, component, sources)
        with torch.no_grad():
            first = started.initial(weights)
        subject.require(
            isinstance(first, Tensor) and first.shape == sources.shape[1:],
            f"initial must return (B, C, H, W) = {tuple(sources.shape[1:])}, not "
            f"{tuple(getattr(first, 'shape', ()))}",
        )
        subject.require(
            first.dtype == run.sources.dtype,
            f"initial must return the dtype of the run, {run.sources.dtype}, not {first.dtype}",
        )
        greatest = float(first.abs().max())
        subject.require(
            greatest <= INITIAL_LIMIT,
            f"initial must be finite and in about [-1, 1], but reaches {greatest:.3g} "
            f"({what} sources)",
        )


def keeps_to_the_sources(subject: Subject) -> None:
    """Check that what all sources and the trajectory agree on comes back, if only roughly.

    The last correction is nearer to that image than half its own root mean square, and no first
    fusion or correction is much larger than it: an objective may sharpen or brighten, but
    black, or three times the image, is no fusion.
    """
    component = subject.build()
    image = scene(1)
    sources = image.expand(2, -1, -1, -1, -1).clone()
    run, started, weights = started_by_hand(subject, component, sources)
    with torch.no_grad():
        made = [("initial", started.initial(weights))]
    made += [
        ("rectify", call(subject, started, step_of(run, index, image[0].clone()), weights))
        for index in range(run.steps)
    ]
    norm = float(image.square().mean().sqrt())
    where = "where all sources, and the clean estimate, are one image,"
    for name, fused in made:
        size = float(fused.square().mean().sqrt()) / norm
        subject.require(
            size <= 1 + AWAY,
            f"{where} {name} must return nothing much larger, but returns {size:.3g} times it "
            f"(allowed: {1 + AWAY:g})",
        )
    away = float((made[-1][1] - image[0]).square().mean().sqrt()) / norm
    subject.require(
        away <= AWAY,
        f"{where} rectify must end at about that image, but is off by {away:.3g} of its size "
        f"(allowed: {AWAY:g})",
    )


def zero_weight_has_no_influence(subject: Subject) -> None:
    """Check that a source of weight zero everywhere could as well be another image altogether."""
    component = subject.build()
    for shares in ((1.0, 0.0), (0.5, 0.5, 0.0)):
        sources = scene(len(shares))
        replaced = sources.clone()
        replaced[-1] = scene(1, seed=99)[0].flip(-1) * -2 + 0.3
        for from_noise in (True, False):
            try:
                got, expected = (
                    drive(subject, component, each, other=constant(shares), from_noise=from_noise)
                    for each in (replaced, sources)
                )
            except UsageError:  # not for three sources; any_number_of_sources reports that
                continue
            difference = got.difference(expected)
            subject.require(
                difference <= TOLERANCE,
                "a source of weight zero must have no influence, but replacing it changes the "
                f"result by {difference:.3g}",
            )


def no_gradient_through_estimator(subject: Subject) -> None:
    """Nothing is differentiated through the noise estimator: it would hold its whole graph."""
    estimator = _Watching()
    with in_its_name(subject):
        for _ in sampled(subject, subject.build(), scene(), estimator=estimator):
            pass
    subject.require(
        not estimator.differentiated,
        "the noise estimator must not be differentiated through, but was called with gradients "
        "enabled, or on a tensor that requires them",
    )


def identity_preserving(subject: Subject) -> None:
    """Check, where declared, that identical sources are a fixed point, whatever the weights.

    Precisely: all sources are the image c, and so is the clean estimate of the
    trajectory at every step; then the last corrected estimate is c. (The sources'
    own estimates are not: they come from a prior that knows c no better than any
    prior does.) With a strength of zero the trajectory counts for nothing, so
    this contains that identical sources come back from a target-only run.
    """
    if IDENTITY_PRESERVING not in subject.traits:
        return
    component = subject.build()
    image = scene(1)
    for K in (2, 3):
        sources = image.expand(K, -1, -1, -1, -1).clone()
        try:
            run, started, weights = started_by_hand(subject, component, sources)
            fused = image[0]
            for index in range(run.steps):
                fused = call(subject, started, step_of(run, index, image[0].clone()), weights)
        except UsageError:  # not for three sources; any_number_of_sources reports that
            continue
        difference = float((fused - image[0]).abs().max())
        subject.require(
            difference <= TOLERANCE,
            "it declares identity-preserving, but identical sources, with a trajectory that "
            f"agrees with them, come back changed by {difference:.3g}",
        )


class _Watching(WhiteGaussian):
    """Notes whether a graph could have been built through it."""

    differentiated = False

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.differentiated |= x.requires_grad or torch.is_grad_enabled()
        return super().denoise(x, sigma)


CHECKS = (
    finite,
    initial_fusion,
    keeps_to_the_sources,
    zero_weight_has_no_influence,
    no_gradient_through_estimator,
    identity_preserving,
)
