"""Networks that are shown information gains: which ones, of which levels, and what they change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fusionkit_dig.dig import Dig
from fusionkit_learned.gains import gains_of, information_gain, parsed
from fusionkit_learned.learned import Learned
from fusionkit_learned.planes import GAIN_PLANES, PLANES, planes
from torch import Tensor

import fusionkit
from fusionkit.ops import patching
from fusionkit.sampling.run import Run
from fusionkit.testing import make_run

from .tiny import images, network, one_line, weights_file

STEPS = {"steps": 4, "start_sigma": 2.03}
SIGMAS = (2.03, 0.719)


def shown_gains(folder: Path, gains: str = "2.03,0.719", levels: int = 2) -> Path:
    return weights_file(folder, network(levels=levels).float().state_dict(), gains=gains)


def weigh(weighting: Learned, run: Run) -> Tensor:
    x0 = run.sources.mean(0)
    return weighting.start(run)(fusionkit.Step(run, 0, x0, x0))


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("size", [(1, 1), (17, 23), (32, 64)])
def test_any_sources_in_any_order_for_two_quarter_evaluations(K, size, tmp_path) -> None:
    weighting = Learned(shown_gains(tmp_path), precision="float64")
    assert weighting.levels == "all"
    sources = images(K, 2, 3, *size)
    run = make_run(sources, **STEPS)
    weights = weigh(weighting, run)
    assert weights.shape == (K, 2, 1, *size)
    assert (weights.sum(0) - 1).abs().max() < 1e-12
    small = run.reduced(2).sources[0, 0, 0].numel() / sources[0, 0, 0].numel()
    assert run.nfe == pytest.approx(2 * 2 * K * small)
    permuted = weigh(weighting, make_run(sources.flip(0), **STEPS)).flip(0)
    assert (permuted - weights).abs().max() < 1e-9


def test_they_are_the_gains_that_dig_sums_up() -> None:
    run = make_run(images(2, 1, 3, 32, 64), **STEPS)
    small = run.reduced(2)
    started = Dig(dynamic=False, window=5, resolution=1).start(small)
    expected = torch.stack([started.gains(level, run.steps) for level in (0, 2)], 2)
    found = gains_of(run, SIGMAS)
    assert (found[:, :, :, None] - expected).abs().max() < 1e-9
    assert found.min() > 0
    assert not torch.equal(found[:, :, 0], found[:, :, 1])


def test_what_is_recovered_already_has_nothing_to_gain() -> None:
    source = images(2, 3, 16, 16)
    assert information_gain(source, source).max() == 0
    assert information_gain(0.5 * source, source).min() > 0


def test_the_network_sees_them_beside_those_of_the_others(tmp_path) -> None:
    sources, gains = images(3, 1, 1, 32, 32), images(3, 1, 2, 16, 16).abs()
    plain, more = (torch.cat(list(each)) for each in (planes(sources), planes(sources, gains)))
    assert plain.shape[1] == PLANES
    assert more.shape[1] == PLANES + 2 * GAIN_PLANES
    assert torch.equal(more[:, :PLANES], plain)
    beside_mean, beside_largest = more[:, -4:-2], more[:, -2:]
    assert beside_mean.sum(0).abs().max() < 1e-9
    assert beside_largest.amax(0).abs().max() == 0
    weighting = Learned(shown_gains(tmp_path), precision="float64")
    apart = weighting.weigh(sources, gains) - weighting.weigh(sources, gains.flip(0))
    assert apart.abs().max() > 1e-3


def test_a_patch_sees_its_own_gains(tmp_path, monkeypatch) -> None:
    weighting = Learned(shown_gains(tmp_path), precision="float64")
    sources = images(2, 1, 1, 32 * 18 + 7, 41)
    gains = images(2, 1, 2, 16 * 18 + 4, 21).abs()
    whole = weighting.weigh(sources, gains)
    monkeypatch.setattr(patching, "AREA", 0)
    monkeypatch.setattr(patching, "SMALLEST", 96)
    patched = weighting.weigh(sources, gains)
    others = weighting.weigh(sources, gains.roll(2, -2))
    # Random weights look farther than trained ones.
    apart, wrong = ((each - whole).abs().mean() for each in (patched, others))
    assert 0 < apart < wrong / 10


def test_a_run_without_such_levels_is_refused(tmp_path) -> None:
    weighting = Learned(shown_gains(tmp_path))
    with pytest.raises(fusionkit.UsageError) as refused:
        weighting.start(make_run(images(2, 1, 1, 32, 32), steps=4, start_sigma=1.0))
    one_line(str(refused.value), "noise level 2.03", "--sigmas 2.03,0.719 would")


@pytest.mark.parametrize(
    ("gains", "levels", "part"),
    [
        ("", 1, "gains at 1 noise levels, of which its metadata name 0"),
        ("2,1", 0, "gains at 0 noise levels, of which its metadata name 2"),
        ("1,2", 2, "positive numbers that decrease"),
        ("one", 1, "positive numbers that decrease"),
        ("nan", 1, "positive numbers that decrease"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(gains, levels, part, tmp_path) -> None:
    file = shown_gains(tmp_path, gains, levels)
    with pytest.raises(fusionkit.UsageError) as refused:
        Learned(file)
    one_line(str(refused.value), str(file), part)


def test_levels_are_written_with_commas() -> None:
    assert parsed("2.03,0.719") == SIGMAS
    assert parsed("") == ()


def test_a_whole_run_with_them(tmp_path) -> None:
    one, other = (image[0, 0, 0].float() for image in images(2, 1, 1, 48, 64).split(1))
    sources = [(255 * (image.clamp(-1, 1) + 1) / 2).byte().numpy() for image in (one, other)]
    chosen = {"name": "learned", "checkpoint": str(shown_gains(tmp_path))}
    with pytest.warns(fusionkit.FusionkitWarning, match="looks noisy"):
        result = fusionkit.fuse(sources, task="multi-focus", weighting=chosen, estimator="gaussian")
    assert result.image.shape == (48, 64)
    assert result.record["run"]["nfe"] == pytest.approx(1.0)
