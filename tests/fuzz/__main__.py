"""``python -m tests.fuzz [-n FILES] [--seed SEED] [--only WORD] [--keep FOLDER]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .campaign import campaign


def main() -> int:
    """Run a campaign; return 1 if a file did harm."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the readers.")
    parser.add_argument("-n", type=int, default=50_000, metavar="FILES", help="how many files")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--only", default="", metavar="WORD", help="in the names of the seeds")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder for findings")
    given = parser.parse_args()
    found = 0
    for read, refused, harm in campaign(given.n, given.seed, given.only):
        if harm is None:
            print(f"{read} read, {refused} refused, {found} did harm")
            continue
        found += 1
        given.keep.mkdir(parents=True, exist_ok=True)
        path = given.keep / f"{given.seed}-{harm.number}-{harm.name}"
        path.write_bytes(harm.data)
        print(f"{path}: {harm.what}")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
