"""First-party plugin: formats of cameras, clinics and studios, each read by its field's library.

A reader works if its library is there: ``pip install 'fusionkit-imaging[formats]'`` gets all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fusionkit import Reader, Writer, hookimpl, split_part

if TYPE_CHECKING:
    from fusionkit import Decoded
    from fusionkit.imaging import Volume

CAMERA_RAW = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc",
    ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2",
    ".srf", ".srw", ".x3f",
)  # fmt: skip

_EXTRA = "fusionkit-imaging[formats]"

_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_heif(head: bytes, name: str) -> bool:
    """Whether a file begins as HEIF does."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF and not is_avif(head, name)


def is_avif(head: bytes, name: str) -> bool:
    """Whether a file begins as AVIF does: its brand, or one of those that it is said to fit."""
    brands = head[8 : int.from_bytes(head[:4], "big")]
    return head[4:8] == b"ftyp" and any(
        brands[at : at + 4] in (b"avif", b"avis") for at in range(0, len(brands), 4)
    )


def is_dicom(head: bytes, name: str) -> bool:
    """Whether a file has the mark of DICOM behind its preamble."""
    return head[128:132] == b"DICM"


def is_exr(head: bytes, name: str) -> bool:
    """Whether a file begins as OpenEXR does."""
    return head.startswith(b"\x76\x2f\x31\x01")


def is_netpbm(head: bytes, name: str) -> bool:
    """Whether a file begins as PBM, PGM, PPM or PAM does."""
    return head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3] in b" \t\r\n#"


def is_jpeg_xl(head: bytes, name: str) -> bool:
    """Whether a file begins as JPEG XL does."""
    return head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL "))


def is_nifti(head: bytes, name: str) -> bool:
    """Whether a file begins as NIfTI does, or may unpack to it."""
    packed = head.startswith(b"\x1f\x8b") and split_part(name)[0].lower().endswith(".nii.gz")
    return packed or head[344:347] == b"n+1" or head[4:7] == b"n+2"


def is_jpeg(head: bytes, name: str) -> bool:
    """Whether a file begins as JPEG does, and parts of it are asked for."""
    return head.startswith(b"\xff\xd8\xff") and bool(split_part(name)[1])


def _apart(kind: str, data: bytes, name: str) -> Decoded:
    from .apart import decode_apart

    return decode_apart(kind, data, split_part(name)[1])


def _encode_dicom(image: Decoded, name: str) -> bytes:
    from .dicom_writing import encode

    return encode(image, name)


def _encode_nifti(image: Decoded, name: str) -> bytes:
    from .nifti_writing import encode

    return encode(image, name)


def _write_nifti(volume: Volume, file: BinaryIO, name: str) -> None:
    from .nifti_writing import write

    write(volume, file, name)


NIFTI_WRITER = Writer(
    _encode_nifti,
    ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"),
    colour=False,
    metadata=("resolution", "grid"),
    longest_side=32767,
    volume=_write_nifti,
)

DICOM_WRITER = Writer(
    _encode_dicom,
    ("uint8", "uint16", "int16", "float16", "float32", "float64"),  # floats as 16 bits and a scale
    metadata=("resolution", "grid", "patient"),
    longest_side=65535,
    no_data=True,
)


def _encode_avif(image: Decoded, name: str) -> bytes:
    from .avif import encode

    return encode(image, name)


def _volume(kind: str, name: str, room: Path) -> Volume:
    from .apart import volume_apart

    return volume_apart(kind, name, room)


def _by(kind: str) -> Callable[[bytes, str], Decoded]:
    return partial(_apart, kind)


@hookimpl
def fusionkit_readers() -> Iterable[Reader]:
    """Return the readers; what they need says which are there."""
    found = [
        ("pillow_heif", Reader(
            "heif", "photographs of phones (HEIC, HEIF)", (".heic", ".heif", ".hif"),
            _by("heif"), is_heif,
        )),
        ("rawpy", Reader("camera-raw", "raw files of cameras", CAMERA_RAW, _by("camera_raw"))),
        ("pydicom", Reader(
            "dicom", "slices of CT, MRI, ...", (".dcm",), _by("dicom"), is_dicom,
            "a frame, from 1", DICOM_WRITER, partial(_volume, "dicom_series"), folders=True,
        )),
        ("OpenEXR", Reader("exr", "linear floats (OpenEXR)", (".exr",), _by("exr"), is_exr)),
        ("nibabel", Reader(
            "nifti", "slices of volumes (NIfTI)", (".nii", ".nii.gz"), _by("nifti"), is_nifti,
            "a slice along x, y or z, such as z80; of the third of several volumes z80,t2, or t2",
            NIFTI_WRITER, partial(_volume, "nifti"),
        )),
        ("netpbmfile", Reader(
            "netpbm", "PBM, PGM, PPM, PAM", (".pbm", ".pgm", ".ppm", ".pnm", ".pam"),
            _by("netpbm"), is_netpbm,
        )),
        ("imagecodecs", Reader("jpeg-xl", "JPEG XL", (".jxl",), _by("jpeg_xl"), is_jpeg_xl)),
        ("imagecodecs", Reader(
            "avif", "AVIF", (".avif",), _by("avif"), is_avif,
            writer=Writer(_encode_avif, ("uint8",), alpha=True, longest_side=65536),
        )),
        ("flyr", Reader(
            "flir", "JPEG of FLIR's thermal cameras", (".jpg", ".jpeg"), _by("flir"), is_jpeg,
            "thermal or visible",
        )),
    ]  # fmt: skip
    return [replace(reader, needs=library, install=_EXTRA) for library, reader in found]
