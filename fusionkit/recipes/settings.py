"""The settings of a run that belong to no component: flags, recipe keys, keyword arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from ..contract.options import option, specs


@dataclass(frozen=True)
class Settings:
    """How to sample, where to compute, how to read and write images."""

    steps: int = option(10, "Sampling steps that are run (N).", minimum=1, maximum=10_000)
    start_sigma: float = option(
        80.0,
        "Noise level to start from, of images in [-1, 1]: 10 and more is pure noise; less, the "
        "noised initial fusion, which needs fewer steps.",
        above=0,
    )
    spacing: Literal["ddpm", "log-sigma", "edm"] = option(
        "ddpm", "Spread the levels as DDPM's time does, geometrically, or as EDM does."
    )
    sigmas: tuple[float, ...] = option(
        (), "Visit exactly these levels, decreasing, instead of --steps.", above=0
    )
    init: Literal["auto", "noise", "fusion"] = option(
        "auto",
        "Start a trajectory from noise, or from the noised initial fusion; auto goes by the level.",
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
    compile: Literal["off", "on"] = option(
        "off",
        "Compile the network of the estimator that is asked with torch.compile, for each size of "
        "image anew: minutes, which a CPU does not earn back.",
    )
    colour: Literal["luma", "rgb", "bands"] = option(
        "luma",
        "Fuse luminance, and attach colour afterwards; or all channels with common weights; or "
        "all bands of multispectral files (pages of a TIFF, an NPY array).",
    )
    chroma: str = option(
        "auto",
        "Where colour comes from: auto, weights, distance (from neutral), none, or a "
        "source's number.",
        only_with={"colour": ("luma",)},
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
    grid: Literal["own", "first"] = option(
        "own",
        "first: interpolate the other sources on the first one's grid, by where NIfTI and DICOM "
        "files say that they lie in space.",
        only_with={"colour": ("luma", "rgb")},
    )
    depth: Literal["auto", "8", "16", "float"] = option(
        "auto", "Depth of the output; auto is the deepest of the sources."
    )
    quality: int = option(95, "Quality of a JPEG, 1 to 100.", minimum=1, maximum=100)
    metadata: bool = option(
        True,
        "Carry the first source's Exif (camera, time, position), resolution, GeoTIFF tags and "
        "place in space to the output.",
    )
    keep_patient: bool = option(
        False,
        "Carry to a DICOM output what the first source, a DICOM file, says of patient and study; "
        "nothing else does.",
        only_with={"metadata": (True,)},
    )

    def __post_init__(self) -> None:
        if 0 < self.tile < 128:
            raise ValueError(f"tile is 0, or 128 pixels or more, not {self.tile}")
        check_device_name(self.device)


def check_device_name(name: str) -> str:
    """Return a device's name; raise ValueError if no device is called so.

    Whether it is there, torch knows; what it is called is said without it.
    """
    if not re.fullmatch(r"auto|cpu|(cuda|mps)(:\d+)?|meta", name):
        raise ValueError(f"unknown device {name!r}: auto, cpu, cuda, cuda:N or mps")
    return name


class SettingsDict(TypedDict, total=False):
    """The keyword arguments of :func:`fusionkit.compose` and :func:`fusionkit.fuse`.

    Beside settings, preparations by name: ``noise={2: 10}``; those of others go into a recipe.
    """

    steps: int
    start_sigma: float
    spacing: Literal["ddpm", "log-sigma", "edm"]
    sigmas: Sequence[float]
    init: Literal["auto", "noise", "fusion"]
    seed: int
    device: str
    precision: Literal["auto", "float64", "float32", "bfloat16", "float16"]
    tile: int
    compile: Literal["off", "on"]
    colour: Literal["luma", "rgb", "bands"]
    chroma: str
    range: Sequence[str] | Mapping[int, tuple[float, float]]
    stretch: bool | Sequence[int]
    grid: Literal["own", "first"]
    depth: Literal["auto", "8", "16", "float"]
    quality: int
    metadata: bool
    keep_patient: bool
    noise: str | Sequence[str] | Mapping[int, float] | bool


def as_recipe_has_them(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write keyword arguments as a recipe has them.

    Examples
    --------
    >>> as_recipe_has_them({"noise": {2: 10}, "range": {1: (0, 4095)}, "steps": 4})
    {'noise': ['2:10'], 'range': ['1:0,4095'], 'steps': 4}
    >>> as_recipe_has_them({"range": "1:0,4095"})
    {'range': ['1:0,4095']}
    """
    lists = {spec.name for spec in specs(Settings) if spec.many and spec.type is str}
    plain = dict(settings)
    for name, value in settings.items():
        if name in lists and isinstance(value, str):
            plain[name] = [value]
        elif isinstance(value, Mapping) and all(isinstance(key, int) for key in value):
            plain[name] = [f"{source}:{_numbers(said)}" for source, said in value.items()]
    return plain


def _numbers(said: Any) -> str:
    several = said if isinstance(said, (tuple, list)) else (said,)
    return ",".join(str(each) for each in several)
