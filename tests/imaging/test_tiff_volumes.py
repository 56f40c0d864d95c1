"""Slices of OME-TIFF and ImageJ as volumes, FILE#z=all,c=1, fused slice by slice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from fusionkit import ImageError
from fusionkit.cli import main
from fusionkit.imaging import Volume, read_picture
from fusionkit.imaging.volumes import read_volume

SHAPE = (6, 40, 32)  # slices, rows, columns
SPACING = {"PhysicalSizeX": 0.065, "PhysicalSizeY": 0.13, "PhysicalSizeZ": 0.5}
UNITS = {f"{name}Unit": "µm" for name in SPACING}
QUICK = ["--weighting", "saliency", "--objective", "mse", "--device", "cpu", "--quiet"]


def smooth(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    noise = gaussian_filter(
        np.random.default_rng(seed).normal(size=shape), [0] * (len(shape) - 2) + [2, 2]
    )
    return (900 + 4000 * noise).clip(0, 4000).astype(np.uint16)


def ome(path: Path, values: np.ndarray, axes: str = "ZYX", **said: Any) -> Path:
    tifffile.imwrite(path, values, metadata={"axes": axes, **said}, photometric="minisblack")
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    units = SPACING | UNITS
    return (
        ome(tmp_path / "a.ome.tif", smooth(1), **units),
        ome(tmp_path / "b.ome.tif", smooth(2), **units),
    )


def volume(name: str | Path, room: Path) -> Volume:
    room.mkdir()
    return read_volume(name, room)


def run(*words: Any) -> int:
    return main(["run", *map(str, words), *QUICK])


# Reading


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
def test_slices_are_pages(tmp_path: Path, dtype: str) -> None:
    values = smooth(1).astype(dtype)
    found = volume(ome(tmp_path / "a.ome.tif", values), tmp_path / "room")
    assert found.shape == (32, 40, 6)
    assert found.values.dtype == (dtype if values.itemsize < 4 else "float32")
    assert found.extremes == found.stored_range == (values.min(), values.max())
    assert found.grid is found.spacing is None
    for number in range(6):
        assert np.array_equal(found.slice("z", number).pixels, values[number])
    assert np.array_equal(found.slice("y", 0).pixels, values[::-1, -1])  # upwards, like a head


def test_one_of_several_channels_and_times_is_named(tmp_path: Path) -> None:
    values = smooth(1, (2, 6, 3, 12, 16))
    path = ome(tmp_path / "a.ome.tif", values, "TZCYX")
    found = volume(f"{path}#c=2,z=all,t=1", tmp_path / "room")
    assert np.array_equal(found.slice("z", 4).pixels, values[0, 4, 1])
    says = "its images are z=1 to 6, c=1 to 3, t=1 to 2: name a volume, such as #z=all,c=1,t=1"
    for number, part in enumerate(("", "#z=2,c=1,t=1", "#c=all,z=1,t=1", "#3")):
        with pytest.raises(ImageError, match=re.escape(says)):
            volume(f"{path}{part}", tmp_path / str(number))
    for number, part in enumerate(("#z=all", "#z=all,c=4,t=1", "#z=all,c=all,t=1")):
        with pytest.raises(ImageError, match=r"a\.ome\.tif#z=all"):
            volume(f"{path}{part}", tmp_path / f"other{number}")


def test_what_is_no_volume_says_so(tmp_path: Path) -> None:
    values = smooth(1, (3, 12, 16))
    tifffile.imwrite(tmp_path / "plain.tif", values, metadata=None, photometric="minisblack")
    colour = np.stack([values.astype(np.uint8)] * 3, -1)
    tifffile.imwrite(tmp_path / "rgb.ome.tif", colour, metadata={"axes": "ZYXS"}, photometric="rgb")
    ome(tmp_path / "nan.ome.tif", np.full((3, 12, 16), np.nan, np.float32))
    whole = ome(tmp_path / "whole.ome.tif", values).read_bytes()
    (tmp_path / "cut.ome.tif").write_bytes(whole[: len(whole) // 2])
    for name, says in {
        "plain.tif": "nothing says that its pages are the slices of a volume: OME-TIFF does",
        "rgb.ome.tif": "its slices are in colour",
        "nan.ome.tif": "it holds no values",
        "cut.ome.tif": "damaged or truncated",
    }.items():
        with pytest.raises(ImageError, match=re.escape(name) + ".*" + re.escape(says)):
            volume(tmp_path / name, tmp_path / f"room of {name}")


def test_slices_that_differ_are_no_volume(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = '<Pixels DimensionOrder="XYZCT" SizeZ="2" SizeC="1" SizeT="1"/>'
    told = f"<OME><Image>{pixels}</Image></OME>"
    with tifffile.TiffWriter(path) as writer:
        for size in (8, 9):
            page = np.zeros((8, size), np.uint8)
            writer.write(page, metadata=None, description=told if size == 8 else None)
    with pytest.raises(ImageError, match="slices are not alike: 9x8 pixels of uint8 follow 8x8"):
        volume(path, tmp_path / "room")


# Their distances


@pytest.mark.parametrize(
    ("unit", "scale"), [("µm", 1e-3), ("nm", 1e-6), ("mm", 1.0), ("cm", 10.0), ("inch", 25.4)]
)
def test_units_of_ome(tmp_path: Path, unit: str, scale: float) -> None:
    said = SPACING | dict.fromkeys(UNITS, unit)
    found = volume(ome(tmp_path / "a.ome.tif", smooth(1), **said), tmp_path / "room")
    assert found.spacing == pytest.approx((0.065 * scale, 0.13 * scale, 0.5 * scale))


@pytest.mark.parametrize("said", [{}, SPACING | dict.fromkeys(UNITS, "pixel")])
def test_distances_that_are_not_said_are_told(tmp_path: Path, said: dict[str, Any]) -> None:
    found = volume(ome(tmp_path / "a.ome.tif", smooth(1), **said), tmp_path / "room")
    assert found.spacing is None
    assert "how far its pixels and slices are apart, it does not say" in found.notes[0]


NAN = float("nan")


@pytest.mark.parametrize(
    ("said", "spacing", "words"),
    [
        ({"PhysicalSizeX": 1.0}, (1e-3, NAN, NAN),
         "it does not say PhysicalSizeY and PhysicalSizeZ"),
        (SPACING | {"PhysicalSizeZ": 0.0}, (0.065e-3, 0.13e-3, NAN),
         "its PhysicalSizeZ '0.0 µm' is no distance: it is left out"),
        (SPACING | {"PhysicalSizeX": -1.0, "PhysicalSizeY": "wide"}, (NAN, NAN, 0.5e-3),
         "its PhysicalSizeX '-1.0 µm' and PhysicalSizeY 'wide µm' are no distances: they are left "
         "out"),
        (SPACING | {"PhysicalSizeX": 1e-40, "PhysicalSizeY": 1e300}, (NAN, NAN, 0.5e-3),
         "its PhysicalSizeX '1e-40 µm' and PhysicalSizeY '1e+300 µm' are no distances: they are "
         "left out"),
        (SPACING | {"PhysicalSizeZUnit": "pixel"}, (0.065e-3, 0.13e-3, NAN),
         "it does not say PhysicalSizeZ"),
        (SPACING | {"PhysicalSizeZUnit": "ell"}, (0.065e-3, 0.13e-3, NAN),
         "its PhysicalSizeZ '0.5 ell' is no distance: it is left out"),
    ],
)  # fmt: skip
def test_of_distances_those_that_are_some_are_kept(
    tmp_path: Path, said: dict[str, Any], spacing: tuple[float, ...], words: str
) -> None:
    values = smooth(1)
    path = tmp_path / "a.ome.tif"
    sizes = " ".join(f'{name}="{value}"' for name, value in said.items())
    pixels = f'<Pixels DimensionOrder="XYZCT" SizeZ="{len(values)}" SizeC="1" SizeT="1" {sizes}/>'
    told = f"<OME><Image>{pixels}</Image></OME>".encode()
    tifffile.imwrite(path, values, metadata=None, description=told, photometric="minisblack")
    found = volume(path, tmp_path / "room")
    assert found.spacing == pytest.approx(spacing, nan_ok=True)
    assert found.notes[0].endswith(f"another; {words}")
    known = np.isfinite(spacing[:2]).all()
    assert bool(found.slice("z", 0).metadata.resolution) == known


def test_what_is_not_known_of_distances_is_told_and_written_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nibabel = pytest.importorskip("nibabel")
    paths = [tmp_path / f"{name}.ome.tif" for name in "ab"]
    for number, path in enumerate(paths):
        ome(path, smooth(number), **(SPACING | UNITS | {"PhysicalSizeZ": 0.0}))
    out = tmp_path / "o.nii"
    assert main(["run", *map(str, paths), "-o", str(out), "--slices", "all", *QUICK[:-1]]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "PhysicalSizeZ" in line]
    assert [re.sub(".*/", "", line) for line in lines] == [
        f"{path.name}: range of the volume: {smooth(n).min()} to {smooth(n).max()}; --range K:LO,"
        "HI says another; its PhysicalSizeZ '0.0 µm' is no distance: it is left out"
        for n, path in enumerate(paths)
    ]
    assert nibabel.load(out).header.get_zooms() == pytest.approx((0.065e-3, 0.13e-3, 1))
    folder = ["-o", tmp_path / "o", "--slices", "1:2", "--format", "tif"]
    assert run(*paths, *folder) == 0
    metadata = json.loads((tmp_path / "o.json").read_text())["metadata"]
    assert metadata["kept"] == ["XResolution", "YResolution", "ResolutionUnit"]
    assert metadata["left_out"] == []


@pytest.mark.parametrize(
    ("about", "size", "spacing", "words"),
    [
        ({"spacing": 2.0, "unit": "um"}, None, (NAN, NAN, 2e-3),
         "it does not say pixel width and pixel height"),
        ({"spacing": 2.0, "unit": "um"}, 1.0, (1e-3, 1e-3, 2e-3), ""),
        ({"spacing": 0.0, "unit": "um"}, 0.5, (0.5e-3, 0.5e-3, NAN),
         "its spacing '0.0 um' is no distance: it is left out"),
        ({"unit": "um"}, 0.5, (0.5e-3, 0.5e-3, NAN), "it does not say spacing"),
        ({"spacing": 2.0}, 0.5, None, "how far its pixels and slices are apart, it does not say"),
        ({"spacing": 2.0, "unit": "pixel"}, 0.5, None, "are apart, it does not say"),
    ],
)  # fmt: skip
def test_imagej_without_a_scale_says_no_distance(
    tmp_path: Path, about: dict[str, Any], size: float | None, spacing: Any, words: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth(1), imagej=True, metadata={"axes": "ZYX", **about})
    if size is not None:  # as ImageJ itself writes a scale: over a million
        with tifffile.TiffFile(path, mode="r+") as file:
            for name in ("XResolution", "YResolution"):
                file.pages[0].tags[name].overwrite((round(1e6 / size), 1_000_000))
    found = volume(path, tmp_path / "room")
    assert found.spacing == (None if spacing is None else pytest.approx(spacing, nan_ok=True))
    assert found.notes[0].endswith(words)


def test_distances_of_imagej(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    about = {"axes": "ZYX", "spacing": 2.5, "unit": "um"}
    tifffile.imwrite(path, smooth(1), imagej=True, resolution=(4.0, 8.0), metadata=about)
    found = volume(path, tmp_path / "room")
    assert found.spacing == pytest.approx((0.25e-3, 0.125e-3, 2.5e-3))
    assert np.array_equal(found.slice("z", 5).pixels, smooth(1)[5])


# Fusion


def test_volumes_are_fused_slice_by_slice(pair: tuple[Path, Path], tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    out = tmp_path / "o.nii.gz"
    assert run(*pair, "-o", out, "--slices", "all") == 0
    made = nibabel.load(out)
    assert made.shape == (32, 40, 6)
    assert np.asanyarray(made.dataobj).dtype == np.uint16
    assert made.header.get_zooms() == pytest.approx((0.065e-3, 0.13e-3, 0.5e-3))
    assert made.header.get_xyzt_units()[0] == "mm"
    record = json.loads(Path(f"{out}.json").read_text())
    assert record["volume"] == {"slices": "all", "axis": "z", "first": 0, "last": 5}
    assert record["inputs"][0]["shape"] == [32, 40, 6]
    # As each slice is alone, in the window of its volume.
    windows = [f"{k}:{smooth(k).min()},{smooth(k).max()}" for k in (1, 2)]
    one = tmp_path / "one.tif"
    words = [*(f"{each}#z=3" for each in pair), "-o", one, "--depth", "16"]
    assert run(*words, "--range", windows[0], "--range", windows[1]) == 0
    assert np.array_equal(read_picture(f"{out}#z2").pixels, tifffile.imread(one))
    # It is a source as they are, and lies as they do.
    room = tmp_path / "room"
    assert volume(out, room).spacing == pytest.approx((0.065e-3, 0.13e-3, 0.5e-3))
    assert run(pair[0], out, "-o", tmp_path / "p.nii", "--slices", "1:2", "--no-metadata") == 0
    assert nibabel.load(tmp_path / "p.nii").header.get_zooms() == (1, 1, 1)


def test_slices_as_files_have_their_resolution(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert run(*pair, "-o", out, "--slices", "1:3", "--format", "tif") == 0
    assert sorted(path.name for path in out.iterdir()) == ["0001.tif", "0002.tif", "0003.tif"]
    with tifffile.TiffFile(out / "0001.tif") as file:
        tags = file.pages[0].tags
        x, y = (np.divide(*tags[name].value) for name in ("XResolution", "YResolution"))
        assert tags["ResolutionUnit"].value == 2  # inches
    record = json.loads(Path(f"{out}.json").read_text())
    assert record["metadata"]["kept"] == ["XResolution", "YResolution", "ResolutionUnit"]
    assert record["metadata"]["left_out"] == ["distance of slices"]
    assert (x, y) == pytest.approx((25.4e3 / 0.065, 25.4e3 / 0.13), rel=1e-6)


def test_beside_a_volume_of_another_format(pair: tuple[Path, Path], tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = smooth(2)[:, ::-1].transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(values, None), tmp_path / "b.nii")
    for name, other in (("o", pair[1]), ("same", tmp_path / "b.nii")):
        assert run(pair[0], other, "-o", tmp_path / f"{name}.nii", "--slices", "all") == 0
    assert (tmp_path / "o.nii").read_bytes() == (tmp_path / "same.nii").read_bytes()


def test_sizes_and_places_are_as_of_others(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ome(tmp_path / "c.ome.tif", smooth(3, (5, 40, 32)))
    for other, flags, says in (
        (tmp_path / "c.ome.tif", (), "a.ome.tif is 32x40x6"),
        (pair[1], ("--grid", "first"), "it does not say where it lies in space"),
    ):
        assert run(pair[0], other, "-o", tmp_path / "o", "--slices", "all", *flags) == 2
        assert says in capsys.readouterr().err
    before = pair[0].read_bytes()
    assert run(*pair, "-o", pair[0], "--slices", "all", "--overwrite") == 2
    assert pair[0].read_bytes() == before


PEAK = """
import sys
from pathlib import Path
from fusionkit.imaging.volumes import read_volume
found = read_volume(sys.argv[1], Path(sys.argv[2]))
(most,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("RssAnon")]
print(found.shape, int(most) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for what it has")
def test_memory_is_that_of_a_slice(tmp_path: Path) -> None:
    used = []
    for count in (4, 60):  # of 2 MB each
        path = tmp_path / f"{count}.ome.tif"
        with tifffile.TiffWriter(path) as writer:
            pages = (np.full((1000, 1000), n, np.uint16) for n in range(count))
            about = {"shape": (count, 1000, 1000), "dtype": np.uint16}
            writer.write(pages, **about, metadata={"axes": "ZYX"})
        (tmp_path / str(count)).mkdir()
        words = [sys.executable, "-c", PEAK, str(path), str(tmp_path / str(count))]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        shape, _, size = done.stdout.rpartition(" ")
        assert shape == f"(1000, 1000, {count})"
        used.append(int(size))
    assert used[1] - used[0] < 20e6
