"""The preparation ``align``: sources moved onto the first one."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fusionkit import BasePreparation, Prepared, PriorAtHand, Sources
from fusionkit.imaging import filled, luma_of

from .deciding import Lies, lying
from .edges import Array
from .flow import flow_between, opencv
from .resampling import Places, moved_picture


class Align(BasePreparation):
    """Moves sources onto the first one, whose grid is that of the fused image.

    Parameters
    ----------
    model
        ``none``, ``auto``, a key of :data:`.motion.PARAMETERS`, or ``flow``: a similarity, then
        dense optical flow.

    Raises
    ------
    UsageError
        ``flow`` without OpenCV.
    """

    stage: Literal["geometry", "radiometry", "restoration"] = "geometry"
    uses_seed = False

    def __init__(self, model: str) -> None:
        self._model = model
        if model == "flow":
            opencv()

    def prepare(self, sources: Sources, prior: PriorAtHand) -> Prepared:
        """Return the scene with its sources moved; what a moved source does not show is masked.

        Raises
        ------
        UsageError
            A model is asked for, and the motion of a source cannot be told.
        """
        if self._model == "none":
            return Prepared(sources)
        images = [seen(planes) for planes in sources.planes]
        names = sources.names
        lie = lying(images, names, rigid(self._model), sources.shown)
        height, width = images[0].shape
        record = {str(k + 1): each.record((height, width)) for k, each in enumerate(lie) if k}
        places = {
            k: places_of(images[0], images[k], each, self._model)
            for k, each in enumerate(lie)
            if each.is_moved
        }
        notes = [
            f"{names[k]}: {each.reason} on {names[0]}, so it is left as it is"
            for k, each in enumerate(lie)
            if each.reason
        ]
        if not notes and not places:
            notes = ["--align auto: every source lies on the first already, and is left as it is"]
        about = {"model": self._model, "sources": record}
        return Prepared(_moved(sources, places) if places else sources, about, notes)


def rigid(model: str) -> str:
    """Return the model of the motion that a source is moved by first."""
    return "similarity" if model == "flow" else model


def seen(planes: NDArray[np.float32]) -> Array:
    """Return what is looked at of planes (C, H, W): luma, or the mean of bands."""
    grey = luma_of(np.moveaxis(planes, 0, -1)) if len(planes) == 3 else planes.mean(0)
    return grey.astype(np.float32)


def places_of(reference: Array, source: Array, lies: Lies, model: str) -> Places:
    """Return where the reference's pixels lie in a source, with its flow if that is the model."""
    height, width = reference.shape
    places = Places(lies.matrix, (height, width))
    if model != "flow":
        return places
    flow = flow_between(reference, places.of(source[np.newaxis])[0])
    return Places(lies.matrix, (height, width), flow)


def _moved(sources: Sources, places: dict[int, Places]) -> Sources:
    """Return the scene with some sources moved."""
    planes, colour = sources.planes.copy(), dict(sources.colour)
    pictures = list(sources.pictures)
    shown = np.ones((len(planes), *planes.shape[2:]), np.bool_)
    if sources.shown is not None:
        shown = sources.shown.copy()
    for k, at in places.items():
        planes[k] = at.of(planes[k])
        shown[k] = at.shown(None if sources.shown is None else sources.shown[k])
        if k in colour:
            colour[k] = np.moveaxis(at.of(np.moveaxis(colour[k], -1, 0)), 0, -1)
        if pictures[k].measured is not None:
            pictures[k] = moved_picture(pictures[k], at)
    if shown.all():
        return replace(sources, pictures=tuple(pictures), planes=planes, colour=colour)
    for channel in range(planes.shape[1]):
        planes[:, channel] = filled(planes[:, channel], shown)
    return replace(sources, pictures=tuple(pictures), planes=planes, colour=colour, shown=shown)
