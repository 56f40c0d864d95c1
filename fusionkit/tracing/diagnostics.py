"""The arithmetic of a trace, on the device of the run: nothing in here reads a value back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..ops.borders import mirrored_index
from ..ops.windows import box_mean
from ..sampling.run import Run

WINDOW = 11
"""Side of the averaging window in pixels; that of the weighting ``dig`` by default."""


def windowed_mean(maps: Tensor) -> Tensor:
    """Mean over WINDOW x WINDOW pixels around each, the image mirrored: (..., H, W) to the same."""
    height, width = maps.shape[-2:]
    half = WINDOW // 2
    rows = mirrored_index(-half, height + half, height, maps.device)
    columns = mirrored_index(-half, width + half, width, maps.device)
    padded = maps[..., rows, :][..., columns]
    return box_mean(padded, WINDOW)[..., half:-half, half:-half]


def inner_product(first: Tensor, second: Tensor) -> Tensor:
    """<first, second>: mean over channels and window, (K, B, C, H, W) to (K, B, 1, H, W)."""
    product = first * second
    return windowed_mean(product if product.shape[2] == 1 else product.mean(2, keepdim=True))


def pixel_mean(maps: Tensor) -> Tensor:
    """Mean over the pixels, (K, B, 1, H, W) to (K, B)."""
    return maps.mean((2, 3, 4))


def pixel_centred(maps: Tensor) -> Tensor:
    """Subtract its mean over the pixels from each map, (K, B, 1, H, W) to the same."""
    return maps - maps.mean((2, 3, 4), keepdim=True)


def pixel_covariance(centred: Tensor, maps: Tensor) -> Tensor:
    """Covariance over the pixels (division by H W) of centred maps with others, (K, B)."""
    return (centred * maps).mean((2, 3, 4))


def reduced(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Area averages on a grid of ``size``, (..., H, W) to (..., h, w)."""
    flat = maps.reshape(-1, *maps.shape[-2:])
    return functional.adaptive_avg_pool2d(flat, size).view(*maps.shape[:-2], *size)


def source_error(run: Run, level: int) -> tuple[Tensor, float]:
    """How far each source's clean estimate from a level is from the source.

    Returns
    -------
    Tensor
        (K, B, 1, H, W): |ĉ_k - c_k|², mean over channels and window.
    float
        The evaluations that only this needed, in images (``Run.look_at``).
    """
    estimate, extra = run.look_at(level)
    difference = estimate - run.sources
    return inner_product(difference, difference), extra
