"""Whether sources lie elsewhere, told of without being asked."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, shift
from skimage import data

from fusionkit.cli import main
from fusionkit.imaging.read import read_picture
from fusionkit.imaging.shift import seen_shift
from tests.conftest import real_scenes


def photograph():
    return data.camera().astype(np.float32) / 255


def darker(image):
    return np.clip(image**2 / 2, 0, 1)


def out_of_focus(image):
    return gaussian_filter(image, 3)


@pytest.mark.parametrize("changed", [np.copy, darker, out_of_focus])
def test_sources_of_one_kind_that_lie_elsewhere(changed):
    image = photograph()
    assert seen_shift(image[20:, :-12], changed(image)[:-20, 12:]) == pytest.approx(23.3, abs=2)
    assert seen_shift(image[:-20, :-12], changed(image)[:-20, :-12]) == 0


def test_what_may_be_chance_is_no_shift():
    image = photograph()
    random = np.random.default_rng(0).random(image.shape, np.float32)
    for other in (random, np.full_like(image, 0.5), image[::-1], image[:, ::-1].copy()):
        assert seen_shift(image, other) == 0
    assert seen_shift(image[:20, :20], image[2:22, 2:22]) == 0
    waves = np.sin(np.indices(image.shape) / 3.0).sum(0).astype(np.float32) / 4 + 0.5
    assert seen_shift(waves[9:], waves[:-9]) == 0  # any of many
    # Half a pixel is no clear shift.
    assert seen_shift(image, shift(image, (0.5, 0.5), mode="nearest")) == 0


@pytest.mark.slow
def test_real_sources_that_lie_well_are_not_complained_of():
    scenes = real_scenes()
    if not scenes:
        pytest.skip("no image data here (FUSIONKIT_DATA)")
    for paths in scenes.values():
        first, *others = [read_picture(path).unit() for path in paths]
        first, *others = (each.mean(-1) if each.ndim == 3 else each for each in (first, *others))
        assert [seen_shift(first, other) for other in others if other.shape == first.shape] == [
            0.0 for other in others if other.shape == first.shape
        ]


def test_a_run_says_so_once_and_names_the_flag(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, y in (("a", 0), ("b", 8), ("c", 16)):
        Image.fromarray(np.roll(data.camera(), y, 0)[100:300, 100:300]).save(f"{name}.png")
    how = ["--estimator", "gaussian", "--weighting", "saliency", "--overwrite"]
    run = ["run", "a.png", "b.png", "c.png", "-o", "d.png", *how]
    assert main(run) == 0
    said = capsys.readouterr().err
    assert said.count("consider --align auto") == 1
    assert "b.png: seems to lie 8 pixels from a.png" in said
    assert main([*run, "--align", "none"]) == 0
    assert "--align" not in capsys.readouterr().err
