"""Brackets that weights for exposures are trained on: what frame shows what."""

from __future__ import annotations

import skimage.data
import torch
from fusionkit_training.learned.brackets import bracket, lighting
from fusionkit_training.learned.degradations import degrade
from fusionkit_training.learned.draw import Draw
from fusionkit_training.learned.evaluate import BASELINES, mean_of, weighted_psnr
from fusionkit_training.learned.samples import assemble

PHOTO = torch.from_numpy(skimage.data.camera()[64:192, 150:278] / 255).float()


def test_the_photograph_lies_between_two_frames_of_a_bracket() -> None:
    for seed in range(8):
        for K in (2, 3, 5):
            frames, answer = bracket(PHOTO, K, Draw(seed, K))
            means = frames.mean((1, 2))
            assert torch.equal(answer, PHOTO)
            assert (means.diff() > 0).all()
            assert means[0] < PHOTO.mean() < means[-1]


def test_nothing_that_every_frame_clips_is_asked_for() -> None:
    for seed in range(8):
        frames, _ = bracket(PHOTO, 3, Draw(seed))
        assert (frames.amin(0)[PHOTO < 1] < 1).all()


def test_in_light_and_shade_one_frame_is_right_nearly_everywhere() -> None:
    near, off = [], []
    for seed in range(12):
        frames, answer = lighting(PHOTO, 3, Draw(seed))
        assert torch.equal(answer, PHOTO)
        near.append(float(((frames - PHOTO).abs().amin(0) < 0.05).float().mean()))
        off.append(float((frames - PHOTO).abs().mean((1, 2)).min()))
    assert sorted(near)[6] > 0.6
    assert sorted(off)[4] > 0.02  # and seldom is one right all over


def test_the_best_regions_are_far_better_than_the_mean() -> None:
    draw = Draw("test")
    pairs = [degrade("lighting", PHOTO, 3, draw) for _ in range(6)]
    batch = assemble(pairs, ["lighting"] * 6)
    best = weighted_psnr(BASELINES["regions"](batch), batch)
    assert best > weighted_psnr(mean_of(batch), batch) + 3
    assert not batch.taste.any()  # its brightness is right, and not one of several
