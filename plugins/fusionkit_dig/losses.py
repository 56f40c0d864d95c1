"""Loss maps between an estimate of a source and the source: (..., C, H, W) to (..., 1, H, W)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fusionkit import box_mean
from fusionkit.ops import gradient_difference, ssim_map

LossMap = Callable[[Tensor, Tensor], Tensor]


def l2(estimate: Tensor, source: Tensor) -> Tensor:
    """Squared difference, mean over channels."""
    return (estimate - source).square_().mean(-3, keepdim=True)


def l1(estimate: Tensor, source: Tensor) -> Tensor:
    """Absolute difference, mean over channels."""
    return (estimate - source).abs_().mean(-3, keepdim=True)


def ssim(estimate: Tensor, source: Tensor) -> Tensor:
    """1 - SSIM over 7 x 7 windows (Wang 2004 with a uniform window), mean over channels.

    The constants are those of a value range of 2, which is that of [-1, 1].
    """
    products = estimate, source, estimate**2, source**2, estimate * source
    x, y, xx, yy, xy = (box_mean(product, 7) for product in products)
    similarity = ssim_map(x, y, xx - x * x, yy - y * y, xy - x * y, span=2)
    return (1 - similarity).mean(-3, keepdim=True)


LOSSES: dict[str, LossMap] = {
    "l2": l2,
    "l1": l1,
    "gradient": gradient_difference,
    "ssim": ssim,
}
