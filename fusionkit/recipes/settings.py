"""The settings of a run that belong to no component: flags, recipe keys, keyword arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from ..contract.options import option


@dataclass(frozen=True)
class Settings:
    """How to sample, where to compute, how to read and write images."""

    steps: int = option(10, "Sampling steps that are run (N).", minimum=1)
    start_at: float = option(
        1.0,
        "Where to start, as a fraction of the schedule: 1 is pure noise; below 1, the "
        "noised initial fusion, which needs fewer steps.",
        above=0,
        maximum=1,
    )
    spacing: Literal["time", "log-sigma"] = option(
        "time", "Spread the steps evenly in time, or geometrically in noise level."
    )
    timesteps: tuple[int, ...] = option(
        (), "Visit exactly these time steps, decreasing, in the place of --steps.", minimum=0
    )
    eta: float = option(
        0.0, "DDIM's eta: 0 is deterministic, 1 adds the noise of DDPM.", minimum=0, maximum=1
    )
    seed: int = option(0, "Seed of the noise.", minimum=0, maximum=2**63 - 1)
    device: str = option("auto", "Where to compute: auto, cpu, cuda, cuda:N or mps.")
    precision: Literal["auto", "float64", "float32", "bfloat16", "float16"] = option(
        "auto",
        "What the estimator computes in; auto is half precision on CUDA and float32 elsewhere.",
    )
    tile: int = option(
        0,
        "Side in pixels of the overlapping tiles that larger images are evaluated in, 128 or "
        "more; 0 tiles what has more than 2 megapixels.",
        minimum=0,
    )
    noise: tuple[str, ...] = option(
        (),
        "Noise of a source to take off first, K:SIGMA, of 255: 2:10; auto: estimate every other "
        "source's; may be repeated.",
    )
    compile: Literal["off", "on"] = option(
        "off",
        "Compile the estimator's network with torch.compile, for each size of image anew: "
        "minutes, which a CPU does not earn back.",
    )
    chroma: str = option(
        "auto",
        "Where colour comes from: auto, weights, distance (from neutral), none, or a "
        "source's number.",
    )
    range: tuple[str, ...] = option(
        (), "Value range of a source, K:LO,HI: 1:0,4095 for 12-bit data; may be repeated."
    )
    stretch: tuple[int, ...] = option(
        (),
        "Take these sources' own minimum and maximum as their range, 1 or 1,2; alone, that of "
        "every source that has no --range.",
        minimum=0,
        switch=0,
    )
    depth: Literal["auto", "8", "16", "float"] = option(
        "auto", "Depth of the output; auto is the deepest of the sources."
    )
    quality: int = option(95, "Quality of a JPEG, 1 to 100.", minimum=1, maximum=100)
    metadata: bool = option(
        True,
        "Carry the first source's Exif (camera, time, position), resolution and GeoTIFF tags to "
        "the output.",
    )

    def __post_init__(self) -> None:
        if 0 < self.tile < 128:
            raise ValueError(f"tile is 0, or 128 pixels or more, not {self.tile}")
        # Whether it is there, torch knows; what it is called is said without it.
        if not re.fullmatch(r"auto|cpu|(cuda|mps)(:\d+)?|meta", self.device):
            raise ValueError(f"unknown device {self.device!r}: auto, cpu, cuda, cuda:N or mps")


class SettingsDict(TypedDict, total=False):
    """The keyword arguments of :func:`fusionkit.compose` and :func:`fusionkit.fuse`."""

    steps: int
    start_at: float
    spacing: Literal["time", "log-sigma"]
    timesteps: Sequence[int]
    eta: float
    seed: int
    device: str
    precision: Literal["auto", "float64", "float32", "bfloat16", "float16"]
    tile: int
    noise: Sequence[str]
    compile: Literal["off", "on"]
    chroma: str
    range: Sequence[str]
    stretch: bool | Sequence[int]
    depth: Literal["auto", "8", "16", "float"]
    quality: int
    metadata: bool
