"""All channels fused with common weights, instead of luminance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusionkit

LIGHT: dict[str, Any] = {"estimator": "gaussian", "device": "cpu", "colour": "rgb"}


def scene(seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).random((40, 52, 3))
    smooth = drawn + np.roll(drawn, 1, 0) + np.roll(drawn, 1, 1)
    return (smooth / 3 * 255).astype(np.uint8)


@pytest.mark.parametrize("task", fusionkit.tasks())
def test_copies_of_one_image_give_it_back(task: str) -> None:
    image = scene()
    result = fusionkit.fuse([image, image.copy()], task=task, **LIGHT)
    assert np.abs(result.image.astype(int) - image).max() <= 1
    assert result.record["colour"] == {"fused": "rgb"}


def test_channels_have_common_weights() -> None:
    """With weights of one half each, every channel is the mean of the sources' own."""
    a, b = scene(1), scene(2)
    result = fusionkit.fuse(
        [a, b], weighting="fixed", objective={"name": "mse", "strength": 0}, **LIGHT
    )
    assert np.abs(result.image - (a / 2 + b / 2)).max() <= 0.51


def test_a_grey_source_has_its_luma_in_every_channel() -> None:
    grey, colour = scene(1)[..., 0], scene(2)
    result = fusionkit.fuse(
        [grey, colour], weighting="fixed", objective={"name": "mse", "strength": 0}, **LIGHT
    )
    assert result.image.shape == colour.shape
    assert np.abs(result.image - (grey[..., None] / 2 + colour / 2)).max() <= 0.51


def test_grey_scenes_are_fused_as_luminance() -> None:
    a, b = scene(1)[..., 0], scene(2)[..., 0]
    rgb = fusionkit.fuse([a, b], **LIGHT)
    luma = fusionkit.fuse([a, b], **{**LIGHT, "colour": "luma"})
    assert np.array_equal(rgb.image, luma.image)
    assert rgb.record["colour"]["fused"] == "luma"


def test_noise_is_taken_off_of_channels() -> None:
    image = np.full((64, 64, 3), (90, 120, 150), np.uint8)
    noise = np.random.default_rng(0).normal(0, 20, image.shape)
    noisy = (image + noise).clip(0, 255).round().astype(np.uint8)
    settings = {**LIGHT, "weighting": {"name": "fixed", "weights": [0, 1]}}
    settings["objective"] = {"name": "mse", "strength": 0}
    result = fusionkit.fuse([image, noisy], noise={2: 20}, **settings)
    before, after = (np.abs(x.astype(int) - image).mean() for x in (noisy, result.image))
    assert after < before / 2
    assert result.record["preparations"]["noise"]["taken_off"] == [0, 20]


def test_where_one_source_alone_shows_anything_its_channels_stay() -> None:
    a, b = scene(1), scene(2)
    shown = np.full((40, 52, 1), 255, np.uint8)
    shown[:, 26:] = 0
    result = fusionkit.fuse([np.dstack([a, shown]), b], **LIGHT)
    assert np.abs(result.image[:, 40:, :3].astype(int) - b[:, 40:]).max() <= 1


def test_the_depth_and_range_are_the_sources() -> None:
    a, b = (scene(n).astype(np.uint16) * 16 for n in (1, 2))
    result = fusionkit.fuse([a, b], range={1: (0, 4095), 2: (0, 4095)}, **LIGHT)
    assert result.image.dtype == np.uint16
    assert result.image.max() <= 4095


def test_chroma_rules_are_said_to_change_nothing() -> None:
    with pytest.warns(fusionkit.FusionkitWarning, match="--chroma"):
        fusionkit.compose(**LIGHT, chroma="none")
