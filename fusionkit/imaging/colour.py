"""What is fused and how colour comes back: fuse luma, then re-attach chroma inside the gamut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.contract.preparation import Sources
from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging.chroma import Offsets, chroma_distance, into_gamut
from fusionkit.imaging.exposures import DARK, are_exposures, headroom
from fusionkit.imaging.geometry import check_same_size
from fusionkit.imaging.luma import Lumas, Place
from fusionkit.imaging.masks import filled
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.profiles import described, icc_channels

CHROMA_RULES = ("auto", "weights", "distance", "none")
"""What ``--chroma`` accepts beside a source number."""

_LEAST_WEIGHT = 1e-9  # of a source that shows the scene, beside those that do not
_MOST_GAIN = 8.0  # of the colour of a darker frame
_AT_ONCE = 4  # images, where sources are taken one after another
_SAY_OF_ALL = 0.1  # of a frame that does not count where the fused luma comes from


@dataclass(frozen=True, eq=False)
class ColourPlan:
    """What is fused, and how the result gets its colour. Made by `plan_colour`.

    Parameters
    ----------
    luma : Lumas, or array of float32, (K, H, W)
        What is fused, in [0, 1].
    kind : str
        "grey", "one colour source" or "several colour sources".
    chroma : str
        The rule in force: "none", "source K" (from 1), "weights" or "distance".
    layout : int
        Channels of the result, 1 or 3.
    icc : bytes or None
        The profile that describes the result: that of the sources the result takes its
        channels from, where they agree on one of the right number of channels.
    offsets : Offsets
        RGB - Y of the sources, counted from 0, that give chroma.
    exposures : bool
        Whether these are exposures of one scene: they differ in mean luma, by more than a tenth,
        and are correlated where neither is dark or clipped.
    shown : array of bool, (K, H, W), or None
        Where each source shows the scene; None where all do everywhere.
    """

    luma: Lumas | NDArray[np.float32]
    kind: str
    chroma: str
    layout: int
    icc: bytes | None
    offsets: Offsets
    exposures: bool = False
    shown: NDArray[np.bool_] | None = None

    def attach(
        self, luma: NDArray[Any], weights: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """Give the fused luma its colour.

        Parameters
        ----------
        luma : array, (H, W)
            Fused luma in [0, 1]; values outside are clipped.
        weights : array, (K, H, W), non-negative
            The fusion weights of all sources; needed by the rule "weights" only.

        Returns
        -------
        array of float64, (H, W) or (H, W, 3) by `layout`
            In [0, 1], of luma `luma`.

        Raises
        ------
        ValueError
            If the shapes do not fit the plan, or weights are needed and missing.
        """
        if luma.shape != self.luma.shape[1:]:
            raise ValueError(f"luma of shape {luma.shape}, planned for {self.luma.shape[1:]}")
        fused = np.clip(luma.astype(np.float64), 0.0, 1.0)
        if self.layout == 1:
            return fused
        if not self.offsets:
            return np.repeat(fused[..., np.newaxis], 3, axis=-1)
        return into_gamut(fused, self._offset(fused, weights))

    def of(self, sources: Sources) -> ColourPlan:
        """Return the plan for the same sources prepared: it is decided as for those read.

        Exposures that were made equally bright are none any more.
        """
        colours = {source: image.__getitem__ for source, image in sources.colour.items()}
        offsets = Offsets(colours, sources.shown)
        luma = sources.planes[:, 0]
        exposures = self.exposures and are_exposures(luma[source] for source in offsets)
        return replace(self, luma=luma, offsets=offsets, exposures=exposures, shown=sources.shown)

    def part(self, place: Place) -> ColourPlan:
        """Return the plan for these rows and columns of the whole image alone."""
        offsets = self.offsets.part(place)
        shown = None if self.shown is None else self.shown[:, *place]
        # Only some rules look at luma, which may have to be made.
        luma = self.luma.part(place) if isinstance(self.luma, Lumas) else self.luma[:, *place]
        return replace(self, luma=luma, offsets=offsets, shown=shown)

    @property
    def by_weights(self) -> bool:
        """Whether the weights alone say how much of each source's chroma is taken."""
        return len(self.offsets) > 1 and not self.exposures and self.chroma != "distance"

    @property
    def at_once(self) -> int:
        """About how many images of the size of the result it works with at once."""
        return min(len(self.offsets), _AT_ONCE) if self.by_weights else max(1, len(self.offsets))

    def record(self) -> dict[str, Any]:
        """Colour decisions for the run record, JSON-able; sources count from 1."""
        return {
            "kind": self.kind,
            "chroma": self.chroma,
            "chroma_sources": [source + 1 for source in self.offsets],
            "channels": self.layout,
            "luma": "BT.601 full range",
            "profile": None if self.icc is None else described(self.icc),
        }

    def _offset(
        self, fused: NDArray[np.float64], weights: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """Combine the sources' chroma offsets for the fused luma; (H, W, 3)."""
        if self.by_weights:
            return self._offset_by_weights(weights)
        offsets = _stacked(list(self.offsets.values()))
        shares = self._shares(offsets, weights)
        if self.exposures:
            shares = shares * np.minimum(fused / np.maximum(self._own_luma, DARK), _MOST_GAIN)
        combined: NDArray[np.float64] = (shares[..., np.newaxis] * offsets).sum(axis=0)
        return combined

    def _offset_by_weights(self, weights: NDArray[Any] | None) -> NDArray[np.float64]:
        combined = np.zeros((3, *self.luma.shape[1:]))
        for share, offset in zip(self._weighed(weights), self.offsets.values(), strict=True):
            combined += share * np.moveaxis(offset, -1, 0)
        return np.moveaxis(combined, 0, -1)

    @cached_property
    def _own_luma(self) -> NDArray[np.float64]:
        """Luma of the sources that give chroma."""
        return np.asarray(self.luma)[list(self.offsets)].astype(np.float64)

    def _shares(
        self, offsets: NDArray[np.float64], weights: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """How much of each of these offsets is taken, (K, H, W): clipped ones if all are."""
        givers = list(self.offsets)
        if len(givers) == 1:
            return np.ones(offsets.shape[:3])
        if self.exposures or self.chroma == "distance":
            luma = self._own_luma
            say = headroom(luma[..., np.newaxis] + offsets)
            if self.shown is not None:
                say = say * self.shown[givers]
        if self.chroma == "distance" and not self.exposures:
            return _normalised(say * np.stack([chroma_distance(offset) for offset in offsets]))
        if self.chroma == "distance":
            return _normalised(say * np.maximum(luma, DARK) ** 2)
        weighed = self._weighed(weights)
        # The same light, brighter: all tell the same colour, the brightest with the least noise.
        return _normalised(say * np.maximum(luma, DARK) ** 2 * (weighed + _SAY_OF_ALL))

    def _weighed(self, weights: NDArray[Any] | None) -> NDArray[np.float64]:
        """Return the weights of the sources that give chroma, of sum 1; (K, H, W)."""
        if weights is None or weights.shape != self.luma.shape:
            raise ValueError(f"chroma by weights needs weights of shape {self.luma.shape}")
        givers = list(self.offsets)
        weighed = weights[givers].astype(np.float64)
        if self.shown is not None:
            weighed = np.maximum(weighed, _LEAST_WEIGHT) * self.shown[givers]
        return _normalised(weighed)


def plan_colour(
    pictures: Sequence[Picture], chroma: str = "auto", shown: NDArray[np.bool_] | None = None
) -> ColourPlan:
    """Decide what is fused and where the colour of the result comes from.

    Parameters
    ----------
    pictures : sequence of Picture
        The K sources, of one size.
    chroma : str
        ``"auto"``: one colour source gives its chroma, several share by the fusion weights.
        ``"weights"``: by the fusion weights, renormalised over the colour sources.
        ``"distance"``: by each source's distance from neutral, pixel by pixel. Exposures of one
        scene share by how far they are from clipping and from black, and with ``"weights"`` by
        these too; their chroma is scaled to the fused luma. ``"none"``: grey output. ``"1"`` to
        ``"K"``: that source's.
        For the first two, a source that is only tinted (`Picture.is_tinted`) counts as grey,
        unless all are.
        With grey content only, the first three fuse grey and keep the richest stored layout.
    shown : array of bool, (K, H, W), optional
        Where each source shows the scene; all do everywhere by default. Elsewhere its luma is
        filled by :func:`.masks.filled`, and it gives no chroma.

    Raises
    ------
    ImageError
        If the sizes differ, or the source that should give its chroma is grey.
    UsageError
        If `chroma` is none of the rules and no source number.
    """
    check_same_size(pictures)
    colour = [source for source, picture in enumerate(pictures) if picture.is_colour]
    vivid = [source for source in colour if not pictures[source].is_tinted] or colour
    kind = ("grey", "one colour source", "several colour sources")[min(len(vivid), 2)]
    rule, givers = _resolve(pictures, chroma, colour, vivid)
    layout = 1 if chroma == "none" else max(picture.channels for picture in pictures)

    luma: Lumas | NDArray[np.float32] = Lumas(pictures)
    if shown is not None:
        luma = filled(np.asarray(luma), shown)
    described_by = [pictures[source] for source in givers] or list(pictures)
    exposures = are_exposures(luma[source] for source in givers)
    offsets = Offsets({source: pictures[source].unit for source in givers}, shown)
    icc = _shared_icc(described_by, layout)
    return ColourPlan(luma, kind, rule, layout, icc, offsets, exposures, shown)


def _resolve(
    pictures: Sequence[Picture], chroma: str, colour: list[int], vivid: list[int]
) -> tuple[str, list[int]]:
    """Resolve the option to the rule in force and the sources, from 0, that give chroma.

    `colour` are the sources of any colour, `vivid` those of more than a tint.
    """
    if chroma not in CHROMA_RULES:
        number = int(chroma) if chroma.isdecimal() else 0
        if not 1 <= number <= len(pictures):
            raise UsageError(
                f"--chroma {chroma}: choose from {', '.join(CHROMA_RULES)}, "
                f"or a source number from 1 to {len(pictures)}"
            )
        if number - 1 not in colour:
            raise ImageError(
                f"{pictures[number - 1].name}: source {number} is grey and has no chroma to give: "
                "choose another --chroma"
            )
        return f"source {number}", [number - 1]
    # By distance from neutral, a tint has as little say as it should.
    givers = colour if chroma == "distance" else vivid
    if chroma == "none" or not givers:
        return "none", []
    if len(givers) == 1:
        return f"source {givers[0] + 1}", givers
    return ("weights" if chroma == "auto" else chroma), givers


def _shared_icc(pictures: Sequence[Picture], channels: int) -> bytes | None:
    profiles = {picture.icc for picture in pictures}
    profile = profiles.pop() if len(profiles) == 1 else None
    return profile if profile and icc_channels(profile) == channels else None


def _stacked(offsets: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return K offsets as (K, H, W, 3), in memory channel by channel as well."""
    planes = np.stack([np.moveaxis(offset, -1, 0) for offset in offsets], dtype=np.float64)
    return np.moveaxis(planes, 1, -1)


def _normalised(say: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide (K, H, W), >= 0, by their sum over K, in place; where it is 0, all share equally."""
    total: NDArray[np.float64] = say.sum(axis=0)
    nobody = total <= 0
    if not nobody.any():
        say /= total
        return say
    return np.where(nobody, 1 / len(say), say / np.where(nobody, 1.0, total))
