"""A third-party plugin of fusionkit: something of every kind that needs no network.

The weighting ``sharpest``, the objective ``charbonnier``, a recipe of the two, a reader of GREY
files, and the command ``fusionkit levels``.

Importing this module imports no torch, so that listing plugins stays quick: the
annotations are text, and what needs torch imports it where it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionkit import (
    IDENTITY_PRESERVING,
    SOURCE_SYMMETRIC,
    BuildContext,
    Command,
    Component,
    Objective,
    Reader,
    Recipe,
    Run,
    StartedObjective,
    StartedWeighting,
    Step,
    Weighting,
    hookimpl,
    option,
    proximal_weights,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import Decoded


@dataclass(frozen=True)
class SharpestOptions:
    """Options of the ``sharpest`` weighting."""

    window: int = option(
        9, "Side in pixels of the window whose sharpness counts, odd.", minimum=1, maximum=255
    )
    sharpness: float = option(
        2.0, "How strongly the sharper source is preferred; 0 is the mean.", minimum=0, maximum=64
    )

    def __post_init__(self) -> None:
        if self.window % 2 == 0:
            raise ValueError(f"window must be odd, not {self.window}")


class Sharpest:
    """Weigh each source by its energy of Laplacian, the classical focus measure.

    With L the 5-point Laplacian (mirrored at the border) and G a mean over a window,

        e_k = G(mean over channels of L(c_k)²),    w_k = (e_k + floor)^p / Σ_j (e_j + floor)^p,

    which is known before the run and the same at every step. Where no source has
    any contrast, all count the same. Focus measure: Nayar and Nakagawa, IEEE TPAMI 16,
    824 (1994), there as the sum of the absolute second differences.

    Parameters
    ----------
    window
        Side of the window in pixels, odd.
    sharpness
        p.
    """

    uses_trajectory = False
    levels = "none"

    floor = 1e-6
    """Counts as no contrast: far below the rounding of an 8-bit image, whose energy is 1e-4."""

    def __init__(self, window: int = 9, sharpness: float = 2.0) -> None:
        self.window = window
        self.sharpness = sharpness

    def start(self, run: Run) -> StartedWeighting:
        """Weigh the sources once; every step gets the same (K, B, 1, H, W)."""
        energy = self.energy(run.sources) + self.floor
        # Relative to the largest, so that a power neither over- nor underflows everywhere.
        share = (energy / energy.amax(0)) ** self.sharpness
        weights = share / share.sum(0)
        return lambda step: weights

    def energy(self, sources: Tensor) -> Tensor:
        """Return the windowed Laplacian energy of (K, B, C, H, W) as (K, B, 1, H, W)."""
        from torch.nn.functional import pad

        from fusionkit import box_mean  # which needs torch: not at the head of this file

        flat = sources.flatten(0, 1)
        around = pad(flat, (1, 1, 1, 1), mode="replicate")
        beside = around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
        above = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
        energy = (beside + above - 4 * flat).square().mean(1, keepdim=True)
        # A window that hangs over the border averages what is inside.
        return box_mean(energy, self.window).view(*sources.shape[:2], 1, *sources.shape[3:])


@dataclass(frozen=True)
class CharbonnierOptions:
    """Options of the ``charbonnier`` objective."""

    strength: float = option(
        0.1,
        "lambda: trust in the prior against the sources; 0 makes the sources a hard target.",
        minimum=0,
        maximum=1e6,
    )
    epsilon: float = option(
        0.1,
        "Differences well above this, of values in [-1, 1], are outliers.",
        above=0,
        maximum=1e3,
    )
    iterations: int = option(8, "Reweighted means per step.", minimum=1, maximum=1000)


class Charbonnier:
    """A robust distance to the sources: between their weighted mean and weighted median.

        E(f) = Σ_k w_k ρ(f - c_k),    ρ(d) = ε² (sqrt(1 + (d/ε)²) - 1),

    which is d²/2 for small differences, so that its strength means what it means
    to ``mse``, and ε|d| for large ones: where one of many sources differs much from the
    others (a moving object, a highlight), it is outvoted instead of averaged in.
    With two sources of equal weight no one can be outvoted, and the mean remains.

    Its proximal map is found by iteratively reweighted least squares from the
    weighted mean, pixel by pixel; E plus the proximal term is convex, and every
    iteration lowers it. Loss: Charbonnier et al., ICIP 1994.

    Parameters
    ----------
    strength
        lambda, see :func:`fusionkit.proximal_weights`.
    epsilon
        ε.
    iterations
        Reweightings per step.
    """

    def __init__(self, strength: float = 0.1, epsilon: float = 0.1, iterations: int = 8) -> None:
        self.strength = strength
        self.epsilon = epsilon
        self.iterations = iterations
        self.uses_trajectory = strength > 0
        self.levels = "all" if strength > 0 else "none"

    def start(self, run: Run) -> StartedObjective:
        """Begin a run; nothing but the proximal weights is kept."""
        return _StartedCharbonnier(self, run)


class _StartedCharbonnier:
    def __init__(self, objective: Charbonnier, run: Run) -> None:
        self.objective = objective
        self.run = run
        self.rho = proximal_weights(run, objective.strength)

    def initial(self, weights: Tensor) -> Tensor:
        """Return the robust mean of the sources alone."""
        return self._robust_mean(weights, 0.0, None)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return argmin E(f) + rho/2 |f - x0|²."""
        rho = self.rho[step.index]
        return self._robust_mean(weights, rho, step.x0 if rho > 0 else None)

    def _robust_mean(self, weights: Tensor, rho: float, x0: Tensor | None) -> Tensor:
        sources = self.run.sources
        f = (weights * sources).sum(0)
        for _ in range(self.objective.iterations):
            # rho'(d) / d: how much a source counts that far away.
            counts = weights / (1 + ((f - sources) / self.objective.epsilon).square()).sqrt()
            pull, total = (counts * sources).sum(0), counts.sum(0)
            f = pull / total if x0 is None else (pull + rho * x0) / (total + rho)
        return f


