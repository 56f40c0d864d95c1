"""Brackets fused by their light: known radiance, stops, curves, orders, motion, clipped frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fusionkit_preparations.brackets import bracket_of, exposure_value
from fusionkit_preparations.radiance import Radiance
from fusionkit_preparations.response import Response
from fusionkit_preparations.tone import rolled_off
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from skimage import data

import fusionkit
from fusionkit import FusionkitWarning, Sources
from fusionkit.imaging import luma_of, picture_from_array, read_picture

SCENE = data.coffee()[40:296, 150:406] / 255
"""(256, 256, 3) in [0, 1], coded by sRGB's curve."""

LIGHT = np.where(SCENE <= 0.04045, SCENE / 12.92, ((SCENE + 0.055) / 1.055) ** 2.4)
QUICK: dict[str, Any] = {"weighting": "fixed", "objective": "mse", "estimator": "gaussian"}


def coded(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def bracket(
    stops: tuple[float, ...], light: np.ndarray = LIGHT, dtype: Any = np.uint8
) -> list[np.ndarray]:
    """Frames of a scene, at exposures in stops."""
    most = np.iinfo(dtype).max
    return [np.rint(coded(light * 2.0**each) * most).astype(dtype) for each in stops]


def scene_of(images: list[np.ndarray]) -> Sources:
    """What preparations are given of colour images."""
    pictures = tuple(picture_from_array(image, f"{k + 1}") for k, image in enumerate(images))
    units = [picture.unit() for picture in pictures]
    if units[0].ndim == 2:
        return Sources(pictures, np.stack(units)[:, None])
    planes = np.stack([luma_of(unit).astype(np.float32) for unit in units])[:, None]
    return Sources(pictures, planes, dict(enumerate(units)))


def prepared(sources: Sources, response: Response | None = None, still: bool = False) -> Any:
    return Radiance("auto", response, still).prepare(sources, None)  # type: ignore[arg-type]


def error(image: np.ndarray, truth: np.ndarray) -> float:
    """The root of the mean squared difference, of 255."""
    return 255 * float(np.sqrt(np.mean((image - truth) ** 2)))


def stops_of(images: list[np.ndarray]) -> list[Any]:
    stops: list[Any] = prepared(scene_of(images)).record["stops"]
    return stops


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("stops", [(-1, 1), (-3, -1, 1, 3), (-2, 0, 2), (-4, -3, -2, -1, 0, 1)])
def test_known_light_comes_back_at_the_middle_exposure(
    stops: tuple[float, ...], dtype: Any
) -> None:
    light = LIGHT * 2.0 ** -np.mean(stops)  # which clips nothing there
    found = prepared(scene_of(bracket(stops, light, dtype)))
    assert error(found.sources.colour[0], SCENE) < 0.75
    assert np.allclose(np.diff(found.record["stops"]), np.diff(stops), atol=0.02)
    assert found.record["departure"] == []
    for k in range(len(stops)):
        assert np.array_equal(found.sources.colour[k], found.sources.colour[0])
        assert np.allclose(found.sources.planes[k, 0], luma_of(found.sources.colour[0]), atol=1e-6)


def test_grey_frames_too() -> None:
    grey = LIGHT.mean(-1)
    found = prepared(scene_of(bracket((-1, 1), grey)))
    assert error(found.sources.planes[1, 0], coded(grey)) < 0.75


def test_linear_floats_are_taken_as_they_are() -> None:
    frames = [(LIGHT * 2.0**each).clip(0, 1).astype(np.float32) for each in (-1, 1)]
    found = prepared(scene_of(frames), Response(gamma=1.0))
    assert np.allclose(found.record["stops"], [0, 2], atol=1e-3)
    assert np.abs(found.sources.colour[0] - LIGHT).max() < 0.01


@pytest.mark.parametrize("stops", [(0.0, 0.5), (0.0, 3.0), (-2.3, 0.0, 1.7)])
def test_stops_are_found_to_a_fiftieth(stops: tuple[float, ...]) -> None:
    assert np.allclose(np.diff(stops_of(bracket(stops))), np.diff(stops), atol=0.02)


def test_the_order_of_frames_does_not_matter() -> None:
    frames = bracket((-2, 0, 1.5, 3))
    one = prepared(scene_of(frames)).sources.colour[0]
    other = prepared(scene_of([frames[k] for k in (2, 0, 3, 1)])).sources.colour[0]
    assert np.array_equal(one, other)


def test_a_cameras_own_curve_is_found() -> None:
    """An s-shaped curve: sRGB's stops would be off by half, and frames would disagree."""
    frames = [np.float64(frame) / 255 for frame in bracket((-2, 0, 2), dtype=np.uint16)]
    frames = [np.float64(frame) / 257 for frame in frames]
    bent = [np.rint(255 * (c * c * (3 - 2 * c))).astype(np.uint8) for c in frames]
    found = prepared(scene_of(bent))
    assert len(found.record["departure"]) > 0
    assert found.record["moved"] < 0.01
    steps = np.diff(found.record["stops"])
    assert abs(steps[0] - steps[1]) < 0.15 * steps.mean()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_what_moves_is_shown_once_where_the_middle_frame_has_it(count: int) -> None:
    stops = tuple(4.0 * k / (count - 1) for k in range(count))
    middle = (count - 1) // 2
    light = LIGHT * 2.0 ** -np.mean(stops) * 0.5
    frames, lights = [], []
    for k, each in enumerate(stops):
        moving = light.copy()
        left = 20 + 45 * k
        moving[100:130, left : left + 30] = (0.01, 0.02, 0.12)
        lights.append(moving)
        frames += bracket((each,), moving)
    shown = prepared(scene_of(frames)).sources.colour[0]
    still = prepared(scene_of(frames), still=True).sources.colour[0]
    calm = prepared(scene_of(bracket(stops, lights[middle]))).sources.colour[0]
    rows = np.s_[95:135]
    assert error(shown[rows], calm[rows]) < 0.3 * error(still[rows], calm[rows])


def test_hue_is_of_frames_that_clip_no_channel() -> None:
    """Orange light, whose red is clipped in the longer exposure, stays orange."""
    light = np.concatenate([LIGHT, np.full((64, 256, 3), (0.9, 0.3, 0.05))])
    shown = prepared(scene_of(bracket((-1, 1), light))).sources.colour[0]
    assert np.allclose(shown[280:310, 50:200], coded(np.array([0.9, 0.3, 0.05])), atol=0.01)


def test_brighter_than_white_is_pressed_below_it_with_its_hue() -> None:
    code = np.linspace(0, 1.5, 300, dtype=np.float32)[:, None, None] * np.float32([1, 0.5, 0.25])
    shown = rolled_off(code)
    assert shown.max() <= 1
    assert (np.diff(shown[..., 0], axis=0) >= 0).all()
    assert np.array_equal(shown[:170], code[:170])
    assert np.allclose(shown[1:250, 0, 1] / shown[1:250, 0, 0], 0.5)


def test_equal_frames_come_back_as_they_are() -> None:
    frame = bracket((0,))[0]
    found = prepared(scene_of([frame, frame, frame]))
    assert all(np.array_equal(found.sources.colour[k], frame / np.float32(255)) for k in range(3))
    assert any("one exposure" in note for note in found.notes)


def test_frames_that_are_white_or_black_everywhere_do_not_count() -> None:
    frames = bracket((-1, 1))
    more = [np.zeros_like(frames[0]), *frames, np.full_like(frames[0], 255)]
    found = prepared(scene_of(more))
    assert np.array_equal(found.sources.colour[0], prepared(scene_of(frames)).sources.colour[0])
    assert [note[0] for note in found.notes] == ["1", "4"]


def test_nothing_but_white_and_black_is_left_as_it_is() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    sources = scene_of([black, black + 255])
    found = prepared(sources)
    assert found.sources is sources
    assert any("left as they are" in note for note in found.notes)


def test_exif_says_stops_that_no_pixel_tells(tmp_path: Any) -> None:
    """Every pixel is either too dark in the one or clipped in the other."""
    step = np.where(np.arange(64) < 32, 0.01, 0.9)[None, :, None] * np.ones((64, 1, 3))
    frames = bracket((0, 7), step)
    assert None in stops_of(frames)
    for k, (frame, time) in enumerate(zip(frames, ((1, 128), (1, 1)), strict=True)):
        exif = Image.Exif()
        said = {33434: IFDRational(*time), 33437: IFDRational(4), 34855: 100}
        exif.get_ifd(0x8769).update(said)
        Image.fromarray(frame).save(tmp_path / f"{k}.jpg", exif=exif)
    pictures = tuple(read_picture(tmp_path / f"{k}.jpg") for k in range(2))
    assert exposure_value(pictures[1]) == pytest.approx(np.log2(100 / 16))
    sources = replace(scene_of(frames), pictures=pictures)
    assert prepared(sources).record["stops"] == pytest.approx([0, 7])


def test_without_exif_frames_tell() -> None:
    sources = scene_of(bracket((0, 2)))
    found = bracket_of(sources.colour.__getitem__, sources.pictures, Response())
    assert found.stops[1] == pytest.approx(2, abs=0.02)
    assert not found.by_exif


def test_a_run_fuses_by_it() -> None:
    light = LIGHT
    frames = bracket((-1, 1), light)
    result = fusionkit.fuse(frames, radiance="auto", **QUICK)  # type: ignore[call-arg]
    assert result.image.dtype == np.uint8
    assert error(result.image / 255, SCENE) < 1
    record = result.record["preparations"]["radiance"]
    assert record["stops"] == pytest.approx([0, 2], abs=0.02)


def test_a_run_says_what_it_leaves() -> None:
    frame = bracket((0,))[0]
    with pytest.warns(FusionkitWarning, match="one exposure"):
        result = fusionkit.fuse([frame, frame], radiance="auto", **QUICK)  # type: ignore[call-arg]
    assert np.array_equal(result.image, frame)
