"""Sources made from a photograph, each worse than it in its own way: the photograph is the answer.

Every family takes a photograph (S, S) in [0, 1] and K, and returns K sources (K, S, S) and what
their fusion should be (S, S). That is the photograph, but for ``structure``, where it may have
got objects that one source alone shows.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from .brackets import bracket, lighting
from .defocus import focus_stack
from .draw import Draw
from .fields import regions, smooth_fields
from .filters import gaussian_blur

Family = Callable[[Tensor, int, Draw], tuple[Tensor, Tensor]]


def focus(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Make a focus stack (:mod:`.defocus`), as a camera stores it (:func:`stored`)."""
    sources, fusion = focus_stack(photo, K, draw)
    return stored(sources, draw), fusion


def flicker(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Make a focus stack of which each source is darker or brighter by up to a third of a stop."""
    sources, fusion = focus_stack(photo, K, draw)
    gain = 2.0 ** draw.tensor(K, 1, 1, low=-1 / 3, high=1 / 3)
    return stored((sources**2.2 * gain).clamp(0, 1) ** (1 / 2.2), draw), fusion


def stored(sources: Tensor, draw: Draw) -> Tensor:
    """Return sources (K, S, S) with what a camera adds, each by chance.

    Misalignment by up to half a pixel and 0.2% in size; noise of up to 5 grey levels, as much
    in all sources; compression as JPEG.
    """
    if draw.chance(0.15):
        sources = misaligned(sources, draw)
    if draw.chance(0.3):
        sources = sources + draw.uniform(0, 5 / 255) * draw.normal(*sources.shape)
    if draw.chance(0.2):
        quality = draw.whole(70, 96)
        sources = torch.stack([compressed(source, quality) for source in sources])
    return sources


def misaligned(sources: Tensor, draw: Draw) -> Tensor:
    """Shift every source by up to half a pixel, and enlarge it by up to 0.2%."""
    K, size = len(sources), sources.shape[-1]
    maps = torch.zeros(K, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = 1 + draw.tensor(K, low=-0.002, high=0.002)
    maps[:, :, 2] = draw.tensor(K, 2, low=-1, high=1) / size
    grid = affine_grid(maps, [K, 1, size, size], align_corners=False)
    moved = grid_sample(
        sources[:, None], grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return moved[:, 0]


def compressed(image: Tensor, quality: int) -> Tensor:
    """Return an image (S, S) in [0, 1] as JPEG leaves it."""
    buffer = io.BytesIO()
    Image.fromarray(quantised(image.clamp(0, 1)).mul(255).byte().numpy()).save(
        buffer, "JPEG", quality=quality
    )
    return torch.from_numpy(np.array(Image.open(buffer))).float() / 255


def exposure(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Brackets: gains in linear light, clipped and rounded to 8 bits.

    One source is under-exposed and one over-exposed by 0.5 to 3.5 stops, further ones
    by a stop at most. What fusion should answer to a bracket is a matter of taste; here it is the
    photograph, the exposure in the middle, whose brightness counts less in the loss than
    elsewhere, and where one source is clipped, the detail is another's. By chance there is
    noise from before the gain, which under-exposed sources suffer from most.
    """
    stops = draw.tensor(K, low=-1, high=1)
    stops[0], stops[1] = draw.uniform(-3.5, -0.5), draw.uniform(0.5, 3.5)
    light = photo**2.2 * (2.0**stops).view(-1, 1, 1)
    if draw.chance(0.5):
        level = draw.uniform(0, 0.01)
        light = light + level * (light + 0.01).sqrt() * draw.normal(*light.shape)
    return quantised(light.clamp(0, 1) ** (1 / 2.2)), photo


def noise(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Noise of 0 to 40 grey levels, its own in every source, by chance varying over the image.

    Small levels are drawn more often: sources that are worth fusing are seldom very noisy.
    """
    size = photo.shape[-1]
    deviation = 40 / 255 * draw.tensor(K, 1, 1) ** 2
    if draw.chance(0.5):
        deviation = deviation * torch.sigmoid(3 * smooth_fields(K, size, draw))
    drawn = draw.normal(K, size, size)
    if draw.chance(0.2):  # as interpolation and compression leave it, not white
        width = draw.uniform(0.4, 0.9)
        drawn = gaussian_blur(drawn, width)
        drawn = drawn / drawn.std((-2, -1), keepdim=True)
    return photo + deviation * drawn, photo


def contrast(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Regions of each source faded towards the local mean; at every pixel one has it all.

    By chance the faded ones also differ in brightness, smoothly.
    """
    size = photo.shape[-1]
    base = gaussian_blur(photo, draw.uniform(4, 24))
    kept = torch.sigmoid(draw.uniform(2, 6) * smooth_fields(K, size, draw))
    kept = kept / kept.amax(0)
    shift = torch.zeros(K, 1, 1)
    if draw.chance(0.5):
        shift = 0.15 * smooth_fields(K, size, draw, 5) * (1 - kept)
    return base + kept * (photo - base) + shift, photo


def structure(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Texture that one source alone shows, as between infrared and visible, and objects.

    A part of the image all show; each other part one source shows, and in the others it is
    flat (blurred by 4 to 20 pixels), and smoothly darker or brighter. Half of the time it is not
    this scene but another that is weak there, the photograph mirrored, with a contrast of 0.1 to
    0.6: warmth and light need not go together. By chance one source alone shows objects, of even
    brightness and with sharp borders, as hot things have; these the fusion is to keep. So what is
    right of two brightnesses can be told: the one with structure, be it a texture or a border.
    """
    size = photo.shape[-1]
    parts = regions(K + 1, size, draw)[:K]
    parts = gaussian_blur(parts, draw.uniform(0.3, 2.0)).clamp(0, 1)
    flat = gaussian_blur(photo, draw.uniform(4, 20))
    if draw.chance(0.5):
        weak = gaussian_blur(photo, draw.uniform(0, 4))
        flat = torch.lerp(flat, weak, draw.uniform(0.1, 0.6)).flip(draw.whole(0, 1))
    hidden = parts.sum(0) - parts
    shift = draw.uniform(0, 0.2) * smooth_fields(K, size, draw, 5)
    sources, fusion = photo + hidden * (flat + shift - photo), photo
    if draw.chance(0.5):
        shown = smooth_fields(1, size, draw) > draw.uniform(0.8, 1.6)
        shown = gaussian_blur(shown[0].float(), draw.uniform(0.3, 0.8)).clamp(0, 1)
        level = draw.uniform(0.75, 1) if draw.chance(0.75) else draw.uniform(0, 0.25)
        fusion = photo + 0.9 * shown * (level - photo)
        sources[0] = sources[0] + shown * (fusion - sources[0])
    return sources, fusion


def mixed(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """One of the regional families, then gains within 0.7 stops, half with noise.

    Of up to 12 grey levels, its own in each source.
    """
    family = (focus_stack, contrast, structure)[draw.whole(0, 2)]
    sources, fusion = family(photo, K, draw)
    gain = 2.0 ** draw.tensor(K, 1, 1, low=-0.7, high=0.7)
    sources = (sources.clamp(0, 1) ** 2.2 * gain).clamp(0, 1) ** (1 / 2.2)
    noisy = sources + draw.tensor(K, 1, 1, high=12 / 255) * draw.normal(*sources.shape)
    return noisy if draw.chance(0.5) else sources, fusion


FAMILIES: dict[str, Family] = {
    "focus": focus,
    "flicker": flicker,
    "exposure": exposure,
    "noise": noise,
    "contrast": contrast,
    "structure": structure,
    "mixed": mixed,
    "bracket": bracket,
    "lighting": lighting,
}

SUBJECTS = {
    "focus": ("focus", "focus", "focus", "focus", "focus", "flicker"),
    "exposure": ("bracket", "lighting", "lighting"),
}
"""What weights are trained for: the families that are drawn from, as often as they stand here."""

AS_THEY_ARE = ("bracket", "lighting")
"""Families whose photographs are not varied: what is right of a brightness is learned from them."""

TASTE = ("flicker", "exposure", "mixed")
"""Families where the brightness of the answer is one of several that would do."""

CHOOSING = ("focus", "contrast", "structure", "lighting")
"""Families where, at a pixel, one source is simply the best, and which can be told."""


def degrade(family: str, photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Return K sources (K, S, S) in random order, and their fusion (S, S), all in [0, 1].

    Most are rounded to 8 bits.
    """
    sources, fusion = FAMILIES[family](photo, K, draw)
    sources = sources[torch.randperm(K, generator=draw.generator)].clamp(0, 1)
    return quantised(sources) if draw.chance(0.8) else sources, fusion


def quantised(images: Tensor) -> Tensor:
    """Round values in [0, 1] to 8 bits."""
    return (images * 255).round() / 255
