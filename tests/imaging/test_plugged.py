"""Formats that plugins read, by the door of readers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusionkit
from fusionkit import Decoded, ImageError, Reader, UsageError, load_plugins
from fusionkit.cli import main
from fusionkit.contract import reading
from fusionkit.host.batch import find_scenes
from fusionkit.host.listing import images_of
from fusionkit.imaging import read_picture, write_picture
from fusionkit.imaging.making import picture_from_decoded
from fusionkit.imaging.sources import source_picture

PLUGIN = '''
import numpy as np
from fusionkit import Decoded, Reader, Writer, hookimpl

def write_raw(image, name):
    print("writing", name[-5:], image.stored_range)
    if image.pixels.max() > 200:
        raise OSError("too bright\\nfor it")
    height, width = image.pixels.shape
    return b"XYZ" + bytes([width, height]) + image.pixels.tobytes()

def read_raw(data, name):
    """XYZ, width, height, then bytes."""
    print("reading", len(data), "bytes")
    width, height = data[3], data[4]
    pixels = np.frombuffer(data, np.uint8, width * height, 5).reshape(height, width)
    return Decoded(pixels, stored_range=(0, 200), notes=("it is of the year 3",))

def fail(data, name):
    raise OSError("no licence\\nfor it")

def leave(data, name):
    raise SystemExit("gone")

def pick(head, name):
    return {"z": 1}[head[:1].decode()]

@hookimpl
def fusionkit_readers():
    yield Reader("xyz", "a toy", (".xyz", ".xyz.gz"), read_raw, lambda head, name: head[:1] == b"X",
                 writer=Writer(write_raw, ("uint8",), colour=False))
    yield Reader("text", "numbers", (".asc",), lambda data, name: np.array(
        [line.split() for line in data.decode().splitlines()], float))
    yield Reader("rgba", "a constant", (".rgba",), lambda data, name: np.full((4, 5, 4), 9, "u1"))
    yield Reader("dng", "not really", (".dng",), lambda data, name: np.full((6, 6), 70, "u1"))
    yield Reader("fails", "raises", (".fails",), fail)
    yield Reader("leaves", "exits", (".leaves",), leave)
    yield Reader("asks", "its question fails", (".asks",), fail, pick)
    yield Reader("lists", "no image", (".lists",), lambda data, name: np.zeros((2, 3, 4, 5)))
    yield Reader("alphas", "alpha does not fit", (".alphas",),
                 lambda data, name: Decoded(np.zeros((4, 4)), np.zeros((2, 2))))
    yield Reader("words", "no numbers", (".words",), lambda data, name: np.array([["a", "b"]] * 2))
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    with reading.reading_with(load_plugins(inline=[str(path)], disabled=["formats"])):
        yield str(path)


def write_xyz(path: Path, pixels: np.ndarray) -> Path:
    height, width = pixels.shape
    path.write_bytes(b"XYZ" + bytes([width, height]) + pixels.astype(np.uint8).tobytes())
    return path


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 200, (24, 30)).astype(np.uint8)


def test_a_picture_is_made_of_what_a_reader_decodes(
    plugin: str, pixels: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = read_picture(write_xyz(tmp_path / "Scan.XYZ", pixels))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert (picture.low, picture.high) == (0, 200)
    assert picture.notes == (f"{tmp_path / 'Scan.XYZ'}: it is of the year 3",)
    assert picture.sha256 is not None
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"plugin mine: reading {5 + pixels.size} bytes\n")
    read = read_picture(tmp_path / "Scan.XYZ", value_range=(0, 250))
    assert (read.low, read.high) == (0, 250)


def test_an_array_will_do(plugin: str, tmp_path: Path) -> None:
    (tmp_path / "a.asc").write_text("0 0.25\n0.5 1\n")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.asc").pixels, [[0, 0.25], [0.5, 1]])
    (tmp_path / "a.rgba").write_bytes(b"?")
    picture = read_picture(tmp_path / "a.rgba")
    assert picture.pixels.shape == (4, 5, 3)
    assert picture.alpha is not None
    assert picture.alpha.shape == (4, 5)


def test_what_has_no_name_is_known_by_its_content(plugin: str, pixels: np.ndarray) -> None:
    data = b"XYZ" + bytes([30, 24]) + pixels.tobytes()
    np.testing.assert_array_equal(source_picture(data, 0).pixels, pixels)


def test_formats_of_ours_stay_ours_but_what_only_begins_like_one_may_be_a_plugins(
    plugin: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.tif")
    (tmp_path / "a.dng").write_bytes((tmp_path / "a.tif").read_bytes())
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)
    assert read_picture(tmp_path / "a.dng").pixels.max() == 70
    image.save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.xyz")  # it says itself what it is
    np.testing.assert_array_equal(read_picture(tmp_path / "b.xyz").pixels, pixels)


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("fails", "cannot read it: OSError: no licence for it"),
        ("leaves", "cannot read it: SystemExit: gone"),
        ("asks", "cannot look at it: KeyError"),
        ("lists", "made an array (2, 3, 4, 5) of it, which is no image"),
        ("alphas", "made an array (4, 4) of it, which is no image"),
        ("words", "values of type <U1 are not an image's"),
    ],
)
def test_a_reader_that_fails_is_named_with_the_file(
    plugin: str, tmp_path: Path, ending: str, expected: str
) -> None:
    path = tmp_path / f"scan.{ending}"
    path.write_bytes(b"content")
    with pytest.raises(ImageError) as caught:
        read_picture(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert expected in said
    assert "\n" not in said
    if ending != "words":
        assert f"reader {ending} (plugin mine, {plugin})" in said


@pytest.mark.parametrize("stored", [(0.0, float("inf")), (3.0, 3.0), (float("nan"), 1.0)])
def test_a_range_that_is_none_is_refused_unless_another_is_said(
    stored: tuple[float, float],
) -> None:
    decoded = Decoded(np.arange(64, dtype=np.float32).reshape(8, 8), stored_range=stored)
    with pytest.raises(ImageError, match=r"a\.xyz: .*no range: give --range 1:LO,HI"):
        picture_from_decoded(decoded, "a.xyz", None, 0, False, None)
    picture = picture_from_decoded(decoded, "a.xyz", (0.0, 63.0), 0, False, None)
    assert picture.unit().max() == 1


def test_what_nobody_reads_names_the_readers(plugin: str, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"something else")
    with pytest.raises(ImageError, match=r"no image of a supported format: .*NPY, mine:alphas, "):
        read_picture(tmp_path / "a.xyz")


def test_too_large_is_too_large(plugin: str, pixels: np.ndarray, tmp_path: Path) -> None:
    path = write_xyz(tmp_path / "a.xyz", pixels)
    with pytest.raises(ImageError, match="over the limit of 100"):
        read_picture(path, max_pixels=100)


def test_two_readers_of_one_file(plugin: str, pixels: np.ndarray, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(PLUGIN)
    path = write_xyz(tmp_path / "a.xyz", pixels)
    both = load_plugins(inline=[plugin, str(other)])
    with reading.reading_with(both), pytest.raises(ImageError) as caught:
        read_picture(path)
    assert "mine:xyz and other:xyz both read this file: leave one out, --no-plugin mine" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [((), "are a tuple"), (".xyz", "are a tuple"), (("xyz",), "no extension"), ((".X",), "no ext")],
)
def test_extensions_are_checked(extensions: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Reader("toy", "a toy", extensions, lambda data, name: Decoded(np.zeros((2, 2))))


# As people use them


def test_run_takes_such_a_file_beside_others(
    plugin: str, pixels: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = write_xyz(tmp_path / "scan.xyz", pixels)
    Image.fromarray(pixels).save(tmp_path / "other.png")
    out = tmp_path / "fused.png"
    light = ["--estimator", "gaussian", "--weighting", "fixed", "--objective", "mse"]
    asked = ["run", str(scan), str(tmp_path / "other.png"), "-o", str(out), *light]
    assert main([*asked, "--plugin", plugin]) == 0
    assert np.asarray(Image.open(out)).shape == pixels.shape
    first, second = json.loads((tmp_path / "fused.png.json").read_text())["inputs"]
    assert first["reader"] == f"mine:xyz, {plugin}"
    assert "reader" not in second
    capsys.readouterr()
    assert main([*asked, "--overwrite"]) == 2
    assert "scan.xyz: the content is no image" in capsys.readouterr().err


def test_the_stem_ends_before_the_whole_extension(
    plugin: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    for path, stem in {
        "a/07.XYZ.gz": "07",
        "a/07.v2.xyz": "07.v2",
        "07.v2.png": "07.v2",
        "x.gz": "x",
        ".xyz.gz": ".xyz",  # nothing would be left
    }.items():
        assert reading.stem_of(path) == reading.stem_of(Path(path)) == stem
    scan, other = tmp_path / "a" / "07.xyz.gz", tmp_path / "b" / "07.png"
    for path in (scan, other):
        path.parent.mkdir()
    write_xyz(scan, pixels)
    Image.fromarray(pixels).save(other)
    assert find_scenes([scan.parent, other.parent]).of_files().found == {"07": (scan, other)}


def test_plugins_tells_what_they_read(plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "mine", "--plugin", plugin]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"reader +xyz +a toy\n +files: \.xyz, \.xyz\.gz \(written, too\)\n", listed)
    assert re.search(r"reader +text +numbers\n +files: \.asc\n", listed)
    assert main(["plugins", "mine", "--plugin", plugin, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["components"][-1]["extensions"] == [".xyz", ".xyz.gz"]
    assert listed["components"][-1]["written"] is True


def test_a_format_is_written_by_its_plugin(
    plugin: str, pixels: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made.XYZ.gz"
    write_picture(out, pixels)
    np.testing.assert_array_equal(read_picture(out).pixels, pixels)
    assert capsys.readouterr().err.startswith("plugin mine: writing YZ.gz None\n")
    with pytest.raises(UsageError, match="exists"):
        write_picture(out, pixels)
    for wrong, says in {
        "uint16": "xyz cannot hold uint16 values: give --depth 8, or use .png",
        "uint8": r"reader xyz .*cannot write it: OSError: too bright for it",
    }.items():
        with pytest.raises(ImageError, match=rf"\A.*made\.XYZ\.gz: {says}"):
            write_picture(out, np.full((4, 5), 201, wrong), overwrite=True)
    with pytest.raises(ImageError, match="holds grey values alone: give --chroma none"):
        write_picture(out, np.zeros((4, 5, 3), np.uint8), overwrite=True)
    with pytest.raises(UsageError, match=r"names no format that can be written: .*\.npy, \.xyz"):
        write_picture(tmp_path / "a.asc", pixels)
    np.testing.assert_array_equal(read_picture(out).pixels, pixels)


def test_a_folder_lists_them(plugin: str, pixels: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.xyz", "c.xyz.gz", "d.txt"):
        write_xyz(folder / name, pixels)
    Image.fromarray(pixels).save(folder / "a.png")
    assert [path.name for path in images_of(folder)] == ["a.png", "b.xyz", "c.xyz.gz"]
    with reading.reading_with(load_plugins(entry_points=[])):
        assert [path.name for path in images_of(folder)] == ["a.png"]


def test_python_reads_with_the_registry_it_is_given(pixels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    scan = write_xyz(tmp_path / "a.xyz", pixels)
    light = {"estimator": "gaussian", "weighting": "fixed", "objective": "mse", "device": "cpu"}
    registry = load_plugins(inline=[str(path)])
    result = fusionkit.fuse([scan, pixels], registry=registry, **light)
    assert result.image.shape == pixels.shape
    with pytest.raises(ImageError, match="no image of a supported format"):
        fusionkit.fuse([scan, pixels], **light)


def test_a_format_of_ours_loads_no_plugin(pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    code = (
        "import fusionkit.contract.reading as reading\n"
        "from fusionkit.imaging import read_picture\n"
        "read_picture('a.png')\n"
        "read_picture('a')\n"
        "assert reading._used is None\n"
    )
    (tmp_path / "a").write_bytes((tmp_path / "a.png").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
