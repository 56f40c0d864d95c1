"""Maps of a run as files: how much each source counts, which counts most, and depth.

All are PNG of 16 bits, but for the index, which is of 8 where that is enough. ``maps.json`` beside
them says what each is, and marks them as fusionkit's: they are no sources in a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..imaging import atomic_write, encode_picture, write_text
from .saving import MAPS_LIST, StrPath, check_folder, listed_maps, make_folder

Stored = NDArray[np.uint8] | NDArray[np.uint16]
"""An image as it is written."""

INDEX, DEPTH = "index.png", "depth.png"
_WEIGHT = "weight-{}.png"
_OURS = re.compile(r"weight-[1-9][0-9]*\.png|index\.png|depth\.png")
_WINDOW = 9
"""Side of the windows that depth is smoothed over, in pixels."""

_LEAST_SAY = 1e-4
"""Of a pixel whose weights say nothing of its depth, beside one that is taken from one source."""


@dataclass(frozen=True, eq=False)
class WeightMaps:
    """The weights of a run, and what follows from them.

    Attributes
    ----------
    weights
        (K, H, W) float32, averaged over the steps. They sum to 1 where a source shows the
        scene; 0 where one does not.
    names
        What messages call the sources.
    of_focus
        Whether the sources are frames of a focus stack, in the order of their focus.
    """

    weights: NDArray[np.float32]
    names: tuple[str, ...]
    of_focus: bool

    @classmethod
    def of(
        cls,
        weights: NDArray[np.float32],
        names: tuple[str, ...],
        shown: NDArray[np.bool_] | None,
        of_focus: bool,
    ) -> WeightMaps:
        """Make them of a run's weights; ``shown``, (K, H, W), is where sources show the scene."""
        if shown is not None:
            weights = np.where(shown, np.maximum(weights, 1e-9), np.float32(0))
            total = weights.sum(0)
            weights /= np.where(total > 0, total, 1)
        return cls(weights, names, of_focus)

    @cached_property
    def index(self) -> Stored:
        """Which source counts most, (H, W): its number from 1; 0 where none shows the scene."""
        index: NDArray[np.int64] = (self.weights.argmax(0) + 1) * self.weights.any(0)
        few = np.iinfo(np.uint8).max
        return index.astype(np.uint16) if len(self.weights) > few else index.astype(np.uint8)

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """Where the sharpest frame stands in the stack, (H, W): 0 is the first, 1 the last.

        The mean position of the frame that counts most and of its neighbours, by their weights,
        smoothed: pixels count by how far their weights are from saying nothing.
        """
        import torch

        from ..ops import box_mean

        K, H, W = self.weights.shape
        best = self.weights.argmax(0)
        rows, columns = np.ogrid[:H, :W]
        share, position = np.zeros((2, H, W), np.float32)
        for step in (-1, 0, 1):
            at = best + step
            inside = (at >= 0) & (at < K)
            weight = self.weights[at.clip(0, K - 1), rows, columns] * inside
            share += weight
            position += weight * at
        position /= np.maximum(share, 1e-9)
        told = np.maximum(self.weights.max(0) - 1 / K, 0) * self.weights.any(0)
        say = torch.from_numpy(np.square(told) + np.float32(_LEAST_SAY))
        smooth = box_mean(say * torch.from_numpy(position), _WINDOW) / box_mean(say, _WINDOW)
        depth: NDArray[np.float32] = (smooth / (K - 1)).clamp(0, 1).numpy()
        return depth

    def images(self) -> dict[str, Stored]:
        """Return what is written, by the name of its file."""
        found: dict[str, Stored] = {
            _WEIGHT.format(k): _of_16_bits(weight) for k, weight in enumerate(self.weights, 1)
        }
        found[INDEX] = self.index
        if self.of_focus:
            found[DEPTH] = _of_16_bits(self.depth)
        return found

    def save(self, folder: StrPath, overwrite: bool = False) -> None:
        """Write them into a folder, which is made if it is missing.

        Raises
        ------
        UsageError
            It holds maps and ``overwrite`` is false, or it cannot be written to.
        """
        check_maps(folder, len(self.weights), overwrite)
        place = Path(folder)
        make_folder(place)
        earlier = [name for name in listed_maps(place) if _OURS.fullmatch(name)]
        images = {name: encode_picture(name, image) for name, image in self.images().items()}
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in images.items()}
        # The list first: what is beside it is known by it, should this be interrupted.
        write_text(place / MAPS_LIST, self._list(hashes), overwrite=overwrite)
        for name, data in images.items():
            with atomic_write(place / name, overwrite=overwrite) as file:
                file.write(data)
        for name in set(earlier) - set(hashes):  # of a run of more sources
            (place / name).unlink(missing_ok=True)

    def _list(self, hashes: dict[str, str]) -> str:
        what = {
            INDEX: "the number of the source that counts most, from 1",
            DEPTH: f"0: in focus as in {self.names[0]}; 65535: as in {self.names[-1]}",
        }
        for k, name in enumerate(self.names, 1):
            what[_WEIGHT.format(k)] = f"65535: all is taken from {name}; 0: nothing"
        files = {name: {"sha256": digest, "shows": what[name]} for name, digest in hashes.items()}
        about = {"fusionkit": __version__, "maps": files}
        return json.dumps(about, indent=2, ensure_ascii=False) + "\n"


def map_names(sources: int) -> tuple[str, ...]:
    """Return the names of all files that the maps of a run may have."""
    weights = (_WEIGHT.format(k) for k in range(1, sources + 1))
    return (MAPS_LIST, INDEX, DEPTH, *weights)


def check_maps(
    folder: StrPath, sources: int, overwrite: bool = False, beside: Sequence[str] = ()
) -> None:
    """Check, before anything is computed, that maps can be written into a folder.

    Parameters and errors are as of :func:`.saving.check_folder`.
    """
    check_folder(folder, overwrite, beside, map_names(sources), "maps")


def hold_maps(folder: StrPath) -> bool:
    """Whether a folder holds the maps of a run, whole."""
    files = listed_maps(folder)
    return bool(files) and all(os.path.isfile(os.path.join(folder, name)) for name in files)


def _of_16_bits(unit: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.rint(unit.clip(0, 1) * np.float32(65535)).astype(np.uint16)
