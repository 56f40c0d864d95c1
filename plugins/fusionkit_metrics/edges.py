"""Qabf and Nabf: how the fused image keeps the edges of the sources, and what it adds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from .filters import gradients, strips
from .measure import Local, average

_ROUNDING = 1e-6
_WEAK = 0.01  # the power 1.5 of which is .001


def preservation(of_sources: Tensor, of_fused: Tensor, none: float) -> Tensor:
    """Ratio of edge strengths, the smaller to the larger; ``none`` where both are 0."""
    larger = torch.maximum(of_sources, of_fused)
    return torch.minimum(of_sources, of_fused).div_(larger).nan_to_num_(none)


def sobel(
    images: Tensor, border: str, scale: float = 1.0, rows: slice | None = None
) -> tuple[Tensor, Tensor]:
    """Strength g and orientation α = atan(s_y / s_x) of the edges; α is π/2 where s_x = 0.

    s_y points up. It matters only where s_x is 0, since only differences of α
    are used; but there |α_k - α_F| under Qabf's own A depends on it. Derivatives
    below 1e-6 grey levels are rounding, and are taken as 0: the luma of a grey
    pixel differs from its grey level in the last bit, which would decide between
    π/2 and -π/2 and move Qabf in the fourth decimal. Of some rows, if given; ``scale`` is that of
    the operator.
    """
    across, down = (
        functional.hardshrink(s, _ROUNDING / scale) for s in gradients(images, border, rows=rows)
    )
    strength = across.square().addcmul_(down, down).sqrt_().mul_(scale)
    return strength, down.div_(across).neg_().nan_to_num_(math.inf, math.inf, math.inf).atan_()


def sigmoid(values: Tensor, gain: float, slope: float, centre: float) -> Tensor:
    """Γ / (1 + exp(-slope (values - centre))), in place."""
    return values.sub_(centre).mul_(slope).sigmoid_().mul_(gain)


class EdgeTransfer(Local):
    """Qabf = Σ_k Σ Q_kF g_k / Σ_k Σ g_k, with Q_kF = Q_g Q_α.

    Xydeas and Petrovic (2000). Strength g and orientation α = atan(s_y / s_x)
    are those of Sobel's operator with zeros around the image; G = min(g_k, g_F)
    / max(g_k, g_F) is 1 where the two are equal, and

        Q_g = .9994 / (1 + exp(-15 (G - .5))),  Q_α = .9879 / (1 + exp(-22 (A - .8))).

    Parameters
    ----------
    orientation
        ``paper``: A = 1 - |α_k - α_F| / (π/2), which reaches -1 for two nearly
        vertical edges on either side of the cut of atan; kept, because published
        numbers have it. ``wrapped``: A = ||α_k - α_F| - π/2| / (π/2), in which
        the orientations π/2 and -π/2 are the same.

    Notes
    -----
    An image fused from itself scores .9748, the greatest value. Where no source
    has an edge, all pixels count alike.
    """

    name = "qabf"
    reference = "Xydeas, Petrovic, Electron. Lett. 36 (2000) 308-309"
    # What G = A = 1 gives.
    bounds = (0.0, 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4)))

    def __init__(self, orientation: str = "paper") -> None:
        self.orientation = orientation
        kept = (
            "1-|d|/(pi/2), reaching -1" if orientation == "paper" else "||d|-pi/2|/(pi/2), wrapped"
        )
        self.convention = (
            "Sobel with zero border, .9994/-15/.5 and .9879/-22/.8, weighted by source strength, "
            f"orientation {kept}"
        )

    def measure(self, fused: Tensor, sources: Tensor, where: Tensor | None = None) -> Tensor:
        """Return (B,)."""
        return average(self._kept(fused, sources, where), (0, -2, -1))

    def _kept(
        self, fused: Tensor, sources: Tensor, where: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield Q_kF and its weights, (K, B, h, W) each, strip by strip."""
        for rows in strips(*fused.shape[-2:]):
            strength, direction = sobel(fused, "zero", rows=rows)
            weights, directions = sobel(sources, "zero", rows=rows)
            if where is not None:
                weights *= where[..., rows, :]
            turned = directions.sub_(direction).abs_()
            if self.orientation == "wrapped":
                turned = turned.sub_(math.pi / 2).abs_().sub_(math.pi / 2).neg_()
            aligned = turned.mul_(-2 / math.pi).add_(1)
            kept = sigmoid(preservation(weights, strength, 1), 0.9994, 15, 0.5)
            yield kept.mul_(sigmoid(aligned, 0.9879, 22, 0.8)), weights


class Artefacts(Local):
    """Nabf = Σ_{g_F > g_A, g_B} ((1 - Q_AF) w_A + (1 - Q_BF) w_B) / Σ (w_A + w_B).

    Shreyamsha Kumar's modification (2013) of Petrovic and Xydeas's measure of
    artefacts (2005): edges stronger in the fused image than in both sources, so
    far as neither source accounts for them. Its constants are not Qabf's:

        Q = √(Q_g Q_α),  Q_g = .9999 / (1 + exp(-19 (G - .5))),
        Q_α = .9995 / (1 + exp(-22 (A - .5))),  A = ||α_k - α_F| - π/2| / (π/2),

    w = g^1.5 where g >= 2 and .001 elsewhere, Sobel's operator divided by 8 with
    mirrored borders, and G is 0 where one of the two strengths is 0.
    """

    name = "nabf"
    higher_is_better = False
    convention = (
        "Kumar's modification: Sobel / 8 with mirrored border, weights g^1.5 above 2, else .001, "
        "sigmoids .9999/19/.5 and .9995/22/.5, wrapped orientation; two sources"
    )
    sources: str | int = 2
    bounds = (0.0, 1.0)
    reference = "Shreyamsha Kumar, Signal Image Video Process. 7 (2013) 1125-1143"

    def measure(self, fused: Tensor, sources: Tensor, where: Tensor | None = None) -> Tensor:
        """Return (B,)."""
        added, total = fused.new_zeros(len(fused)), fused.new_zeros(len(fused))
        for rows in strips(*fused.shape[-2:]):
            strength, direction = sobel(fused, "reflect", 1 / 8, rows)
            of_sources, directions = sobel(sources, "reflect", 1 / 8, rows)
            ratio = preservation(of_sources, strength, 0)
            turned = directions.sub_(direction).abs_()
            aligned = turned.sub_(math.pi / 2).abs_().mul_(2 / math.pi)
            kept = sigmoid(ratio, 0.9999, 19, 0.5).mul_(sigmoid(aligned, 0.9995, 22, 0.5)).sqrt_()
            stronger = torch.empty_like(strength)
            torch.gt(strength, of_sources.amax(0).add_(_ROUNDING), out=stronger)
            of_sources = functional.threshold(of_sources, 2 - _ROUNDING, _WEAK)
            weights = of_sources.sqrt().mul_(of_sources)
            if where is not None:
                weights *= where[..., rows, :]
            lost = kept.neg_().add_(1).mul_(weights).sum(0)
            added += lost.mul_(stronger).sum((-2, -1))
            total += weights.sum((0, -2, -1))
        return added / total
