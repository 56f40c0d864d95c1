"""What is carried from the first source to the result beside pixels, and what its file loses."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import UsageError
from ..imaging import ColourPlan, Picture, held
from ..imaging.metadata import NO_METADATA, UNASKED, Metadata
from ..imaging.storing import Storage
from ..recipes.settings import Settings


def carried(first: Picture, settings: Settings) -> Metadata:
    """Return what of the first source's metadata goes to the result.

    Raises
    ------
    UsageError
        What it says of a patient is asked for, and it says nothing of one.
    """
    if not settings.metadata:
        return NO_METADATA
    if not settings.keep_patient:
        return first.metadata.only(UNASKED)
    if not first.metadata.patient:
        raise UsageError(
            f"--keep-patient: {first.name} says nothing of a patient, as a DICOM file does: leave "
            "the flag out, or give that file first"
        )
    return first.metadata


def lost_on(
    path: str | os.PathLike[str], pictures: Sequence[Picture], plan: ColourPlan, storage: Storage
) -> tuple[str, ...]:
    """Say what an output of that name loses that changes what it means, or was asked for."""
    name = os.fspath(path)
    icc, metadata = held(path, plan.icc, plan.layout, storage.metadata)
    described = {picture.name for picture in pictures if picture.icc is not None}
    notes = []
    if icc is None and described:
        notes.append(f"{name}: it cannot hold the colour profile of {min(described)}")
    declared = storage.metadata.declares_no_data and not metadata.declares_no_data
    if storage.hidden is not None and declared:
        notes.append(
            f"{name}: it cannot declare the no-data value {storage.no_data:g}, which a TIFF can"
        )
    if metadata.patient != storage.metadata.patient:
        notes.append(f"{name}: it cannot hold what --keep-patient asks for, which a .dcm can")
    return tuple(notes)
