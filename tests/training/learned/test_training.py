"""Training: it learns, survives interruptions, and leaves a file that the weighting loads."""

from __future__ import annotations

import csv
import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fusionkit_learned.learned import Learned
from fusionkit_learned.weights_file import read_file
from fusionkit_training.learned.crops import Photographs
from fusionkit_training.learned.degradations import FAMILIES
from fusionkit_training.learned.draw import Draw
from fusionkit_training.learned.samples import draw_batch
from fusionkit_training.learned.train import Round
from fusionkit_training.learned.trainer import Plan, Trainer
from fusionkit_training.photographs import find_photographs
from fusionkit_training.rounds import CHECKPOINT, LOG

from fusionkit.cli import main
from tests.plugins.learned.tiny import one_line, weights_file
from tests.training.pictures import photograph_folder

pytestmark = pytest.mark.slow

EXPORT = Round.file
SMALL = ["--crop", "32", "--batch", "2", "--warm-up", "1", "--validation", "1"]


@pytest.fixture
def photos(tmp_path) -> Path:
    return photograph_folder(tmp_path / "photos", 3)


def command(photos: Path, out: Path, *more: str) -> int:
    return main(["train", "learned", str(photos), "--out", str(out), *SMALL, *more])


def evaluated(*arguments: str) -> int:
    return main(["train", "evaluate-learned", *arguments])


def test_it_learns(photos) -> None:
    data = Photographs.read(find_photographs([photos]), 32)
    learner = Trainer(Plan(40, "steps", warm_up=5, crop=32, batch=6), data)
    batch = learner.draw()
    losses = [learner.learn(batch) for _ in range(40)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_what_is_drawn_is_a_function_of_the_step_alone(photos) -> None:
    data = Photographs.read(find_photographs([photos]), 32)
    one = draw_batch(data, 6, 32, 7, 3)
    torch.manual_seed(1)
    two, other = draw_batch(data, 6, 32, 7, 3), draw_batch(data, 6, 32, 7, 4)
    for name in ("sources", "fusion", "taste", "choosing"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert not torch.equal(one.fusion, other.fusion)
    K = len(one.sources)
    assert one.sources.shape == (K, round(6 / K), 1, 32, 32)
    assert one.fusion.shape == (round(6 / K), 1, 32, 32)
    counts = {len(draw_batch(data, 6, 32, 7, step).sources) for step in range(60)}
    assert counts == {2, 3, 4, 5, 6, 7}


def test_an_interrupted_training_ends_as_an_uninterrupted_one(photos, tmp_path, capsys) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert command(photos, once, "--steps", "4") == 0
    assert command(photos, twice, "--steps", "2", "--plan-steps", "4") == 0
    assert "50.0% of the plan is done after 2 steps" in capsys.readouterr().out
    middle, _, _ = read_file(twice / CHECKPOINT)
    assert command(photos, twice, "--resume") == 0  # the plan is remembered
    assert "the plan is done; 100.0%" in capsys.readouterr().out
    one, two = (read_file(folder / CHECKPOINT)[0] for folder in (once, twice))
    assert one.keys() == two.keys()
    assert [key for key in one if not torch.equal(one[key], two[key])] == []
    assert (once / EXPORT).stat().st_size == (twice / EXPORT).stat().st_size
    assert not torch.equal(one["weights/head.weight"], middle["weights/head.weight"])
    with (twice / LOG).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row[f"focus_{who}"]) > 0 for row in rows for who in ("learned", "mean"))


