"""The command: stages one after the other, each in a process with a time of its own."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fusionkit.cli import explain
from fusionkit.cli.arguments import Parser
from fusionkit.contract.options import suggest
from fusionkit.errors import UsageError

from .stage import RESULTS, Stage, add_row, rows_of
from .summary import SUMMARY, failures, summary

LIMITS = {"check": 70.0, "speed": 100.0, "compact": 330.0, "learned": 130.0}
"""The stages in order, and the seconds that each may take: two calls, of 3 and of 8 minutes."""

GRACE = 10.0
"""Seconds between asking a stage to end, so that a training writes its weights, and ending it."""

LOG = "log.txt"

EXAMPLES = """\
examples:
  python training/gpu.py --pack build/photographs.pack photos/train
  python training/gpu.py --out runs/gpu --stages check,speed
  python training/gpu.py --out runs/gpu --stages compact,learned --data build/photographs.pack
  python training/gpu.py --out runs/toy --device cpu --toy --data build/photographs.pack
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code: 0, 1 (a check or a stage failed), or 2 (usage)."""
    try:
        args = parser().parse_args(arguments)
        if args.pack is not None:
            from .pack import write_pack

            print(write_pack(args.pack, args.photos, args.most, args.validation, args.manifest))
            return 0
        if args.out is None or args.photos:
            raise UsageError("say where to write: --out DIR; or --pack FILE PHOTOS...")
        if args.stage is not None:
            return _one(Stage(args.stage, args, args.until))
        return _all(args, arguments)
    except Exception as error:
        explained = explain(error)
        print(f"gpu: {explained}", file=sys.stderr)
        return explained.exit_code


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog="training/gpu.py",
        description="Check fusionkit on a GPU, time it, and train on it (docs/training.md).",
        epilog=EXAMPLES,
    )
    add = made.add_argument
    add("photos", nargs="*", metavar="PHOTOS", help="what to pack: images, or folders of images")
    add("--pack", type=Path, metavar="FILE", help="pack PHOTOS into a file, for --data, and end")
    add("--most", type=float, default=45, help="MiB of the pack at most (default %(default)g)")
    add("--validation", type=int, default=6, help="photographs held out (default %(default)s)")
    add("--manifest", type=Path, help="CSV with file, source, licence (default: MANIFEST.csv)")
    add("--out", type=Path, metavar="DIR", help="folder for results, weights and summary")
    add("--stages", type=_stages, default=tuple(LIMITS), help=f"default {','.join(LIMITS)}")
    shown = ",".join(f"{name}={limit:g}" for name, limit in LIMITS.items())
    add("--limits", type=_limits, default={}, help=f"seconds of each, its start too ({shown})")
    add("--device", default="cuda", help="default %(default)s")
    add("--toy", action="store_true", help="everything tiny: tries the command, not the machine")
    add("--data", type=Path, metavar="FILE", help="the pack that trainings learn from")
    add("--init", type=Path, help="weights that compact begins with (default: those that ship)")
    add("--batch", type=int, help="crops of a step of compact, at first (default 256)")
    add("--rate", type=float, help="highest learning rate of compact (default: its plan's)")
    add("--compile", action="store_true", help="compile the network of compact to train it")
    add("--licence", default="not stated", help="of the weights; goes into their metadata")
    # How the command calls itself for one stage:
    add("--stage", choices=tuple(LIMITS), help=argparse.SUPPRESS)
    add("--until", type=float, help=argparse.SUPPRESS)
    return made


def _all(args: argparse.Namespace, arguments: Sequence[str]) -> int:
    args.out.mkdir(parents=True, exist_ok=True)
    if (args.out / RESULTS).exists():
        raise UsageError(f"{args.out / RESULTS}: is there already: give another --out")
    for name in args.stages:
        began = time.time()
        ended = _process(args, arguments, name, args.limits.get(name, LIMITS[name]))
        seconds = round(time.time() - began, 1)
        add_row(args.out, {"stage": name, "ended": ended, "seconds": seconds})
        (args.out / SUMMARY).write_text(summary(rows_of(args.out)), "utf-8")
        print(f"{name}: {ended}, {seconds} s", flush=True)
    print((args.out / SUMMARY).read_text("utf-8"))
    return 1 if failures(rows_of(args.out)) else 0


def _process(args: argparse.Namespace, arguments: Sequence[str], name: str, limit: float) -> str:
    """Run one stage; return how it ended."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", __package__, *arguments, "--stage", name]
    until = time.time() + limit
    with (args.out / LOG).open("a", encoding="utf-8") as log:
        print(f"== {name}", file=log, flush=True)
        process = subprocess.Popen(
            [*command, "--until", repr(until)], env=environment, stdout=log, stderr=log
        )
        try:
            code = process.wait(until - time.time())
            return "done" if code == 0 else f"failed with {code}: see {LOG}"
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                code = process.wait(GRACE)
            except subprocess.TimeoutExpired:
                return "did not end in time"
            return "ended at its limit" if code == 0 else "did not end in time"
        finally:
            process.kill()
            process.wait()


def _one(stage: Stage) -> int:
    module = importlib.import_module(f".{stage.name}", __package__)
    module.run(stage)
    return 0


def _stages(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))
    for name in names:
        _check_stage(name)
    return tuple(dict.fromkeys(names))


def _limits(text: str) -> dict[str, float]:
    limits = {}
    for pair in filter(None, text.split(",")):
        name, _, seconds = pair.partition("=")
        _check_stage(name)
        try:
            limits[name] = float(seconds)
        except ValueError:
            limits[name] = 0.0
        if not 0 < limits[name] < float("inf"):
            raise UsageError(f"--limits {pair}: expected STAGE=SECONDS")
    return limits


def _check_stage(name: str) -> None:
    if name not in LIMITS:
        hint = suggest(name, LIMITS) or f" There are {', '.join(LIMITS)}."
        raise UsageError(f"no stage {name!r}.{hint}")
