"""Metadata of the first source reach the output where its format holds them, and nothing else."""

from __future__ import annotations

import functools
import io
import json
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

import fusionkit
from fusionkit.cli import main
from fusionkit.imaging import encode_picture, held, read_picture
from fusionkit.imaging._encode import _with_directories
from fusionkit.imaging._tags import Tag
from fusionkit.imaging.metadata import NO_METADATA, Metadata, from_exif
from fusionkit.imaging.read import picture_from_bytes

SIZE = (20, 28)
SHOT, GPS = 34665, 34853
GEO = {
    33550: ("d", (10.0, 10.0, 0.0)),
    33922: ("d", (0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0)),
    34735: ("H", (1, 1, 0, 1, 3072, 0, 1, 32633)),
    34736: ("d", (6378137.0, 298.257223563)),
    34737: ("s", "WGS 84 / UTM zone 33N|"),
    42112: ("s", "<GDALMetadata><Item name='AREA'>x</Item></GDALMetadata>"),
}
QUICK = {"noise": ("1:0", "2:0"), "steps": 1, "objective": "mse", "weighting": "fixed"}


@functools.cache
def pipeline(**settings):
    return fusionkit.compose(**QUICK, **settings)


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)


def photo_exif(orientation=1, maker_note=b"secret" * 9):
    exif = Image.Exif()
    exif[271], exif[272], exif[306] = "Cam", "Model X", "2024:05:01 10:00:00"
    exif[274] = orientation
    exif[315], exif[305] = "Ann", "an editor"
    shot = exif.get_ifd(SHOT)
    shot[33434], shot[34855], shot[36867] = IFDRational(1, 125), 200, "2024:05:01 09:59:00"
    shot[37500], shot[40962], shot[40963] = maker_note, 28, 20
    exif.get_ifd(GPS).update({1: "N", 2: (47.0, 22.0, 3.5), 3: "E", 4: (8.0, 33.0, 0.0)})
    return exif


@pytest.fixture
def photo(tmp_path, pixels):
    """Write a photograph with everything that a camera says of it."""

    def make(name, orientation=1, **options):
        options = {"dpi": (300, 300), **options}
        if name.endswith("webp"):
            options["lossless"] = True
        if name.endswith("tif"):  # Pillow writes no directories of a shot and a place there
            metadata = read_picture(make("of.jpg")).metadata
            (tmp_path / name).write_bytes(encode_picture(name, pixels, metadata=metadata))
            return tmp_path / name
        exif = photo_exif(orientation)
        if name.endswith(("png", "webp")):  # Pillow writes no resolution there of its own accord
            exif[282], exif[283], exif[296] = 300.0, 300.0, 2
        Image.fromarray(pixels).save(tmp_path / name, exif=exif, **options)
        return tmp_path / name

    return make


@pytest.fixture
def fused(tmp_path, pixels):
    """Fuse a file with an array of its size; return where the output was written."""

    def run(first, output, **settings):
        size = read_picture(first).shape
        second = np.resize(pixels, (*size, 3)).copy()
        result = fusionkit.fuse([first, second], pipeline=pipeline(**settings))
        result.save(tmp_path / output)
        return tmp_path / output

    return run


def tags_of(path):
    """What Pillow reads of a file: the image's tags, those of the shot, those of the place."""
    with Image.open(path) as image:
        exif = image.getexif()
        return dict(exif), dict(exif.get_ifd(SHOT)), dict(exif.get_ifd(GPS))


