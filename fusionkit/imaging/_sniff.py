"""Files that are not read, told by their first bytes, and what to do with each."""

from __future__ import annotations

import os

SUPPORTED = "PNG, JPEG, BMP, TIFF, WebP, NPY"
"""The formats that are read, as messages name them."""

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".npy")
"""What their files' names end in."""

HEAD = 512
"""How many bytes from the beginning tell the format."""

_CONVERT = f"convert it to one of {SUPPORTED}"
_INSTALL = "or install fusionkit-imaging[formats], which reads them"
_DEVELOP = f"develop it to a 16-bit TIFF first, with the same settings for every source, {_INSTALL}"
_FRAMES = "save the frames you mean as PNG, for example with ffmpeg"
_SLICE = "save the slice you mean as (H, W) NPY, or as a 16-bit PNG or TIFF"
_UNPACK = "unpack it first"
_RENDER = "render it to PNG first"

# Signature, where it stands, and what the file is. The first that fits counts.
_SIGNATURES: tuple[tuple[bytes, int, str, str], ...] = (
    (b"GIF8", 0, "GIF", _CONVERT),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL", f"{_CONVERT}, {_INSTALL}"),
    (b"\xff\x0a", 0, "JPEG XL", f"{_CONVERT}, {_INSTALL}"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000", _CONVERT),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000", _CONVERT),
    (b"II\xbc", 0, "JPEG XR", _CONVERT),
    (b"ftyphei", 4, "HEIC", f"{_CONVERT}, {_INSTALL}"),
    (b"ftyphev", 4, "HEIC", f"{_CONVERT}, {_INSTALL}"),
    (b"ftypmif1", 4, "HEIC or AVIF", f"{_CONVERT}, {_INSTALL}"),
    (b"ftypmsf1", 4, "HEIC or AVIF", f"{_CONVERT}, {_INSTALL}"),
    (b"ftypavi", 4, "AVIF", _CONVERT),
    (b"\x76\x2f\x31\x01", 0, "OpenEXR", f"{_CONVERT}, {_INSTALL}"),
    (b"#?RADIANCE", 0, "Radiance HDR", _CONVERT),
    (b"#?RGBE", 0, "Radiance HDR", _CONVERT),
    (b"8BPS", 0, "Photoshop", _CONVERT),
    (b"gimp xcf", 0, "GIMP", _CONVERT),
    (b"\0\0\1\0", 0, "icon", _CONVERT),
    (b"DDS ", 0, "DDS", _CONVERT),
    (b"qoif", 0, "QOI", _CONVERT),
    (b"BPG\xfb", 0, "BPG", _CONVERT),
    (b"\x0a\5\1", 0, "PCX", _CONVERT),
    (b"\1\xda", 0, "SGI", _CONVERT),
    (b"\x59\xa6\x6a\x95", 0, "Sun raster", _CONVERT),
    (b"SIMPLE  =", 0, "FITS", _CONVERT),
    (b"ftypcrx ", 4, "camera raw (CR3)", _DEVELOP),
    (b"FUJIFILMCCD-RAW", 0, "camera raw (RAF)", _DEVELOP),
    (b"IIRO", 0, "camera raw (ORF)", _DEVELOP),
    (b"IIRS", 0, "camera raw (ORF)", _DEVELOP),
    (b"MMOR", 0, "camera raw (ORF)", _DEVELOP),
    (b"IIU\0", 0, "camera raw (RW2)", _DEVELOP),
    (b"HEAPCCDR", 6, "camera raw (CRW)", _DEVELOP),
    (b"FOVb", 0, "camera raw (X3F)", _DEVELOP),
    (b"\0MRM", 0, "camera raw (MRW)", _DEVELOP),
    (b"ftyp", 4, "video", _FRAMES),
    (b"moov", 4, "video", _FRAMES),
    (b"mdat", 4, "video", _FRAMES),
    (b"AVI ", 8, "video", _FRAMES),
    (b"\x1a\x45\xdf\xa3", 0, "video", _FRAMES),
    (b"FLV\1", 0, "video", _FRAMES),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "video", _FRAMES),
    (b"\0\0\1\xba", 0, "video", _FRAMES),
    (b"\0\0\1\xb3", 0, "video", _FRAMES),
    (b"YUV4MPEG2", 0, "video", _FRAMES),
    (b"n+1\0", 344, "NIfTI", f"{_SLICE}, {_INSTALL}"),
    (b"ni1\0", 344, "NIfTI", _SLICE),
    (b"n+2\0", 4, "NIfTI", f"{_SLICE}, {_INSTALL}"),
    (b"\x5c\1\0\0", 0, "Analyze or NIfTI", _SLICE),
    (b"\0\0\1\x5c", 0, "Analyze or NIfTI", _SLICE),
    (b"DICM", 128, "DICOM", f"{_SLICE}, {_INSTALL}"),
    (b"NRRD000", 0, "NRRD", _SLICE),
    (b"ObjectType", 0, "MetaImage", _SLICE),
    (b"MATLAB 5.0", 0, "MATLAB", "save its array as (H, W) or (H, W, C) NPY"),
    (b"\x89HDF", 0, "HDF5", "save its array as (H, W) or (H, W, C) NPY"),
    (b"%PDF", 0, "PDF", _RENDER),
    (b"%!PS", 0, "PostScript", _RENDER),
    (b"\x1f\x8b", 0, "gzip", _UNPACK),
    (b"PK\3\4", 0, "zip or NPZ", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", 0, "7z", _UNPACK),
    (b"Rar!", 0, "RAR", _UNPACK),
    (b"BZh", 0, "bzip2", _UNPACK),
    (b"\xfd7zXZ", 0, "xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", 0, "Zstandard", _UNPACK),
    (b"ustar", 257, "tar", _UNPACK),
    (b'{\n  "fusionkit": "', 0, "record of a run", "give it after --recipe"),
    (b"version https://git-lfs", 0, "Git LFS pointer", "run git lfs pull to get the image itself"),
)
_NETPBM = {"1": "PBM", "2": "PGM", "3": "PPM", "4": "PBM", "5": "PGM", "6": "PPM", "7": "PAM"}
_NETPBM |= {"f": "PFM", "F": "PFM"}
_MARKUP = (
    (b"<svg", "SVG", _RENDER),
    (b"<!doctype html", "web page", "download the image itself"),
    (b"<html", "web page", "download the image itself"),
    (b"<?xml", "XML", _CONVERT),
)
_NO_IMAGES = ("web page", "Git LFS pointer", "record of a run")  # taken for an image at times
# fmt: off
_RAW_EXTENSIONS = frozenset((
    ".3fr", ".arw", ".cr2", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc",
    ".mef", ".mos", ".nef", ".nrw", ".pef", ".rwl", ".sr2", ".srf", ".srw",
))
# fmt: on


