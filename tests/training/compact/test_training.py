"""Training: it learns, survives interruptions, and leaves a file that the estimator loads."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from fusionkit_diffusion.compact import CompactEstimator
from fusionkit_diffusion.compact_file import read_file
from fusionkit_diffusion.compact_network import Architecture
from fusionkit_training.compact import train
from fusionkit_training.compact.muon import RMS, orthogonalised
from fusionkit_training.compact.psnr import clipped_psnr, noisy
from fusionkit_training.compact.round import Round
from fusionkit_training.rounds import CHECKPOINT, LOG

from fusionkit.cli import main
from fusionkit.errors import UsageError
from tests.plugins.diffusion.compact.tiny import one_line
from tests.training.pictures import photograph_folder

from .tiny import trainer

pytestmark = pytest.mark.slow

EXPORT = Round.file
SMALL = [
    *("--widths", "8,16", "--blocks", "1", "--crop", "16", "--batch", "4"),
    *("--warm-up", "2", "--precision", "float32"),
]


@pytest.fixture
def photos(tmp_path) -> Path:
    return photograph_folder(tmp_path / "photos")


def command(photos: Path, out: Path, *more: str) -> int:
    given = [str(photos), "--out", str(out), "--validation", "1", *SMALL, *more]
    return main(["train", "compact", *given])


def weights(file: Path, part: str = "") -> torch.Tensor:
    tensors, _ = read_file(file)
    chosen = [value.float().flatten() for key, value in tensors.items() if key.startswith(part)]
    return torch.cat(chosen)


def test_a_few_steps_beat_the_noise(photos) -> None:
    arch = Architecture(widths=(16, 24), blocks=1)
    learner = trainer(photos, 90, arch, peak=5e-3, batch=16, warm_up=10)
    losses = []
    for _ in range(90):
        clean, noise, sigma = learner.draw()
        per_crop = learner.learn(clean, noise, sigma)
        losses.append(float(per_crop[(sigma > 0.1) & (sigma < 1)].mean()))
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    image = train.validation_images([photos / "1.png"], 4, "cpu")
    for sigma, reached in learner.validate(image).items():
        assert reached > clipped_psnr((noisy(image[0], sigma)[0] + 1) / 2, image[0]) + 2, sigma


def test_what_is_drawn_is_a_function_of_the_step_alone(photos) -> None:
    one, two = trainer(photos), trainer(photos)
    one.draw()
    torch.manual_seed(1)
    for a, b in zip(one.draw(), two.draw(), strict=True):
        assert torch.equal(a, b)
    two.learn(*two.draw())
    assert not torch.equal(one.draw()[0], two.draw()[0])
    clean, noise, sigma = two.draw()
    assert clean.shape == noise.shape == (4, 3, 16, 16)
    assert sigma.shape == (4,)
    # Noise differs between the channels, also of a grey crop.
    assert (noise[:, 0] - noise[:, 1]).std() > 1


def test_an_interrupted_training_ends_as_an_uninterrupted_one(photos, tmp_path, capsys) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert command(photos, once, "--steps", "7") == 0
    assert command(photos, twice, "--steps", "4", "--plan-steps", "7") == 0
    middle = weights(twice / CHECKPOINT, "weights")
    assert "57.1% of the plan is done after 4 steps" in capsys.readouterr().out
    assert command(photos, twice, "--resume", "--steps", "99") == 0  # the plan is remembered
    assert "the plan is done; 100.0%" in capsys.readouterr().out
    for part in ("weights", "average", "momentum", "exp_avg", "exp_avg_sq", "levels"):
        a, b = (weights(folder / CHECKPOINT, part) for folder in (once, twice))
        assert (a - b).abs().max() <= 1e-6 * a.abs().max(), part
    assert (weights(once / CHECKPOINT, "weights") - middle).abs().max() > 1e-5
    assert (weights(once / EXPORT) - weights(twice / EXPORT)).abs().max() < 1e-3
    with (twice / LOG).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4", "7"]
    assert [row["crop_size"] for row in rows] == ["16", "32"]
    assert all(float(value) >= 0 for row in rows for value in row.values())


def test_what_is_exported_is_loaded_with_its_story(photos, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert command(photos, out, "--steps", "2", "--licence", "CC0") == 0
    estimator = CompactEstimator(out / EXPORT)
    assert estimator.weights_sha256 in capsys.readouterr().out
    assert estimator.architecture == Architecture(widths=(8, 16), blocks=1)
    assert estimator.metadata["licence"] == "CC0"
    data, trained, recipe = (
        json.loads(estimator.metadata[key]) for key in ("data", "trained", "recipe")
    )
    assert data["photographs"] == 3  # one is held out
    assert data["sources"] == {"unknown": {"unknown": 3}}
    assert (trained["steps"], trained["progress"]) == (2, 1)
    assert recipe["seed"] == 0
    tensors, _ = read_file(out / EXPORT)
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    # It is the average that is exported.
    average = weights(out / CHECKPOINT, "average")
    assert (weights(out / EXPORT) - average).abs().max() < 1e-3
    x0 = estimator.denoise(torch.randn(1, 3, 8, 8), torch.tensor([1.0]))
    assert torch.isfinite(x0).all()


def test_moments_come_back_in_the_memory_layout_of_their_weights(photos, tmp_path) -> None:
    learner, resumed = trainer(photos), trainer(photos)
    for _ in range(2):  # at the first, a head of zeros lets no gradient through
        learner.learn(*learner.draw())
    learner.save(tmp_path / CHECKPOINT)
    resumed.restore(tmp_path / CHECKPOINT)
    one, two = learner.optimizer, resumed.optimizer
    assert (
        one.momenta.keys() | one.others.keys()
        == dict(learner.denoiser.network.named_parameters()).keys()
    )
    for name, momentum in one.momenta.items():
        assert momentum.abs().max() > 0
        assert torch.equal(momentum, two.momenta[name])
    for name, weight in two.others.items():
        a, b = one.adam.state[one.others[name]], two.adam.state[weight]
        assert a["step"] == b["step"] == 2
        for part in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(a[part], b[part])
            assert a[part].stride() == b[part].stride() == weight.stride()


@pytest.mark.parametrize("shape", [(24, 60), (60, 24), (32, 32)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalised(matrix)
    within = (u.mT @ result @ v.mT).diagonal()
    assert (within[values > 0.1 * values[0]] - 1).abs().max() < 0.4
    # The same singular vectors: nothing off the diagonal.
    assert (result - u @ within.diag() @ v).abs().max() < 1e-4


def test_kernels_move_by_their_own_measure_whatever_the_gradients_size(photos) -> None:
    learner = trainer(photos)
    optimizer = learner.optimizer
    assert {name.split(".")[0] for name in optimizer.others} == {"stem", "head", "enter", "leave"}
    before = {name: kernel.detach().clone() for name, kernel in optimizer.kernels.items()}
    for weight in learner.denoiser.parameters():
        weight.grad = 1e-6 * torch.randn_like(weight)
    optimizer.step(1e-3)
    for name, kernel in optimizer.kernels.items():
        moved = (kernel - before[name]).square().mean().sqrt()
        assert 0.5e-3 * RMS < moved < 1.3e-3 * RMS, name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends(photos, tmp_path, number) -> None:
    learner = trainer(photos, 50)
    image = train.validation_images([photos / "1.png"], 4, "cpu")
    before = signal.getsignal(number)

    def enough() -> bool:
        if learner.progress.step == 3:
            signal.raise_signal(number)
        return False

    reason = Round(learner, tmp_path, image).run(enough)
    assert reason == "a signal asked to stop"
    assert signal.getsignal(number) is before
    resumed = trainer(photos, 50)
    resumed.restore(tmp_path / CHECKPOINT)
    assert resumed.progress.step in (3, 4)
    assert (tmp_path / EXPORT).exists()


def test_a_checkpoint_is_whole_or_the_one_before(photos, tmp_path, monkeypatch) -> None:
    learner, file = trainer(photos), tmp_path / CHECKPOINT
    learner.learn(*learner.draw())
    learner.save(file)
    before = file.read_bytes()
    learner.learn(*learner.draw())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        learner.save(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == [CHECKPOINT]
    assert len(list(tmp_path.iterdir())) == 2  # that, and the photographs


def refused(capsys, code: int, *parts: str) -> None:
    assert code == 2
    error = capsys.readouterr().err
    assert error.startswith("fusionkit: error: ")
    one_line(error.strip(), *parts)


def test_a_damaged_or_another_checkpoint_is_refused(photos, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert command(photos, out, "--steps", "2") == 0
    file = out / CHECKPOINT
    refused(capsys, command(photos, out, "--steps", "2"), "--resume", CHECKPOINT)
    again = ("--resume", "--steps", "2")
    refused(capsys, command(photos, out, *again, "--seed", "5"), "other seed")
    refused(capsys, command(photos, out, *again, "--widths", "8"), "another architecture")
    refused(capsys, command(photos, out, *again, "--validation", "2"), "other photographs")
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    refused(capsys, command(photos, out, *again), CHECKPOINT, "truncated")
    file.write_bytes((out / EXPORT).read_bytes())
    refused(capsys, command(photos, out, *again), CHECKPOINT, "no checkpoint")
    file.write_bytes(whole)
    assert command(photos, out, *again) == 0


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ((), ("how long",)),
        (("--steps", "0"), ("above 0",)),
        (("--steps", "1", "--rate", "-1"), ("above 0",)),
        (("--steps", "1", "--validation", "4"), ("4 of 4",)),
        (("--steps", "1", "--validation", "0"), ("0 of 4",)),
        (("--steps", "1", "--widths", "8,x"), ("--widths",)),
        (("--steps", "1", "--crop", "64"), ("too small",)),
    ],
)
def test_requests_that_cannot_be_met(photos, tmp_path, capsys, more, parts) -> None:
    refused(capsys, command(photos, tmp_path / "out", *more), *parts)
    assert not (tmp_path / "out").exists()


def test_training_begins_with_exported_weights(photos, tmp_path, capsys) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert command(photos, first, "--steps", "4") == 0
    begin = ("--init", str(first / EXPORT), "--steps", "1", "--rate", "1e-9")
    assert command(photos, second, *begin) == 0
    # At a rate of nothing the weights are still those that it began with, in half precision.
    assert (weights(second / EXPORT) - weights(first / EXPORT)).abs().max() < 1e-3
    assert (weights(second / CHECKPOINT, "weights") - weights(first / EXPORT)).abs().max() < 1e-3
    notes = CompactEstimator(second / EXPORT).metadata
    assert notes["init"] == CompactEstimator(first / EXPORT).weights_sha256
    missing = ("--init", "none.safetensors", "--steps", "1")
    refused(capsys, command(photos, tmp_path / "a", *missing), "no such file")
    of_another = ("--init", str(first / EXPORT), "--steps", "1", "--blocks", "2")
    refused(capsys, command(photos, tmp_path / "b", *of_another), "another architecture")


def test_a_longer_plan_may_be_given_on_resuming(photos, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert command(photos, out, "--steps", "2") == 0
    assert command(photos, out, "--steps", "2", "--plan-steps", "8", "--resume") == 0
    printed = capsys.readouterr().out
    assert "the plan changes" in printed
    assert "50.0% of the plan is done after 4 steps" in printed
