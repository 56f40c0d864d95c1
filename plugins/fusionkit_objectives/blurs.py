"""Blurs of a lens out of focus, and which of them takes one image to another."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fusionkit import image_mean, mirrored_index

LEAST, OCTAVES = 0.5, 4
"""Standard deviations of blur that are told: from 0.5 pixels along each axis to 2^4 times that."""

MARGIN = 24
"""How far images are mirrored past their borders: thrice the largest deviation."""

MULTIPLE_OF = 32
"""What sides of a Fourier transform are multiples of, so that they have small factors."""

STEPS = 0.5, 0.25, 0.125
"""Of the search, in octaves."""

TILE, TILES = 96, 8
"""Side and number of the parts that show most of a difference, by which a blur is told."""

WITHIN = 0.97
"""A blurred pixel counts if so much of what it is made of is at hand."""

ENOUGH = 0.05
"""The least share of a region's pixels that must count for a blur to be told."""


class Blur(NamedTuple):
    """Standard deviations in pixels (N, 1, 1, 1), and 1 for a disc, 0 for a Gaussian."""

    deviation: Tensor
    disc: Tensor


class Blurring:
    """Blurs images of a size, mirrored past their borders.

    Parameters
    ----------
    blur
        Of each image; where the deviation is infinite, some other is taken.
    like
        (..., H, W): size, type and device.
    """

    def __init__(self, blur: Blur, like: Tensor) -> None:
        self.size = like.shape[-2:]
        self.index = [_round_about(side, like.device) for side in self.size]
        self.wide = [len(index) for index in self.index]
        down = torch.fft.fftfreq(self.wide[0], dtype=like.dtype, device=like.device)
        along = torch.fft.rfftfreq(self.wide[1], dtype=like.dtype, device=like.device)
        omega = 2 * math.pi * (down[:, None].square() + along.square()).sqrt()
        self.gain = _gain(blur, omega)[..., None]

    def __call__(self, images: Tensor) -> Tensor:
        """Return images (N, C, H, W) blurred."""
        rows, columns = self.index
        wide = images.index_select(-2, rows).index_select(-1, columns)
        # In real numbers: complex products are rounded otherwise where a thread's share ends.
        seen = torch.view_as_real(torch.fft.rfft2(wide)) * self.gain
        found: Tensor = torch.fft.irfft2(torch.view_as_complex(seen), s=self.wide)
        return found[..., : self.size[0], : self.size[1]]


def blur_told(sharp: Tensor, blurred: Tensor, where: Tensor) -> Blur:
    """Return the blur that makes one image most like another.

    Of Gaussians, an octave apart and then half of one, and of Gaussians and discs a quarter of an
    octave about the best.

    Parameters
    ----------
    sharp, blurred
        (1, C, H, W).
    where
        (1, 1, H, W), 1 in the region that counts and 0 elsewhere.

    Returns
    -------
    Blur
        Infinite, if the region is too small or narrow to tell.
    """
    sharp, blurred, where = _most_telling(sharp, blurred, where)
    images = torch.cat([where, where * sharp], 1)
    size = image_mean(where, (0, 1, 2, 3), keepdim=True)

    def error(octave: Tensor, disc: float) -> Tensor:
        kind = torch.full_like(octave, disc)
        found = Blurring(Blur(LEAST * 2**octave, kind), images)(images)
        inside = where * (found[:, :1] > WITHIN)
        apart = inside * (found[:, 1:] / found[:, :1].clamp(min=0.5) - blurred).square()
        count = image_mean(inside, (0, 1, 2, 3), keepdim=True)
        mean = image_mean(apart, (0, 1, 2, 3), keepdim=True) / (count + 1e-9)
        return torch.where(count > ENOUGH * size, mean, torch.inf)

    def least(octaves: list[Tensor], disc: float) -> tuple[Tensor, Tensor]:
        errors = torch.stack([error(octave, disc) for octave in octaves])
        smallest, place = errors.min(0)
        return smallest, torch.stack(octaves).gather(0, place[None])[0]

    whole = [torch.full_like(size, float(n)) for n in range(OCTAVES + 1)]
    found = []
    for kind in (0.0, 1.0):
        smallest, best = least(whole, kind)
        for step in STEPS:
            around = [(best + by).clamp(0, OCTAVES) for by in (-step, 0.0, step)]
            smallest, best = least(around, kind)
        found.append((smallest, LEAST * 2**best))
    (of_gaussian, gaussian), (of_disc, disc) = found
    is_disc = of_disc < of_gaussian
    deviation = torch.where(is_disc, disc, gaussian)
    told = torch.isfinite(torch.minimum(of_disc, of_gaussian))
    return Blur(torch.where(told, deviation, torch.inf), is_disc.to(deviation))


def _most_telling(*images: Tensor) -> tuple[Tensor, ...]:
    """Return the parts of images and a region where these differ most, (N, C, side, side)."""
    height, width = images[0].shape[-2:]
    side = min(TILE, height, width)
    sharp, blurred, where = (_cut(image, side) for image in images)
    differ = image_mean(where * (sharp - blurred).square(), (1, 2, 3))
    places = differ.topk(min(TILES, len(differ))).indices
    return sharp[places], blurred[places], where[places]


def _cut(image: Tensor, side: int) -> Tensor:
    """Return the tiles of an image (1, C, H, W), without what is left over at its borders."""
    height, width = image.shape[-2:]
    down, along = height // side, width // side
    top, left = (height - down * side) // 2, (width - along * side) // 2
    image = image[0, :, top : top + down * side, left : left + along * side]
    tiles = image.reshape(-1, down, side, along, side)
    return tiles.permute(1, 3, 0, 2, 4).flatten(0, 1)


def _gain(blur: Blur, omega: Tensor) -> Tensor:
    """Return what blurs multiply frequencies by, (N, 1, H, W), omega in radians a pixel."""
    # Where no blur was told, some number: what comes of it is not taken.
    deviation = blur.deviation.nan_to_num(posinf=1.0)
    gaussian = (-0.5 * (deviation * omega).square()).exp()
    at = (2 * deviation * omega).clamp(min=1e-3)
    disc = 2 * torch.special.bessel_j1(at) / at
    return torch.where(blur.disc > 0, disc, gaussian)


def _round_about(side: int, device: torch.device) -> Tensor:
    """Return where a mirrored axis comes from that goes on as it begins."""
    wide = -(-(side + 2 * MARGIN) // MULTIPLE_OF) * MULTIPLE_OF
    behind = mirrored_index(0, wide - MARGIN, side, device)
    return torch.cat([behind, mirrored_index(-MARGIN, 0, side, device)])