def other_format(name: str, head: bytes) -> str | None:
    """Say what a file is that no decoder reads, and what to do with it.

    Parameters
    ----------
    name : str
        Its path: a few formats show in the extension only.
    head : bytes
        Its first `HEAD` bytes.

    Returns
    -------
    str or None
        For example "GIF files are not supported: convert it to ..."; None if the content is of
        no known format.
    """
    kind, remedy = _kind(name.lower(), head)
    if kind in _NO_IMAGES:
        return f"this is a {kind}, no image: {remedy}"
    return f"{kind} files are not supported: {remedy}" if kind else None


def raw_by_extension(name: str) -> str | None:
    """Return the extension of a camera's raw files, most of which are TIFF inside, or None."""
    extension = os.path.splitext(name)[1].lower()
    return extension[1:].upper() if extension in _RAW_EXTENSIONS else None


def raw_refusal(kind: str) -> str:
    """Say that raw files of a camera are not supported, and what to do with them."""
    return f"camera raw ({kind}) files are not supported: {_DEVELOP}"


def _kind(name: str, head: bytes) -> tuple[str, str]:
    """Return the name of the format and what to do, or two empty strings."""
    if name.endswith(".nii.gz") and head[:2] == b"\x1f\x8b":
        return "NIfTI", f"{_SLICE}, {_INSTALL}"
    for signature, at, kind, remedy in _SIGNATURES:
        if head.startswith(signature, at):
            return kind, remedy
    if head[:1] == b"P" and head[2:3] in (b" ", b"\t", b"\r", b"\n", b"#"):
        kind = _NETPBM.get(chr(head[1]), "")
        return kind, f"{_CONVERT}, {_INSTALL}" if kind else ""
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        return "video", _FRAMES  # the packets of an MPEG transport stream
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, kind, remedy in _MARKUP:
        if text.startswith(signature):
            return kind, remedy
    if name.endswith(".tga"):  # it begins with no signature
        return "TGA", _CONVERT
    return "", ""
