"""How much training there is to be, and the options that say so."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from fusionkit.errors import UsageError

P = TypeVar("P", bound="Plan")


@dataclass(frozen=True)
class Plan:
    """How much training there is to be in all, in minutes of one machine or in steps.

    A training has a frozen dataclass of its own that inherits this, with its own defaults.

    Attributes
    ----------
    total
        The whole plan, over all rounds.
    unit
        ``minutes``: robust where a machine is shared; ``steps``: the same on every machine.
    peak, warm_up
        The highest learning rate, and the steps until it is reached.
    crop, batch
        Side of a crop, and crops of a step.
    """

    total: float
    unit: str = "minutes"
    peak: float = 1e-3
    warm_up: int = 100
    crop: int = 64
    batch: int = 16

    def rate(self, progress: float, step: int) -> float:
        """Return the learning rate: a warm-up, and a cosine to zero over the whole plan."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.peak * min(1.0, (step + 1) / self.warm_up) * cosine


@dataclass
class Progress:
    """How far a training has come, over all rounds.

    Attributes
    ----------
    step, minutes
        Made, and spent on them.
    """

    step: int = 0
    minutes: float = 0.0

    def of(self, plan: Plan) -> float:
        """Return the share of the plan that is done."""
        return (self.step if plan.unit == "steps" else self.minutes) / plan.total


def chosen_plan(plan: type[P], stored: Mapping[str, Any], args: argparse.Namespace) -> P:
    """Return the plan of a checkpoint, if any, with what the command line says.

    Parameters
    ----------
    plan
        The class of the plan.
    stored
        The fields of the checkpoint's, empty for a training that begins. Then a round is the
        whole plan, unless the command line says otherwise.
    args
        Of a parser with :func:`add_arguments`.

    Raises
    ------
    UsageError
        A number is not above 0, or nobody says how long to train.
    """
    given = {"peak": args.rate, "warm_up": args.warm_up, "crop": args.crop, "batch": args.batch}
    # What a plan of its own has more is an option of the same name.
    own = {each.name for each in fields(plan)} - {each.name for each in fields(Plan)}
    numbers = dict(given)
    given |= {name: getattr(args, name, None) for name in own}
    changes = {name: value for name, value in given.items() if value is not None}
    said = {"minutes": args.plan_minutes, "steps": args.plan_steps}
    if not stored and said == {"minutes": None, "steps": None}:
        said = {"minutes": args.minutes, "steps": args.steps}
    said = {unit: total for unit, total in said.items() if total is not None}
    sizes = [value for value in numbers.values() if value is not None]
    if any(value <= 0 for value in (*sizes, *said.values())):
        raise UsageError("lengths, sizes and rates of a training must be above 0")
    if said:
        unit, total = next(iter(said.items()))
        changes.update(unit=unit, total=total)
    try:
        return plan(**{**stored, **changes})
    except TypeError:
        raise UsageError("say how long to train: --minutes N, or --steps N") from None


def add_arguments(
    parser: argparse.ArgumentParser, plan: type[Plan], validation: int, report: float
) -> None:
    """Add the options that any training has: photographs, --out, --resume, --minutes, --rate ...

    Options of the plan left out are a resumed training's own.
    """
    add = parser.add_argument
    add("photos", nargs="+", metavar="PHOTOS", help="images, or folders of images")
    add("--out", required=True, type=Path, help="folder for checkpoint, log and weights")
    add("--resume", action="store_true", help="continue what is in --out, if there is anything")
    add("--minutes", type=float, help="minutes of this round")
    add("--plan-minutes", type=float, help="minutes of all rounds (default: this one's)")
    add("--steps", type=int, help="steps of this round, instead of minutes")
    add("--plan-steps", type=int, help="steps of all rounds, instead of minutes")
    add("--seed", type=int, default=0)
    add("--rate", type=float, help=f"highest learning rate (default {plan.peak:g})")
    add("--warm-up", type=int, help=f"steps until it is reached (default {plan.warm_up})")
    add("--batch", type=int, help=f"crops of a step, at first (default {plan.batch})")
    add("--crop", type=int, help=f"side of a crop, at first (default {plan.crop})")
    held_out = f"photographs held out (default {validation})"
    add("--validation", type=int, default=validation, help=held_out)
    between = f"minutes between checkpoints (default {report:g})"
    add("--report", type=float, default=report, help=between)
    add("--threads", type=int, default=1)
    add("--licence", default="not stated", help="of the weights; goes into their metadata")
    add("--manifest", type=Path, help="CSV with file, source, licence (default: MANIFEST.csv)")
