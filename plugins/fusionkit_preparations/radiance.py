"""A bracket fused by its light: every source becomes the one picture that all of them tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from fusionkit import BasePreparation, Prepared, PriorAtHand, Sources
from fusionkit.imaging import luma_of

from .brackets import Bracket, bracket_of
from .light import fused_radiance
from .response import Array, Response
from .tone import rolled_off, toned

ONE_EXPOSURE = 0.1
"""Stops between the frames of what is no bracket."""


class Radiance(BasePreparation):
    """Makes all frames of a bracket the picture of their common light.

    Any fusion of equal images is that image, so that what follows changes nothing more.

    Parameters
    ----------
    mode
        ``auto``, or ``none`` for no change.
    response
        The camera's; None for sRGB's, or a curve that frames tell if they clearly do.
    still
        Whether nothing moves.
    """

    # After --noise, which is made by name before it, and cannot tell noise of equal frames.
    stage: Literal["geometry", "radiometry", "restoration"] = "restoration"
    uses_seed = False

    def __init__(self, mode: str, response: Response | None, still: bool) -> None:
        self._mode, self._response, self._still = mode, response, still

    def prepare(self, sources: Sources, prior: PriorAtHand) -> Prepared:
        """Return the scene, each source the picture; what is no bracket is left as it is."""
        if self._mode == "none":
            return Prepared(sources)

        def read(k: int) -> Array:
            return _frame(sources, k)

        bracket = bracket_of(
            read,
            sources.pictures,
            self._response or Response(),
            sources.shown,
            adapts=self._response is None,
        )
        used = bracket.used
        notes = [
            f"{sources.names[k]}: {why}: it does not count" for k, why in bracket.notes.items()
        ]
        if len(used) < 2:
            notes.append("--radiance: no two sources can be compared: they are left as they are")
            return Prepared(sources, _record(bracket), notes)
        if max(used.values()) - min(used.values()) < ONE_EXPOSURE:
            notes.append("--radiance: the sources are of one exposure: they are left as they are")
            return Prepared(sources, _record(bracket), notes)

        light, ghosts = fused_radiance(
            lambda k: read(list(used)[k]),
            list(used.values()),
            list(used).index(bracket.reference),
            bracket.response,
            None if sources.shown is None else sources.shown[list(used)],
            self._still,
        )
        stops = list(used.values())
        shown, tone = toned(light, bracket.response, float(np.mean(stops)), stops[0], stops[-1])
        record = {
            **_record(bracket),
            "tone": tone.record(),
            "moved": round(float(ghosts.mean()), 4),
        }
        picture = rolled_off(bracket.response.code(shown))
        return Prepared(_all(sources, picture), record, notes)


def _frame(sources: Sources, k: int) -> Array:
    """Return a source (H, W, C): in colour, if all are."""
    if len(sources.colour) == len(sources.planes):
        return sources.colour[k].clip(0, 1)
    frame: Array = np.moveaxis(sources.planes[k], 0, -1).clip(0, 1)
    return frame


def _all(sources: Sources, picture: Array) -> Sources:
    """Return the scene with every source the picture (H, W, C); colour of fewer is left."""
    planes = np.empty_like(sources.planes)
    if len(sources.colour) == len(planes):
        planes[:] = luma_of(picture).astype(np.float32)
        colour = dict.fromkeys(sources.colour, picture)
        return replace(sources, planes=planes, colour=colour)
    planes[:] = np.moveaxis(picture, -1, 0)
    return replace(sources, planes=planes)


def _record(bracket: Bracket) -> dict[str, object]:
    def rounded(values: Sequence[float | None]) -> list[float | None]:
        return [None if value is None else round(value, 3) for value in values]

    return {
        "stops": rounded(bracket.stops),
        "reference": bracket.reference + 1,
        "exif": bracket.by_exif,
        "gamma": bracket.response.gamma,
        "departure": rounded(bracket.response.departure),
    }
