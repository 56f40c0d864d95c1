"""Targets keep their contrast, and nothing else changes."""

from __future__ import annotations

import pytest
import torch
from fusionkit_objectives.gradients import Gradients
from fusionkit_objectives.targets import kept_targets
from torch import Tensor

from .common import draw, run_of, some_weights

H, W = 96, 120
MAN = slice(40, 56), slice(60, 67)
BESIDE = slice(36, 60), slice(72, 78)


def scene(height: int = H, width: int = W, times: int = 1) -> Tensor:
    """Return a hot man on a cool ground, and the same man dark before a bright one."""
    infrared = 0.02 * draw(1, 1, height, width) - 0.4
    visible = 0.02 * draw(1, 1, height, width, seed=1) + 0.5
    place = [slice(times * one.start, times * one.stop) for one in MAN]
    infrared[..., *place] += 0.9
    visible[..., *place] -= 0.7
    return torch.stack([infrared, visible])


def contrast(image: Tensor) -> float:
    return float(image[..., *MAN].mean() - image[..., *BESIDE].mean())


@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
def test_a_target_keeps_its_share(share: float) -> None:
    sources, weights = scene(), some_weights(2, 1, H, W)
    mean = sources.mean(0)
    assert contrast(mean) < 0.2
    kept = kept_targets(mean, sources, weights, share)
    # A little less: what is added ends softly at the outline, over the mean of 3 x 3 pixels.
    assert contrast(kept) == pytest.approx(0.9 * share, rel=0.12)


def test_beside_targets_nothing_changes() -> None:
    sources = scene()
    mean = sources.mean(0)
    change = kept_targets(mean, sources, some_weights(2, 1, H, W), 1.0) - mean
    assert change.min() == 0  # nothing is darkened: no halo
    around = torch.ones(H, W, dtype=torch.bool)
    around[MAN[0].start - 2 : MAN[0].stop + 2, MAN[1].start - 2 : MAN[1].stop + 2] = False
    assert change[..., around].max() == 0
    inside = change[..., MAN[0].start + 2 : MAN[0].stop - 2, MAN[1].start + 2 : MAN[1].stop - 2]
    assert inside.std() < 0.05 * inside.mean()  # its detail stays


def test_what_stands_out_enough_stays() -> None:
    sources = scene()
    assert torch.equal(kept_targets(sources[0], sources, some_weights(2, 1, H, W), 0.9), sources[0])


@pytest.mark.parametrize("where", ["edge", "shade", "noise"])
def test_an_edge_is_no_target(where: str) -> None:
    bright = 0.02 * draw(1, 1, H, W)
    if where == "edge":
        bright[..., 60:] += 0.8
    elif where == "shade":
        bright += torch.linspace(-0.8, 0.8, W)
    sources = torch.stack([bright, 0.02 * draw(1, 1, H, W, seed=1)])
    flat = torch.zeros(1, 1, H, W, dtype=torch.float64)
    assert torch.equal(kept_targets(flat, sources, some_weights(2, 1, H, W), 1.0), flat)


def test_a_source_without_weight_has_no_targets() -> None:
    sources, weights = scene(), torch.zeros(2, 1, 1, H, W, dtype=torch.float64)
    weights[1] = 1
    assert torch.equal(kept_targets(sources[1], sources, weights, 1.0), sources[1])


def test_sources_are_alike_and_scenes_apart() -> None:
    sources, weights = scene(), some_weights(2, 1, H, W)
    mean = sources.mean(0)
    kept = kept_targets(mean, sources, weights, 0.9)
    assert torch.equal(kept_targets(mean, sources.flip(0), weights.flip(0), 0.9), kept)
    other = sources.flip(-1)
    both = kept_targets(
        torch.cat([mean, other.mean(0)]),
        torch.cat([sources, other], 1),
        torch.cat([weights, weights], 1),
        0.9,
    )
    assert torch.allclose(both[:1], kept, atol=1e-12)
    assert torch.allclose(both[1:], kept.flip(-1), atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (300, 517)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    sources, weights = draw(2, 1, 1, *size), some_weights(2, 1, *size)
    kept = kept_targets(sources.mean(0), sources, weights, 0.9)
    assert kept.shape == sources.shape[1:]
    assert kept.isfinite().all()


def test_a_large_image_is_looked_at_reduced_and_keeps_as_much() -> None:
    sources = scene(4 * H, 4 * W + 3, times=4)
    mean = sources.mean(0)
    kept = kept_targets(mean, sources, some_weights(2, 1, 4 * H, 4 * W + 3), 0.9)
    raised = (kept - mean)[..., 4 * MAN[0].start : 4 * MAN[0].stop, 240:268]
    assert raised.mean() == pytest.approx(0.9 * 0.9 - 0.1, rel=0.1)


def test_the_objective_keeps_targets_below_its_gain() -> None:
    sources, weights = scene(), some_weights(2, 1, H, W)
    plain, kept = (
        Gradients(psi=1000.0, base="mean", targets=share).start(run_of(sources)).initial(weights)
        for share in (0.0, 0.9)
    )
    assert torch.equal(kept, kept_targets(plain, sources, weights, 0.9))
    assert contrast(kept) > contrast(plain) + 0.3


def test_a_cold_target_is_kept_as_a_hot_one_is() -> None:
    sources, weights = scene(), some_weights(2, 1, H, W)
    hot = Gradients(psi=1000.0, base="mean", targets=0.9).start(run_of(sources)).initial(weights)
    cold = Gradients(psi=1000.0, base="mean", cold=0.9).start(run_of(-sources)).initial(weights)
    assert torch.allclose(cold, -hot, atol=1e-5)


def test_where_one_is_hot_and_cold_the_hot_one_is_kept() -> None:
    sources, weights = scene(), some_weights(2, 1, H, W)  # the visible man is dark
    objective = Gradients(psi=1000.0, base="mean", targets=0.9, cold=0.9)
    both = objective.start(run_of(sources)).initial(weights)
    assert contrast(both) == pytest.approx(0.9 * 0.9, rel=0.12)
