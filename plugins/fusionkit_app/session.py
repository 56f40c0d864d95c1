"""What the page asks for, done: files in, images to look at and files to keep out."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fusionkit
from fusionkit import FusionkitError, FusionkitWarning, Registry, Result, UsageError
from fusionkit.imaging import Picture, from_unit, holds_temperatures, read_picture

from .palette import PALETTES, coloured, scale

if TYPE_CHECKING:
    from fusionkit import SampledStep

SHOWN = 1600
"""Images are shown with at most so many pixels a side; what is downloaded is whole."""

MOST_FILES = 64
"""How many images one fusion may have."""

Shown = NDArray[np.uint8]


class CancelledError(FusionkitError):
    """The person does not want this fusion any more."""


@dataclass(frozen=True)
class Asked:
    """What the controls of the page say; an empty text leaves it to the recipe.

    Attributes
    ----------
    task, weighting
        As of :func:`fusionkit.fuse`; a weighting of its own leaves the rest to the task.
    align, noise, match, radiance, observe
        Values of the preparations of these names; several observations stand on lines of
        their own.
    """

    task: str = "auto"
    weighting: str = ""
    align: str = ""
    noise: str = ""
    match: str = ""
    radiance: str = ""
    observe: str = ""

    @property
    def chains(self) -> list[str]:
        """The observations, ``K:NAME...``."""
        return [line.strip() for line in self.observe.splitlines() if line.strip()]

    def settings(self) -> dict[str, Any]:
        """Return the keywords of :func:`fusionkit.fuse`."""
        said: dict[str, Any] = {
            name: value
            for name in ("weighting", "align", "noise", "match", "radiance")
            if (value := getattr(self, name).strip())
        }
        if self.chains:
            said["observe"] = self.chains
        # Decided from the images where nothing says otherwise; a weighting alone would end that.
        return {"task": self.task, **said}

    def command(self, names: Sequence[str], output: str) -> str:
        """Return the command line that makes the same image of files of these names."""
        words = ["fusionkit", "run", *map(_as_path, names), "-o", output]
        for name, value in self.settings().items():
            for text in value if name == "observe" else [value]:
                words += [f"--{name}", text]
        return shlex.join(words)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A fusion to look at and to keep.

    Attributes
    ----------
    files, result
        What was fused, and the fusion.
    image, record
        Its files: in the sources' own depth, and JSON.
    fused, sources
        (H, W, 3) in 8 bits, for the screen; of one file that is a stack there are no sources.
    warm
        By number of a source whose values are temperatures, from 0, and by palette: the source,
        and the scale.
    weights
        What each source counts, (H, W) in 8 bits.
    decided
        The task and the reason for it, in a line.
    notes
        What the person should know.
    command, recipe
        What makes the same image again: a command line, and JSON.
    """

    files: list[str]
    result: Result
    image: Path
    record: Path
    fused: Shown
    sources: list[Shown]
    warm: dict[int, dict[str, tuple[Shown, Shown]]]
    weights: list[Shown]
    decided: str
    notes: list[str]
    command: str
    recipe: str


class Session:
    """One visitor: what is being fused, and whether to go on.

    Parameters
    ----------
    folder
        Where results are written, in a folder of its own, each fusion in one of its own there.
    registry
        Where components are found.
    """

    def __init__(self, folder: Path, registry: Registry) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._registry = registry
        self._stop = threading.Event()

    def cancel(self) -> None:
        """End the fusion that is running, at its next step."""
        self._stop.set()

    def close(self) -> None:
        """Cancel, and delete what was made."""
        self.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fuse(
        self,
        files: Sequence[str],
        asked: Asked,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Outcome:
        """Fuse files.

        Parameters
        ----------
        files
            Two or more, or one that is a stack. A JPEG of a thermal camera counts with its
            temperatures, alone with its photograph too.
        asked
            How.
        on_step
            Called with the number of steps that are done, and of all.

        Raises
        ------
        FusionkitError
            Something is wrong with a file or a choice, or it was cancelled; the message is for
            people.
        """
        if not files:
            raise UsageError("choose two images or more of one scene")
        if len(files) > MOST_FILES:
            raise UsageError(f"{len(files)} images: one fusion takes {MOST_FILES} at most")
        self._stop.clear()
        files = _with_temperatures(files, self._registry)

        def stepped(step: SampledStep) -> None:
            if self._stop.is_set():
                raise CancelledError("cancelled")
            if on_step is not None:
                on_step(step.step.index + 1, step.step.run.steps)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", FusionkitWarning)
            result = fusionkit.fuse(
                list(files),
                registry=self._registry,
                on_step=stepped,
                maps=True,
                **asked.settings(),
            )
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        image = folder / ("fused.tif" if result.in_bands or _is_float(result) else "fused.png")
        result.save(image)
        maps = result.weight_maps
        pictures = [read_picture(file, masks=True) for file in files] if len(files) > 1 else []
        return Outcome(
            list(files),
            result,
            image,
            image.with_name(f"{image.name}.json"),
            _of_file(image),
            [_small(picture.on_white()) for picture in pictures],
            {k: _warm(each) for k, each in enumerate(pictures) if each.quantity},
            [_small(_eight_bit(each)) for each in maps.weights] if maps is not None else [],
            _decided(result.record),
            [str(each.message) for each in caught if issubclass(each.category, FusionkitWarning)],
            asked.command([Path(file).name for file in files], image.name),
            json.dumps(result.record["recipe"], indent=2),
        )

    def measure(self, outcome: Outcome) -> list[tuple[str, float]]:
        """Return the metrics that the fusion's recipe names."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FusionkitWarning)
            found = fusionkit.evaluate(outcome.result, outcome.files, registry=self._registry)
        return [(name, round(value, 4)) for name, value in found.items()]


def _with_temperatures(files: Sequence[str], registry: Registry) -> Sequence[str]:
    """Return files, or the parts that are meant of the only JPEG of a thermal camera."""
    warm = [file for file in files if holds_temperatures(file)]
    found = [each.component for each in registry.all(fusionkit.READER)]
    readers = [each for each in found if each.parts and each.there]
    if len(warm) != 1 or not any(warm[0].lower().endswith(each.extensions) for each in readers):
        return files
    parts = ("#visible", "#thermal") if len(files) == 1 else ("#thermal",)
    return [f"{file}{part}" for file in files for part in (parts if file in warm else ("",))]


def _warm(picture: Picture) -> dict[str, tuple[Shown, Shown]]:
    return {name: (_small(coloured(picture, name)), scale(picture, name)) for name in PALETTES}


def _decided(record: dict[str, Any]) -> str:
    task = record.get("task")
    if task is None:
        return "as chosen"
    return f"{task['name']}: {task['why']}"


def _as_path(name: str) -> str:
    """Return a name that no command takes for an option."""
    return f"./{name}" if name.startswith("-") else name


def _is_float(result: Result) -> bool:
    return bool(result.pixels.dtype.kind == "f")


def _of_file(path: str | Path) -> Shown:
    return _small(read_picture(path, masks=True).on_white())


def _eight_bit(unit: NDArray[Any]) -> Shown:
    shown: Shown = from_unit(unit, np.dtype(np.uint8), 0, 255)
    return shown


def _small(image: Shown) -> Shown:
    """Return an image that fits a screen, each pixel the mean of those that it stands for."""
    factor = max(image.shape[:2]) / SHOWN
    if factor <= 1:
        return image
    size = [max(1, round(side / factor)) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize((size[0], size[1]), Image.Resampling.BOX))