@pytest.mark.parametrize("source", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("output", ["o.jpg", "o.png", "o.webp", "o.tif"])
def test_exif_goes_from_every_format_to_every_other(photo, fused, source, output):
    path = fused(photo(source), output)
    image, shot, place = tags_of(path)
    assert (image[271], image[272], image[306]) == ("Cam", "Model X", "2024:05:01 10:00:00")
    assert image[315] == "Ann"
    assert shot == {33434: IFDRational(1, 125), 34855: 200, 36867: "2024:05:01 09:59:00"}
    assert place == {1: "N", 2: (47.0, 22.0, 3.5), 3: "E", 4: (8.0, 33.0, 0.0)}
    assert not {274, 305, 513, 37500} & image.keys(), "of that file alone"
    with Image.open(path) as opened:
        opened.load()
        if not output.endswith("webp"):
            assert opened.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        else:
            assert image[282] * (2.54 if image[296] == 3 else 1) == pytest.approx(300, abs=0.01)
    # A second reading by our own reader finds the same.
    again, before = read_picture(path).metadata, read_picture(photo(source)).metadata
    assert (again.image, again.exif, again.gps) == (before.image, before.exif, before.gps)


def test_the_record_lists_what_was_kept(photo, fused):
    path = fused(photo("a.jpg", orientation=3), "o.png")
    about = json.loads(path.with_name("o.png.json").read_text())["metadata"]
    assert about["from"].endswith("a.jpg")
    assert {"Make", "DateTime", "ExposureTime", "GPSLatitude", "XResolution"} <= {*about["kept"]}
    assert {"MakerNote", "Orientation"} == {*about["left_out"]}
    assert "Software" not in about["kept"]


def test_a_thumbnail_is_left_out(pixels, tmp_path, fused):
    thumbnail = io.BytesIO()
    Image.fromarray(pixels).save(thumbnail, "JPEG")
    first = (
        struct.pack("<H", 1) + struct.pack("<HHI4s", 271, 2, 4, b"Cam\0") + struct.pack("<I", 26)
    )
    second = struct.pack("<H", 2)
    second += struct.pack("<HHII", 513, 4, 1, 56) + struct.pack("<HHII", 514, 4, 1, 10)
    block = b"II*\0\x08\0\0\0" + first + second + bytes(4) + thumbnail.getvalue()[:10]
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block)
    path = fused(tmp_path / "a.jpg", "o.jpg")
    assert json.loads((tmp_path / "o.jpg.json").read_text())["metadata"]["left_out"] == [
        "thumbnail"
    ]
    with Image.open(path) as image:
        assert not image.getexif().get_ifd(1)
    assert tags_of(path)[0][271] == "Cam"


def geo_tiff(path, pixels, **options):
    extra = [
        (code, kind, 0 if kind == "s" else len(value), value, True)
        for code, (kind, value) in GEO.items()
    ]
    options = {"resolution": (300, 200), "resolutionunit": "INCH", **options}
    tags = [*extra, *options.pop("tags", [])]
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=tags, metadata=None, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"bigtiff": True}])
def test_geotiff_tags(tmp_path, pixels, fused, options):
    first = geo_tiff(tmp_path / "a.tif", pixels, **options)
    with tifffile.TiffFile(fused(first, "o.tif")) as file:
        page = file.pages[0]
        for code, (_, value) in GEO.items():
            assert page.tags[code].value == value
        assert page.tags[282].value == (300, 1)
        assert page.tags[283].value == (200, 1)
        assert file.geotiff_metadata["ProjectedCSTypeGeoKey"] == 32633
    # No other format holds them, and the record says so.
    fused(first, "o.png")
    about = json.loads((tmp_path / "o.png.json").read_text())["metadata"]
    assert {"ModelPixelScale", "GeoKeyDirectory"} <= {*about["left_out"]}
    assert "XResolution" in about["kept"]


def test_what_gdal_says_of_one_band_is_left_out(tmp_path, pixels, fused):
    text = "<GDALMetadata><Item name='SCALE' sample='0' role='scale'>2</Item></GDALMetadata>"
    first = tmp_path / "a.tif"
    text = text.replace("'", '"')
    tifffile.imwrite(first, pixels, metadata=None, extratags=[(42112, "s", 0, text, True)])
    path = fused(first, "o.tif")
    assert 42112 not in tifffile.TiffFile(path).pages[0].tags
    assert (
        "GDAL_METADATA" in json.loads((tmp_path / "o.tif.json").read_text())["metadata"]["left_out"]
    )


@pytest.mark.parametrize("orientation", [3, 6])
def test_turned_pixels(tmp_path, pixels, fused, orientation):
    """Resolutions go with their sides; the place of a raster does not hold once it is turned."""
    turn = [(274, "H", 1, orientation, True)]
    path = fused(geo_tiff(tmp_path / "a.tif", pixels, tags=turn), "o.tif")
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        assert not GEO.keys() & {*tags.keys()}
        sides = (tags[282].value, tags[283].value)
        assert sides == (((200, 1), (300, 1)) if orientation == 6 else ((300, 1), (200, 1)))
    about = json.loads((tmp_path / "o.tif.json").read_text())["metadata"]
    assert {"Orientation", "ModelTiepoint"} <= {*about["left_out"]}


