"""Files of other formats are called what they are, with what to do."""

from __future__ import annotations

import gzip
import struct

import pytest

from fusionkit.contract.reading import reading_with
from fusionkit.contract.registry import Registry
from fusionkit.imaging import read_picture

from .raw_files import tiff

IMAGES = {
    "GIF": b"GIF89a",
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG XL ": b"\xff\x0a\x10\x12",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "HEIC": b"\0\0\0\x18ftypheic",
    "AVIF": b"\0\0\0\x18ftypavif",
    "PBM": b"P4\n8 8\n",
    "PGM": b"P5 8 8 255\n",
    "PPM": b"P3\n# made by hand\n",
    "PFM": b"Pf\n8 8\n-1.0\n",
    "OpenEXR": b"\x76\x2f\x31\x01",
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
    "Photoshop": b"8BPS\0\1",
    "icon": b"\0\0\1\0\1\0",
    "PCX": b"\x0a\5\1\x08",
    "SGI": b"\1\xda\1\1",
    "FITS": b"SIMPLE  =                    T",
    "XML": b"<?xml version='1.0'?><a/>",
}
RAWS = {
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1",
    "RAF": b"FUJIFILMCCD-RAW 0201",
    "ORF": b"IIRO\x08\0\0\0",
    "RW2": b"IIU\0\x18\0\0\0",
    "CRW": b"II\x1a\0\0\0HEAPCCDR",
    "X3F": b"FOVb\3\0\2\0",
}
VIDEOS = {
    "mp4": b"\0\0\0\x18ftypisom\0\0\2\0",
    "mov": b"\0\0\0\x14ftypqt  \0\0\0\0",
    "avi": b"RIFF\x10\0\0\0AVI LIST",
    "mkv": b"\x1a\x45\xdf\xa3\x93B\x82\x88matroska",
    "ts": (b"G" + bytes(187)) * 3,
}
NIFTI = struct.pack("<i", 348) + bytes(340) + b"n+1\0"
VOLUMES = {
    "NIfTI": NIFTI,
    "NIfTI ": struct.pack("<i", 540) + b"n+2\0\r\n\x1a\n",
    "Analyze or NIfTI": struct.pack(">i", 348) + bytes(344),
    "DICOM": bytes(128) + b"DICM",
    "NRRD": b"NRRD0004\ntype: short\n",
}
OTHERS = {
    "PDF": (b"%PDF-1.7", "render it"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "render it"),
    "web page": (b"\xef\xbb\xbf\n<!DOCTYPE html><html>404</html>", "download the image itself"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "record of a run": (b'{\n  "fusionkit": "0.1.0",\n  "recipe": {}\n}\n', "after --recipe"),
    "MATLAB": (b"MATLAB 5.0 MAT-file", "NPY"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "NPY"),
    "zip or NPZ": (b"PK\3\4", "unpack it"),
    "gzip": (gzip.compress(b"x"), "unpack it"),
}


@pytest.fixture(autouse=True)
def _without_readers():
    """What is refused where no plugin reads it."""
    with reading_with(Registry([], [])):
        yield


@pytest.mark.parametrize("kind", IMAGES)
def test_image(refusal, kind):
    message = refusal(IMAGES[kind] + bytes(40))
    assert f": {kind.strip()} files are not supported: convert it to one of PNG, " in message


@pytest.mark.parametrize("kind", RAWS)
def test_camera_raw(refusal, kind):
    message = refusal(RAWS[kind] + bytes(40))
    assert f"camera raw ({kind}) files are not supported: develop it" in message


@pytest.mark.parametrize("kind", VIDEOS)
def test_video(refusal, kind):
    assert "video files are not supported: save the frames" in refusal(VIDEOS[kind])


@pytest.mark.parametrize("kind", VOLUMES)
def test_volume(refusal, kind):
    message = refusal(VOLUMES[kind] + bytes(40))
    assert f": {kind.strip()} files are not supported: save the slice" in message


def test_packed_volume(refusal):
    assert ": NIfTI files" in refusal(gzip.compress(NIFTI), "a.nii.gz")


@pytest.mark.parametrize("kind", OTHERS)
def test_other(refusal, kind):
    data, remedy = OTHERS[kind]
    message = refusal(data)
    no_image = kind in ("web page", "Git LFS pointer", "record of a run")
    said = f"this is a {kind}, no image" if no_image else f"{kind} files are not supported"
    assert f": {said}: " in message
    assert remedy in message


def test_by_the_extension(refusal):
    assert ": TGA files" in refusal(bytes([0, 0, 2, *[0] * 20]), "a.TGA")
    assert "no image of a supported format" in refusal(bytes([0, 0, 2, *[0] * 20]), "a.png")


def test_a_huge_file_of_another_format_is_not_read(refusal, tmp_path):
    """A film is named from its first bytes, whatever its size."""
    path = tmp_path / "a.mp4"
    with open(path, "wb") as file:
        file.write(VIDEOS["mp4"])
        file.truncate(2**43)
    assert "video files" in refusal(None, "a.mp4")


def test_an_image_is_told_by_content_first(tmp_path, make):
    path = tmp_path / "a.tga"
    path.write_bytes(tiff(make("uint8")))
    assert read_picture(path).shape == (7, 9)
