"""Scenes with a known answer: what is promised of blur, light and noise holds."""

from __future__ import annotations

import numpy as np
import pytest
from fusionkit_benchmarks.photographs import BUNDLED, bundled_photographs, grey, photographs_in
from fusionkit_benchmarks.truth import COUNTS, FAMILIES, oracle, part_of, truth_scene
from fusionkit_benchmarks.truth.defocus import Defocus, disc, focus_stack
from fusionkit_benchmarks.truth.exposure import even_bracket, to_code, to_linear, uneven_bracket
from fusionkit_benchmarks.truth.noise import Noise, noisy, noisy_scene
from scipy.ndimage import distance_transform_edt

from fusionkit.errors import UsageError

STEP = 1 / 255


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A colour photograph of 96 x 128 pixels."""
    skimage_data = pytest.importorskip("skimage.data")
    return skimage_data.astronaut()[0:96, 150:278]


def psnr(image, truth) -> float:
    return float(-10 * np.log10(np.mean((image - truth) ** 2)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", COUNTS)
def test_every_scene_is_well_formed(family, count, photograph):
    for image in (photograph, grey(photograph)):
        scene = truth_scene(family, image, count)
        assert scene.sources.shape == (count, *image.shape)
        assert np.array_equal(scene.truth, image / 255)
        assert np.allclose(scene.masks.sum(0), 1)
        assert scene.masks.min() >= 0
        assert np.allclose(scene.sources * 255, np.rint(scene.sources * 255), atol=1e-9)
        assert scene.sources.min() >= 0
        assert scene.sources.max() <= 1
        assert scene.sigmas == (0.0,) * count


def test_scenes_are_functions_of_name_and_seed(photograph):
    one, again = (truth_scene("focus", photograph, 3, seed=1).sources for _ in range(2))
    assert np.array_equal(one, again)
    for other in (
        truth_scene("focus", photograph, 3, seed=2),
        truth_scene("focus", photograph, 3, seed=1, photograph_name="other"),
    ):
        assert not np.array_equal(one, other.sources)


def test_photographs_that_cannot_be_used_are_refused(photograph):
    for wrong in (photograph[..., :2], photograph.astype(float), np.full((8, 8), np.nan)):
        with pytest.raises(ValueError, match="photograph"):
            truth_scene("focus", wrong)
    with pytest.raises(ValueError, match="two sources"):
        truth_scene("focus", photograph, 1)
    with pytest.raises(ValueError, match="no family"):
        truth_scene("colour", photograph)


# Focus


def test_without_blur_every_source_is_the_truth(photograph):
    scene = truth_scene("focus", photograph, 3, defocus=Defocus(sigma=0))
    assert np.allclose(scene.sources, scene.truth, atol=1e-9)


@pytest.mark.parametrize("kernel", ["gaussian", "disc"])
def test_a_layer_in_focus_is_sharp_but_for_what_spreads_over_it(kernel, photograph):
    defocus = Defocus(2.0, kernel)
    scene = truth_scene("focus", photograph, 2, defocus=defocus)
    for source, mask in zip(scene.sources, scene.masks, strict=True):
        inside = distance_transform_edt(mask) > 9  # a Gaussian is cut at 4 sigma
        assert np.abs(source - scene.truth)[inside].max() <= STEP
    # The nearest layer has nothing in front of it.
    near = scene.masks[0] > 0
    assert np.abs(scene.sources[0] - scene.truth)[near].max() <= STEP
    assert psnr(scene.sources[0], scene.truth) < psnr(oracle(scene), scene.truth) - 6


def step(near: float, far: float) -> tuple[np.ndarray, np.ndarray]:
    """A near half on the left and a far one on the right, each of one brightness."""
    layer = (np.arange(64) >= 32).astype(int)[None].repeat(48, 0)
    return np.where(layer == 0, near, far), layer


@pytest.mark.parametrize(("near", "far"), [(1.0, 0.0), (0.0, 1.0)])
def test_what_is_blurred_behind_takes_nothing_from_what_is_sharp_before_it(near, far):
    truth, layer = step(near, far)
    sharp_near, sharp_far = focus_stack(truth, layer, Defocus(3.0))
    assert np.array_equal(sharp_near, truth)
    # The near half is blurred over the far one, which shines through it, in linear light.
    profile = to_linear(sharp_far)[24]
    assert np.all(np.diff(profile) * (far - near) >= 0)
    assert 0.05 < abs(profile[33] - far) < 0.45
    assert 0.05 < abs(profile[30] - near) < 0.45
    assert profile[31:33].mean() == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(sharp_far[:, :16], truth[:, :16])
    assert np.array_equal(sharp_far[:, 48:], truth[:, 48:])


def test_further_layers_are_blurred_more(photograph):
    scene = truth_scene("focus", photograph, 4)
    errors = [
        np.mean((scene.sources[0] - scene.truth)[mask > 0] ** 2) / np.var(scene.truth[mask > 0])
        for mask in scene.masks
    ]
    assert errors[0] < 1e-4 < min(errors[1:])


def test_a_disc_has_the_variance_that_is_said():
    for radius in (6.0, 7.5, 12.0):
        kernel = disc(radius)
        at = np.arange(len(kernel)) - len(kernel) // 2
        assert kernel.sum() == pytest.approx(1)
        assert (kernel.sum(0) * at**2).sum() == pytest.approx(
            (radius / 2) ** 2 + 1 / 12,  # a pixel has a width of its own
            rel=0.01,
        )


# Exposure


def test_srgb_is_the_standard():
    assert to_linear(np.array(0.5)) == pytest.approx(0.2140411, abs=1e-7)
    levels = np.arange(256) / 255
    assert np.allclose(to_code(to_linear(levels)), levels, atol=1e-7)


def test_brackets():
    assert [even_bracket(count) for count in COUNTS] == [
        (-1, 1),
        (-1, 1, 3),
        (-3, -1, 1, 3),
        (-3, -1, 1, 3, 5),
    ]
    assert [uneven_bracket(count) for count in (2, 3)] == [(-1, 1), (-2, 0, 2)]


@pytest.mark.parametrize("count", COUNTS)
def test_every_pixel_of_an_even_bracket_can_be_known(count, photograph):
    scene = truth_scene("exposure", photograph, count)
    best = scene.masks.argmax(0)
    values = np.array(even_bracket(count))[best][..., None]
    chosen = np.take_along_axis(scene.sources, best[None, ..., None], 0)[0]
    assert chosen[chosen < 1].size > 0.99 * chosen.size  # clipped nowhere, white apart
    known = to_code(to_linear(chosen) / np.exp2(values))
    assert np.abs(known - scene.truth).max() <= 1.5 * STEP
    assert np.all(np.diff(scene.sources, axis=0) >= 0)  # darkest first


@pytest.mark.parametrize("count", COUNTS)
def test_in_uneven_light_the_masks_lead_to_the_truth(count, photograph):
    scene = truth_scene("lighting", photograph, count)
    for source, mask in zip(scene.sources, scene.masks, strict=True):
        core = mask > 0.999
        assert core.any() or count > 3  # many regions of a small image have no core
        assert np.abs(source - scene.truth)[core].max(initial=0) <= 2 * STEP
    plain = max(psnr(source, scene.truth) for source in scene.sources)
    assert psnr(oracle(scene), scene.truth) > plain + 8


@pytest.mark.parametrize("count", COUNTS)
def test_a_thing_moves_and_the_truth_has_it_where_the_middle_frame_has(count, photograph):
    scene = truth_scene("moving", photograph, count)
    still = truth_scene("exposure", photograph, count)
    middle = (count - 1) // 2
    for k in range(count):
        moved = np.abs(scene.sources[k] - still.sources[k]).max(-1) > 2 * STEP
        assert moved.any() == (k != middle)
        assert moved.mean() < 0.1


# Noise


@pytest.mark.parametrize("kind", ["gaussian", "poisson-gaussian"])
def test_noise_has_the_deviation_that_is_said(kind):
    sources = np.stack([np.full((200, 200), level) for level in (0.25, 0.5, 0.75)])
    made, sigmas = noisy(sources, Noise(10, kind, stored=False), name="flat")
    for k, level in enumerate((0.25, 0.5, 0.75)):
        expected = 10 if kind == "gaussian" else 10 * np.sqrt(level + 0.5)
        assert sigmas[k] == pytest.approx(expected)
        assert made[k].std() * 255 == pytest.approx(expected, rel=0.03)
        assert made[k].mean() == pytest.approx(level, abs=1e-3)


def test_noise_is_of_the_sources_asked_for_and_stored_as_files_are(photograph):
    clean = truth_scene("focus", grey(photograph), 2)
    scene = noisy_scene(clean, Noise(25, where="first"))
    assert np.array_equal(scene.sources[1], clean.sources[1])
    assert scene.sigmas == (25.0, 0.0)
    assert np.array_equal(scene.truth, clean.truth)
    assert np.allclose(scene.sources * 255, np.rint(scene.sources * 255), atol=1e-9)
    floats = noisy_scene(clean, Noise(25, where="first", stored=False)).sources[0]
    assert floats.min() < 0
    assert np.abs(np.clip(floats, 0, 1) - scene.sources[0]).max() <= STEP / 2 + 1e-9


def test_noise_of_another_sigma_is_the_same_field(photograph):
    clean = truth_scene("focus", grey(photograph), 2)
    fields = [
        (noisy_scene(clean, Noise(sigma, stored=False)).sources - clean.sources) / sigma
        for sigma in (5, 25)
    ]
    assert np.allclose(*fields)
    assert abs(np.corrcoef(fields[0][0].ravel(), fields[0][1].ravel())[0, 1]) < 0.05
    with pytest.raises(ValueError, match="sigma above 0"):
        Noise(0)


# Photographs


def test_photographs_that_ship_need_no_network():
    pytest.importorskip("skimage.data")
    found = bundled_photographs()
    assert tuple(found) == BUNDLED
    for read in found.values():
        pixels = read()
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 2 or pixels.shape[2] == 3


def test_a_folder_of_photographs(pair, tmp_path):
    assert list(photographs_in(tmp_path)) == ["left", "right"]
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no photographs"):
        photographs_in(tmp_path / "none")


def test_the_split():
    assert [part_of(place) for place in range(3)] == ["tuning", "checking", "tuning"]
