"""Flags of observations: that they are linear, and that adjoint and prox belong to them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fusionkit.contract.observation import StartedObservation
from fusionkit.errors import UsageError, one_line

from ._common import built_otherwise
from ._drive import TOLERANCE
from ._randomness import global_seed, torch_state
from .checks import Subject

SHAPE = (2, 1, 32, 48)
"""Of the images that are observed: (B, C, H, W)."""

_MEMBERS = ("A", "adjoint", "mask", "prox", "sigma")

GRIDS = ((20, 30), (16, 24), SHAPE[2:])
"""Sizes (h, w) that a source may have: less by 1.6, by 2, and the same."""

RHOS = (0.05, 1.0, 20.0)


def starts(subject: Subject) -> None:
    """``start`` returns what fusionkit.StartedObservation says, for a source of some size."""
    started(subject, subject.build())


def declares_its_noise(subject: Subject) -> None:
    """``sigma`` is a number of at least 0, ``mask`` None or of y's grid with values in [0, 1]."""
    observation = started(subject, subject.build())
    sigma, mask = observation.sigma, observation.mask
    good = isinstance(sigma, (int, float)) and 0 <= sigma < math.inf
    subject.require(good, f"sigma must be a number of at least 0, not {sigma!r}")
    if mask is None:
        return
    y = observed(subject, observation, drawn(0))
    grid = (1, *y.shape[-2:])
    subject.require(
        isinstance(mask, Tensor) and mask.shape[1:] == grid and mask.shape[0] in (1, len(y)),
        f"mask must be (B or 1, 1, h, w) of y's grid, {grid}, not {tuple(mask.shape)}",
    )
    subject.require(
        bool(((mask >= 0) & (mask <= 1)).all()), "the values of its mask must be in [0, 1]"
    )


def linear(subject: Subject) -> None:
    """Check that A is linear, and returns a measurement (B, C, h, w) for every image."""
    observation = started(subject, subject.build())
    one, other = drawn(0), drawn(1)
    both = observed(subject, observation, 2 * one - 3 * other)
    parts = 2 * observed(subject, observation, one) - 3 * observed(subject, observation, other)
    _require_equal(subject, both, parts, "A must be linear, but A(2 a - 3 b)")


def adjoint_belongs_to_a(subject: Subject) -> None:
    """Check that <A c, y> = <c, adjoint(y)>, image by image."""
    observation = started(subject, subject.build())
    c = drawn(0)
    measured = observed(subject, observation, c)
    y = drawn(1, tuple(measured.shape))
    back = observation.adjoint(y)
    subject.require(
        isinstance(back, Tensor) and back.shape == c.shape,
        f"adjoint must return {tuple(c.shape)}, not {tuple(getattr(back, 'shape', ()))}",
    )
    dims = (1, 2, 3)
    left, right = (measured * y).sum(dims), (c * back).sum(dims)
    scale = float((measured.square().sum() * y.square().sum()).sqrt()) + 1e-12
    difference = float((left - right).abs().max()) / scale
    subject.require(
        difference <= TOLERANCE,
        f"<A c, y> = <c, adjoint(y)> must hold, but differs by {difference:.3g} (relative)",
    )


def prox_is_a_minimiser(subject: Subject) -> None:
    """Check that nothing near prox(z, y, rho) makes the sum that it minimises smaller."""
    observation = started(subject, subject.build())
    _require_minimiser(subject, observation, "")


def other_options(subject: Subject) -> None:
    """Every choice, yes, no and least value of every option works as the default does."""
    for built, how in built_otherwise(subject):
        _require_minimiser(subject, started(subject, built), f" {how}")


def shape_and_dtype(subject: Subject) -> None:
    """Check that measurements, their adjoint and prox are in the dtype of images, grey or not."""
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        observation = started(subject, subject.build(precision=precision))
        for channels in (1, 3):
            c = drawn(0, (2, channels, *SHAPE[2:])).to(dtype)
            y = observed(subject, observation, c)
            made = {"A": y, "adjoint": observation.adjoint(y), "prox": observation.prox(c, y, 1.0)}
            for name, got in made.items():
                subject.require(
                    got.dtype == dtype, f"for images of {dtype}, {name} must return {dtype}, too"
                )
                subject.require(
                    got.shape[:2] == c.shape[:2] and (name == "A" or got.shape == c.shape),
                    f"{name} must keep images and channels, but of {tuple(c.shape)} it returns "
                    f"{tuple(got.shape)}",
                )


def images_do_not_interact(subject: Subject) -> None:
    """Check that an image is measured, and restored, alike alone and in a batch."""
    observation = started(subject, subject.build())
    c, z = drawn(0), drawn(1) * torch.tensor([1.0, 30.0]).view(2, 1, 1, 1).double()
    y = observed(subject, observation, c)
    if observation.mask is not None and len(observation.mask) > 1:
        return  # it is for this batch alone
    for b in range(len(c)):
        one = slice(b, b + 1)
        for name, got, alone in (
            ("A", y[one], observation.A(c[one])),
            ("adjoint", observation.adjoint(y)[one], observation.adjoint(y[one])),
            ("prox", observation.prox(z, y, 1.0)[one], observation.prox(z[one], y[one], 1.0)),
        ):
            _require_equal(subject, got, alone, f"in a batch and alone, {name}")


