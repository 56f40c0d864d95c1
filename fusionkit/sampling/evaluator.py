"""The one place where a noise estimator is evaluated: padded, in parts, checked and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import isqrt

import torch
from torch import Tensor

from ..contract.estimator import NoiseEstimator
from ..ops.borders import mirrored_index
from ..ops.sending import sent
from .flags import Flags, blame, check_shape
from .tiles import Axis, axis_of

PIXELS_PER_PASS = 2**20
"""How many pixels go through an estimator at once that does not say: at least one image does."""

PIXELS_PER_TILE = 2**21
"""A larger image goes in tiles, if the estimator does not say otherwise.

At the compact prior's 550 bytes a pixel in float32, a tile of this area takes 1.2 GB. An image
of more than four such tiles, which fills memory itself, goes in tiles of half the area.
"""

OVERLAP = 64
"""Pixels that neighbouring tiles share."""

OnPixels = Callable[[float], None]

LEAST_TILE = 2 * OVERLAP
"""The side below which tiles are not made: they would be all overlap."""


class Evaluator:
    """What the runs of one batch share, at whatever size: the estimator, and what it has cost.

    Parameters
    ----------
    estimator, name
        The noise estimator, and what messages call it.
    flags
        Where the flags of what it returns are gathered.
    tile
        The side in pixels of the tiles that larger images are evaluated in; 0 for tiles
        of :data:`PIXELS_PER_TILE`, or as many pixels as the estimator says, which depends on
        no machine's memory, so that a run can be repeated. Where a GPU's memory runs out, the
        side is halved.
    on_pixels
        Called with the pixels of every part that has been evaluated, to show progress by.

    Attributes
    ----------
    pixels
        H W of every image evaluated so far, padding and overlaps not included, summed.
    tiled
        The side of the smallest tiles that were used; 0 as long as every image went whole.
    retries
        How often memory ran out, so that less went through at once from then on.
    pixels_per_pass
        How many pixels go through the estimator at once: at least one image, or tile, does.
    """

    def __init__(
        self,
        estimator: NoiseEstimator,
        name: str,
        flags: Flags,
        tile: int = 0,
        on_pixels: OnPixels | None = None,
    ) -> None:
        self.flags = flags
        self.pixels = 0
        self.tiled = 0
        self.retries = 0
        self._estimator = estimator
        self._name = name
        self._tile = tile
        self._on_pixels = on_pixels
        asked: int | None = getattr(estimator, "pixels_per_pass", None)
        self.pixels_per_pass = PIXELS_PER_PASS if asked is None else asked
        self._padding: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._axes: dict[tuple[int, int, torch.dtype], Axis] = {}

    def beside(self, estimator: NoiseEstimator, name: str) -> Evaluator:
        """Return one of another prior, which has cost nothing yet, with the same flags and tiles.

        What it evaluates shows as progress, too.
        """
        return Evaluator(estimator, name, self.flags, self._tile, self._on_pixels)

    def clean(self, x: Tensor, sigmas: Sequence[float]) -> Tensor:
        """Return the clean estimates of (M, C, h, w), of any size, image m at ``sigmas[m]``.

        A prior of one channel estimates those of others one by one.
        """
        if self._estimator.channels == 1 != x.shape[1]:
            of_each = [sigma for sigma in sigmas for _ in range(x.shape[1])]
            return self.clean(x.flatten(0, 1)[:, None], of_each).view_as(x)
        height, width = x.shape[-2:]
        self.pixels += len(x) * height * width
        while True:
            try:
                return self._in_parts(x, sigmas)
            except torch.OutOfMemoryError:
                if not self._asks_for_less(x):
                    raise
            self.retries += 1
            # Here and not above: the exception keeps alive what filled the memory.
            if x.is_cuda:
                torch.cuda.empty_cache()

    def _in_parts(self, x: Tensor, sigmas: Sequence[float]) -> Tensor:
        size = self._images_per_pass(x)
        parts = [
            self._one_pass(x[n : n + size], sigmas[n : n + size]) for n in range(0, len(x), size)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _one_pass(self, x: Tensor, sigmas: Sequence[float]) -> Tensor:
        height, width = x.shape[-2:]
        rows, columns = self._padded(height, width, x.device)
        sigma = _levels(tuple(sigmas), x.device, x.dtype)
        where = "at noise level " + " ".join(f"{level:.4g}" for level in sorted(set(sigmas)))
        if self._side(len(rows), len(columns)) < max(len(rows), len(columns)):
            clean = self._blended(x, sigma, where)
        else:
            padded = x
            if (len(rows), len(columns)) != (height, width):
                padded = x[..., rows, :][..., columns]
            clean = self._call(padded, sigma, where)[..., :height, :width]
            # Ours to keep and to write to; what came from the estimator may be something that it
            # keeps, or ``x`` itself.
            clean = clean.to(x.dtype, copy=True)
            self._tell(x.shape[0] * height * width)
        self.flags.finite(clean, f"{self._name} returned an estimate that is not finite {where}")
        return clean

    def _blended(self, x: Tensor, sigma: Tensor, where: str) -> Tensor:
        """Return the estimate for images that are too large, blended of tiles; not padded."""
        height, width = x.shape[-2:]
        rows, columns = self._padded(height, width, x.device)
        down, across = self._layout(len(rows), len(columns), x)
        self.tiled = min(self.tiled or max(x.shape), max(down.length, across.length))
        of_each = x.shape[0] * height * width / (len(down.starts) * len(across.starts))
        blended = torch.zeros_like(x)
        for top, down_window in zip(down.starts, down.windows.unbind(), strict=True):
            for left, across_window in zip(across.starts, across.windows.unbind(), strict=True):
                bottom, right = top + down.length, left + across.length
                tile = x[..., rows[top:bottom], :][..., columns[left:right]]
                clean = self._call(tile, sigma, where)
                within = blended[..., top:bottom, left:right]
                h, w = within.shape[-2:]  # less than the tile, where it reaches into the padding
                window = down_window[:h, None] * across_window[:w]
                within.addcmul_(clean[..., :h, :w].to(x.dtype), window)
                self._tell(of_each)
        return blended

    def _tell(self, pixels: float) -> None:
        if self._on_pixels is not None:
            self._on_pixels(pixels)

    def _call(self, x: Tensor, sigma: Tensor, where: str) -> Tensor:
        with torch.no_grad(), blame(self._name, where):
            clean = self._estimator.denoise(x, sigma)
        check_shape(clean, x.shape, self._name, "an estimate", where)
        return clean

    def vjp(self, x: Tensor, sigma: float, cotangent: Tensor) -> Tensor:
        """Return J^T cotangent, J the Jacobian of the clean estimate of ``x``; counted as one.

        Padding is part of what is differentiated. Images go whole, whatever their size.
        """
        if self._estimator.channels == 1 != x.shape[1]:
            each, along = (images.flatten(0, 1)[:, None] for images in (x, cotangent))
            return self.vjp(each, sigma, along).view_as(x)
        height, width = (self._padded_size(side) for side in x.shape[-2:])
        size = max(1, self.pixels_per_pass // (height * width))
        self.pixels += len(x) * x.shape[-2] * x.shape[-1]
        parts = [
            self._gradient(x[n : n + size], sigma, cotangent[n : n + size])
            for n in range(0, len(x), size)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _gradient(self, x: Tensor, sigma: float, cotangent: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        rows, columns = self._padded(height, width, x.device)
        sigmas = _levels((sigma,) * len(x), x.device, x.dtype)
        where = f"at noise level {sigma:.4g}, for its gradient"
        padded = torch.zeros(*x.shape[:2], len(rows), len(columns), device=x.device, dtype=x.dtype)
        padded[..., :height, :width] = cotangent
        with blame(self._name, where):
            _, gradient = self._estimator.vjp(x[..., rows, :][..., columns], sigmas, padded)  # type: ignore[attr-defined]
        check_shape(gradient, padded.shape, self._name, "a gradient", where)
        self._tell(x.shape[0] * height * width)
        self.flags.finite(gradient, f"{self._name} returned a gradient that is not finite {where}")
        # The transpose of mirroring: what was read twice is added up.
        across = torch.zeros(*x.shape[:2], len(rows), width, device=x.device, dtype=x.dtype)
        across.index_add_(-1, columns, gradient.to(x.dtype))
        return torch.zeros_like(x).index_add_(-2, rows, across)

    def _padded(self, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the rows and columns that pad a size, mirrored; made once for each size."""
        size = height, width
        if size not in self._padding:
            rows, columns = (
                mirrored_index(0, self._padded_size(side), side, device) for side in size
            )
            self._padding[size] = rows, columns
        return self._padding[size]

    def _padded_size(self, size: int) -> int:
        multiple = self._estimator.multiple_of
        return -(-size // multiple) * multiple

    def _images_per_pass(self, x: Tensor) -> int:
        height, width = (self._padded_size(size) for size in x.shape[-2:])
        side = self._side(height, width)
        return max(1, self.pixels_per_pass // (min(height, side) * min(width, side)))

    def _layout(self, height: int, width: int, like: Tensor) -> tuple[Axis, Axis]:
        """Return the tiles of a padded size; made once for each size of image and tile."""
        side = self._side(height, width)
        for size in (height, width):
            if (size, side, like.dtype) not in self._axes:
                self._axes[size, side, like.dtype] = axis_of(
                    size, side, OVERLAP, self._estimator.multiple_of, like.device, like.dtype
                )
        return self._axes[height, side, like.dtype], self._axes[width, side, like.dtype]

    def _side(self, height: int, width: int) -> int:
        """Return the side that an image's tiles may have; its own, to let it pass whole."""
        if self._tile:
            return self._tile
        asked: int | None = getattr(self._estimator, "pixels_per_tile", None)
        most = PIXELS_PER_TILE if asked is None else asked
        if height * width <= most:
            return max(height, width)
        return isqrt(most if height * width <= 4 * most else most // 2)

    def _asks_for_less(self, x: Tensor) -> bool:
        """After memory ran out, halve the batch, or else the tile; whether there is less to ask."""
        height, width = (self._padded_size(size) for size in x.shape[-2:])
        side = min(self._side(height, width), max(height, width))
        at_once = min(len(x), self._images_per_pass(x))
        if at_once > 1:
            self.pixels_per_pass = at_once // 2 * min(height, side) * min(width, side)
            return True
        if side // 2 < max(LEAST_TILE, 2 * self._estimator.multiple_of):
            return False
        self._tile = side // 2
        return True


def denoised(prior: NoiseEstimator, images: Tensor, sigma: float) -> Tensor:
    """Return the clean estimates of images of any size at one noise level.

    Parameters
    ----------
    prior
        A built noise estimator.
    images
        (B, C, H, W), x0 + sigma n with x0 in [-1, 1]. Padded and split into tiles as need be.
    sigma
        In units of the images: 25 of 255 is 25 / 127.5.

    Raises
    ------
    PluginError
        The prior failed, or returned what is not finite.
    """
    flags = Flags()
    clean = Evaluator(prior, "noise estimator", flags).clean(images, [sigma] * len(images))
    flags.verify()
    return clean


@lru_cache(maxsize=32)
def _levels(sigmas: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return levels on the device; made once."""
    return sent(torch.tensor(sigmas, dtype=dtype, device="cpu"), device, dtype)
