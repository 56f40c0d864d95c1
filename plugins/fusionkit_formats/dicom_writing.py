"""Images as DICOM Secondary Capture (PS3.3, A.8), by pydicom."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pydicom.valuerep import DS

from fusionkit import Decoded

INCH = 25.4  # millimetres
FUSED = "fused by fusionkit"
"""What the description of how an image was derived says of results."""
_SHEAR = 0.1  # degrees that rows and columns may miss a right angle by
_EMPTY = (  # must be there, and may say nothing
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber",
    "PatientOrientation",
)  # fmt: skip


def encode(image: Decoded, name: str) -> bytes:
    """Return a file of one image, MONOCHROME2 or RGB, where its source lies in space.

    Integers are stored as they are; floats as 16 bits over the range, which the rescale slope
    and intercept turn into their values again, NaN as padding. The window is the range. UIDs
    derive from the content, those of series and study from what slices of one volume share.
    """
    stored = Dataset()
    _pixels(stored, image)
    _place(stored, image)
    for keyword in _EMPTY:
        setattr(stored, keyword, None)
    stored.Modality, stored.ConversionType = "OT", "WSD"
    stored.ImageType = ["DERIVED", "SECONDARY"]
    stored.DerivationDescription = FUSED
    _name(stored, image)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = stored.SOPClassUID
    meta.MediaStorageSOPInstanceUID = stored.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = "FUSIONKIT"
    stored.file_meta = meta
    file = BytesIO()
    stored.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _pixels(stored: Dataset, image: Decoded) -> None:
    """Say what pixels are, and what their values mean (C.7.6.3, C.11.1 and C.11.2)."""
    values, colour = image.pixels, image.pixels.ndim == 3
    stored.Rows, stored.Columns = values.shape[:2]
    stored.SamplesPerPixel = 3 if colour else 1
    stored.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        stored.PlanarConfiguration = 0
    padding = image.no_data if values.dtype.kind in "ui" and not colour else None
    if values.dtype.kind == "f":
        values, padding = _rescaled(stored, image)
    elif not colour and image.stored_range is not None:
        low, high = image.stored_range
        stored.WindowCenter = _ds((low + high + 1) / 2)
        stored.WindowWidth = _ds(high - low + 1)
    stored.BitsAllocated = stored.BitsStored = 8 * values.itemsize
    stored.HighBit = stored.BitsStored - 1
    stored.PixelRepresentation = int(values.dtype.kind == "i")
    if padding is not None:
        stored.PixelPaddingValue = int(padding)
    data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    stored.PixelData = data + bytes(len(data) % 2)
    stored["PixelData"].VR = "OB" if values.itemsize == 1 else "OW"


def _rescaled(stored: Dataset, image: Decoded) -> tuple[NDArray[np.uint16], float | None]:
    """Return floats as 16 bits, and which of them means no data, if there is such a pixel."""
    low, high = image.stored_range or (0.0, 1.0)
    known = np.isfinite(image.pixels)
    if image.no_data is not None:  # which of floats need not be NaN
        known &= image.pixels != image.no_data
    whole = bool(known.all())
    first = 0 if whole else 1  # 0 is then for what has no data
    unit = (np.nan_to_num(image.pixels.astype(np.float64)) - low) / (high - low)
    values = np.rint(first + unit.clip(0, 1) * (65535 - first)).astype(np.uint16)
    if image.pixels.ndim == 3:  # values have no unit
        if not known.all():
            raise ValueError("RGB has no value for pixels without data: give --chroma none")
        return values, None
    slope = (high - low) / (65535 - first)
    stored.RescaleSlope, stored.RescaleType = _ds(slope), "US"
    stored.RescaleIntercept = _ds(low - first * slope)
    stored.WindowCenter, stored.WindowWidth = _ds((low + high) / 2), _ds(high - low)
    stored.VOILUTFunction = "LINEAR_EXACT"  # from end to end, for ranges of less than a unit too
    if whole:
        return values, None
    values[~known] = 0
    return values, 0.0


def _place(stored: Dataset, image: Decoded) -> None:
    """Say where pixels lie (C.7.6.2), or how far apart they are."""
    grid, finely = image.metadata.grid, image.metadata.per_inch()
    if grid is not None:
        across, down, through = map(np.array, (grid.across, grid.down, grid.through))
        wide, high, thick = (float(np.linalg.norm(each)) for each in (across, down, through))
        angle = float(np.degrees(np.arccos(across @ down / wide / high)))
        if abs(angle - 90) > _SHEAR:
            raise ValueError(
                f"its rows and columns lie at {angle:.1f} degrees, which DICOM cannot say: use .nii"
            )
        stored.PixelSpacing = [_ds(high), _ds(wide)]
        stored.ImageOrientationPatient = [_ds(x) for x in (*across / wide, *down / high)]
        stored.ImagePositionPatient = [_ds(x) for x in grid.origin]
        stored.SliceThickness = _ds(grid.thick or thick)
        if grid.thick:
            stored.SpacingBetweenSlices = _ds(thick)
    elif finely is not None:
        stored.PixelSpacing = [_ds(INCH / finely[1]), _ds(INCH / finely[0])]


def _name(stored: Dataset, image: Decoded) -> None:
    """Give it UIDs, and, where that was asked for, what its source says of the patient."""
    stored.SOPClassUID = SecondaryCaptureImageStorage
    grid = image.metadata.grid
    about = f"{stored.Rows} {stored.Columns} {image.pixels.dtype}"
    told = f"{about} {image.stored_range} {grid}"
    content = hashlib.sha256(told.encode() + stored.PixelData).hexdigest()
    shared = content if grid is None or not grid.series else f"{grid.series} {about}"
    stored.SOPInstanceUID = _uid("instance", content)
    stored.SeriesInstanceUID = _uid("series", shared)
    stored.StudyInstanceUID = _uid("study", shared)
    if grid is not None:
        stored.InstanceNumber = grid.number or None
        stored.FrameOfReferenceUID = _uid("frame", grid.frame or shared)
        stored.PositionReferenceIndicator = None
    if image.metadata.patient:
        stored.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
        for keyword, said in image.metadata.patient.items():
            setattr(stored, keyword, said)


def _uid(what: str, source: str) -> str:
    return generate_uid(entropy_srcs=["fusionkit", what, source])


def _ds(value: Any) -> Any:
    """Return a number as DICOM writes it, in 16 characters at most."""
    return DS(float(value), auto_format=True)
