"""Colour against truth: exposures of a sky whose hue is known, by every shipped recipe."""

from __future__ import annotations

import numpy as np
import pytest

import fusionkit
from fusionkit.recipes.finding import tasks

SKIES = {"blue": (0.12, 0.33, 0.62), "orange": (0.62, 0.28, 0.10)}


def srgb(linear: np.ndarray) -> np.ndarray:
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )


def landscape(colour: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Linear light (64, 80, 3) of a sky over textured ground, and where the sky is."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :80]
    spectrum = np.fft.fft2(rng.standard_normal((64, 80)))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(80)[None])
    texture = np.real(np.fft.ifft2(spectrum / np.maximum(frequency, 1 / 80)))
    texture /= texture.std()
    brightness = np.exp(0.7 * (rows / 64 - 0.5) + 0.25 * (columns / 80 - 0.5) + 0.03 * texture)
    ground = np.array((0.08, 0.10, 0.04)) * np.exp(0.5 * texture)[..., None]
    sky = rows < 45
    return np.where(sky[..., None], np.array(colour) * brightness[..., None], ground), sky


def hue(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))


def hue_error(rgb: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.abs((hue(rgb) - hue(truth) + 180) % 360 - 180)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("sky", "stops"), [("blue", (-2, 0, 2)), ("blue", (-1, 1)), ("orange", (0, 2))]
)
@pytest.mark.parametrize("task", tasks())
def test_a_clipped_sky_keeps_its_hue(task, sky, stops, depth):
    light, where = landscape(SKIES[sky])
    top = np.iinfo(depth).max
    exposures = [
        np.rint(srgb((light * 2.0**stop).clip(0, 1)) * top).astype(depth) for stop in stops
    ]
    truth = srgb(light / light.max())
    assert hue_error(exposures[-1] / top, truth)[where].max() > 15, "it is clipped"
    fused = fusionkit.fuse(exposures, task=task, noise=[f"{k + 1}:0" for k in range(len(stops))])
    image = fused.image / top
    # Where nearly white is left, as some recipes make it, there is no hue to judge.
    coloured = where & (np.ptp(image, axis=-1) > 0.04)
    assert coloured.sum() > 0.5 * where.sum()
    assert hue_error(image, truth)[coloured].max() <= 5