def inputs_not_mutated(subject: Subject) -> None:
    """Check that images and measurements are read only."""
    observation = started(subject, subject.build())
    c, z = drawn(0), drawn(1)
    y = observed(subject, observation, c).clone()
    before = c.clone(), z.clone(), y.clone()
    observation.A(c)
    observation.adjoint(y)
    observation.prox(z, y, 0.7)
    for name, was, now in zip(("c", "z", "y"), before, (c, z, y), strict=True):
        subject.require(
            torch.equal(was, now), f"it must not write to its inputs, but changed {name}"
        )


def deterministic(subject: Subject) -> None:
    """Equal images give equal measurements: noise is no part of A."""
    results = []
    for seed in (1, 2):
        with global_seed(seed):
            observation, before = started(subject, subject.build()), torch_state()
            y = observed(subject, observation, drawn(0))
            results.append((y, observation.prox(drawn(1), y, 1.0)))
            subject.require(
                torch.equal(before, torch_state()), "it must leave the global random state alone"
            )
    for name, got, expected in zip(("A", "prox"), results[1], results[0], strict=True):
        _require_equal(subject, got, expected, f"built and called anew, {name}")


def runs_on_meta_device(subject: Subject) -> None:
    """Nothing is read back to the host: it runs on a device that holds no values."""
    observation = started(subject, subject.build(device="meta", precision="float32"))
    c = drawn(0).float().to("meta")
    try:
        y = observed(subject, observation, c)
        restored = observation.prox(observation.adjoint(y), y, 1.0)
    except RuntimeError as error:  # NotImplementedError, which meta raises, is one
        reason = one_line(error)
        subject.require(
            False, f"it must not read values back to the host, but on the meta device: {reason}"
        )
    subject.require(
        restored.device.type == "meta", f"it must compute on the device of c, not {restored.device}"
    )


def started(subject: Subject, observation: Any) -> Any:
    """Start an observation on two sources, of the first of :data:`GRIDS` that it makes."""
    refused = ""
    for grid in GRIDS:
        y = drawn(9, (SHAPE[0], 1, *grid)).div(2).clamp(-1, 1)  # the ends are reached, too
        try:
            begun = observation.start(y, SHAPE[2:])
        except UsageError as error:
            refused = f": {error}"
            continue
        lacks = [name for name in _MEMBERS if not hasattr(begun, name)]
        subject.require(
            isinstance(begun, StartedObservation),
            f"start must return what fusionkit.StartedObservation says, but its "
            f"{type(begun).__name__} lacks {', '.join(lacks)}",
        )
        if tuple(observed(subject, begun, drawn(0)).shape[2:]) == grid:
            return begun
    sizes = ", ".join(f"{h} x {w}" for h, w in GRIDS)
    message = f"of images {SHAPE[2]} x {SHAPE[3]} it makes none of {sizes}{refused}"
    subject.require(False, message)
    raise AssertionError


def drawn(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """Return standard normal pixels: every frequency is in them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def observed(subject: Subject, observation: Any, c: Tensor) -> Tensor:
    """Call A; the result must be one measurement for each image and channel."""
    y = observation.A(c)
    subject.require(
        isinstance(y, Tensor) and y.ndim == 4 and y.shape[:2] == c.shape[:2],
        f"A must return (B, C, h, w) for images {tuple(c.shape)}, not "
        f"{tuple(getattr(y, 'shape', ()))}",
    )
    tensor: Tensor = y
    return tensor


def _require_minimiser(subject: Subject, observation: Any, with_what: str) -> None:
    z = drawn(1)
    y = observed(subject, observation, drawn(0))
    y = y + 0.1 * drawn(2, tuple(y.shape))
    mask = 1.0 if observation.mask is None else observation.mask.to(y)
    for rho in RHOS:

        def total(c: Tensor, rho: float = rho) -> Tensor:
            misfit: Tensor = mask * (observation.A(c) - y).square()
            return (misfit.sum((1, 2, 3)) + rho * (c - z).square().sum((1, 2, 3))) / 2

        found = observation.prox(z, y, rho)
        least = total(found)
        slope = observation.adjoint(mask * (observation.A(found) - y)) + rho * (found - z)
        ways = [slope, *(drawn(seed) for seed in (3, 4, 5))]
        for way in ways:
            unit = way / way.square().mean().sqrt().clamp_min(1e-12)
            for length in (-0.3, -0.03, -0.003, 0.003, 0.03, 0.3):
                lower = float(((least - total(found + length * unit)) / least).max())
                subject.require(
                    lower <= 1e-9,
                    f"prox(z, y, {rho:g}) must minimise |A c - y|² / 2 + {rho:g} |c - z|² / 2, but "
                    f"{abs(length):g} beside it that is less by {lower:.2g} (relative){with_what}",
                )


def _require_equal(subject: Subject, got: Tensor, expected: Tensor, what: str) -> None:
    same = got.shape == expected.shape
    difference = float((got - expected).abs().max()) if same else float("inf")
    subject.require(difference <= TOLERANCE, f"{what} differs by {difference:.3g}")


CHECKS = (
    starts,
    declares_its_noise,
    linear,
    adjoint_belongs_to_a,
    prox_is_a_minimiser,
    other_options,
    shape_and_dtype,
    images_do_not_interact,
    inputs_not_mutated,
    deterministic,
    runs_on_meta_device,
)
