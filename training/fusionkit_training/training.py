"""The command of a training: what all of them have in common."""

from __future__ import annotations

import argparse
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from fusionkit import __version__, number_of
from fusionkit.cli.arguments import Parser
from fusionkit.errors import UsageError
from fusionkit.host.weights_file import checked_hash

from .photographs import find_photographs, sources_of, split
from .plan import Plan, add_arguments, chosen_plan
from .rounds import CHECKPOINT, Round, Trainer, training_speed

P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Task(Generic[P]):
    """What a training is to begin, or to go on, with.

    Attributes
    ----------
    args
        The command line.
    plan
        The whole plan.
    photographs, held_out
        To train on, and to validate on.
    checkpoint
        What is resumed; None for a training that begins.
    sources
        How many photographs are from where, if that is known without their files.
    """

    args: argparse.Namespace
    plan: P
    photographs: Sequence[Path]
    held_out: Sequence[Path]
    checkpoint: Path | None
    sources: Mapping[str, Mapping[str, int]] | None = None

    def notes(self, sha256: str, recipe: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Return what the metadata of the weights tell: data, recipe, licence, ``more``.

        ``recipe`` is what decides what is learned beside data, plan and seed.
        """
        sources = self.sources
        if sources is None:
            sources = sources_of(self.photographs, self.args.manifest)
        return {
            "data": {
                "photographs": len(self.photographs),
                "sha256": sha256,
                "sources": sources,
            },
            "recipe": {**asdict(self.plan), "seed": self.args.seed, **recipe},
            "licence": self.args.licence,
            "fusionkit": __version__,
            **more,
        }


class Training(ABC, Generic[P]):
    """A training as a command, ``fusionkit train NAME``.

    Attributes
    ----------
    name
        Of the command.
    about
        What it trains, in a sentence.
    plan
        The class of its plans.
    validation
        Photographs held out, unless the command line says otherwise.
    report
        Minutes between checkpoints, likewise.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    plan: type[P]
    validation: ClassVar[int]
    report: ClassVar[float]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options that it has beside those of any training."""
        return

    @abstractmethod
    def state(self, checkpoint: Path) -> Mapping[str, Any]:
        """Return what a checkpoint holds of its training, its ``plan`` among it."""

    @abstractmethod
    def begin(self, task: Task[P]) -> Round[Any]:
        """Return a round, its trainer not restored yet."""

    def parser(self) -> Parser:
        """Return the parser of the command."""
        made = Parser(prog=f"fusionkit train {self.name}", description=self.about)
        add_arguments(made, self.plan, self.validation, self.report)
        self.add_arguments(made)
        return made

    def main(self, arguments: Sequence[str]) -> int:
        """Train one round; return the exit code.

        Raises
        ------
        UsageError
            Something is asked for that cannot be. Nothing is written then.
        """
        started = time.perf_counter()
        args = self.parser().parse_args(arguments)
        with training_speed(args.threads):
            one = self._prepared(args)
            reason = one.run(end_of_round(args, one.trainer, started), started)
        trainer, file = one.trainer, one.folder / one.file
        steps = trainer.progress.step
        print(f"{reason}; {trainer.done:.1%} of the plan is done after {number_of(steps, 'step')}")
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, sha256 {checked_hash(file)}")
        return 0

    def _prepared(self, args: argparse.Namespace) -> Round[Any]:
        checkpoint = args.out / CHECKPOINT
        resumed = checkpoint.exists()
        if resumed and not args.resume:
            raise UsageError(f"{checkpoint}: is there already: give --resume, or another --out")
        stored = self.state(checkpoint)["plan"] if resumed else {}
        plan = chosen_plan(self.plan, stored, args)
        photographs, held_out = split(find_photographs(args.photos), args.validation)
        task = Task(args, plan, photographs, held_out, checkpoint if resumed else None)
        one = self.begin(task)
        if resumed:
            one.trainer.restore(checkpoint)
        if stored and stored != asdict(plan):
            print(f"the plan changes, from {json.dumps(stored)} to {json.dumps(asdict(plan))}")
        print(
            f"{number_of(len(photographs), 'photograph')}, {len(held_out)} held out; {one.about}; "
            f"{one.trainer.done:.1%} of the plan is done",
            flush=True,
        )
        return one


def end_of_round(args: argparse.Namespace, trainer: Trainer, started: float) -> Callable[[], bool]:
    """Return whether this round is over; its minutes count from ``started`` on."""
    first = trainer.progress.step

    def enough() -> bool:
        minutes = (time.perf_counter() - started) / 60
        over = args.minutes is not None and minutes >= args.minutes
        return over or (args.steps is not None and trainer.progress.step - first >= args.steps)

    return enough