def test_a_description_of_a_tiff_is_for_programs(tmp_path, pixels, fused):
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")  # describes its shape
    assert 270 not in tifffile.TiffFile(fused(tmp_path / "a.tif", "o.tif")).pages[0].tags
    exif = Image.Exif()
    exif[270] = "the harbour"
    Image.fromarray(pixels).save(tmp_path / "b.jpg", exif=exif)
    assert tags_of(fused(tmp_path / "b.jpg", "o.jpg"))[0][270] == "the harbour"
    assert tags_of(fused(tmp_path / "b.jpg", "p.tif"))[0][270] == "the harbour"


@pytest.mark.parametrize("output", ["o.bmp", "o.npy"])
def test_what_a_format_cannot_hold_is_listed(photo, fused, tmp_path, output):
    fused(photo("a.jpg"), output)
    about = json.loads((tmp_path / f"{output}.json").read_text())["metadata"]
    assert {"Make", "GPSLatitude"} <= {*about["left_out"]}
    assert ("XResolution" in about["kept"]) == (output == "o.bmp")
    if output == "o.bmp":
        with Image.open(tmp_path / output) as image:
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)


@pytest.mark.slow
def test_without_metadata(photo, fused, tmp_path, pixels):
    for output in ("o.jpg", "o.tif"):
        image, shot, place = tags_of(fused(photo("a.jpg"), output, metadata=False))
        assert not {271, 306, 315} & image.keys()
        assert not shot
        assert not place
        record = json.loads((tmp_path / f"{output}.json").read_text())
        assert record["metadata"]["kept"] == []
        assert record["recipe"]["metadata"] is False
    # From the command line; the record alone gives the same again.
    Image.fromarray(pixels).save(tmp_path / "b.png")
    common = ["run", str(tmp_path / "a.jpg"), str(tmp_path / "b.png"), "--quiet"]
    assert main([*common, "-o", str(tmp_path / "p.jpg"), "--no-metadata"]) == 0
    assert not tags_of(tmp_path / "p.jpg")[0]
    record = str(tmp_path / "p.jpg.json")
    assert main([*common, "-o", str(tmp_path / "q.jpg"), "--recipe", record]) == 0
    assert (tmp_path / "p.jpg").read_bytes() == (tmp_path / "q.jpg").read_bytes()
    assert main([*common, "-o", str(tmp_path / "r.jpg")]) == 0
    assert tags_of(tmp_path / "r.jpg")[0][271] == "Cam"


def test_it_is_the_first_source_that_counts(photo, pixels, tmp_path):
    path = photo("a.jpg")
    result = fusionkit.fuse([pixels, path], **QUICK)
    assert result.metadata == NO_METADATA
    assert result.record["metadata"] == {"from": "source 1", "kept": [], "left_out": []}
    # As bytes, and as an image of Pillow's, it is the same photograph.
    for first in (path.read_bytes(), Image.open(path)):
        result = fusionkit.fuse([first, pixels], **QUICK)
        assert {"Make", "ISOSpeedRatings", "GPSLatitude"} <= {*result.record["metadata"]["kept"]}


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_the_same_metadata_give_the_same_bytes(photo, pixels, extension):
    metadata = read_picture(photo("a.jpg")).metadata
    one, two = (encode_picture(f"a{extension}", pixels, metadata=metadata) for _ in range(2))
    assert one == two
    plain = encode_picture(f"a{extension}", pixels)
    assert len(one) >= len(plain)


def test_exif_that_a_jpeg_cannot_hold(tmp_path, pixels, fused):
    exif = photo_exif()
    exif.get_ifd(SHOT)[37510] = b"ASCII\0\0\0" + b"x" * 70000  # a comment
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert 37510 in tags_of(fused(tmp_path / "a.png", "o.png"))[1]
    assert not tags_of(fused(tmp_path / "a.png", "o.jpg"))[1]
    about = json.loads((tmp_path / "o.jpg.json").read_text())["metadata"]
    assert {"UserComment", "Make"} <= {*about["left_out"]}


