"""The evaluation command: PSNR by definition, noise by the book, samples by fusionkit's sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fusionkit_diffusion.compact import CompactEstimator
from fusionkit_training.compact import evaluate
from fusionkit_training.compact.psnr import clipped_psnr, denoised_psnr, noisy
from fusionkit_training.photographs import read_rgb
from PIL import Image
from torch import Tensor

from fusionkit import Prior
from fusionkit.cli import main
from tests.plugins.diffusion.compact.tiny import images, one_line, weights_file
from tests.training.pictures import photograph_folder


def command(*arguments: object) -> int:
    return main(["train", "evaluate-compact", *map(str, arguments)])


class Knowing(Prior):
    """Knows the image, (3, H, W), that every noisy image hides."""

    channels = 3

    def __init__(self, truth: Tensor) -> None:
        self.truth = truth

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.truth.expand_as(x)


def test_psnr_by_definition() -> None:
    truth = torch.full((1, 3, 4, 5), 0.5)
    assert clipped_psnr(truth + 0.1, truth) == pytest.approx(20, abs=1e-5)
    assert clipped_psnr(truth, truth) == 100
    assert clipped_psnr(torch.full_like(truth, 7.0), truth) == pytest.approx(-10 * math.log10(0.25))


def test_noise_is_white_and_of_the_level_asked_for() -> None:
    image = torch.rand(1, 3, 100, 100, generator=torch.Generator().manual_seed(0))
    y, level = noisy(image, 25)
    noise = (y - (2 * image - 1))[0] * 127.5
    assert level == 25 / 127.5
    assert float(noise.std()) == pytest.approx(25, rel=0.02)
    assert (torch.corrcoef(noise.flatten(1)) - torch.eye(3)).abs().max() < 0.03
    assert torch.equal(noisy(image, 25)[0], y)
    assert not torch.equal(noisy(image, 25, seed=1)[0], y)


def test_grey_noise_is_that_of_one_channel_split_into_three() -> None:
    image = torch.rand(1, 1, 100, 100, generator=torch.Generator().manual_seed(0))
    y, level = noisy(image, 25, grey=True)
    assert y.shape == (1, 3, 100, 100)
    assert level == pytest.approx(math.sqrt(3) * 25 / 127.5)
    noise = (y - (2 * image - 1))[0] * 127.5
    assert float(noise.mean(0).std()) == pytest.approx(25, rel=0.02)
    assert (torch.corrcoef(noise.flatten(1)) - torch.eye(3)).abs().max() < 0.03


@pytest.mark.parametrize("grey", [False, True])
def test_a_denoiser_that_does_nothing_or_everything(grey) -> None:
    image = torch.full((1, 1 if grey else 3, 64, 64), 0.5)
    does_nothing = denoised_psnr(lambda y, _: y, image, 25, grey=grey)
    assert does_nothing == pytest.approx(20 * math.log10(255 / 25), abs=0.1)
    assert denoised_psnr(lambda y, _: torch.zeros_like(y), image, 25, grey=grey) == 100


def test_the_table(tmp_path, capsys) -> None:
    folder, file = photograph_folder(tmp_path / "photos", 2), weights_file(tmp_path)
    assert command(str(file), str(folder), "--sigma", "15,50.5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert CompactEstimator(file).weights_sha256 in lines[0]
    assert lines[1].split() == ["sigma", "of", "255", "15", "50.5"]
    assert [line.split()[0] for line in lines[2:]] == ["0.png", "1.png", "mean"]
    shown = np.array([[float(v) for v in line.split()[-2:]] for line in lines[2:]])
    assert np.abs(shown[2] - shown[:2].mean(0)).max() < 0.011
    image = read_rgb(folder / "0.png")[0].float()[None] / 255
    estimator = CompactEstimator(file)

    def clean(y: Tensor, sigma: float) -> Tensor:
        return estimator.denoise(y, torch.full((len(y),), sigma))

    expected = denoised_psnr(clean, image, 15)
    assert shown[0, 0] == pytest.approx(expected, abs=0.006)
    assert command(str(file), str(folder), "--sigma", "25", "--grey") == 0
    assert "grey" in capsys.readouterr().out


def test_samples_end_at_what_the_prior_knows() -> None:
    truth = images(3, 6, 6, dtype=torch.float32)
    samples = evaluate.draw_samples(Knowing(truth), 3, 6, steps=4, device="cpu")
    assert samples.shape == (3, 3, 6, 6)
    assert (samples - truth).abs().max() < 1e-3


def test_a_sheet_of_samples(tmp_path, capsys) -> None:
    file, sheet = weights_file(tmp_path), tmp_path / "sheet.png"
    given = ["--samples", "3", "--size", "9", "--sampling-steps", "3", "--sheet", str(sheet)]
    assert command(str(file), *given) == 0
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (2 * 11 + 2, 2 * 11 + 2, 3)
    samples = evaluate.draw_samples(CompactEstimator(file), 3, 9, steps=3, device="cpu")
    expected = ((samples + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(pixels[2:11, 13:22], expected[1])
    assert (pixels[13:22, 13:22] == 255).all()  # the place of a fourth
    # A sample depends on its own seed alone.
    alone = evaluate.draw_samples(CompactEstimator(file), 1, 9, seed=1, steps=3, device="cpu")
    assert (alone[0] - samples[1]).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ((), ("nothing to do",)),
        (("--samples", "2"), ("--sheet",)),
        (("photo.png", "--sigma", "15,zero"), ("--sigma 15,zero",)),
        (("photo.png", "--sigma", "-5"), ("--sigma -5",)),
        (("photo.png",), ("no such file",)),
        (("--samples", "2", "--sheet", "s.png", "--size", "0"), ("--size",)),
    ],
)
def test_requests_that_cannot_be_met(tmp_path, capsys, more, parts, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(str(weights_file(tmp_path)), *more) == 2
    one_line(capsys.readouterr().err.strip(), "fusionkit: error: ", *parts)
