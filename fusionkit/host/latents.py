"""Priors of latents: what they encode is fused, and the result decoded."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import PluginError, UsageError
from ..sampling.flags import Flags, blame, check_shape
from .parts import Part

CHANNELS = 3
"""Of the images that are encoded; grey ones are replicated, and averaged back."""


def is_latent(estimator: Part) -> bool:
    """Whether a prior is one of latents.

    Raises
    ------
    PluginError
        It encodes and does not decode, or the other way round.
    """
    found = [getattr(estimator.built, name, None) is not None for name in ("encode", "decode")]
    if any(found) and not all(found):
        raise PluginError(f"{estimator.label}: encode and decode go together")
    return all(found)


def check_pixels(estimator: Part, what: str) -> None:
    """Raise UsageError if images cannot be denoised by a prior, as ``what`` asks for."""
    if is_latent(estimator):
        raise UsageError(
            f"{what} asks for clean estimates of images, and {estimator.label} is a prior of "
            "latents: leave it out, or choose another prior"
        )


def encoded(estimator: Part, sources: Tensor) -> Tensor:
    """Return the latents (K, B, c, h, w) of sources (K, B, 1 or 3, H, W)."""
    K, B, C, H, W = sources.shape
    if C not in (1, CHANNELS):
        raise UsageError(f"sources have {C} channels, {estimator.label} encodes 1 or {CHANNELS}")
    images = sources.expand(K, B, CHANNELS, H, W).flatten(0, 1)
    with blame(estimator.label, "encoding the sources"), torch.no_grad():
        latents: Tensor = estimator.built.encode(images)
    size = latents.shape[2:] if isinstance(latents, Tensor) and latents.ndim == 4 else (H, W)
    shape = (K * B, estimator.built.channels, *size)
    check_shape(latents, shape, estimator.label, "latents", dtype=sources.dtype)
    _check_finite(latents, f"{estimator.label} encoded values that are not finite")
    return latents.reshape(K, B, *latents.shape[1:])


def decoded(estimator: Part, latents: Tensor, sources: Tensor) -> Tensor:
    """Return the images (B, 3, H, W) of latents (B, c, h, w), of the sources' size."""
    size = tuple(sources.shape[-2:])
    with blame(estimator.label, "decoding the result"), torch.no_grad():
        images: Tensor = estimator.built.decode(latents, size)
    shape = (len(latents), CHANNELS, *size)
    check_shape(images, shape, estimator.label, "images", dtype=latents.dtype)
    _check_finite(images, f"{estimator.label} decoded values that are not finite")
    return images


def at_full_size(weights: Tensor, sources: Tensor) -> Tensor:
    """Return weights (K, B, 1, h, w) of latents for the pixels of the sources."""
    full = interpolate(weights.flatten(0, 1), sources.shape[-2:], mode="bilinear")
    return full.view(*weights.shape[:3], *full.shape[-2:])


def _check_finite(values: Tensor, complaint: str) -> None:
    flags = Flags()
    flags.finite(values, complaint)
    flags.verify()