@pytest.mark.parametrize("fraction", [(2**32 - 1, 1), (1, 2**32 - 1)])
def test_a_resolution_that_a_format_cannot_hold(pixels, fraction):
    """Four thousand million pixels an inch, or one for the whole earth."""
    sides = {282: Tag(5, struct.pack("<II", *fraction)), 283: Tag(5, struct.pack("<II", *fraction))}
    metadata = Metadata(resolution={**sides, 296: Tag(3, struct.pack("<H", 2))})
    for name in ("a.jpg", "a.png", "a.bmp"):
        assert "XResolution" in held(name, None, 3, metadata)[1].left_out
        assert not picture_from_bytes(encode_picture(name, pixels, metadata=metadata), name).notes
    tiff = picture_from_bytes(encode_picture("a.tif", pixels, metadata=metadata), "a.tif")
    assert tiff.metadata.per_inch() == pytest.approx(metadata.per_inch())


def test_a_large_tiff_holds_them_too(photo, pixels):
    """BigTIFF, made here of an image that need not be one."""
    metadata = read_picture(photo("a.jpg")).metadata
    _, pointers = metadata.below(0, big=True)
    file = io.BytesIO()
    stand_ins = [(code + 1, tag.kind, 1, tag.data, True) for code, tag in pointers.items()]
    tifffile.imwrite(file, pixels, bigtiff=True, extratags=stand_ins, metadata=None)
    data = _with_directories(file.getvalue(), metadata)
    again = picture_from_bytes(data, "big").metadata
    assert (again.exif, again.gps) == (metadata.exif, metadata.gps)
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        assert opened.is_bigtiff
        assert opened.pages[0].tags[SHOT].value["ISOSpeedRatings"] == 200


# --- damage ----------------------------------------------------------------------------------


def blocks(count=300):
    """Exif blocks damaged in every way: bytes altered, and cut."""
    rng = np.random.default_rng(1)
    good = photo_exif().tobytes()[6:]
    for _ in range(count):
        bad = bytearray(good)
        for at in rng.integers(0, len(bad), rng.integers(1, 8)):
            bad[at] = rng.integers(0, 256)
        yield bytes(bad[: rng.integers(1, len(bad) + 1)] if rng.random() < 0.3 else bad)


def test_damage_never_raises_and_what_is_read_can_be_written(pixels):
    flawed = 0
    for block in blocks():
        metadata = from_exif(block)
        flawed += metadata.flaw is not None
        for extension in (".jpg", ".tif") if len(block) % 9 == 0 else ():
            data = encode_picture(f"a{extension}", pixels, metadata=metadata)
            Image.open(io.BytesIO(data)).load()
        assert from_exif(metadata.block()).flaw is None
    assert 20 < flawed < 280


def test_damaged_metadata_are_a_note_and_left_out(tmp_path, pixels, fused):
    good = photo_exif().tobytes()
    at = good.index(struct.pack(">HHI", SHOT, 4, 1)) + 8
    bad = good[:at] + struct.pack(">I", 10**6) + good[at + 4 :]
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=bad)
    with pytest.warns(fusionkit.FusionkitWarning, match=r"a\.jpg: its metadata are damaged"):
        path = fused(tmp_path / "a.jpg", "o.jpg")
    assert not tags_of(path)[0]
    # Of the second source nothing is carried, so nothing is said of its metadata.
    notes = fusionkit.fuse([pixels, tmp_path / "a.jpg"], **QUICK).record["warnings"]
    assert not [note for note in notes if "metadata" in note]


# --- profiles that a format cannot hold --------------------------------------------------------


@pytest.mark.slow
def test_a_profile_is_not_lost_without_a_word(tmp_path, pixels, capsys):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels).save(tmp_path / name, icc_profile=srgb)
    sources = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for output, options, lost in (
        ("o.bmp", [], True),
        ("o.npy", [], True),
        ("o.png", ["--chroma", "none"], True),
        ("p.png", [], False),
    ):
        assert main(["run", *sources, "-o", str(tmp_path / output), *options]) == 0
        said = capsys.readouterr().err
        assert ("cannot hold the colour profile" in said) == lost
        record = json.loads((tmp_path / f"{output}.json").read_text())
        if output != "o.png":  # a grey result has no colours to describe
            assert ("ICC profile" in record["metadata"]["left_out"]) == lost
