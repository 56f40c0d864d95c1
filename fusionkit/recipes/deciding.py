"""Which task a scene is of, told from its sources by a few statistics and stated rules.

Everything is measured on brightness, on images of at most :data:`LONGEST` pixels along a side.
The order of the sources does not matter: they are sorted by their mean. The limits were chosen
on half of a collection of scenes and tried on the other half (docs/command-line.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float32]


class Frames(Protocol):
    """Brightness of K images, (K, H, W), that need not be in memory at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """K, H, W."""
        ...

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield those of one image after the other, (H, W)."""
        ...

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all."""
        ...


Hue = Literal["grey", "tint", "colour"]
"""What a source has of colour: none, hardly any, as an infrared image saved as RGB may, or some."""

LONGEST = 1024
LEAST_SIDE = 64
"""Pixels; where a side is shorter, there are too few to tell by."""

_CHANCE, _CHANCE_DEVIATION = 2 / np.pi, float(np.sqrt(1 / 2 - 4 / np.pi**2))
"""Mean and standard deviation of the absolute cosine between unrelated directions."""

_PARTS = 24  # of the longer side, for what is coarse
_DARK = 0.05  # of a source's greatest brightness
_SLACK = 0.02  # by which the brighter of two may be darker somewhere, of the range
_LEAST_DETAIL = 1e-3

_BRACKET_RATIO, _BRACKET_ORDER, _BRACKET_AGREES = 0.85, 0.97, 0.6
_SAME, _SHARPER = 0.75, 0.01
_GROUND, _BORDER, _SLICES_DIFFER = 0.3, 0.8, 0.2
_EDGES, _RECOLOURED = 6.0, 0.3


@dataclass(frozen=True)
class Statistics:
    """What a decision goes by.

    Attributes
    ----------
    ratio
        Mean of the darkest source by that of the brightest, in [0, 1].
    order
        Share of the image in which, of two sources next to one another by their means, the
        brighter one is nowhere darker; the least over such pairs, in [0, 1].
    agreement
        Mean cosine between the gradients of such two, weighed by the smaller gradient, squared;
        the least over pairs, in [-1, 1]. 1 where brightness rises and falls together.
    edges
        How far the same mean of the cosine's absolute value lies above that of unrelated
        directions, 2 / pi, in standard errors of these; the least over pairs. It is large where
        edges have one direction, whichever side is bright.
    coarse
        Root mean square difference of the sources, of parts a 24th of the longer side wide, by
        the standard deviation within a source; the greatest over all pairs, >= 0.
    sharper
        Share of the detail that is clearly sharper in one source of a pair, and in the other
        one elsewhere: the smaller of the two shares, the greatest over all pairs, in [0, 1].
    ground, border
        Share of the image, and of its border, that is dark in all sources, in [0, 1].
    """

    ratio: float
    order: float
    agreement: float
    edges: float
    coarse: float
    sharper: float
    ground: float
    border: float


@dataclass(frozen=True)
class Decision:
    """A task and why: ``statistics`` is None where nothing was measured."""

    task: str
    why: str
    statistics: Statistics | None = None

    def record(self) -> dict[str, Any]:
        """Return it JSON-ready, with numbers of three decimals."""
        numbers = {} if self.statistics is None else asdict(self.statistics)
        rounded = {name: round(value, 3) for name, value in numbers.items()}
        return {"name": self.task, "why": self.why, "statistics": rounded}


def decide(planes: Frames | Planes, hues: Sequence[Hue], alike: bool = False) -> Decision:
    """Decide which task registered sources are of; ``general`` if no rule is met.

    Parameters
    ----------
    planes
        (K, H, W), finite brightness in [0, 1].
    hues
        (K,): whether each source is in colour.
    alike
        Whether they are to be made equally bright, and so are no bracket: they are compared with
        equal means.
    """
    if alike:
        whole: Planes = np.asarray(planes)
        means = whole.mean((1, 2), keepdims=True, dtype=np.float64)
        planes = (whole * (means.mean() / np.maximum(means, 1e-6))).astype(np.float32)
    if min(planes.shape[1:]) < LEAST_SIDE:
        return Decision("general", "too small to tell")
    seen = statistics(planes)
    one_kind = "grey" not in hues or set(hues) == {"grey"}
    bracket = seen.ratio <= _BRACKET_RATIO and seen.order >= _BRACKET_ORDER
    if one_kind and bracket and seen.agreement >= _BRACKET_AGREES:
        return Decision("multi-exposure", "one frame is brighter than the next everywhere", seen)
    if one_kind and seen.coarse <= _SAME and seen.sharper >= _SHARPER:
        return Decision("multi-focus", "one brightness, and each is sharper somewhere", seen)
    on_ground = seen.ground >= _GROUND and seen.border >= _BORDER
    if on_ground and seen.coarse > _SLICES_DIFFER:
        return Decision("medical", "different pictures on a common dark ground", seen)
    in_colour = list(hues).count("colour")
    if len(hues) == 2 and in_colour < 2 and seen.edges >= _EDGES:
        if in_colour == 1 and seen.coarse > _RECOLOURED:
            return Decision("infrared-visible", "one in grey, one in colour, and they differ", seen)
        if in_colour == 0 and seen.coarse > _SAME:
            return Decision("infrared-visible", "edges of one scene, other brightness", seen)
    same = seen.coarse <= _SAME
    why = (
        "alike, and no two are each sharper somewhere"
        if same
        else "they differ in no way that a rule knows"
    )
    return Decision("general", why, seen)


