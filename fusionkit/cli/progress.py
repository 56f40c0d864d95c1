"""Bars on stderr, at a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from ..errors import visible
from . import print_line, say, silence_stdout

if TYPE_CHECKING:
    from ..host.pipeline import Pipeline
    from ..host.scene import Scene


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
    """One bar for everything that a command fuses, which moves as the work is done.

    Parameters
    ----------
    weights
        How much work every scene is, relative to the others.
    quiet
        Whether to show nothing.
    """

    def __init__(self, weights: Sequence[float], quiet: bool) -> None:
        self._weights = weights
        self._before = 0.0
        self._scene = 0
        self._bar: Any = None
        if not quiet and _seen():
            self._bar = bar(sum(weights), form=_FORM)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, name: str) -> None:
        """Say which scene is next."""
        if self._bar is not None:
            count = len(self._weights)
            place = f"{self._scene + 1}/{count} " if count > 1 else ""
            self._bar.set_description_str(f"{place}{visible(name)}")

    def watch(self, scene: Scene, pipeline: Pipeline) -> Callable[[float], None] | None:
        """Return what to call with the pixels that the estimator has evaluated; None: nobody looks.

        How many there will be is counted on a thumbnail, without a network.
        """
        if self._bar is None:
            return None
        from ..evaluation.cost import rehearsed_nfe

        height, width = scene.pictures[0].shape
        images = rehearsed_nfe(pipeline, len(scene.pictures), (height, width))
        for part in pipeline.preparations.values():
            asks = getattr(part.built, "evaluations", None)
            images += asks(scene.sources) if asks is not None else 0.0
        expected = images * height * width
        done = 0.0

        def advance(pixels: float) -> None:
            nonlocal done
            done += pixels
            self._show(min(done / expected, _MOST) if expected else 0.0)

        return advance

    def end(self) -> None:
        """Say that the scene is done with."""
        self._show(1.0)
        self._before += self._weights[self._scene]
        self._scene += 1

    def say(self, message: str) -> None:
        """Print a line about the run on stderr."""
        with self._aside():
            say(message)

    def print(self, line: str) -> None:
        """Print a line of results on stdout; if that takes no more, the work goes on."""
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

    def _show(self, share: float) -> None:
        if self._bar is not None:
            self._bar.update(self._before + share * self._weights[self._scene] - self._bar.n)
