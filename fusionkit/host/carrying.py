"""What is carried from the first source to the result beside pixels, and what its file loses."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import UsageError
from ..imaging import ColourPlan, Picture, held
from ..imaging.metadata import NO_METADATA, UNASKED, Metadata
from ..imaging.storing import Storage
from ..imaging.write import declares_no_data
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


def patient_notes(pictures: Sequence[Picture], kept: bool) -> tuple[str, ...]:
    """Say where what files tell of patients goes, and where they tell of different ones."""
    telling = [picture for picture in pictures if picture.metadata.patient]
    names = [picture.name for picture in telling]
    notes = []
    if kept:
        others = f", and what {' and '.join(names[1:])} says does not" if names[1:] else ""
        notes.append(f"{names[0]}: what it says of its patient goes to the result{others}")
    elif names:
        notes.append(
            f"{', '.join(names)}: what is said of patient, study and scanner does not go to the "
            "result; --keep-patient keeps what the first source says of patient and study"
        )
    known = [each for each in telling if "PatientID" in each.metadata.patient]
    notes += [
        f"{each.name}: its patient's ID is another than that of {known[0].name}"
        for each in known[1:]
        if each.metadata.patient["PatientID"] != known[0].metadata.patient["PatientID"]
    ]
    return tuple(notes)


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
    says_itself = declares_no_data(path, plan.layout)
    if storage.hidden is not None and declared and not says_itself:
        notes.append(
            f"{name}: it cannot declare the no-data value {storage.no_data:g}, which a TIFF can"
        )
    if metadata.patient != storage.metadata.patient:
        notes.append(f"{name}: it cannot hold what --keep-patient asks for, which a .dcm can")
    return tuple(notes)