def statistics(planes: Frames | Planes) -> Statistics:
    """Measure what a decision goes by: (K, H, W) in [0, 1], sides of :data:`LEAST_SIDE` or more."""
    side = -(-max(planes.shape[1:]) // LONGEST)
    reduced = [_block_means(plane[np.newaxis], side) for plane in planes]
    images: Planes = np.concatenate(reduced)
    images = images / max(float(images.max()), 1e-6)  # of 12 bits in 16, for example
    # Equal means are told apart by the pixels, so that the order they come in does not matter.
    keys = [(float(image.mean(dtype=np.float64)), image.tobytes()) for image in images]
    images = images[sorted(range(len(keys)), key=keys.__getitem__)]
    means = [mean for mean, _ in sorted(keys)]
    half = _block_means(images, 2)
    quarter = _block_means(half, 2)
    eighth = _block_means(quarter, 2)
    cosines = [_cosines(darker, brighter) for darker, brighter in pairwise(quarter)]
    told = [pair for pair in cosines if pair is not None]  # frames that are clipped tell nothing
    dark = (images < _DARK * images.max((1, 2), keepdims=True)).all(0)
    rim = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    order = [float((b >= a - _SLACK).mean()) for a, b in pairwise(eighth)]
    return Statistics(
        ratio=means[0] / max(means[-1], 1e-9),
        order=min(order, default=0.0),
        agreement=min((signed for signed, _ in told), default=0.0),
        edges=min((unsigned for _, unsigned in told), default=0.0),
        coarse=_coarse_difference(_block_means(half, max(half.shape[1:]) // _PARTS)),
        sharper=max(_each_sharper(half), _each_sharper(quarter)),
        ground=float(dark.mean()),
        border=float(rim.mean()),
    )


def _block_means(planes: Planes, side: int) -> Planes:
    """Average (K, H, W) over blocks; what is left over at the right and below is not used."""
    if side <= 1:
        return planes
    K, H, W = planes.shape
    whole = planes[:, : H // side * side, : W // side * side]
    blocks = whole.reshape(K, H // side, side, W // side, side)
    means: Planes = blocks.mean(4).mean(2)
    return means


def _cosines(one: Planes, other: Planes) -> tuple[float, float] | None:
    """Return the weighted mean cosine between two gradients, and the excess of its absolute value.

    The excess is in standard errors. None if there is no place where both have a gradient.
    """
    first, second = _gradient(one), _gradient(other)
    lengths = np.hypot(*first), np.hypot(*second)
    relative = [length / max(float(length.mean()), 1e-9) for length in lengths]
    weights = np.minimum(*relative) ** 2  # noise has no strong gradients, and edges do
    total = float(weights.sum(dtype=np.float64))
    if total <= 0:
        return None
    products = (first[0] * second[0] + first[1] * second[1]) / np.maximum(
        lengths[0] * lengths[1], 1e-12
    )
    signed = float((weights * products).sum(dtype=np.float64)) / total
    unsigned = float((weights * np.abs(products)).sum(dtype=np.float64)) / total
    error = _CHANCE_DEVIATION * float(np.linalg.norm(weights)) / total
    return signed, (unsigned - _CHANCE) / error


def _gradient(plane: Planes) -> tuple[Planes, Planes]:
    return plane[1:-1, 2:] - plane[1:-1, :-2], plane[2:, 1:-1] - plane[:-2, 1:-1]


def _coarse_difference(planes: Planes) -> float:
    """Return the greatest difference of two of (K, H, W), relative to their own deviation."""
    differences = [
        np.sqrt(np.square(one - other).mean()) / (np.sqrt((one.var() + other.var()) / 2) + 0.01)
        for one, other in combinations(planes, 2)
    ]
    return float(max(differences, default=0.0))


def _each_sharper(planes: Planes) -> float:
    """Return the share of detail of (K, H, W) that is sharper in either of two sources.

    Detail is the mean absolute Laplacian of blocks of 8 x 8, above what nine tenths of a source's
    blocks exceed: that is its noise.
    """
    inner = planes[:, 1:-1, 1:-1]
    crosses = (
        planes[:, 2:, 1:-1] + planes[:, :-2, 1:-1] + planes[:, 1:-1, 2:] + planes[:, 1:-1, :-2]
    )
    blocks = _block_means(np.abs(4 * inner - crosses), 8)
    noise = np.quantile(blocks.reshape(len(blocks), -1), 0.1, axis=1)[:, None, None]
    detail = np.maximum(blocks - noise, 0)
    most = detail.max(0)
    total = max(float(most.sum()), 1e-9)

    def share(i: int, j: int) -> float:
        margin = 0.5 * (noise[i] + noise[j]) + _LEAST_DETAIL
        return float(most[detail[i] > 1.5 * detail[j] + margin].sum()) / total

    pairs = combinations(range(len(planes)), 2)
    return max((min(share(i, j), share(j, i)) for i, j in pairs), default=0.0)
