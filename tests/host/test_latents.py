"""Priors of latents: sources are encoded, fused there, and the result is decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

import fusionkit
from fusionkit import PluginError, UsageError, compose
from fusionkit.testing.doubles import ConstantWeights, WeightedMean, WhiteGaussian

SETTINGS: dict[str, Any] = {"device": "cpu", "precision": "float64"}


class Unshuffled(WhiteGaussian):
    """Latents that lose nothing: blocks of 2 x 2 pixels as channels."""

    def __init__(self) -> None:
        super().__init__(channels=12)

    def encode(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        whole = pad(images, (0, width % 2, 0, height % 2), mode="replicate")
        return torch.nn.functional.pixel_unshuffle(whole, 2)

    def decode(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        return torch.nn.functional.pixel_shuffle(latents, 2)[..., : size[0], : size[1]]


class Blocks(WhiteGaussian):
    """Latents that lose half: means of 2 x 2 pixels."""

    def encode(self, images: Tensor) -> Tensor:
        return interpolate(images, scale_factor=0.5, mode="area")

    def decode(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        return interpolate(latents, size)


def sources(channels: int = 3, size: tuple[int, int] = (9, 12)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 2, channels, *size, generator=generator, dtype=torch.float64) * 2 - 1


def fused(estimator: Any, images: Tensor, strength: float = 0.0, **how: Any) -> Any:
    pipeline = compose(
        estimator=estimator,
        weighting=ConstantWeights((0.25, 0.75)),
        objective=WeightedMean(strength),
        **SETTINGS,
        **how,
    )
    return pipeline(images, seed=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_loses_nothing_fuses_as_pixels_do(channels: int) -> None:
    images = sources(channels)
    result = fused(Unshuffled(), images)
    expected = (images * torch.tensor([0.25, 0.75]).view(2, 1, 1, 1, 1)).sum(0)
    assert result.image.shape == images.shape[1:]
    assert (result.image - expected).abs().max() < 1e-12
    assert result.weights.shape == (2, 2, 1, 9, 12)
    assert (result.weights[0] - 0.25).abs().max() < 1e-12


def test_a_trajectory_is_one_of_latents() -> None:
    images = sources(size=(8, 12))
    result = fused(Blocks(channels=3), images, 0.5, steps=3, sampler="ddim")
    mean = interpolate(result.image, scale_factor=0.5, mode="area")
    assert torch.equal(interpolate(mean, scale_factor=2), result.image)
    assert result.nfe == 3
    assert torch.equal(result.image, fused(Blocks(channels=3), images, 0.5, steps=3).image)


def test_arrays_are_fused_too() -> None:
    images = [np.tile(np.array([40, 200], np.uint8), (16, 8)), np.full((16, 16), 90, np.uint8)]
    result = fusionkit.fuse(
        images, estimator=Unshuffled(), weighting="fixed", objective=WeightedMean(0.0), **SETTINGS
    )
    assert np.abs(result.image - np.mean(images, 0)).max() <= 1


def test_what_does_not_go_together_is_said() -> None:
    with pytest.raises(UsageError, match=r"sources have 4 channels, .* encodes 1 or 3"):
        fused(Unshuffled(), sources(4))
    half = Unshuffled()
    half.decode = None  # type: ignore[assignment, method-assign]
    with pytest.raises(PluginError, match="encode and decode go together"):
        fused(half, sources())
    images = [np.zeros((16, 16), np.uint8), np.full((16, 16), 90, np.uint8)]
    with pytest.raises(UsageError, match=r"preparation noise asks for .* a prior of latents"):
        fusionkit.fuse(images, estimator=Unshuffled(), noise={1: 10})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encode": lambda images: images}, r"returned latents of shape \(4, 3, 9, 12\)"),
        ({"encode": lambda images: images * torch.nan}, "of shape|not finite"),
        ({"decode": lambda latents, size: latents}, "returned images of shape"),
        ({"decode": lambda latents, size: 1 / 0}, "failed decoding the result: ZeroDivisionError"),
    ],
)
def test_what_a_prior_returns_is_checked(change: dict[str, Any], words: str) -> None:
    estimator = Unshuffled()
    vars(estimator).update(change)
    with pytest.raises(PluginError, match=words):
        fused(estimator, sources())
