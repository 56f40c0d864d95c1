"""What methods are given: scenes made from photographs, with or without noise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.host.fingerprint import code_of_modules

from ..photographs import Photograph, Pixels, grey, luma_of_pixels
from ..truth import (
    UNMASKED,
    Defocus,
    Noise,
    TruthScene,
    noisy,
    noisy_scene,
    oracle,
    part_of,
    truth_scene,
)

_CODE = (
    *("truth", "truth.scene", "truth.defocus", "truth.exposure", "truth.noise"),
    "photographs",
)


@dataclass(frozen=True, eq=False)
class Made:
    """A scene in memory.

    Attributes
    ----------
    sources
        K images of 8 bits, each (H, W) or (H, W, 3).
    truth
        Luma (H, W) in [0, 255], not rounded; None where nobody knows it.
    oracle
        What the true masks make of the sources, 8 bits; None where they are not known.
    sigmas
        (K,) standard deviations of the noise, of 255.
    """

    sources: tuple[Pixels, ...]
    truth: NDArray[np.float64] | None
    oracle: Pixels | None
    sigmas: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class BenchScene:
    """One thing to fuse, made when it is wanted.

    Attributes
    ----------
    name
        Scenes of one name and different seeds are repetitions, and averaged.
    seed
        Of what is random in it, and of the methods' own randomness.
    part
        ``tuning`` or ``checking``.
    record
        What it is made of, JSON-ready: together with ``code`` it decides every pixel.
    make
        Makes it.
    clean
        The same without noise, where a method's own result from it is the reference.
    """

    name: str
    seed: int
    part: str
    record: Mapping[str, Any]
    make: Callable[[], Made]
    clean: BenchScene | None = None
    code: str = field(default_factory=lambda: generator_code())

    @property
    def noisy(self) -> bool:
        """Whether noise was added."""
        return self.record.get("noise") is not None

    @property
    def count(self) -> int:
        """The number of its sources; known without making it."""
        count = self.record.get("count")
        return len(self.record["sources"]) if count is None else int(count)

    @cached_property
    def made(self) -> Made:
        """The scene; made once, until :meth:`forget`."""
        return self.make()

    def forget(self) -> None:
        """Let the images go."""
        self.__dict__.pop("made", None)


def generator_code() -> str:
    """Return a hash of the code that makes scenes."""
    return code_of_modules(tuple(f"fusionkit_benchmarks.{name}" for name in _CODE))


def truth_scenes(
    photographs: Mapping[str, Photograph],
    family: str,
    count: int,
    seeds: Sequence[int],
    *,
    defocus: Defocus,
    noise: Noise | None = None,
    in_grey: bool = False,
) -> list[BenchScene]:
    """Return the scenes of one family, number of sources and noise: photographs times seeds."""
    scenes = []
    for place, (name, read) in enumerate(photographs.items()):
        digest = _digest(read)
        for seed in seeds:
            record = {
                "family": family,
                "count": count,
                "photograph": name,
                "sha256": digest,
                "grey": in_grey,
                "seed": seed,
                "defocus": asdict(defocus) if family == "focus" else None,
                "noise": None if noise is None else asdict(noise),
            }
            make = _maker(name, read, family, count, seed, defocus, noise, in_grey)
            scenes.append(BenchScene(name, seed, part_of(place), record, make))
    return scenes


@cache
def _digest(read: Photograph) -> str:
    return hashlib.sha256(np.ascontiguousarray(read()).tobytes()).hexdigest()


def noisy_scenes(
    scenes: Sequence[BenchScene], noise: Noise, seeds: Sequence[int]
) -> list[BenchScene]:
    """Return real scenes in grey with noise; each method's clean result is its reference."""
    found = []
    for scene in scenes:
        clean = BenchScene(
            scene.name, scene.seed, scene.part, {**scene.record, "grey": True}, _in_grey(scene)
        )
        for seed in seeds:
            record = {**clean.record, "noise": asdict(noise), "seed": seed}
            make = _noisy_maker(clean, noise, seed)
            found.append(BenchScene(scene.name, seed, scene.part, record, make, clean))
    return found


def stored(unit: NDArray[Any]) -> Pixels:
    """Return values in [0, 1] as 8-bit pixels."""
    pixels: Pixels = np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
    return pixels


def _maker(
    name: str,
    read: Photograph,
    family: str,
    count: int,
    seed: int,
    defocus: Defocus,
    noise: Noise | None,
    in_grey: bool,
) -> Callable[[], Made]:
    def make() -> Made:
        photograph = grey(read()) if in_grey else read()
        scene = truth_scene(
            family, photograph, count, photograph_name=name, seed=seed, defocus=defocus
        )
        if noise is not None:
            scene = noisy_scene(scene, noise, seed)
        return _made(scene, family)

    return make


def _made(scene: TruthScene, family: str) -> Made:
    chosen = None if family in UNMASKED else stored(oracle(scene))
    truth = luma_of_pixels(255 * scene.truth)
    return Made(tuple(stored(source) for source in scene.sources), truth, chosen, scene.sigmas)


def _in_grey(scene: BenchScene) -> Callable[[], Made]:
    def make() -> Made:
        sources = tuple(grey(source) for source in scene.make().sources)
        return Made(sources, None, None, (0.0,) * len(sources))

    return make


def _noisy_maker(clean: BenchScene, noise: Noise, seed: int) -> Callable[[], Made]:
    def make() -> Made:
        sources = np.stack(clean.make().sources) / 255
        made, sigmas = noisy(sources, noise, name=clean.name, seed=seed)
        return Made(tuple(stored(source) for source in made), None, None, sigmas)

    return make
