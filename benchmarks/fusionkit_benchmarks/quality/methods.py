"""What is compared: trivial fusions, tools, published images, and :mod:`.recipes`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from fusionkit.errors import FusionkitError, ImageError
from fusionkit.evaluation.baselines import trivial_fusion
from fusionkit.host.fingerprint import code_of_modules

from ..photographs import Pixels, luma_of_pixels, read_pixels
from . import tools
from .scenes import BenchScene, Made
from .tools import Tool


@dataclass(frozen=True, eq=False)
class Fusion:
    """A fused image of 8 bits, (H, W) or (H, W, 3), and what it cost; None if nobody knows."""

    pixels: Pixels
    seconds: float | None
    nfe: float | None


class Method(Protocol):
    """One row of the tables."""

    @property
    def name(self) -> str:
        """The row's name."""
        ...

    @property
    def code(self) -> str:
        """A hash of the code that it runs."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether its images are worth keeping: they lie nowhere else."""
        ...

    @property
    def plain(self) -> Method:
        """The same without what it does against noise: what a noise-free scene is given to."""
        ...

    @property
    def reference(self) -> Method:
        """Whose result without noise its results under noise are compared with, if no truth is."""
        ...

    def missing(self) -> str | None:
        """Say why it cannot be run here, if it cannot."""
        ...

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return what decides its image of a scene beside the scene and the code, JSON-ready."""
        ...

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Fuse; raise FusionkitError if that fails."""
        ...


class Row:
    """What most methods have in common."""

    keeps = True

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def plain(self) -> Any:
        """Itself: it does nothing against noise."""
        return self

    @property
    def reference(self) -> Any:
        """What it is without noise."""
        return self.plain

    def missing(self) -> str | None:
        """Nothing is missing."""
        return None


class Trivial(Row):
    """A trivial fusion of luma, or one of the sources, rounded to 8 bits."""

    @property
    def code(self) -> str:
        """A hash of the code that it runs."""
        return code_of_modules(("fusionkit.evaluation.baselines", "fusionkit.evaluation.presets"))

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return its name."""
        return {"trivial": self.name}

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Fuse luma."""
        began = time.perf_counter()
        luma = torch.from_numpy(np.stack([luma_of_pixels(source) for source in made.sources]))
        fused = trivial_fusion(self.name, luma)
        if fused is None:
            raise FusionkitError(f"there is no {self.name}")
        return Fusion(fused.numpy().astype(np.uint8), time.perf_counter() - began, 0)


class Oracle(Row):
    """The sources joined by the true masks: what choosing can reach at most, not a method."""

    def __init__(self) -> None:
        super().__init__("true masks")

    @property
    def code(self) -> str:
        """Nothing of its own: the scene's code makes it."""
        return ""

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return its name."""
        return {"oracle": True}

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Return what came with the scene."""
        if made.oracle is None:
            raise ImageError("this scene has no true masks")
        return Fusion(made.oracle, None, None)


class External(Row):
    """A tool that people use."""

    def __init__(self, tool: Tool) -> None:
        super().__init__(tool.name)
        self.tool = tool

    @cached_property
    def _version(self) -> str | None:
        return self.tool.version()

    @property
    def code(self) -> str:
        """A hash of the code that calls it."""
        return code_of_modules((tools.__name__,))

    def missing(self) -> str | None:
        """Say so if it is not installed."""
        return None if self._version else "not installed"

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return its version and settings."""
        return {"tool": self.name, "version": self._version, "settings": self.tool.about}

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Run it."""
        sources = alike(made.sources)
        began = time.perf_counter()
        return Fusion(self.tool.fuse(sources), time.perf_counter() - began, 0)


class Published(Row):
    """Fused images that somebody else made."""

    keeps = False

    def __init__(self, name: str, files: Mapping[str, Path]) -> None:
        super().__init__(name)
        self._files = files

    @property
    def code(self) -> str:
        """Not ours."""
        return ""

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return the hash of the file."""
        return {"sha256": hashlib.sha256(self._file(scene).read_bytes()).hexdigest()}

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Read the file."""
        file = self._file(scene)
        pixels, size = read_pixels(file), made.sources[0].shape[:2]
        if pixels.shape[:2] != size:
            raise ImageError(
                f"{file} is {pixels.shape[1]}x{pixels.shape[0]}, its sources {size[1]}x{size[0]}"
            )
        return Fusion(pixels, None, None)

    def _file(self, scene: BenchScene) -> Path:
        if scene.name not in self._files:
            raise ImageError("no fused image of this name")
        return self._files[scene.name]


def alike(sources: Sequence[Pixels]) -> list[Pixels]:
    """Return sources of one shape: grey ones get three equal channels if others have colour."""
    if all(source.ndim == sources[0].ndim for source in sources):
        return list(sources)
    return [np.repeat(s[..., None], 3, -1) if s.ndim == 2 else s for s in sources]
