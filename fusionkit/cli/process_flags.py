"""``--jobs``, ``--ray`` and ``--ray-gpus``: the processes that share the work of a command."""

from __future__ import annotations

import argparse
import math
import re

from ..errors import UsageError
from ..host.processes import Processes

_ADDRESS = re.compile(r"auto|local|ray://.+|[^/\s]+:\d+")


def add_process_flags(parser: argparse.ArgumentParser, does: str, jobs: str) -> None:
    """Add the flags of processes that share the work.

    Parameters
    ----------
    parser
        Gets them.
    does
        What is done on Ray: "fuse".
    jobs
        What help says of ``--jobs``.
    """
    parser.add_argument("--jobs", type=_jobs, metavar="N", help=jobs)
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        type=_address,
        metavar="ADDRESS",
        help=f"{does} on a Ray cluster instead, --jobs at a time (default: as many as it has cores "
        "for): the one at ADDRESS, the one that is found, or with local one that is started here",
    )
    parser.add_argument(
        "--ray-gpus",
        type=_gpus,
        default=0.0,
        metavar="N",
        help="GPUs of each worker on Ray; shares such as 0.5, too (default: 0)",
    )


def processes_of(given: argparse.Namespace, threads: int | None = None) -> Processes:
    """Return the processes that flags ask for, of so many threads each.

    Raises
    ------
    UsageError
        GPUs are given to workers that are none of Ray's.
    """
    if given.ray is None and given.ray_gpus:
        raise UsageError("--ray-gpus is of workers on Ray: add --ray, or leave it out")
    return Processes(given.jobs, threads, given.ray, given.ray_gpus)


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expects a number from 1, not {text!r}")
    return int(text)


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expects local, auto, HOST:PORT or ray://, not {text!r}")
    return text


def _gpus(text: str) -> float:
    try:
        count = float(text)
    except ValueError:
        count = math.nan
    if not 0 <= count < math.inf:
        raise argparse.ArgumentTypeError(f"expects a number from 0, such as 0.5, not {text!r}")
    return count
