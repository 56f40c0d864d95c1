"""The weighting ``learned`` as it comes: its contract, any image, and what it has learned."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from fusionkit_dig.dig import Dig
from fusionkit_learned import LearnedOptions
from fusionkit_learned.learned import SHIPPED, Learned
from torch import Tensor

import fusionkit
from fusionkit.ops import patching
from fusionkit.testing import make_run
from fusionkit.testing.doubles import WeightedMean, WhiteGaussian

from ..weightings.common import build, registry
from .tiny import images, network, weights_file


def test_it_declares_that_the_order_of_the_sources_does_not_matter() -> None:
    (provided,) = registry("learned").all()
    assert fusionkit.SOURCE_SYMMETRIC in provided.component.traits


@pytest.mark.parametrize("subject", SHIPPED)
def test_the_shipped_weights_tell_where_they_come_from(subject: str) -> None:
    shipped = Learned(subject=subject)
    data, recipe, trained = (
        json.loads(shipped.metadata[key]) for key in ("data", "recipe", "trained")
    )
    assert data["photographs"] > 50
    assert len(data["sha256"]) == 64
    assert recipe["peak"] > 0
    assert trained["steps"] > 1000
    assert recipe.get("subject", "focus") == subject
    assert SHIPPED[subject][0].stat().st_size < 700_000


def weigh(weighting: Learned, sources: Tensor) -> Tensor:
    run = make_run(sources, steps=3)
    x0 = sources.mean(0)
    started = weighting.start(run)
    first, last = (started(fusionkit.Step(run, index, x0, x0)) for index in (0, 2))
    assert torch.equal(first, last)
    assert run.nfe == 0
    return first


@pytest.mark.parametrize("K", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("size", [(1, 1), (5, 6), (17, 23), (16, 48), (1, 40)])
@pytest.mark.parametrize("C", [1, 3])
def test_any_number_of_sources_of_any_size(K: int, size: tuple[int, int], C: int, tmp_path) -> None:
    weighting = Learned(weights_file(tmp_path), precision="float64")
    sources = images(K, 2, C, *size)
    weights = weigh(weighting, sources)
    assert weights.shape == (K, 2, 1, *size)
    assert weights.dtype == torch.float64
    assert weights.min() >= 0
    assert (weights.sum(0) - 1).abs().max() < 1e-12
    permuted = weigh(weighting, sources.flip(0)).flip(0)
    assert (permuted - weights).abs().max() < 1e-12


def test_it_is_the_softmax_of_the_networks_scores_of_luma(tmp_path) -> None:
    sources = images(2, 1, 3, 32, 48)
    luma = sources.mean(2, keepdim=True)
    state = {key: value.float().double() for key, value in network().state_dict().items()}
    exact = network()
    exact.load_state_dict(state)
    for sharpness in (1.0, 3.0):
        file = weights_file(tmp_path)
        weighting = Learned(file, sharpness=sharpness, precision="float64")
        scores = exact(torch.cat([luma, luma.flip(-1)[..., :16]], -1))[..., :48]
        expected = torch.softmax(sharpness * scores, 0)
        assert (weigh(weighting, sources) - expected).abs().max() < 1e-9
        single = weigh(Learned(file, sharpness=sharpness), sources.float())
        assert single.dtype == torch.float32
        assert (single - expected).abs().max() < 1e-4
    assert expected.std() > 0.01


def test_the_middle_does_not_depend_on_the_mirrored_border(tmp_path) -> None:
    weighting = Learned(weights_file(tmp_path), precision="float64")
    sources = images(2, 1, 1, 32 * 24, 32)
    part = weigh(weighting, sources[..., : 32 * 22 - 5, :])
    difference = (weigh(weighting, sources)[..., : 32 * 22 - 5, :] - part).abs()
    assert difference[..., : 32 * 8, :].max() < 1e-9
    assert difference[..., 32 * 21 :, :].max() > 1e-4


@pytest.mark.parametrize("K", [2, 3])
def test_gains_of_the_prior_are_a_factor_of_the_weights(K: int, tmp_path) -> None:
    file, sources = weights_file(tmp_path), images(K, 1, 1, 32, 64)
    alone = Learned(file, precision="float64")
    both = fusionkit.compose(
        weighting={"name": "learned", "checkpoint": file, "dig": 2.0},
        estimator="gaussian",
        precision="float64",
        device="cpu",
    )
    both = both.parts["weighting"].built
    assert (alone.levels, both.levels) == ("none", "first")
    run = make_run(sources, steps=1)
    step = fusionkit.Step(run, 0, sources.mean(0), sources.mean(0))
    gains = Dig(dynamic=False, scale=2.0, window=9).start(run)(step)
    expected = weigh(alone, sources) * (gains + 1e-6)
    found = both.start(run)(step)
    assert (found - expected / expected.sum(0)).abs().max() < 1e-9
    assert (found - weigh(alone, sources)).abs().max() > 1e-3
    assert run.nfe > 0


def test_gains_are_those_of_another_plugin_which_has_to_be_there() -> None:
    with pytest.raises(fusionkit.UsageError, match=r"--weighting.dig 2: .* compose a pipeline"):
        build("learned", "learned", dig=2.0)
    with pytest.raises(fusionkit.UsageError, match="unknown weighting 'dig:dig'"):
        fusionkit.compose(
            weighting={"name": "learned", "dig": 2.0},
            estimator=WhiteGaussian(),
            objective=WeightedMean(0.0),
            registry=registry("learned"),
            device="cpu",
        )


def test_patches_of_large_images_agree_with_the_whole(monkeypatch) -> None:
    photo = skimage.data.camera()[:384, :512] / 127.5 - 1
    soft = scipy.ndimage.gaussian_filter(photo, 2.0)
    near = np.arange(512) < 300
    both = torch.from_numpy(np.stack([np.where(near, photo, soft), np.where(near, soft, photo)]))
    weighting, sources = Learned(precision="float64"), both[:, None, None]
    whole = weigh(weighting, sources)
    monkeypatch.setattr(patching, "AREA", 0)
    monkeypatch.setattr(patching, "SMALLEST", 128)
    patched = weigh(weighting, sources)
    assert (patched.sum(0) - 1).abs().max() < 1e-12
    assert 0 < (patched - whole).abs().max() < 0.05
    assert (patched - whole).abs().mean() < 1e-3


def test_no_sharpness_is_the_mean(tmp_path) -> None:
    sources = images(3, 1, 1, 20, 24)
    weights = weigh(build("learned", "learned", sharpness=0.0), sources)
    assert (weights - 1 / 3).abs().max() < 1e-12


def test_options_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits, not 'abc'"):
        LearnedOptions(checkpoint="mine.safetensors", sha256="abc")
    with pytest.raises(ValueError, match="checkpoint of your own"):
        LearnedOptions(sha256="0" * 64)


def test_one_can_bring_ones_own_weights(tmp_path) -> None:
    file, sources = weights_file(tmp_path), images(2, 1, 1, 20, 24)
    own = build("learned", "learned", checkpoint=str(file))
    again = build("learned", "learned", checkpoint=str(file), sha256=own.weights_sha256.upper())
    assert torch.equal(weigh(own, sources), weigh(again, sources))
    assert (weigh(own, sources) - weigh(build("learned", "learned"), sources)).abs().max() > 1e-3


def focus_pair() -> tuple[Tensor, Tensor]:
    """A photograph, and sources that are sharp in its left and its right half; in [-1, 1]."""
    photo = skimage.data.camera()[60:316, 120:376] / 127.5 - 1
    blurred = scipy.ndimage.gaussian_filter(photo, 2.5, mode="mirror")
    left = np.mgrid[:256, :256][1] < 128
    pair = np.stack([np.where(left, photo, blurred), np.where(left, blurred, photo)])
    return torch.from_numpy(photo).float(), torch.from_numpy(pair)[:, None, None].float()


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(-10 * ((image - truth) / 2).square().mean().log10())


def test_it_knows_what_is_sharp() -> None:
    truth, sources = focus_pair()
    weights = weigh(Learned(), sources)
    assert weights[0, ..., :120].mean() > 0.9
    assert weights[1, ..., 136:].mean() > 0.9
    fused = (weights * sources).sum(0)
    assert psnr(fused, truth) > psnr(sources.mean(0), truth) + 10


@pytest.mark.parametrize("deviation", [1.0, 2.0])
def test_it_prefers_what_is_sharper_everywhere(deviation: float) -> None:
    photo = skimage.data.astronaut()[:256, :256].mean(-1) / 127.5 - 1
    blurred = scipy.ndimage.gaussian_filter(photo, deviation)
    sources = torch.from_numpy(np.stack([photo, blurred]))[:, None, None].float()
    assert weigh(Learned(), sources)[0].mean() > 0.9


def test_a_run_with_it(tmp_path) -> None:
    truth, sources = focus_pair()
    runs = {
        name: fusionkit.compose(estimator="gaussian", weighting=name, objective="mse", device="cpu")
        for name in ("learned", "fixed")
    }
    found = {}
    for name, pipe in runs.items():
        *_, last = pipe.steps(sources)
        found[name] = psnr(last.corrected[0, 0], truth)
    assert found["learned"] > found["fixed"] + 1


@pytest.mark.slow
def test_focus_stacks_are_weighed_by_it_since_it_is_nearer_to_the_truth() -> None:
    truth, sources = focus_pair()
    stack = [np.rint(127.5 * (source[0, 0].numpy() + 1)).astype(np.uint8) for source in sources]
    found = {}
    for weighting in (None, "saliency", "dig"):
        result = fusionkit.fuse(stack, task="multi-focus", weighting=weighting, depth="float")
        found[weighting] = psnr(torch.from_numpy(2 * result.image - 1), truth)
    assert result.record["recipe"]["weighting"]["name"] == "dig:dig"
    assert found[None] > max(found["saliency"], found["dig"]) + 1
    assert found[None] > psnr(sources.mean(0), truth) + 10


@pytest.mark.parametrize("size", [(17, 17), (64, 32), (96, 128), (300, 420)])
@pytest.mark.parametrize("K", [2, 3])
def test_threads_do_not_matter_to_images_of_any_size(K: int, size: tuple[int, int]) -> None:
    """Whose maps, at a thirty-second of the size, PyTorch may give to one library or another."""
    made, sources = Learned(), images(K, 1, 1, *size).float()
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(made.weigh(sources))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(each, found[0]) for each in found)
