"""Source estimates on disk, by the content that they are made of.

A folder of them may be deleted at any time, shared by processes, and copied to another
machine of the same kind. It is a place and no part of a recipe: a run computes what it
does not find there.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor

from ..errors import FusionkitWarning, UsageError, one_line
from ..imaging import atomic_write

FORMAT = 2
"""Part of every key: to be raised when the noise of sources, how they are shrunk, or what a file
holds changes."""


class EstimateCache:
    """Arrays by key, in ``FOLDER/ab/abcdef….safetensors``: much like a dictionary.

    Files appear whole or not at all, so that processes can share a folder: two that make
    the same estimate write the same file. A checksum of the key and the array tells a file that
    was damaged, and one that has another's name.

    Raises
    ------
    UsageError
        There is no such folder, and it cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"cache {folder}: this folder cannot be made: {reason}") from None
        self._writable = True

    def get(self, key: str, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Return the array of a key, or None; warn of a file that does not hold it unharmed."""
        path = self._path(key)
        try:
            found = load(path.read_bytes())
            array = found["estimate"]
            if found["crc32"] != _crc32(key, array):
                raise ValueError("its checksum is another, or it is that of another estimate")
            if array.shape != tuple(shape) or array.dtype != dtype:
                raise ValueError(f"it holds {array.dtype} {array.shape}")
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever the bytes of a damaged file lead to
            reason = one_line(error, 120)
            message = f"cache file {path} is damaged ({reason}): its estimate is computed anew"
            warnings.warn(message, FusionkitWarning, stacklevel=2)
            return None
        return array

    def put(self, key: str, array: NDArray[Any]) -> None:
        """Keep an array; a disk that refuses is warned of once, since the run is none the worse."""
        if not self._writable:
            return
        array = np.ascontiguousarray(array)
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, overwrite=True) as file:
                file.write(save({"estimate": array, "crc32": _crc32(key, array)}))
        except (OSError, UsageError) as error:
            self._writable = False
            message = f"cache {self.folder}: nothing more is kept: {error}"
            warnings.warn(message, FusionkitWarning, stacklevel=2)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


class RunCache:
    """A cache as one batch sees it: the keys are its own, and writing waits until sampling is over.

    Parameters
    ----------
    cache
        The folder.
    about
        What estimates depend on beside their source, level and noise: the estimator with its
        options and weights, precision, kind of device, dtype, libraries. JSON-ready.
    sources
        (K, B, C, H, W) in the dtype of the run. They are hashed at once, before sampling: the
        loop must not wait for values from a device.
    seeds
        (B,).
    room
        How many bytes may wait to be written.

    Attributes
    ----------
    pixels
        H W of every estimate that was found, summed.
    """

    def __init__(
        self,
        cache: EstimateCache,
        about: Mapping[str, Any],
        sources: Tensor,
        seeds: Sequence[int],
        room: int = 2**28,
    ) -> None:
        self.pixels = 0
        self._cache = cache
        self._about = {"format": FORMAT, **about}
        host = sources.detach().cpu().numpy()
        self._origins = [
            [
                {"source": _sha256(host[k, b]), "size": host.shape[-2:], "seed": seed}
                for b, seed in enumerate(seeds)
            ]
            for k in range(len(host))
        ]
        self._room = room
        self._waiting: list[tuple[str, Tensor]] = []
        self._device = sources.device

    def key(self, k: int, b: int, **level: Any) -> str:
        """Return the key of an estimate: source k of image b, at a level."""
        parts = {**self._about, **self._origins[k][b], **level}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def get(self, key: str, like: Tensor) -> Tensor | None:
        """Return an estimate with the shape, dtype and device of ``like`` (C, h, w), or None."""
        dtype = np.dtype(str(like.dtype).removeprefix("torch."))
        array = self._cache.get(key, like.shape, dtype)
        if array is None:
            return None
        self.pixels += like.shape[-2] * like.shape[-1]
        return torch.from_numpy(array).to(like.device)

    def put(self, key: str, estimate: Tensor) -> None:
        """Note an estimate to be kept; it leaves its device without anyone waiting for it."""
        self._device = estimate.device
        self._waiting.append((key, estimate.to("cpu", non_blocking=True)))
        if sum(t.numel() * t.element_size() for _, t in self._waiting) > self._room:
            self.write()

    def write(self) -> None:
        """Write what waits. An estimate that is not finite is an error to be, and not kept."""
        if self._waiting and self._device.type != "cpu":
            torch.zeros((), device=self._device).cpu()  # waits for the copies under way before it
        for key, estimate in self._waiting:
            array = estimate.numpy()
            if np.isfinite(array).all():
                self._cache.put(key, array)
        self._waiting.clear()


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _crc32(key: str, array: NDArray[Any]) -> NDArray[np.uint32]:
    return np.array([zlib.crc32(array.tobytes(), zlib.crc32(key.encode()))], np.uint32)
