"""First-party plugin: ``fixed`` weights, the same at every pixel and step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fusionkit import (
    SOURCE_SYMMETRIC,
    BuildContext,
    Component,
    Registry,
    Run,
    StartedWeighting,
    UsageError,
    Weighting,
    hookimpl,
    option,
)


@dataclass(frozen=True)
class FixedOptions:
    """Options of the ``fixed`` weighting."""

    weights: tuple[float, ...] = option(
        (), "One weight per source, scaled to sum to 1; none for equal weights.", minimum=0
    )

    def __post_init__(self) -> None:
        if self.weights and sum(self.weights) <= 0:
            raise ValueError("weights must not all be zero")

    def check_sources(self, count: int, registry: Registry) -> None:
        """Refuse weights that are not one for each source."""
        _shares(self.weights, count)


def _shares(weights: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Return the share of each source, which sum to 1; equal ones for no weights."""
    if len(weights) not in (0, count):
        said = "1 weight" if len(weights) == 1 else f"{len(weights)} weights"
        raise UsageError(f"weighting fixed: {said} for {count} sources")
    most = max(weights, default=0.0)  # whose sum, or half of it, may be no number
    shares = [weight / most for weight in weights] or [1.0] * count
    return tuple(share / sum(shares) for share in shares)


class Fixed:
    """The same weights everywhere: the baseline that a dynamic weighting has to beat."""

    uses_trajectory = False
    levels = "none"
    reach = 0

    def __init__(self, weights: tuple[float, ...] = ()) -> None:
        self.weights = weights

    def start(self, run: Run) -> StartedWeighting:
        """Lay the weights out once; every step returns the same (K, B, 1, H, W) tensor."""
        import torch

        from fusionkit.ops import sent

        K, B, _, H, W = run.sources.shape
        shares = _shares(self.weights, K)
        given = torch.tensor(shares, dtype=run.sources.dtype, device="cpu")
        weights = sent(given, run.sources.device, given.dtype)
        everywhere = weights.view(K, 1, 1, 1, 1).expand(K, B, 1, H, W)
        return lambda step: everywhere


def _fixed(options: FixedOptions, context: BuildContext) -> Fixed:
    return Fixed(options.weights)


@hookimpl
def fusionkit_weightings() -> Iterable[Component[Weighting]]:
    """Return the weighting of this plugin."""
    return [
        Component(
            "fixed",
            "the same weight for a source at every pixel and step; equal by default",
            _fixed,
            FixedOptions,
            frozenset({SOURCE_SYMMETRIC}),
        )
    ]
