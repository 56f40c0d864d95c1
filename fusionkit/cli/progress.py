"""Bars on stderr, at a terminal only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from ..errors import visible
from . import print_line, say, silence_stdout

if TYPE_CHECKING:
    from ..host.pipeline import Pipeline
    from ..host.scene import Scene
    from .fusing import Outcome


def bar(total: float | None, unit: str = "it", *, quiet: bool = False, form: str = "") -> Any:
    """Return tqdm's bar, which goes when it is closed; one that shows nothing if nobody looks.

    Parameters
    ----------
    total
        How much there is to do, in units; None if nobody knows.
    unit
        What is counted.
    quiet
        Whether to show nothing.
    form
        As tqdm's ``bar_format``; empty for its own.
    """
    from tqdm import tqdm

    hidden = quiet or not _seen()
    return tqdm(total=total, unit=unit, leave=False, disable=hidden, bar_format=form or None)


@contextmanager
def counted(
    total: int | None, unit: str, *, quiet: bool = False
) -> Iterator[Callable[[str], None]]:
    """Show a bar, and yield what to call with the name of each thing that is done."""
    with bar(total, unit, quiet=quiet) as shown:

        def advance(name: str) -> None:
            shown.set_description(visible(name))
            shown.update()

        yield advance


def _seen() -> bool:
    return sys.stderr.isatty()


_FORM = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
_MOST = 0.99  # of a scene, until it is written


class Progress:
    """What a command has fused so far: one bar that moves as the work is done, or events as JSON.

    Parameters
    ----------
    weights
        How much work every scene is, relative to the others, by name.
    quiet
        Whether to show no bar and no result.
    events
        Whether stdout gets a line of JSON for every event, and none for a result.
    skipped, failed
        Scenes besides that were done before, and that cannot be.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        quiet: bool,
        *,
        events: bool = False,
        skipped: int = 0,
        failed: int = 0,
    ) -> None:
        self._weights = weights
        self._quiet = quiet
        self._events = events
        self._counts = {"done": 0, "skipped": skipped, "failed": failed}
        self._items = len(weights) + skipped + failed
        self._before = 0.0
        self._pixels = 0
        self._began = time.monotonic()
        self._bar: Any = None
        if not quiet and not events and _seen():
            self._bar = bar(sum(weights.values()), form=_FORM)
        self._tell("begin")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
        self._tell("end")

    def begin(self, name: str) -> None:
        """Say which scene is next."""
        self._describe(self._ended + 1, f" {visible(name)}")

    def watch(self, scene: Scene, pipeline: Pipeline, name: str) -> Callable[[float], None] | None:
        """Return what to call with the pixels that the estimator has evaluated; None: nobody looks.

        How many there will be is counted on a thumbnail, without a network.
        """
        if self._bar is None:
            return None
        from ..host.rehearsing import rehearsed

        height, width = scene.pictures[0].shape
        images = rehearsed(pipeline, len(scene.pictures), (height, width)).nfe
        for part in pipeline.preparations.values():
            asks = getattr(part.built, "evaluations", None)
            images += asks(scene.sources) if asks is not None else 0.0
        expected = images * height * width
        done = 0.0

        def advance(pixels: float) -> None:
            nonlocal done
            done += pixels
            share = min(done / expected, _MOST) if expected else 0.0
            self._show(self._before + share * self._weights[name])

        return advance

    def end(self, outcome: Outcome) -> None:
        """Say what became of a scene, and print where its image is."""
        state = "failed" if outcome.problem is not None else "done"
        state = "skipped" if outcome.skipped else state
        self._counts[state] += 1
        self._pixels += outcome.pixels
        self._before += self._weights[outcome.name]
        self._show(self._before)
        self._describe(self._ended)
        about = {"output": outcome.output} if outcome.problem is None else {"why": outcome.problem}
        seconds = round(outcome.seconds, 3)
        self._tell("item", id=outcome.name, state=state, **about, pixels=outcome.pixels,
                   seconds=seconds)  # fmt: skip
        if outcome.line and not self._quiet and not self._events:
            self._print(outcome.line)

    def say(self, message: str) -> None:
        """Print a line about the run on stderr."""
        with self._aside():
            say(message)

    @property
    def _ended(self) -> int:
        return len(self._weights) - self._items + sum(self._counts.values())

    def _totals(self) -> dict[str, Any]:
        """Return counts and rates; the rest takes as long as what is done, by the sources' size."""
        seconds = time.monotonic() - self._began
        left = sum(self._weights.values()) - self._before
        return {
            "items": self._items,
            **self._counts,
            "elapsed_seconds": round(seconds, 3),
            "megapixels_per_second": round(self._pixels / 1e6 / seconds, 4) if seconds else None,
            "eta_seconds": round(seconds * left / self._before, 1) if self._before else None,
        }

    def _tell(self, event: str, **about: Any) -> None:
        if self._events:
            self._print(json.dumps({"event": event, **about, **self._totals()}))

    def _print(self, line: str) -> None:
        """Print a line on stdout; if that takes no more, the work goes on."""
        with self._aside():
            try:
                print_line(line, sys.stdout)
                sys.stdout.flush()
            except OSError:  # the exit code tells
                silence_stdout()

    @contextmanager
    def _aside(self) -> Iterator[None]:
        if self._bar is not None:
            self._bar.clear()
        yield
        if self._bar is not None:
            self._bar.refresh()

    def _describe(self, place: int, name: str = "") -> None:
        if self._bar is not None:
            count = f"{place}/{len(self._weights)}" if len(self._weights) > 1 else ""
            rate = self._totals()["megapixels_per_second"] if self._pixels else None
            speed = f", {rate:.2g} MP/s" if rate else ""
            self._bar.set_description_str(f"{count}{name}{speed}".strip())

    def _show(self, done: float) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