def _sharpest(options: SharpestOptions, context: BuildContext) -> Sharpest:
    return Sharpest(options.window, options.sharpness)


def _charbonnier(options: CharbonnierOptions, context: BuildContext) -> Charbonnier:
    return Charbonnier(options.strength, options.epsilon, options.iterations)


@hookimpl
def fusionkit_weightings() -> Iterable[Component[Weighting]]:
    """Return the weighting of this plugin."""
    return [
        Component(
            "sharpest",
            "weigh each source by its local contrast (Laplacian energy)",
            _sharpest,
            SharpestOptions,
            frozenset({SOURCE_SYMMETRIC}),
        )
    ]


@hookimpl
def fusionkit_objectives() -> Iterable[Component[Objective]]:
    """Return the objective of this plugin."""
    return [
        Component(
            "charbonnier",
            "robust distance to the sources: one that differs much is outvoted",
            _charbonnier,
            CharbonnierOptions,
            frozenset({SOURCE_SYMMETRIC, IDENTITY_PRESERVING}),
        )
    ]


FOCUS = """
# Two or more focus settings: the sharper source counts, and one that differs much is outvoted.
metrics = "multi-focus"
estimator = "diffusion:gaussian"

[weighting]
name = "sharpest"
window = 11

[objective]
name = "charbonnier"
strength = 0.0
"""


@hookimpl
def fusionkit_recipes() -> Iterable[Recipe]:
    """Return the recipe of this plugin."""
    return [Recipe("sharpest-focus", "sharp regions by their contrast, robustly", FOCUS)]


_GAP = rb"(?:\s|#[^\n]*\n)+"  # white space and comments
_GREY = re.compile(rb"GREY" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)\s")


def _read_grey(data: bytes, name: str) -> Decoded:
    """Read frames of a camera: GREY, width, height, greatest value, then rows of 8 or 16 bits."""
    import numpy as np

    from fusionkit import Decoded

    header = _GREY.match(data)
    if header is None:
        raise ValueError("its header is damaged")
    width, height, greatest = map(int, header.groups())
    kind = np.dtype("u1" if greatest < 256 else ">u2")
    if len(data) - header.end() < width * height * kind.itemsize:
        raise ValueError("it ends too early")
    pixels = np.frombuffer(data, kind, width * height, header.end())
    return Decoded(pixels.reshape(height, width), stored_range=(0, greatest))


@hookimpl
def fusionkit_readers() -> Iterable[Reader]:
    """Return the reader of this plugin."""
    return [
        Reader(
            "grey",
            "grey frames of 8 and 16 bits, as a camera of ours writes them",
            (".grey",),
            _read_grey,
            lambda head, name: head.startswith(b"GREY"),
        )
    ]


def _levels(arguments: Sequence[str]) -> int:
    """Print the size, type and values of images."""
    from fusionkit import CommandParser
    from fusionkit.imaging import read_picture

    parser = CommandParser(prog="fusionkit levels", description="Print the values of images.")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    for path in parser.parse_args(arguments).images:
        pixels = read_picture(path).pixels
        low, high = pixels.min(), pixels.max()
        print(f"{path}: {pixels.shape}, {pixels.dtype}, {low} to {high}, mean {pixels.mean():.1f}")
    return 0


@hookimpl
def fusionkit_commands() -> Iterable[Command]:
    """Return the command of this plugin."""
    return [Command("levels", "print the size, type and values of images", _levels)]
