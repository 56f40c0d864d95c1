"""Frames made equally bright: known gains and curves, and what is left as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fusionkit_preparations.curves import fitted
from fusionkit_preparations.match import Match, reference_of
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

import fusionkit
from fusionkit import FusionkitWarning, Sources
from fusionkit.imaging import picture_from_array
from tests.conftest import real_scenes

SCENE = data.coffee()[40:296, 150:406] / 255
"""(256, 256, 3) in [0, 1]."""

QUICK: dict[str, Any] = {"task": "multi-focus", "weighting": "saliency"}


def pair(scene: np.ndarray = SCENE, sigma: float = 3.0) -> list[np.ndarray]:
    """A focus pair: the left half is sharp in the first, the right one in the second."""
    blurred = gaussian_filter(scene, (sigma, sigma, 0)[: scene.ndim])
    near, far = scene.copy(), scene.copy()
    near[:, 128:], far[:, :128] = blurred[:, 128:], blurred[:, :128]
    return [near, far]


def stored(image: np.ndarray) -> np.ndarray:
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def scene_of(images: list[np.ndarray], shown: np.ndarray | None = None) -> Sources:
    """What preparations are given of images that are fused channel by channel."""
    pictures = tuple(picture_from_array(stored(image), f"{k}") for k, image in enumerate(images))
    planes = np.stack([np.moveaxis(np.atleast_3d(each.unit()), -1, 0) for each in pictures])
    return Sources(pictures, planes, {}, shown)


def prepared(images: list[np.ndarray], mode: str = "auto", shown: np.ndarray | None = None) -> Any:
    return Match(mode).prepare(scene_of(images, shown), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("gains", [(0.85, 0.85, 0.85), (0.9, 1.0, 1.08), (1.0, 0.97, 1.0)])
def test_a_known_gain_is_found(gains: tuple[float, ...]) -> None:
    near, far = pair(0.85 * SCENE)
    found = prepared([near, far * gains])
    record = found.record["sources"]["2"]
    assert found.record["reference"] == 1
    assert np.allclose(record["gain"], 1 / np.array(gains), rtol=0.01)
    moved = found.sources.planes[1]
    truth = scene_of([far]).planes[0]
    assert abs(float(np.mean(moved - truth))) < 1 / 255
    assert np.abs(moved - truth).max() < 4 / 255
    assert np.array_equal(found.sources.planes[0], scene_of([near]).planes[0])


def test_exposure_under_the_curve_of_srgb_is_found() -> None:
    def brighter(image: np.ndarray, factor: float) -> np.ndarray:
        linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
        light = factor * linear
        return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)

    near, far = pair(0.85 * SCENE)
    found = prepared([near, brighter(far, 0.7)]).sources.planes[1]
    assert np.abs(found - scene_of([far]).planes[0]).mean() < 1.5 / 255


def test_a_curve_is_fitted_where_some_points_lie() -> None:
    generator = np.random.default_rng(0)
    x = generator.uniform(0.05, 0.9, 400)
    y = 0.9 * x**1.2 * np.exp(generator.normal(0, 0.01, 400))
    y[:80] *= generator.uniform(0.5, 0.9, 80)  # what focus moved in
    curve, spread = fitted(x, y)
    assert abs(curve.gain - 0.9) < 0.01
    assert abs(curve.power - 1.2) < 0.01
    assert 0.005 < spread < 0.03
    straight, _ = fitted(x, 0.8 * x)
    assert straight.power == 1
    assert abs(straight.gain - 0.8) < 1e-6
    values = np.array([-0.1, 0.0, 0.5], np.float32)
    assert np.isfinite(curve(values)).all()
    assert curve(values).dtype == np.float32


@pytest.mark.parametrize("grey", [True, False])
def test_a_fused_pair_is_as_good_as_one_that_was_equally_bright(grey: bool) -> None:
    scene = 0.85 * (SCENE[..., 1] if grey else SCENE)
    near, far = pair(scene)
    gain = 0.88 if grey else np.array([0.84, 0.88, 0.94])
    truth = stored(scene)

    def quality(second: np.ndarray, **how: Any) -> float:
        fused = fusionkit.fuse([stored(near), stored(second)], **QUICK, **how).image
        error = np.square(np.asarray(fused).astype(float) - truth).mean()
        return float(10 * np.log10(255**2 / error))

    alike, without, matched = quality(far), quality(far * gain), quality(far * gain, match="auto")
    assert matched > alike - 1.0
    assert matched > without + 6


def test_what_is_alike_is_kept_to_the_last_bit() -> None:
    near, far = pair()
    found = prepared([near, far])
    assert np.array_equal(found.sources.planes, scene_of([near, far]).planes)
    assert not found.record["sources"]["2"]["matched"]
    assert "equally bright" in found.notes[0]
    assert prepared([near, 0.8 * far], "none").record == {}


def test_other_kinds_and_exposures_are_left_as_they_are() -> None:
    near, far = pair()
    swapped = 1 - far[::-1]
    found = prepared([near, swapped])
    assert np.array_equal(found.sources.planes, scene_of([near, swapped]).planes)
    assert "differs from the reference by more than a curve" in found.notes[0]
    dark = 0.4 * far
    found = prepared([near, dark])
    assert np.array_equal(found.sources.planes, scene_of([near, dark]).planes)
    assert "another exposure" in found.notes[0]
    flat = np.ones_like(near)
    assert "neither dark nor clipped" in prepared([near, flat]).notes[0]


def test_the_reference_is_in_the_middle_unless_it_is_clipped() -> None:
    frames = [np.full((3, 8, 8), value, np.float32) for value in (0.4, 0.5, 0.6)]
    assert reference_of(frames, None) == 1
    frames[1][:, :2] = 1
    assert reference_of(frames, None) == 0
    hidden = np.ones((3, 8, 8), bool)
    hidden[1, :2] = False  # clipped where it shows nothing
    assert reference_of(frames, hidden) == 1


def test_what_a_frame_does_not_show_has_no_say() -> None:
    near, far = pair(0.85 * SCENE)
    dimmed = 0.9 * far
    dimmed[:60] = 0.05
    shown = np.ones((2, 256, 256), bool)
    shown[1, :60] = False
    record = prepared([near, dimmed], shown=shown).record["sources"]["2"]
    assert np.allclose(record["gain"], 1 / 0.9, rtol=0.01)


def test_colour_and_luma_go_together() -> None:
    near, far = pair(0.85 * SCENE)
    plain = scene_of([near, far * [0.8, 0.9, 1.0]])
    colour = {k: np.moveaxis(plane, 0, -1).copy() for k, plane in enumerate(plain.planes)}
    luma = np.stack([image @ np.float32([0.299, 0.587, 0.114]) for image in colour.values()])
    scene = replace(plain, planes=luma[:, None].astype(np.float32), colour=colour)
    found = Match("auto").prepare(scene, None).sources  # type: ignore[arg-type]
    assert np.allclose(found.planes[1, 0], found.colour[1] @ [0.299, 0.587, 0.114], atol=1e-5)
    assert np.abs(found.colour[1] - stored(far) / 255).mean() < 1.5 / 255


def test_a_stack_that_would_be_taken_for_exposures_is_one_of_focus_once_matched() -> None:
    near, far = pair(0.85 * SCENE)
    images = [stored(near), stored(0.75 * far)]
    quick = {"estimator": "gaussian"}
    assert fusionkit.fuse(images, **quick).record["task"]["name"] == "multi-exposure"
    assert fusionkit.fuse(images, **quick, match="none").record["task"]["name"] == "multi-exposure"
    matched = fusionkit.fuse(images, **quick, match="auto")
    assert matched.record["task"]["name"] == "multi-focus"
    assert matched.record["preparations"]["match"]["sources"]["2"]["matched"]


@pytest.mark.slow
@pytest.mark.filterwarnings(f"ignore::{FusionkitWarning.__module__}.{FusionkitWarning.__name__}")
def test_real_focus_pairs_need_nothing_and_made_gains_are_found() -> None:
    scenes = [paths for name, paths in real_scenes().items() if "lytro" in name][:6]
    if not scenes:
        pytest.skip("no real pairs here")
    for paths in scenes:
        near, far = (np.asarray(Image.open(Path(p)).convert("RGB")) / 255 for p in paths[:2])
        found = prepared([near, far])
        assert not any(each["matched"] for each in found.record["sources"].values())
        changed = prepared([0.95 * near, 0.95 * far * [0.9, 0.93, 1.0]]).record["sources"]["2"]
        if "unknown" not in changed:
            assert np.allclose(changed["gain"], 1 / np.array([0.9, 0.93, 1.0]), rtol=0.02)
