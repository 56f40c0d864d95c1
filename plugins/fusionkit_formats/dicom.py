"""Slices of DICOM (PS3.3, C.7.6.3 and C.11), by pydicom."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from fusionkit import Decoded
from fusionkit.imaging import NO_METADATA, Grid, Metadata, by_spacing, grid_of

from .place import NO_PLACE

PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
    "ReferringPhysicianName", "FrameOfReferenceUID",
)  # fmt: skip
"""What is carried where that is asked for: results are filed with the patient, and the study."""


def decode(data: bytes, part: str) -> Decoded:
    """Decode one slice: units of the modality (Hounsfield), window as the file says.

    ``part`` is the frame, counted from 1, where there are several.

    Grey values that stand for black and white are those of the first window; without one, all
    that the stored bits can hold.
    """
    slice_ = pydicom.dcmread(BytesIO(data), force=False)
    if "PixelData" not in slice_:
        raise ValueError("this DICOM file holds no pixels")
    frames = frames_of(slice_)
    if part and not (part.isdecimal() and 1 <= int(part) <= frames):
        raise ValueError(f"there is no part {part}: its frames are #1 to #{frames}")
    if frames > 1 and not part:
        raise ValueError(f"it holds {frames} frames: say which is to be fused, such as #1")
    return decode_frame(slice_, int(part or 1) - 1)


def frames_of(slice_: Any) -> int:
    """Return how many images there are."""
    return int(slice_.get("NumberOfFrames") or 1)


def decode_frame(slice_: Any, frame: int) -> Decoded:
    """Decode one image of a file that is parsed, counted from 0."""
    for item in _of_frame(slice_, frame, _VALUES):  # as of the file itself
        slice_.update(item)
    pixels: NDArray[Any] = pixel_array(slice_, index=frame if frames_of(slice_) > 1 else None)
    metadata = _metadata(slice_, frame)
    notes = _flaws(slice_, metadata)
    if pixels.ndim == 3:
        return Decoded(pixels, notes=notes, metadata=metadata)
    values = apply_modality_lut(pixels, slice_)
    values = values.astype(np.float32) if values.dtype.kind == "f" else values
    low, high, note, _ = window_of(slice_)
    no_data = _padding(slice_)
    if slice_.PhotometricInterpretation == "MONOCHROME1":  # the lowest value is white
        values = (low + high - values.astype(np.float32)).astype(np.float32)
        no_data = None if no_data is None else low + high - no_data
    return Decoded(
        values,
        notes=(note, *notes),
        stored_range=(low, high),
        metadata=metadata,
        no_data=no_data,
    )


def _metadata(slice_: Any, frame: int) -> Metadata:
    """Return spacing, place in space, and what is said of the patient, which goes nowhere unasked.

    Elements that are empty are left out.
    """
    patient = {name: str(slice_.get(name) or "") for name in PATIENT}
    return replace(
        _spacing(slice_),
        grid=place_of(slice_, frame),
        patient={name: said for name, said in patient.items() if said},
    )


def _flaws(slice_: Any, metadata: Metadata) -> tuple[str, ...]:
    """Say what of place and spacing is left out, since it is none."""
    spacing = slice_.get("PixelSpacing") or ()
    if any(float(each) <= 0 for each in spacing):
        return (f"its PixelSpacing {list(map(float, spacing))} is no distance: it is left out",)
    return (NO_PLACE,) if metadata.grid is None and "ImagePositionPatient" in slice_ else ()


def place_of(slice_: Any, frame: int) -> Grid | None:
    """Return where a frame lies (PS3.3, C.7.6.2.1.1); None where the file does not say."""
    said = [slice_, *_of_frame(slice_, frame, _PLACES)]
    position, turned, spacing = (
        _numbers(said, name, count)
        for name, count in (
            ("ImagePositionPatient", 3),
            ("ImageOrientationPatient", 6),
            ("PixelSpacing", 2),
        )
    )
    if position is None or turned is None or spacing is None or min(spacing) <= 0:
        return None
    thick = _numbers(said, "SliceThickness", 1) or _numbers(said, "SpacingBetweenSlices", 1)
    along, down = turned[:3], turned[3:]
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = along * spacing[1], down * spacing[0]  # rows first
    matrix[:3, 2] = np.cross(along, down) * (1.0 if thick is None else abs(thick[0]) or 1.0)
    matrix[:3, 3] = position
    try:
        return grid_of(
            matrix,
            frame=_digest(slice_, "FrameOfReferenceUID"),
            series=_digest(slice_, "SeriesInstanceUID"),
            number=_instance(slice_, frame),
        )
    except ValueError:
        return None


_PLACES = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
_VALUES = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def _of_frame(slice_: Any, frame: int, names: Sequence[str]) -> list[Any]:
    """Return what enhanced DICOM says of one of its frames, and of all (PS3.3, C.7.6.16)."""
    groups = list(slice_.get("SharedFunctionalGroupsSequence") or [])
    groups += list(slice_.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    return [item for group in groups for name in names for item in group.get(name) or []]


def _instance(slice_: Any, frame: int) -> int:
    if frames_of(slice_) > 1:
        return frame + 1
    said = str(slice_.get("InstanceNumber") or "")
    return int(said) if said.isdecimal() else 0


def _numbers(said: Sequence[Any], name: str, count: int) -> NDArray[np.float64] | None:
    """Return the last so many numbers of this name, or None."""
    found = [each.get(name) for each in said if each.get(name) not in (None, "")]
    numbers = np.atleast_1d(np.array(found[-1], np.float64)) if found else np.empty(0)
    return numbers if numbers.shape == (count,) else None


def _digest(slice_: Any, name: str) -> str:
    """Return what is the same where a UID is, and does not tell it."""
    uid = str(slice_.get(name) or "")
    return hashlib.sha256(uid.encode()).hexdigest() if uid else ""


def _spacing(slice_: Any) -> Metadata:
    """Return how far pixels are apart; of an X-ray, on the detector."""
    said = slice_.get("PixelSpacing") or slice_.get("ImagerPixelSpacing")
    if not said or len(said) != 2:
        return NO_METADATA
    down, across = (float(each) for each in said)  # rows first (PS3.3, 10.7.1.3)
    return by_spacing(across, down)


def window_of(slice_: Any) -> tuple[float, float, str, bool]:
    """Return what is black and what is white, and where that is from (PS3.3, C.11.2.1.2).

    The last says whether it is of a window.
    """
    center, width = (_first(slice_.get(name)) for name in ("WindowCenter", "WindowWidth"))
    exact = str(slice_.get("VOILUTFunction") or "") == "LINEAR_EXACT"
    if exact and center is not None and width is not None and width > 0:
        low, high = center - width / 2, center + width / 2
        return low, high, f"window of the file: {center:g}, {width:g} wide", True
    if center is not None and width is not None and width > 1:
        low = center - 0.5 - (width - 1) / 2
        return low, low + width - 1, f"window of the file: {center:g}, {width:g} wide", True
    bits, signed = int(slice_.BitsStored), bool(slice_.PixelRepresentation)
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    slope, intercept = _scale(slice_)
    low, high = sorted(float(value) for value in ends * slope + intercept)
    note = f"no window in the file: {low:g} to {high:g}; --stretch K, or --range K:LO,HI"
    return low, high, note, False


def _padding(slice_: Any) -> float | None:
    """Return the value of pixels outside the scanned area, in the modality's units."""
    stored = slice_.get("PixelPaddingValue")
    if stored is None:
        return None
    slope, intercept = _scale(slice_)
    return float(stored) * slope + intercept


def _scale(slice_: Any) -> tuple[float, float]:
    slope, intercept = slice_.get("RescaleSlope"), slice_.get("RescaleIntercept")
    return (
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
    )


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    several = getattr(value, "__iter__", None)
    return float(next(iter(value))) if several is not None else float(value)
