"""Netpbm and JPEG XL, and what formats of cameras say beside their pixels."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from skimage import data

from fusionkit import ImageError
from fusionkit.cli import main
from fusionkit.imaging import read_picture

PHOTO = data.astronaut()[40:104, 180:260]
FINE = (np.arange(64 * 80 * 3, dtype=np.uint32) * 4 % 65536).astype(np.uint16).reshape(64, 80, 3)
LARGE = b"P2\n2 2\n70000\n1 2 3 69999\n"
"""A PGM of values that no format of Netpbm may hold."""
QUICK = ["--weighting", "fixed", "--objective", "mse", "--quiet"]


@pytest.mark.parametrize(
    ("name", "image"),
    [("a.pgm", PHOTO[..., 0]), ("a.ppm", PHOTO), ("a.pgm", FINE[..., 0]), ("a.pnm", FINE)],
)
def test_netpbm(tmp_path: Path, name: str, image: np.ndarray) -> None:
    netpbmfile = pytest.importorskip("netpbmfile")
    netpbmfile.imwrite(tmp_path / name, image, maxval=np.iinfo(image.dtype).max)
    picture = read_picture(tmp_path / name)
    assert picture.dtype == image.dtype
    assert np.array_equal(picture.pixels, image)


def test_what_ends_too_early_is_said_in_words(tmp_path: Path) -> None:
    """And not in those of a library, of arrays or of files that nobody knows."""

    def said(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError) as caught:
            read_picture(tmp_path / name)
        return str(caught.value).removeprefix(f"{tmp_path}/{name}: ")

    if find_spec("netpbmfile"):
        for content in (b"P5 3 2 255\n12345", b"P2\n2 2\n9\n1 2 3", b"P6 9999 9999 255\n1"):
            assert said("a.ppm", content).endswith("it ends too early, or holds no numbers")
    if find_spec("OpenEXR"):
        found = said("a.exr", b"\x76\x2f\x31\x01" + bytes(50))
        assert found.endswith("it is damaged, or ends too early")
    if find_spec("rawpy"):
        found = said("a.dng", b"II*\0" + bytes(50))
        assert found.endswith(": Input/output error")
        assert "b'" not in found


def test_netpbm_of_other_depths(tmp_path: Path) -> None:
    pytest.importorskip("netpbmfile")
    (tmp_path / "a.pgm").write_bytes(b"P2\n# a comment\n3 2\n1000\n0 250 500\n750 1000 10\n")
    unit = read_picture(tmp_path / "a.pgm").unit()
    assert np.allclose(unit, np.array([[0, 250, 500], [750, 1000, 10]]) / 1000, atol=1e-6)
    (tmp_path / "a.pbm").write_bytes(b"P1\n3 2\n0 1 0\n1 1 0\n")  # 1 is black
    assert read_picture(tmp_path / "a.pbm").pixels.tolist() == [[255, 0, 255], [0, 0, 255]]
    header = b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 2\nMAXVAL 255\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n"
    (tmp_path / "a.pam").write_bytes(header + bytes([10, 255, 20, 0, 30, 128, 40, 255]))
    picture = read_picture(tmp_path / "a.pam")
    assert picture.pixels.tolist() == [[10, 20], [30, 40]]
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0], [128, 255]]
    for damaged in (b"P5\n300 300\n255\nabc", b"P5\n-1 3\n255\n", b"P2\n2 2\n5\n1 2 3 9\n", LARGE):
        (tmp_path / "b.pgm").write_bytes(damaged)
        with pytest.raises(ImageError, match=r"\A.*b\.pgm.*\Z"):
            read_picture(tmp_path / "b.pgm")


@pytest.mark.parametrize("image", [PHOTO, FINE, FINE[..., 0], (PHOTO / 255).astype(np.float32)])
def test_jpeg_xl(tmp_path: Path, image: np.ndarray) -> None:
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(image, lossless=True))
    picture = read_picture(tmp_path / "a.jxl")
    assert picture.dtype == image.dtype
    assert np.array_equal(picture.pixels, image)
    alpha = np.dstack([PHOTO, PHOTO[..., 0]])
    (tmp_path / "b.jxl").write_bytes(imagecodecs.jpegxl_encode(alpha, lossless=True))
    found = read_picture(tmp_path / "b.jxl")
    assert found.alpha is not None
    assert np.array_equal(found.alpha, PHOTO[..., 0])
    frames = np.stack([PHOTO, PHOTO[::-1]])
    (tmp_path / "c.jxl").write_bytes(imagecodecs.jpegxl_encode(frames, lossless=True))
    with pytest.raises(ImageError, match="2 frames"):
        read_picture(tmp_path / "c.jxl")


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("offset", [b"\0\0\0\0", b"\0\0\0\x02..", b""])
def test_exif_of_jpeg_xl(tmp_path: Path, packed: bool, offset: bytes) -> None:
    """Exif is in a box of its own, compressed or not; as some write it, without an offset."""
    image = imagecodecs.jpegxl_encode(PHOTO, lossless=True, usecontainer=True)
    exif = Image.Exif()
    exif[271], exif[274] = "Made up", 6
    content = offset + exif.tobytes().removeprefix(b"Exif\0\0")
    beside = box(b"Exif", content)
    if packed:
        beside = box(b"brob", b"Exif" + imagecodecs.brotli_encode(content))
    xmp = box(b"xml ", b"<x/>")
    (tmp_path / "a.jxl").write_bytes(image + beside + xmp)
    picture = read_picture(tmp_path / "a.jxl")
    assert picture.metadata.names == ("Make",)
    assert "XMP" in picture.metadata.left_out
    # The header says how it is turned, and no decoder turns it as Exif says once more.
    assert picture.pixels.shape == PHOTO.shape
    assert picture.orientation == 1
    assert picture.notes == ()


def header(*fields: tuple[int, int]) -> bytes:
    """Write the header of an image of 8 x 8: numbers of so many bits, the lowest bit first."""
    value, at = 0, 0
    for number, bits in ((1, 1), (0, 5), (1, 3), *fields):  # height 8, as wide as high
        value |= number << at
        at += bits
    return b"\xff\x0a" + value.to_bytes(40, "little")


DEPTH = ((0, 1), (0, 2))
"""Integers of 8 bits."""
WHOLE = ((0, 1), (0, 1), *DEPTH, (1, 1), (0, 2), (0, 1))
"""Not all as usual: 8 bits, no channels beside, not in XYB; colours follow."""
TURNED = ((0, 1), (1, 1), (5, 3), (0, 1), (0, 1), (0, 1), *DEPTH, (1, 1), (1, 2), (1, 1), (0, 1))
"""With an orientation, and alpha as it usually is."""
RGB_D65 = ((0, 1), (0, 1), (0, 2), (1, 2))
NAMED = ((0, 1),)
SIXTEEN_ON = 2  # of an enumeration: 2, and what four bits add


@pytest.mark.parametrize("start", [WHOLE, TURNED])
def test_what_jpeg_xl_says_of_colours(start: tuple[tuple[int, int], ...]) -> None:
    from fusionkit_formats.jpeg_xl import UNREAD, Colours, _colours, colours_of

    assert colours_of(header((1, 1))) == Colours()  # all as usual
    assert colours_of(header(*start, (1, 1))) == Colours()
    icc = header(*start, (0, 1), (1, 1))
    assert colours_of(icc) == Colours(icc=True)
    assert _colours(icc) == (UNREAD,)
    p3 = header(*start, *RGB_D65, (SIXTEEN_ON, 2), (9, 4), *NAMED, (SIXTEEN_ON, 2), (11, 4))
    assert colours_of(p3) == Colours(primaries=11, curve=13)
    assert _colours(p3) == ("its colours (CICP 11, 13) are taken for sRGB, without a profile",)
    pq = header(*start, *RGB_D65, (SIXTEEN_ON, 2), (7, 4), *NAMED, (SIXTEEN_ON, 2), (14, 4))
    with pytest.raises(ValueError, match="its values are PQ, of HDR"):
        _colours(pq)
    assert colours_of(b"\xff\x0a\x01") is None


def test_linear_jpeg_xl_is_told(tmp_path: Path) -> None:
    """As libjxl takes values of 16 bits to be, unless it is told otherwise."""
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(FINE, lossless=True))
    (note,) = read_picture(tmp_path / "a.jxl").notes
    assert "its colours (CICP 1, 8) are taken for sRGB" in note


def test_exif_of_a_phone_goes_to_the_result(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[271], exif[306] = "Made up", "2026:01:02 03:04:05"
    file = pillow_heif.from_bytes("RGB", PHOTO.shape[1::-1], PHOTO.tobytes())
    file.save(tmp_path / "a.heic", quality=-1, exif=exif.tobytes())
    Image.fromarray(PHOTO).save(tmp_path / "b.png")
    out = tmp_path / "o.jpg"
    sources = [str(tmp_path / "a.heic"), str(tmp_path / "b.png")]
    assert main(["run", *sources, "-o", str(out), *QUICK]) == 0
    with Image.open(out) as image:
        assert image.getexif()[271] == "Made up"
        assert 274 not in image.getexif()
    assert main(["run", *sources, "-o", str(out), *QUICK, "--no-metadata", "--overwrite"]) == 0
    assert b"Made up" not in out.read_bytes()


def test_where_a_raster_lies_is_kept_as_rasterio_reads_it(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    transform = rasterio.transform.from_origin(500000, 4100000, 10, 10)
    for name, shift in (("a.tif", 0), ("b.tif", 500)):
        values = (FINE[..., 0] // 2 + shift).astype(np.uint16)
        values[:5, :5] = 0
        about = {"crs": "EPSG:32633", "transform": transform, "nodata": 0}
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", width=80, height=64, count=1,
            dtype="uint16", compress="deflate", **about,
        ) as raster:  # fmt: skip
            raster.write(values, 1)
    out = tmp_path / "o.tif"
    sources = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    assert main(["run", *sources, "-o", str(out), *QUICK]) == 0
    with rasterio.open(out) as raster:
        assert raster.crs.to_epsg() == 32633
        assert raster.transform == transform
        assert raster.nodata == 0
        fused, seen = raster.read(1), raster.read_masks(1)
    assert fused.dtype == np.uint16
    assert not seen[:5, :5].any()
    assert seen[8:, 8:].all()
