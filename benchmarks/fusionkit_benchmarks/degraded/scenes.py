"""Clean pairs, and how their first source is degraded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit import Registry, StartedObservation
from fusionkit.contract.chain import start_chain
from fusionkit.contract.component import BuildContext
from fusionkit.recipes.observing import parse_observations

from ..photographs import Photograph, grey
from ..quality.published import published_sets
from ..truth import truth_scene

Image = NDArray[np.uint8]

DEGRADATIONS = {
    "x2": "downsample",
    "x4": "downsample",
    "blur1.6": "blur=1.6,noise=2",
    "blur3": "blur=3,noise=2",
    "mask": "mask=FILE",
    "noise10": "noise=10",
    "noise25": "noise=25",
    "all": "blur=1,downsample,noise=5,mask=FILE",
}
"""What is done to a source, as a chain of observations; FILE is a mask of 30% and a bar."""

_FACTOR = {"x2": 2, "x4": 4, "all": 2}
_MISSING = 0.3
_BAR = 16  # the bar is this part of the height


@dataclass(frozen=True, eq=False)
class Pair:
    """Two clean sources of one scene, (H, W) each."""

    name: str
    group: str
    clean: tuple[Image, Image]


@dataclass(frozen=True, eq=False)
class Degraded:
    """The first source of a pair as a poor sensor would give it.

    Attributes
    ----------
    pair
        What is clean.
    kind
        Of :data:`DEGRADATIONS`.
    image
        (h, w), rounded to 8 bits; 0 where it says nothing.
    chain
        What ``--observe`` is told.
    observation
        The same, started.
    """

    pair: Pair
    kind: str
    image: Image
    chain: str
    observation: StartedObservation

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of what is clean."""
        height, width = self.pair.clean[0].shape
        return int(height), int(width)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where it says something, (h, w)."""
        mask = self.observation.mask
        return np.ones(self.image.shape, bool) if mask is None else mask[0, 0].numpy() > 0


def pairs(
    photographs: Mapping[str, Photograph], data: Path | None, limit: int, size: int
) -> Iterator[Pair]:
    """Yield crops from the middle: focus pairs of photographs, and those of published sets.

    Parameters
    ----------
    photographs
        To make focus pairs of.
    data
        As of ``fusionkit bench quality``; None for none.
    limit
        How many of each set.
    size
        The side of crops, in pixels; a multiple of 4.
    """
    for name in sorted(photographs)[:limit]:
        scene = truth_scene("focus", grey(photographs[name]()), photograph_name=name)
        near, far = (_cropped(_eight_bit(image), size) for image in scene.sources[:2])
        yield Pair(f"focus/{name}", "focus", (near, far))
    for found in published_sets(data) if data is not None else ():
        if found.task.endswith("_stack"):
            continue
        for bench in found.bench_scenes([0], limit, None):
            one, other = (_cropped(grey(image), size) for image in bench.make().sources[:2])
            yield Pair(f"{found.name}/{bench.name}", found.name, (one, other))


def degraded(pair: Pair, kind: str, folder: Path, registry: Registry) -> Degraded:
    """Degrade the first source of a pair; its mask is written into a folder.

    Noise and holes are drawn from the names of pair and kind.
    """
    H, W = pair.clean[0].shape
    factor = _FACTOR.get(kind, 1)
    h, w = H // factor, W // factor
    digest = hashlib.sha256(f"{pair.name}\n{kind}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    chain = DEGRADATIONS[kind]
    if "FILE" in chain:
        path = folder / f"{hashlib.sha256(pair.name.encode()).hexdigest()[:8]}-{kind}.npy"
        np.save(path, _holes(h, w, random))
        chain = chain.replace("FILE", str(path))
    (said,) = parse_observations([f"1:{chain}"], 2, registry)
    built = [choice.provided.build(choice.options, BuildContext()) for choice in said.chain]
    clean = torch.from_numpy(pair.clean[0].astype(np.float32))[None, None] / 127.5 - 1
    observation = start_chain(built, clean.new_zeros(1, 1, h, w), (H, W))
    y = observation.A(clean)[0, 0].numpy() * 127.5 + 127.5
    y = y + observation.sigma * 127.5 * random.standard_normal(y.shape)
    image = np.rint(np.clip(y, 0, 255)).astype(np.uint8)
    if observation.mask is not None:
        image[observation.mask[0, 0].numpy() == 0] = 0
    return Degraded(pair, kind, image, f"1:{chain}", observation)


def _holes(h: int, w: int, random: np.random.Generator) -> Image:
    mask = np.where(random.random((h, w)) < _MISSING, 0, 255).astype(np.uint8)
    top = int(random.integers(h // 4, h // 2))
    mask[top : top + max(2, h // _BAR)] = 0
    return mask


def _eight_bit(image: NDArray[np.float64]) -> Image:
    return np.rint(255 * image).astype(np.uint8)


def _cropped(image: Image, size: int) -> Image:
    top, left = ((side - size) // 2 if side > size else 0 for side in image.shape)
    height, width = (min(size, side) // 4 * 4 for side in image.shape)
    return np.ascontiguousarray(image[top : top + height, left : left + width])
