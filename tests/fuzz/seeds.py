"""Small valid files of every format and layout that is read, by name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import tifffile
from PIL import Image, ImageCms

from fusionkit.imaging import encode_picture
from fusionkit.imaging.metadata import from_exif

from ..imaging.raw_files import bmp_of_runs, encoded, npy, png, png16, tiff

_HEIGHT, _WIDTH = 20, 24


def seeds() -> dict[str, bytes]:
    """Return the files; what they hold is the same in every run."""
    return dict([*_tiffs(), *_pngs(), *_pillows(), *_npys()])


def scene(dtype: str = "uint8", channels: int = 1) -> np.ndarray:
    """A smooth scene with some noise, over most of the range of a dtype."""
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH]
    noise = np.random.default_rng(0).random((_HEIGHT, _WIDTH))
    grey = 0.5 + 0.2 * np.sin(columns / 3) + 0.2 * np.cos(rows / 4) + 0.1 * (noise - 0.5)
    shares = 1 - 0.2 * np.arange(channels)
    image = grey if channels == 1 else grey[..., np.newaxis] * shares
    kind = np.dtype(dtype)
    return (
        image.astype(kind) if kind.kind == "f" else np.rint(image * np.iinfo(kind).max).astype(kind)
    )


def _tiffs() -> Iterator[tuple[str, bytes]]:
    for compression in (None, "lzw", "zlib", "deflate", "packbits", "zstd", "jpeg"):
        layouts = {"strip": {}, "strips": {"rowsperstrip": 4}, "tiles": {"tile": (16, 16)}}
        for layout, options in layouts.items():
            if compression == "jpeg" and layout == "strips":
                options = {"rowsperstrip": 16}
            common = {"compression": compression, "metadata": None, **options}
            name = f"{compression}-{layout}"
            yield f"tiff-grey-{name}", tiff(scene(), **common)
            yield f"tiff-rgb-{name}", tiff(scene(channels=3), photometric="rgb", **common)
            if compression == "jpeg":
                continue
            deep = scene("uint16", 3)
            yield (
                f"tiff-16-{name}",
                tiff(deep, photometric="rgb", predictor=bool(compression), **common),
            )
            float_scene = scene("float32")
            yield f"tiff-float-{name}", tiff(float_scene, predictor=bool(compression), **common)
    planes = np.moveaxis(scene(channels=3), -1, 0)
    for compression in (None, "lzw", "jpeg"):
        options = {"photometric": "rgb", "planarconfig": "separate", "compression": compression}
        yield f"tiff-planes-{compression}", tiff(planes, **options)
    yield "tiff-big-endian", tiff(scene("uint16"), byteorder=">")
    yield "tiff-bigtiff", tiff(scene("uint16", 3), photometric="rgb", bigtiff=True)
    alpha = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    yield "tiff-alpha", tiff(scene(channels=4), compression="lzw", **alpha)
    yield "tiff-profile", tiff(scene(channels=3), photometric="rgb", iccprofile=_profile())
    turned = [(274, "H", 1, 6)]
    yield "tiff-turned", tiff(scene(channels=3), photometric="rgb", extratags=turned)
    geo = [(33550, "d", 3, (10.0, 10.0, 0.0)), (34735, "H", 4, (1, 1, 0, 0))]
    yield "tiff-place", tiff(scene("uint16"), resolution=(300, 300), extratags=geo)
    with_exif = from_exif(_exif())
    yield "tiff-exif", encode_picture("a.tif", scene(channels=3), metadata=with_exif)
    yield "tiff-cmyk", tiff(scene(channels=4), photometric="separated", compression="zlib")
    yield "tiff-white", tiff(scene(), photometric="miniswhite")
    yield "tiff-pages", tiff(np.stack([scene()] * 3), photometric="minisblack")
    for compression in ("zlib", "lzw"):
        pages = tiff(np.stack([scene()] * 3), photometric="minisblack", compression=compression)
        yield f"tiff-pages-{compression}", pages
    yield "tiff-imagej", tiff(np.stack([scene()] * 3), imagej=True)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(scene(), tile=(16, 16))
        writer.write(scene()[::2, ::2], subfiletype=1)
    yield "tiff-pyramid", file.getvalue()
    image = Image.fromarray(scene(channels=3))
    for mode in ("1", "P", "YCbCr", "CMYK"):
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate"):
            yield (
                f"tiff-{mode}-{compression}",
                encoded(image.convert(mode), "TIFF", compression=compression),
            )


def _pngs() -> Iterator[tuple[str, bytes]]:
    for channels in (1, 2, 3, 4):
        yield f"png-16-{channels}", png16(scene("uint16", channels))
        yield f"png-8-{channels}", encoded(Image.fromarray(scene(channels=channels)), "PNG")
    rows = [bytes(range(n, n + 3)) for n in range(_HEIGHT)]
    yield "png-1", png(_WIDTH, _HEIGHT, 1, 0, rows)
    palette = bytes(range(256)) * 3
    indices = [row.tobytes() for row in scene()]
    extra = (b"PLTE", palette), (b"tRNS", bytes(range(100)))
    yield "png-palette", png(_WIDTH, _HEIGHT, 8, 3, indices, *extra)
    yield "png-interlaced", _interlaced(scene())
    icc = b"x\0\0" + zlib.compress(_profile())
    metadata = (b"iCCP", icc), (b"eXIf", _exif()[6:]), (b"gAMA", struct.pack(">I", 45455))
    yield "png-metadata", png16(scene("uint16", 3), *metadata, (b"tEXt", b"Title\0a scene"))


def _interlaced(samples: np.ndarray) -> bytes:
    passes = (
        (0, 8, 0, 8),
        (0, 8, 4, 8),
        (4, 8, 0, 4),
        (0, 4, 2, 4),
        (2, 4, 0, 2),
        (0, 2, 1, 2),
        (1, 2, 0, 1),
    )
    rows = []
    for top, down, left, across in passes:
        rows += [row.tobytes() for row in samples[top::down, left::across]]
    return png(samples.shape[1], samples.shape[0], 8, 0, rows, interlace=1)


def _pillows() -> Iterator[tuple[str, bytes]]:
    image = Image.fromarray(scene(channels=3))
    metadata = {"exif": _exif(), "icc_profile": _profile()}
    for mode in ("L", "RGB", "CMYK"):
        yield f"jpeg-{mode}", encoded(image.convert(mode), "JPEG", quality=90)
    yield "jpeg-progressive", encoded(image, "JPEG", progressive=True, quality=90)
    yield "jpeg-metadata", encoded(image, "JPEG", **metadata)
    yield "jpeg-two", encoded(image, "MPO", save_all=True, append_images=[image])
    for mode in ("1", "L", "P", "RGB"):
        yield f"bmp-{mode}", encoded(image.convert(mode), "BMP")
    rows = scene()[::-1].tolist()
    runs = b"".join(bytes(part for value in row for part in (1, value)) + b"\0\0" for row in rows)
    yield "bmp-runs", bmp_of_runs(runs + b"\0\1", _WIDTH, _HEIGHT)
    for mode in ("RGB", "RGBA"):
        yield f"webp-{mode}", encoded(image.convert(mode), "WEBP")
        yield f"webp-lossless-{mode}", encoded(image.convert(mode), "WEBP", lossless=True)
    yield "webp-metadata", encoded(image, "WEBP", **metadata)


def _npys() -> Iterator[tuple[str, bytes]]:
    for dtype in ("uint8", "uint16", "float16", "float32", "float64"):
        for channels in (1, 3, 4):
            yield f"npy-{dtype}-{channels}", npy(scene(dtype, channels))
    yield "npy-stack", npy(np.stack([scene("uint16")] * 3))
    yield "npy-colour-stack", npy(np.stack([scene("float32", 3)] * 2))
    yield "npy-columns", npy(np.asfortranarray(scene("float32", 3)))


def _exif() -> bytes:
    """What a camera says: itself, time, settings, position, a resolution, a note of its own."""
    exif = Image.Exif()
    exif[271], exif[272], exif[306], exif[274] = "Cam", "Model", "2024:05:01 10:00:00", 6
    exif[282], exif[283], exif[296] = 300.0, 300.0, 2
    shot = exif.get_ifd(34665)
    shot[34855], shot[36867], shot[37500] = 200, "2024:05:01 09:59:00", b"of the maker" * 3
    exif.get_ifd(34853).update({1: "N", 2: (47.0, 22.0, 3.5), 3: "E", 4: (8.0, 33.0, 0.0)})
    return exif.tobytes()


def _profile() -> bytes:
    """The profile of sRGB, without the time at which it was made."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)
    return bytes(profile)
