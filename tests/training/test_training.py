"""What trainings have in common; those of the two plugins are beside this."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from fusionkit_training.photographs import find_photographs, split
from fusionkit_training.plan import Plan, Progress, add_arguments, chosen_plan
from fusionkit_training.rounds import CHECKPOINT, LOG, Log, Round, stop_requested, training_speed
from fusionkit_training.state import by_part, check_same, follow, generator_for, training_state

from fusionkit import UsageError


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    plan = Plan(100, "steps", peak=2e-3, warm_up=10)
    assert plan.rate(0.0, 0) == pytest.approx(2e-4)
    assert plan.rate(0.0, 50) == pytest.approx(2e-3)
    assert plan.rate(0.5, 50) == pytest.approx(1e-3)
    assert plan.rate(1.0, 99) == plan.rate(1.3, 130) == 0
    rates = [plan.rate(n / 100, 50 + n) for n in range(101)]
    assert rates == sorted(rates, reverse=True)


def test_progress_is_of_the_plans_unit() -> None:
    progress = Progress(step=30, minutes=6)
    assert progress.of(Plan(60, "steps")) == 0.5
    assert progress.of(Plan(60, "minutes")) == 0.1


def plan_of(*given: str, **stored: object) -> Plan:
    parser = ArgumentParser()
    add_arguments(parser, Plan, validation=2, report=1)
    return chosen_plan(Plan, stored, parser.parse_args(["photos", "--out", "out", *given]))


def test_the_plan_is_the_stored_one_with_what_is_given() -> None:
    assert plan_of("--steps", "3") == Plan(3, "steps")
    assert plan_of("--minutes", "3", "--plan-minutes", "9") == Plan(9)
    assert plan_of("--rate", "0.1", "--plan-steps", "3") == Plan(3, "steps", peak=0.1)
    stored = {"total": 7, "unit": "steps", "crop": 32}
    assert plan_of(**stored) == plan_of("--steps", "5", **stored) == Plan(7, "steps", crop=32)
    again = plan_of("--batch", "2", "--plan-minutes", "9", **stored)
    assert again == Plan(9, crop=32, batch=2)
    for refused in ((), ("--steps", "0"), ("--warm-up", "-1", "--steps", "1")):
        with pytest.raises(UsageError, match=r"above 0|how long"):
            plan_of(*refused)


class Counting:
    """A trainer whose steps do nothing but count."""

    done = property(lambda self: self.progress.of(Plan(10, "steps")))

    def __init__(self) -> None:
        self.progress = Progress()

    def save(self, path: Path) -> None:
        path.write_text(str(self.progress.step))

    def restore(self, path: Path) -> None:
        self.progress.step = int(path.read_text())

    def export(self, path: Path, metadata: Mapping[str, str]) -> None:
        path.write_text(json.dumps(metadata))


class CountingRound(Round[Counting]):
    file = "weights"
    columns = ("step",)

    def step(self) -> None:
        self.trainer.progress.step += 1

    def report(self) -> tuple[dict[str, float], str]:
        return {"step": self.trainer.progress.step}, f"after {self.trainer.progress.step}"


def test_a_round_ends_with_the_plan_or_when_told_to(tmp_path, capsys) -> None:
    trainer = Counting()
    one = CountingRound(trainer, tmp_path / "out", notes={"licence": "CC0", "data": {"n": 1}})
    assert one.run(lambda: trainer.progress.step == 4) == "the round is over"
    assert (tmp_path / "out" / CHECKPOINT).read_text() == "4"
    assert one.run(lambda: False) == "the plan is done"
    assert (tmp_path / "out" / CHECKPOINT).read_text() == "10"
    assert one.run(lambda: False) == "the plan is done"  # there is nothing left to tell
    assert capsys.readouterr().out == "after 4\nafter 10\n"
    assert (tmp_path / "out" / LOG).read_text() == "step\n4\n10\n"
    notes = json.loads((tmp_path / "out" / "weights").read_text())
    assert (notes["licence"], json.loads(notes["data"])) == ("CC0", {"n": 1})
    assert json.loads(notes["trained"])["steps"] == 10
    assert trainer.progress.minutes > 0


def test_a_round_reports_in_between(tmp_path) -> None:
    trainer = Counting()
    CountingRound(trainer, tmp_path, every=0).run(lambda: trainer.progress.step == 2)
    assert (tmp_path / LOG).read_text() == "step\n1\n2\n"


def test_a_signal_is_a_flag_once() -> None:
    # A shell's background job, as some CI runs tests, ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGINT)
    with stop_requested() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGINT)
        assert stopping()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_trains_without_signals(tmp_path) -> None:
    one, reasons = CountingRound(Counting(), tmp_path), []
    thread = threading.Thread(target=lambda: reasons.append(one.run(lambda: False)))
    thread.start()
    thread.join()
    assert reasons == ["the plan is done"]


def test_rows_of_a_log_that_are_made_again_are_dropped(tmp_path) -> None:
    file = tmp_path / "log.csv"
    log = Log(file, ("step", "loss"), 0)
    for step in (2, 4, 6):
        log.add({"step": step, "loss": 1 / step})
    with file.open("a") as opened:
        opened.write("torn")
    Log(file, ("step", "loss"), 4).add({"step": 5, "loss": 0})
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["step"] for row in rows] == ["2", "4", "5"]
    Log(file, ("step", "loss"), 0)
    assert file.read_text() == "step,loss\n"


def test_the_state_is_in_the_metadata() -> None:
    file, state = Path("state"), {"plan": {"total": 3}, "seed": 7}
    assert training_state({"training": json.dumps(state)}, file, Plan) == state
    for metadata in (
        {},
        {"training": "{"},
        {"training": "[]"},
        {"training": '{"seed": 7}'},
        {"training": '{"plan": {"total": 3, "other": 1}}'},
    ):
        with pytest.raises(UsageError, match="state: is no checkpoint of a training"):
            training_state(metadata, file, Plan)
    check_same(state, file, seed=7)
    with pytest.raises(UsageError, match="other photographs"):
        check_same(state, file, seed=7, photographs="abc")


def test_tensors_by_part() -> None:
    one, two, three = torch.zeros(3)
    parts = by_part({"weights/a.b": one, "weights/a/c": two, "levels": three})
    assert parts == {"weights": {"a.b": one, "a/c": two}, "levels": {"": three}}


def test_photographs_are_found_and_split(tmp_path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", "c.tif"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    found = find_photographs([tmp_path, "other.png"])
    assert [path.name for path in found] == ["a.jpg", "b.PNG", "c.tif", "other.png"]
    training, held_out = split([Path(str(n)) for n in range(10)], 2)
    assert [path.name for path in held_out] == ["2", "7"]
    assert [path.name for path in training] == ["0", "1", "3", "4", "5", "6", "8", "9"]
    with pytest.raises(UsageError, match="holds no images"):
        find_photographs([tmp_path / "empty"])
    for count in (0, 4):
        with pytest.raises(UsageError, match=f"{count} of 4"):
            split(found, count)


def test_a_generator_is_a_function_of_its_key() -> None:
    def drawn(*key: object) -> float:
        return float(torch.rand(1, generator=generator_for(*key)))

    assert drawn(1, 23) == drawn(1, 23)
    assert len({drawn(1, 23), drawn(12, 3), drawn(1, 24), drawn("test", 1)}) == 4


def test_the_average_follows_more_slowly_in_time() -> None:
    def moved(step: int) -> float:
        average, network = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(average.weight)
        torch.nn.init.ones_(network.weight)
        follow(average, network, step, 0.99)
        return average.weight.item()

    assert moved(0) == pytest.approx(0.9)
    assert moved(10) == pytest.approx(9 / 20)
    assert moved(10**6) == pytest.approx(0.01)


def test_only_a_training_imports_what_trains() -> None:
    code = (
        "import sys, fusionkit, fusionkit.cli\n"
        "fusionkit.load_plugins(strict=True)\n"
        "print(*(name in sys.modules for name in ('fusionkit_training', 'torch', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]


def test_the_speed_of_training_is_put_back() -> None:
    tiny = torch.tensor(1e-40)
    before = torch.get_num_threads()
    with training_speed(before + 1):
        assert torch.get_num_threads() == before + 1
        assert tiny.mul(1).item() == 0
        with training_speed(1):
            pass
        assert tiny.mul(1).item() == 0
    assert torch.get_num_threads() == before
    assert tiny.mul(1).item() > 0