def test_what_is_exported_is_loaded_with_its_story(photos, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert command(photos, out, "--steps", "2", "--licence", "CC0") == 0
    weighting = Learned(out / EXPORT)
    assert weighting.weights_sha256 in capsys.readouterr().out
    data, recipe, trained = (
        json.loads(weighting.metadata[key]) for key in ("data", "recipe", "trained")
    )
    assert (data["photographs"], trained["steps"]) == (2, 2)
    assert weighting.metadata["licence"] == "CC0"
    assert (recipe["seed"], recipe["crop"]) == (0, 32)
    tensors, _, _ = read_file(out / EXPORT)
    average, _, _ = read_file(out / CHECKPOINT)
    for key, value in tensors.items():
        assert torch.equal(value, average[f"average/{key}"].half())


def test_a_network_goes_on_with_gains_as_if_it_had_none_at_first(photos, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert command(photos, out, "--steps", "1", "--plan-steps", "3") == 0
    same = json.loads(read_file(out / CHECKPOINT)[1]["training"])["photographs"]
    data = replace(Photographs.read(find_photographs([photos]), 32), sha256=same)
    plain, more = (
        Trainer(Plan(3, "steps", warm_up=1, crop=32, batch=2, gains=gains), data)
        for gains in ("", "2.03,0.719")
    )
    for trainer in (plain, more):
        trainer.restore(out / CHECKPOINT)
    batch = plain.draw()
    gains = more.gains(batch, 0, 1)
    scores = more.network(batch.sources, gains)
    assert (scores - plain.network(batch.sources)).abs().max() < 1e-5
    assert torch.equal(gains, more.gains(batch, 0, 1))
    assert not torch.equal(gains, more.gains(batch, 0, 2))
    assert command(photos, out, "--resume", "--gains", "2.03,0.719") == 0
    weighting = Learned(out / EXPORT)
    assert weighting.sigmas == (2.03, 0.719)
    capsys.readouterr()
    assert evaluated(str(out / EXPORT), str(photos), "--size", "32") == 0
    assert "| focus |" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends(photos, tmp_path, monkeypatch, capsys, number) -> None:
    before, learn = signal.getsignal(number), Trainer.learn

    def interrupted(self, batch) -> float:
        signal.raise_signal(number)
        return learn(self, batch)

    monkeypatch.setattr(Trainer, "learn", interrupted)
    assert command(photos, tmp_path / "out", "--steps", "50") == 0
    assert "a signal asked to stop; 2.0% of the plan" in capsys.readouterr().out
    assert signal.getsignal(number) is before
    assert (tmp_path / "out" / EXPORT).exists()


def refused(capsys, code: int, *parts: str) -> None:
    assert code == 2
    error = capsys.readouterr().err
    assert error.startswith("fusionkit: error: ")
    one_line(error.strip(), *parts)


def test_a_damaged_or_another_checkpoint_is_refused(photos, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert command(photos, out, "--steps", "1") == 0
    file = out / CHECKPOINT
    refused(capsys, command(photos, out, "--steps", "2"), "--resume", CHECKPOINT)
    again = ("--resume", "--steps", "2")
    refused(capsys, command(photos, out, *again, "--seed", "5"), "other seed")
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
        (("--steps", "1", "--validation", "3"), ("3 of 3",)),
        (("--steps", "1", "--crop", "40"), ("multiple of 32",)),
        (("--steps", "1", "--crop", "256"), ("too small",)),
        (("--steps", "1", "--gains", "0.5,2"), ("--gains '0.5,2'", "decrease")),
    ],
)
def test_requests_that_cannot_be_met(photos, tmp_path, capsys, more, parts) -> None:
    refused(capsys, command(photos, tmp_path / "out", *more), *parts)
    assert not (tmp_path / "out").exists()


def test_crops_show_the_photograph(photos) -> None:
    data = Photographs.read(find_photographs([photos]), 32)
    for seed in range(20):
        crop = data.crop(32, Draw(seed))
        assert crop.shape == (32, 32)
        assert 0 <= crop.min() < crop.max() <= 1


def test_evaluation_prints_a_row_for_every_family(photos, tmp_path, capsys) -> None:
    file = str(weights_file(tmp_path))
    assert (
        main(["train", "evaluate-learned", file, str(photos), "--size", "48", "--sources", "3"])
        == 0
    )
    head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert head.endswith("| pixels | learned |")
    assert len(rows) == len(FAMILIES)
    assert all(len(row.split("|")) == len(head.split("|")) for row in rows)
    assert evaluated(file, str(photos), "--size", "4096") == 2
    one_line(capsys.readouterr().err.strip(), "too small")
    assert evaluated(file, str(photos), "--sources", "1") == 2
    one_line(capsys.readouterr().err.strip(), "--sources")
