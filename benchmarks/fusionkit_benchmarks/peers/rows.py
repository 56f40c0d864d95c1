"""Whole commands as rows: from files to a file, in a process of its own, with its seconds."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.errors import FusionkitError, ImageError
from fusionkit.host.fingerprint import code_of_modules, combined
from fusionkit.imaging import write_picture, write_text

from ..photographs import Pixels, read_pixels
from ..quality.methods import Fusion, Row
from ..quality.recipes import Recipe
from ..quality.scenes import BenchScene, Made
from .installed import Installed, Way

TIMEOUT = 900
"""Seconds after which a command is given up."""

_CODE = tuple(f"fusionkit_benchmarks.peers.{name}" for name in ("rows", "installed", "mertens"))

Line = Callable[[Sequence[Path], Path], list[str]]
"""The command line from the files of the sources to that of the result."""


class PeerRow(Row):
    """One way to call a peer."""

    def __init__(self, found: Installed, way: Way) -> None:
        super().__init__(way.name)
        self._found, self._way = found, way

    @property
    def code(self) -> str:
        """A hash of the code that calls it."""
        return code_of_modules(_CODE)

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return its version and arguments."""
        return {"peer": self._found.version, "arguments": list(self._way.arguments)}

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Run it."""
        way, place = self._way, self._found.place
        return run_command(
            self.name, made.sources, lambda sources, out: way.command(place, sources, out)
        )


class RecipeRow(Row):
    """A recipe of fusionkit by ``fusionkit run``, as a person calls it."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe.name)
        self._recipe = recipe

    @property
    def code(self) -> str:
        """That of the recipe, and of what calls it."""
        return combined(self._recipe.code, code_of_modules((__name__,)))

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return the recipe, and that it is a whole command."""
        return {"command": "fusionkit run", **self._recipe.record(scene)}

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Run it with the resolved recipe, which lies in a file."""
        return run_command(self.name, made.sources, self._line(scene.seed))

    def _line(self, seed: int) -> Line:
        recipe = json.dumps(self._recipe.recipe)

        def line(sources: Sequence[Path], out: Path) -> list[str]:
            file = out.with_name("recipe.json")
            write_text(file, recipe)
            begin = [sys.executable, "-m", "fusionkit", "run", *map(str, sources)]
            return [*begin, "-o", str(out), "--recipe", str(file), "--seed", str(seed), "--quiet"]

        return line


def run_command(name: str, sources: Sequence[Pixels], line: Line) -> Fusion:
    """Run a command on sources in files, and read the file that it writes.

    Sources are given as PNG files in colour, grey ones too, which every peer reads. The seconds are
    those of the command, from its start to its end; it has a folder of its own to run in.

    Raises
    ------
    FusionkitError
        The command ended with an error, not in time, or without an image of the sources' size.
    """
    with tempfile.TemporaryDirectory(prefix="fusionkit-peer-") as place:
        folder = Path(place)
        given = folder / "sources"
        given.mkdir()
        files = [given / f"{k}.png" for k in range(len(sources))]
        for file, source in zip(files, sources, strict=True):
            write_picture(file, np.repeat(source[..., None], 3, -1) if source.ndim == 2 else source)
        out = folder / "fused.png"
        command = line(files, out)
        began = time.perf_counter()
        _run(name, command, folder)
        seconds = time.perf_counter() - began
        if not out.is_file():
            raise FusionkitError(f"{name} ended without an image")
        pixels, size = read_pixels(out), sources[0].shape[:2]
    if pixels.shape[:2] != size:
        raise ImageError(
            f"{name} made {pixels.shape[1]}x{pixels.shape[0]} of sources of {size[1]}x{size[0]}"
        )
    return Fusion(pixels, seconds, None)


def _run(name: str, command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise FusionkitError(f"{name} did not end within {TIMEOUT} seconds") from None
    except OSError as error:
        raise FusionkitError(f"{name} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
        raise FusionkitError(f"{name} failed: {said[-1]}")
