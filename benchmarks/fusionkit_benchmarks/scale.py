"""How long folders take with many workers, simulated from the events of a real run.

``fusionkit run ... --jobs 1 --progress json > one.jsonl``, the same with ``--jobs 2`` as
``two.jsonl`` and into another folder, then ``python -m fusionkit_benchmarks.scale one.jsonl
two.jsonl``. It draws what a scene takes from the first, checks itself against the second, and
prints what 1, 2, 8, 80 and 800 workers would need for a million scenes. It takes simpy.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import simpy

from fusionkit import number_of

WORKERS = (1, 2, 8, 80, 800)


@dataclass(frozen=True)
class Machines:
    """What scenes are fused on.

    Attributes
    ----------
    workers
        How many scenes are fused at a time.
    start
        Seconds until a worker has loaded its models.
    megabytes, bandwidth
        What the sources of a scene hold, and megabytes a second that the store gives to all.
    lost
        How often in an hour a worker is taken away, and begins anew, with its scene.
    """

    workers: int
    start: float = 5.0
    megabytes: float = 0.0
    bandwidth: float = float("inf")
    lost: float = 0.0


def simulated(seconds: Sequence[float], scenes: int, machines: Machines, seed: int = 0) -> float:
    """Return how many seconds scenes take in all, each of what was measured for some scene.

    A worker takes the next scene when it is free. Scenes are drawn from ``seconds``; as many as
    there are of them, they are these, in their order.
    """
    chance = random.Random(seed)
    drawn = seconds if scenes == len(seconds) else chance.choices(seconds, k=scenes)
    env: Any = simpy.Environment()
    store = simpy.Resource(env)
    coming = iter(drawn)
    reading = machines.megabytes / machines.bandwidth

    def work() -> Iterator[Any]:
        yield env.timeout(machines.start)
        left = _life(chance, machines)
        for takes in coming:
            while True:
                if reading:
                    with store.request() as turn:
                        yield turn
                        yield env.timeout(reading)
                if takes < left:
                    break
                yield env.timeout(left + machines.start)
                left = _life(chance, machines)
            yield env.timeout(takes)
            left -= takes

    for _ in range(machines.workers):
        env.process(work())
    env.run()
    return float(env.now)


def _life(chance: random.Random, machines: Machines) -> float:
    """Return after how many seconds a worker is taken away."""
    return chance.expovariate(machines.lost / 3600) if machines.lost else float("inf")


def measured(path: Path) -> tuple[list[float], float]:
    """Return the seconds of each scene, and of all together, that a run has told."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    seconds = [event["seconds"] for event in events if event.get("state") == "done"]
    return seconds, float(events[-1]["elapsed_seconds"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("one", type=Path, help="events of a run with --jobs 1")
    parser.add_argument("two", type=Path, help="events of the same with --jobs 2")
    parser.add_argument("--scenes", type=int, default=1_000_000)
    given = parser.parse_args()
    seconds, elapsed = measured(given.one)
    start = max(0.0, elapsed - sum(seconds))
    of_two, together = measured(given.two)
    again = simulated(of_two, len(of_two), Machines(2, start))
    print(f"1 worker: {elapsed:.1f} s measured, of which {start:.1f} s until it began")
    print(f"2 workers: {together:.1f} s measured, {again:.1f} s simulated from what scenes took")
    print(f"speed of 2 workers: {elapsed / together:.2f} times that of 1")
    mean = sum(seconds) / len(seconds)
    skewed = [*seconds * 99, *[100 * each for each in seconds]]
    cases = {
        "as measured": (seconds, {}),
        "1 in 100 takes 100 times as long": (skewed, {}),
        "store of 1 GB/s, 2 MB a scene": (seconds, {"megabytes": 2.0, "bandwidth": 1000.0}),
        "a worker is lost every 2 hours": (seconds, {"lost": 0.5}),
    }
    share = max(1, given.scenes // 100_000)  # simulated in part; the rest is more of the same
    print(f"hours for {number_of(given.scenes, 'scene')} of {mean:.2f} s, by workers {WORKERS}:")
    for name, (drawn, how) in cases.items():
        took = [simulated(drawn, given.scenes // share, Machines(n, start, **how)) for n in WORKERS]
        hours = [(start + share * (each - start)) / 3600 for each in took]
        print(f"{name}: {', '.join(f'{each:.3g}' for each in hours)}")


if __name__ == "__main__":
    main()
