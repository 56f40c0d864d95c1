"""Volumes fused slice by slice: what nibabel and pydicom find in the results."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionkit import ImageError, UsageError
from fusionkit.cli import main
from fusionkit.host.keeping import Kept
from fusionkit.host.listing import holds_sources
from fusionkit.host.saving import is_result
from fusionkit.host.slices import Slices
from fusionkit.imaging import Volume, axes_of, read_picture, values_on_disk
from fusionkit.imaging.volumes import is_series, is_volume, read_volume
from tests.plugins.formats.test_formats import dicom
from tests.plugins.formats.test_grids import COARSE, CT, FINE, MR, smooth
from tests.plugins.formats.test_grids import volume as nifti

QUICK = ["--weighting", "saliency", "--objective", "mse", "--device", "cpu"]
OTHER = smooth(CT.shape, 5)


def run(*words: Any) -> int:
    return main(["run", *map(str, words), *QUICK])


def loaded(path: Path) -> Any:
    import nibabel

    return nibabel.load(path)


def values_of(path: Path) -> np.ndarray:
    return np.asanyarray(loaded(path).dataobj)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return nifti(tmp_path / "ct.nii.gz", CT, FINE), nifti(tmp_path / "mr.nii.gz", OTHER, FINE)


# What is asked for


def test_what_slices_are_called() -> None:
    assert Slices.parse("all") == Slices("all")
    assert Slices.parse("y") == Slices("y", "y")
    assert Slices.parse("3:9") == Slices("3:9", None, 3, 9)
    assert Slices.parse("x7") == Slices("x7", "x", 7, 7)
    assert Slices.parse("z=20:60") == Slices("z=20:60", "z", 20, 60)
    for wrong in ("", "w", "9:3", "3:", "all:3", "y3-4"):
        with pytest.raises(ValueError, match="expects"):
            Slices.parse(wrong)


def test_axes_are_found_as_nibabel_does() -> None:
    nibabel = pytest.importorskip("nibabel")
    generator = np.random.default_rng(1)
    for _ in range(200):
        turned, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        matrix = np.eye(4)
        matrix[:3, :3] = turned * generator.uniform(0.5, 5, 3)
        found = axes_of(np.diag([-1.0, -1, 1, 1]) @ matrix)
        if np.sort(np.abs(turned), axis=1)[:, -2].max() < 0.6:  # clearly along one axis each
            for axis, (patient, sign) in enumerate(nibabel.io_orientation(matrix)):
                assert found[int(patient)] == (axis, sign < 0)


# NIfTI


def test_a_name_of_no_format_is_refused(pair: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "o.nrrd"
    assert run(*pair, "-o", out, "--slices", "0:1") == 2
    assert "o.nrrd: .nrrd is no format of volumes that can be written" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_every_slice_is_fused_as_it_is_alone_and_lies_where_it_did(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "o.nii.gz"
    assert run(*pair, "-o", out, "--slices", "all", "--quiet") == 0
    made = loaded(out)
    assert made.shape == CT.shape
    assert np.allclose(made.affine, FINE, atol=1e-5)
    assert made.get_sform(coded=True)[1] == made.get_qform(coded=True)[1] == 1  # scanner
    assert made.header.get_xyzt_units()[0] == "mm"
    for number in (0, 9):
        one = tmp_path / f"{number}.nii.gz"
        assert run(*(f"{each}#z{number}" for each in pair), "-o", one, "--quiet") == 0
        assert np.array_equal(values_of(one)[..., 0], values_of(out)[..., number])
        assert loaded(one).header["cal_max"] == made.header["cal_max"]
    record = json.loads(Path(f"{out}.json").read_text())
    assert record["volume"] == {"slices": "all", "axis": "z", "first": 0, "last": 15}
    assert record["output"]["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert [each["sha256"] for each in record["inputs"]] == [
        hashlib.sha256(each.read_bytes()).hexdigest() for each in pair
    ]
    assert record["inputs"][0]["shape"] == list(CT.shape)
    again = tmp_path / "again.nii.gz"
    words = ["run", *map(str, pair), "-o", str(again), "--recipe", f"{out}.json"]
    assert main([*words, "--slices", "all", "--quiet"]) == 0
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1.0), ("micron", 1e-3), ("unknown", None)])
def test_distances_of_what_lies_nowhere_are_kept(
    tmp_path: Path, unit: str, scale: float | None
) -> None:
    nibabel = pytest.importorskip("nibabel")
    for name, values in {"a": CT, "b": OTHER}.items():
        image = nibabel.Nifti1Image(values, None)
        image.header.set_zooms((2.0, 3.0, 4.0))
        image.header.set_xyzt_units(unit)
        nibabel.save(image, tmp_path / f"{name}.nii")
    out = tmp_path / "o.nii"
    assert run(tmp_path / "a.nii", tmp_path / "b.nii", "-o", out, "--slices", "3:5", "--quiet") == 0
    header = loaded(out).header
    wanted = (1.0, 1.0, 1.0) if scale is None else tuple(scale * each for each in (2, 3, 4))
    assert header.get_zooms() == pytest.approx(wanted)
    assert header.get_xyzt_units()[0] == ("unknown" if scale is None else "mm")
    assert header["sform_code"] == header["qform_code"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("part", ["y20:29", "x"])
def test_some_slices_of_another_axis_in_the_order_of_the_file(part: str, tmp_path: Path) -> None:
    """The file runs to the left and downwards, and so does the result."""
    turned = FINE @ np.diag([-1.0, 1, -1, 1])
    pair = [
        nifti(tmp_path / f"{name}.nii", values, turned)
        for name, values in {"a": CT, "b": OTHER}.items()
    ]
    out = tmp_path / "o.nii"
    assert run(*pair, "-o", out, "--slices", part, "--quiet") == 0
    made = loaded(out)
    place = turned.copy()
    if part == "y20:29":
        place[:3, 3] += 20 * turned[:3, 1]
        assert made.shape == (40, 10, 16)
    else:
        assert made.shape == CT.shape
    assert np.allclose(made.affine, place, atol=1e-5)
    axis = part[0]
    one = tmp_path / "one.nii"  # in the order of the patient's axes
    assert run(*(f"{each}#{axis}22" for each in pair), "-o", one, "--quiet") == 0
    index = {"y": np.s_[:, 2, :], "x": np.s_[40 - 1 - 22, :, :]}[axis]
    there = values_of(out)[index]
    flipped = there[::-1, ::-1] if axis == "y" else there[:, ::-1]
    assert np.array_equal(np.squeeze(values_of(one)), flipped)


@pytest.mark.slow
def test_slices_that_are_alike_stay_alike_whatever_is_bright_elsewhere(tmp_path: Path) -> None:
    """One window: no slice is darker since another one is bright, or is scaled by itself."""
    values = np.repeat(CT[:, :, 4:5], 6, axis=2).copy()
    values[:, :, 3] += 2000
    first = nifti(tmp_path / "a.nii", values, FINE)
    second = nifti(tmp_path / "b.nii", np.repeat(OTHER[:, :, 4:5], 6, axis=2), FINE)
    for how in ([], ["--stretch"]):
        out = tmp_path / f"o{len(how)}.nii"
        assert run(first, second, "-o", out, "--slices", "all", "--quiet", *how) == 0
        made = values_of(out)
        for number in (1, 2, 4, 5):
            assert np.array_equal(made[..., number], made[..., 0])
        assert made[..., 3].mean() > made[..., 0].mean()


@pytest.mark.slow
def test_another_grid_and_slices_that_one_source_does_not_reach(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = COARSE.copy()
    short[2, 3] = 18  # above the first slices of the other
    mr = nifti(tmp_path / "short.nii.gz", MR, short)
    out = tmp_path / "o.nii.gz"
    assert run(pair[0], mr, "-o", out, "--slices", "all") == 2
    assert "ct.nii.gz is 40x48x16, " in (said := capsys.readouterr().err)
    assert "--grid first brings the others on the first one's grid" in said
    same = ["--range", "1:-2000,2000", "--range", "2:-2000,2000"]
    assert run(pair[0], mr, "-o", out, "--slices", "all", "--grid", "first", *same) == 0
    made = loaded(out)
    assert np.allclose(made.affine, FINE, atol=1e-5)
    fused = np.asanyarray(made.dataobj)
    assert np.abs(fused[..., 0].astype(int) - CT[..., 0]).max() <= 1  # there is but one
    one = tmp_path / "one.nii.gz"
    words = [f"{pair[0]}#z12", mr, "-o", one, "--grid", "first", "--quiet", *same]
    assert run(*words) == 0
    assert np.array_equal(values_of(one)[..., 0], fused[..., 12])
    assert np.abs(fused[..., 12].astype(int) - CT[..., 12]).max() > 10


@pytest.mark.slow
def test_what_has_no_value_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hollow = CT.astype(np.float32)
    hollow[..., :3] = np.nan
    pair = [nifti(tmp_path / f"{n}.nii", hollow, FINE) for n in "ab"]
    out = tmp_path / "o.nii"
    assert run(*pair, "-o", out, "--slices", "all", "--quiet") == 0
    assert np.array_equal(np.isnan(values_of(out)), np.isnan(hollow))
    assert run(*pair, "-o", tmp_path / "p.nii", "--slices", "all", "--depth", "16", "--quiet") == 2
    assert "z0 there are pixels that no source shows, and uint16" in capsys.readouterr().err
    assert not (tmp_path / "p.nii").exists()


@pytest.mark.slow
def test_of_several_volumes_one_is_named(tmp_path: Path) -> None:
    four = np.stack([OTHER, CT], -1)
    first = nifti(tmp_path / "a.nii.gz", four, FINE)
    second = nifti(tmp_path / "b.nii.gz", OTHER, FINE)
    out = tmp_path / "o.nii"
    with pytest.raises(ImageError, match="holds 2 volumes: give the one you mean, such as #t0"):
        read_volume(first, tmp_path)
    assert run(f"{first}#t1", second, "-o", out, "--slices", "4:5", "--quiet") == 0
    one = tmp_path / "one.nii"
    assert run(f"{first}#z4,t1", f"{second}#z4", "-o", one, "--quiet") == 0
    assert values_of(out).shape == (40, 48, 2)
    assert np.array_equal(values_of(one)[..., 0], values_of(out)[..., 0])


@pytest.mark.slow
def test_slices_as_pictures(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    words = ["--slices", "4:6", "--depth", "8", "--format", "png", "--quiet"]
    assert run(*pair, "-o", f"{out}/", *words) == 0
    assert sorted(path.name for path in out.iterdir()) == ["0001.png", "0002.png", "0003.png"]
    one = tmp_path / "one.png"
    assert run(*(f"{each}#z5" for each in pair), "-o", one, "--depth", "8", "--quiet") == 0
    assert one.read_bytes() == (out / "0002.png").read_bytes()  # with its resolution


def test_what_cannot_be_fused_is_one_line(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, says in {
        ("--slices", "10:16"): "its slices along z are 0 to 15: --slices 10:16 are not there",
        ("--slices", "q"): "expects all, 20:60",
        ("--slices", "all", "--align", "auto"): "--align is made of each image by itself",
        ("--slices", "all", "--trace", "t"): "--trace and --maps are of one image",
    }.items():
        assert run(*pair, "-o", tmp_path / "o.nii", *words) in (1, 2)
        said = capsys.readouterr().err
        assert says in said, said
        assert said.count("\n") == 1
    assert run(*pair, "-o", tmp_path / "o.png", "--slices", "all") == 2
    assert "PNG holds one image: a volume goes into .nii or .nii.gz" in capsys.readouterr().err
    assert run(pair[0], "-o", tmp_path / "o.nii", "--slices", "all") == 2
    assert "one volume only" in capsys.readouterr().err
    whole = gzip.decompress(pair[0].read_bytes())
    for cut in (len(whole) - 1, 400):
        (tmp_path / "no.nii").write_bytes(whole[:cut])
        with pytest.raises(ImageError, match=f"it ends too early: {cut} bytes, of {len(whole)}"):
            read_volume(tmp_path / "no.nii", tmp_path)
    (tmp_path / "no.nii.gz").write_bytes(pair[0].read_bytes()[:2000])
    assert run(pair[0], tmp_path / "no.nii.gz", "-o", tmp_path / "o.nii", "--slices", "all") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "o.nii").exists()


@pytest.mark.slow
def test_a_cohort_is_paired_by_name_and_taken_up_again(tmp_path: Path) -> None:
    for kind, values in {"ct": CT, "mr": OTHER}.items():
        (tmp_path / kind).mkdir()
        for patient in ("p1", "p2"):
            nifti(tmp_path / kind / f"{patient}.nii.gz", values, FINE)
    words = [tmp_path / "ct", tmp_path / "mr", "-o", tmp_path / "o", "--quiet"]
    assert run(*words, "--slices", "3:4") == 0
    made = tmp_path / "o" / "p1.nii.gz"
    assert values_of(made).shape == (40, 48, 2)
    before = made.stat().st_mtime_ns
    assert run(*words, "--slices", "3:4") == 0
    assert made.stat().st_mtime_ns == before
    assert run(*words, "--slices", "3:5") == 1  # another result is there


@pytest.mark.slow
def test_air_is_black(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A volume, or a slice, of one value is fused as a picture of one is."""
    ct = nifti(tmp_path / "ct.nii", CT[..., :2], FINE)
    hollow = OTHER[..., :2].copy()
    hollow[..., 0] = 0
    for name, values in {"air": np.full_like(hollow, 5), "hollow": hollow}.items():
        air = nifti(tmp_path / f"{name}.nii", values, FINE)
        for how in ([], ["--stretch"]):
            out = tmp_path / f"{name}{len(how)}.nii"
            assert run(ct, air, "-o", out, "--slices", "all", *how) == 0
            assert np.isfinite(values_of(out)).all()
    assert "air.nii: all its values are 5: black; --range K:LO,HI" in capsys.readouterr().err
    hollow[:] = 5
    for source in (tmp_path / "air.nii", series(tmp_path / "s", hollow, WindowWidth="")):
        room = tmp_path / f"room {source.name}"
        room.mkdir()
        read = read_volume(source, room)
        assert read.extremes == (5, 5)
        assert read.stored_range == (5, 6)
    alone = read_picture(f"{tmp_path / 'air.nii'}#z1")
    assert (alone.low, alone.high) == (5, 6)


# DICOM


def series(folder: Path, values: np.ndarray, uid: str = "1.2.4", **about: Any) -> Path:
    """Write axial slices of (x to the left, y to the back, z to the head), the last one first."""
    folder.mkdir(exist_ok=True)
    for k in range(values.shape[2]):
        said = {
            "PixelSpacing": [2, 1.5], "SliceThickness": "3",
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [-30, -40, 7 + 3 * k],
            "WindowCenter": "500", "WindowWidth": "1000",
            "SeriesInstanceUID": uid, "FrameOfReferenceUID": "1.2.3", "SeriesNumber": "4",
            "InstanceNumber": str(values.shape[2] - k), "StudyInstanceUID": "1.2.5",
        } | about  # fmt: skip
        plane = np.ascontiguousarray(values[..., k].T)
        dicom(folder / f"{uid}-{values.shape[2] - k:03}.dcm", plane, **said)
    return folder


def test_a_series_is_a_volume(tmp_path: Path) -> None:
    folder = series(tmp_path / "s", CT)
    assert is_series(folder)
    assert is_volume(folder)
    assert not is_volume(folder / "1.2.4-001.dcm")
    (tmp_path / "room").mkdir()
    read = read_volume(folder, tmp_path / "room")
    assert isinstance(read, Volume)
    assert isinstance(read.values, np.memmap)  # on the disk, however many slices there are
    assert np.array_equal(read.values, CT)
    assert read.stored_range == (0, 999)
    assert read.grid is not None
    assert np.allclose(
        read.grid.matrix(), [[1.5, 0, 0, -30], [0, 2, 0, -40], [0, 0, 3, 7], [0, 0, 0, 1]]
    )
    # A slice of it is what its file shows.
    alone = read_picture(folder / "1.2.4-011.dcm")  # the sixth from below
    slice_ = read.slice("z", 5)
    assert np.array_equal(slice_.pixels, alone.pixels)
    assert slice_.metadata.grid is not None
    assert alone.metadata.grid is not None
    assert np.allclose(slice_.metadata.grid.matrix(), alone.metadata.grid.matrix())


def test_what_is_no_volume_of_dicom(tmp_path: Path) -> None:
    def problem(folder: Path, part: str = "") -> str:
        room = tmp_path / f"room{len(list(tmp_path.iterdir()))}"
        room.mkdir()
        with pytest.raises(ImageError) as caught:
            read_volume(f"{folder}{part}", room)
        return str(caught.value)

    gap = series(tmp_path / "gap", CT)
    (gap / "1.2.4-008.dcm").unlink()
    assert "009.dcm and 1.2.4-007.dcm are 6 mm apart" in problem(gap)
    twice = series(tmp_path / "twice", CT)
    dicom_bytes = (twice / "1.2.4-008.dcm").read_bytes()
    (twice / "again.dcm").write_bytes(dicom_bytes)
    assert "008.dcm and again.dcm lie at one place" in problem(twice)
    two = series(tmp_path / "two", CT)
    series(two, OTHER, uid="1.2.9", SeriesNumber="7")
    assert "it holds 2 series (#4, #7): say which by its number" in problem(two)
    assert "2 series (#4, #7), and no #9: say which by its number, such as FOLDER#4" in problem(
        two, "#9"
    )
    assert "it holds one series, and it is #4: there is no #1: leave that out" in problem(
        series(tmp_path / "one", CT[..., :2]), "#1"
    )
    bare = series(tmp_path / "bare", CT[..., :2], SeriesNumber="")
    assert "one series, and it has no number: there is no #1: leave that out" in problem(bare, "#1")
    series(bare, OTHER[..., :2], uid="1.2.9", SeriesNumber="")
    assert "2 series (2 without a number): put each into a folder of its own" in problem(bare)
    (tmp_path / "rr").mkdir()
    assert np.array_equal(read_volume(f"{two}#7", tmp_path / "rr").values, OTHER)
    for frames in ("9999999", "2"):
        many = series(tmp_path / f"many{frames}", CT[..., :2], NumberOfFrames=frames)
        assert f"says that it holds {frames} frames, and has " in problem(many)
    torn = series(tmp_path / "torn", CT)
    cut = torn / "1.2.4-005.dcm"
    cut.write_bytes(cut.read_bytes()[:-100])
    assert "1.2.4-005.dcm: " in problem(torn)
    oblique = series(tmp_path / "oblique", CT)
    series(oblique, OTHER[..., :1], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    assert "differ in size, spacing or direction" in problem(oblique)


def test_scans_from_a_tilted_gantry_and_of_another_direction(tmp_path: Path) -> None:
    """Slices that are moved against one another lie on a sheared grid; their order is in space."""
    folder = tmp_path / "s"
    folder.mkdir()
    for k in range(8):
        dicom(
            folder / f"{k}.dcm", np.ascontiguousarray(CT[..., k].T), PixelSpacing=[2, 2],
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1], WindowCenter="500", WindowWidth="1000",
            ImagePositionPatient=[4 * k, 0.5 * k, 100], SeriesInstanceUID="1.2.4",
        )  # fmt: skip
    (tmp_path / "room").mkdir()
    read = read_volume(folder, tmp_path / "room")
    assert read.axis == "x"
    assert read.grid is not None
    along = read.grid.matrix()[:3, 2]
    assert np.allclose(along, np.sign(along[0]) * np.array([4, 0.5, 0]))
    for k in range(8):  # x is counted from the patient's left to the right, DICOM's to the left
        alone = read_picture(folder / f"{k}.dcm")
        slice_ = read.slice("x", 7 - k)
        assert np.array_equal(slice_.pixels, alone.pixels)
        assert slice_.metadata.grid is not None
        assert np.allclose(slice_.metadata.grid.origin, [4 * k, 0.5 * k, 100])


def test_what_was_left_of_folders_is_swept(tmp_path: Path) -> None:
    from fusionkit.imaging.files import part_folder, sweep

    left = tmp_path / ".fusionkit-0123456789abcdef.part"
    left.mkdir()
    (left / "0001.dcm").write_bytes(b"half")
    with part_folder(tmp_path / "fused") as made:
        (made / "0001.dcm").write_bytes(b"whole")
        sweep(tmp_path)
        assert not left.exists()
        assert (made / "0001.dcm").exists()  # in use
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_series_are_fused_into_a_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pydicom = pytest.importorskip("pydicom")
    ct = series(tmp_path / "ct", CT, SliceThickness="2")  # with gaps
    mr = series(tmp_path / "mr", OTHER, uid="1.2.8")
    out = tmp_path / "fused"
    assert run(ct, mr, "-o", out, "--slices", "all", "--quiet") == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"{n:04}.dcm" for n in range(1, 17)]
    made = [pydicom.dcmread(out / name) for name in names]
    for k, each in enumerate(made):
        assert np.allclose(np.array(each.ImagePositionPatient, float), [-30, -40, 7 + 3 * k])
        assert np.allclose(np.array(each.PixelSpacing, float), [2, 1.5])
        assert (float(each.SliceThickness), float(each.SpacingBetweenSlices)) == (2, 3)
        assert int(each.InstanceNumber) == k + 1
        assert "Doe" not in str(each.PatientName)
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "WindowWidth"):
        assert len({str(each[keyword].value) for each in made}) == 1
    assert len({str(each.SOPInstanceUID) for each in made}) == 16
    one = tmp_path / "one.dcm"
    assert run(ct / "1.2.4-011.dcm", mr / "1.2.8-011.dcm", "-o", one, "--quiet") == 0
    assert np.array_equal(pydicom.dcmread(one).pixel_array, made[5].pixel_array)
    record = json.loads((tmp_path / "fused.json").read_text())
    assert record["output"]["files"] == {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names
    }
    # As SimpleITK, or any viewer, would stack it: a volume of its own.
    (tmp_path / "room").mkdir()
    assert read_volume(out, tmp_path / "room").shape == (40, 48, 16)
    assert run(ct, mr, "-o", out, "--slices", "all", "--overwrite") == 2
    assert "fused: this exists, and a folder of slices is made anew" in capsys.readouterr().err
    kept = tmp_path / "kept"
    assert run(ct, mr, "-o", kept, "--slices", "2:3", "--keep-patient", "--quiet") == 0
    assert {str(pydicom.dcmread(p).PatientName) for p in kept.iterdir()} == {"Doe^Jane"}
    # And into NIfTI: coordinates run to the right and to the front there.
    volume = tmp_path / "o.nii.gz"
    assert run(ct, mr, "-o", volume, "--slices", "all", "--quiet") == 0
    place = np.diag([-1.0, -1, 1, 1]) @ [[1.5, 0, 0, -30], [0, 2, 0, -40], [0, 0, 3, 7], [0] * 4]
    place[3, 3] = 1
    assert np.allclose(loaded(volume).affine, place, atol=1e-5)
    assert np.array_equal(values_of(volume)[..., 5].T, made[5].pixel_array)


@pytest.mark.slow
def test_a_series_is_cut_where_the_first_source_lies(tmp_path: Path) -> None:
    ct = series(tmp_path / "ct", CT)
    half = CT.reshape(20, 2, 24, 2, 16).mean((1, 3)).astype(np.int16)
    moved = {"PixelSpacing": [4, 3]}
    coarse = series(tmp_path / "pet", half, uid="1.2.8", **moved)
    out = tmp_path / "o.dcm"
    words = ["-o", out, "--grid", "first", "--quiet"]
    assert run(ct / "1.2.4-011.dcm", coarse, *words) == 0
    record = json.loads(Path(f"{out}.json").read_text())
    assert record["inputs"][1]["name"] == str(coarse)
    assert (record["inputs"][1]["width"], record["inputs"][1]["height"]) == (40, 48)
    from fusionkit.imaging.sources import source_pictures

    first, second = source_pictures([ct / "1.2.4-011.dcm", coarse], on_first=True)
    ends = [first.pixels[1:-1, 1:-1], second.pixels[1:-1, 1:-1]]
    assert np.corrcoef(*(each.ravel() for each in ends))[0, 1] > 0.95
    # The series knows more than its nearest slice: between two, it is their mean.
    between = series(tmp_path / "b", CT[..., :1], uid="1.2.7",
                     ImagePositionPatient=[-30, -40, 7 + 3 * 4.5])  # fmt: skip
    _, mean = source_pictures([next(between.iterdir()), ct], on_first=True)
    assert np.abs(mean.pixels - CT[..., 4:6].mean(-1).T).max() <= 0.5


def test_folders_that_hold_no_slices_are_named(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, ct = tmp_path / "empty", series(tmp_path / "s", CT[..., :2])
    empty.mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(b"")
    no_series = "empty: this folder holds no series of slices"
    for words, says in {
        (empty, ct, "--slices", "all"): no_series,
        (pair[0], empty, "--slices", "all"): no_series,
        (f"{empty}#1", ct, "--slices", "all"): "empty#1: this folder holds no series of slices",
        (f"{pair[0]}#z1", empty, "--grid", "first"): "empty: this is a folder, without a series",
        (empty, tmp_path / "pictures"): "in {empty} there are no images (PNG,",
    }.items():
        assert run(*words, "-o", tmp_path / "o.nii") == 2
        said = capsys.readouterr().err
        assert says.format(empty=empty) in said, said
        assert said.count("\n") == 1


@pytest.mark.slow
def test_what_is_made_is_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether it lies among the slices, or among stacks, as a file or as a folder of slices."""
    ct, mr = series(tmp_path / "ct", CT[..., :2]), series(tmp_path / "mr", OTHER[..., :2])
    words = ["--slices", "1", "--quiet"]
    assert run(ct, mr, "-o", ct / "fused", *words) == 0
    (ct / "again.dcm").write_bytes((ct / "fused" / "0001.dcm").read_bytes())
    (tmp_path / "room").mkdir()
    assert np.array_equal(read_volume(ct, tmp_path / "room").values, CT[..., :2])
    assert run(ct / "fused", mr, "-o", tmp_path / "o.nii", *words) == 2  # another size: it is read
    assert "40x48x1" in capsys.readouterr().err
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    pictures = [*words, "--format", "png", "--depth", "8"]
    assert run(ct, mr, "-o", stacks / "fused", *pictures) == 0
    assert is_result(stacks / "fused" / "0001.png")
    assert not holds_sources(stacks)
    (stacks / "fused" / "0002.png").write_bytes(b"")
    assert holds_sources(stacks)


def test_no_output_replaces_a_slice_of_a_source(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mr = series(tmp_path / "mr", OTHER[..., :2])
    there = mr / "1.2.4-001.dcm"
    before = there.read_bytes()
    words = [f"{pair[0]}#z1", mr, "--grid", "first", "--overwrite"]
    for out, more in ((there, []), (tmp_path / "o.png", ["--trace", mr])):
        (mr / "strip.png").write_bytes(before)  # a slice of any name
        assert run(*words, "-o", out, *more) == 2
        assert "is the source" in capsys.readouterr().err
    (tmp_path / "link.dcm").symlink_to(there)
    assert run(*words, "-o", tmp_path / "link.dcm") == 2
    assert there.read_bytes() == before
    kept = Kept([mr])
    made = mr / "fused.nii"
    made.write_bytes(b"")
    Path(f"{made}.json").write_text(json.dumps({"fusionkit": "1", "recipe": {}}))
    # A result that lies there may be made anew, and its record; a slice that was made may not.
    Kept([mr]).refuse(made, f"{made}.json")
    record = {"fusionkit": "1", "recipe": {}, "output": {"files": {there.name: ""}}}
    Path(f"{mr}.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="which no output replaces"):
        Kept([mr]).refuse(there)
    with pytest.raises(UsageError, match="which no output replaces"):
        kept.refuse(there)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room cannot be taken at once")
def test_a_full_disk_is_said_before_values_are_written(tmp_path: Path, monkeypatch) -> None:
    """A page that there is no room for would end the process."""
    made = values_on_disk(tmp_path / "a.npy", np.dtype(np.int16), (300, 200, 40))
    status = (tmp_path / "a.npy").stat()
    assert status.st_blocks * 512 >= status.st_size  # nothing of it is still to be found
    assert not made.any()

    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ImageError, match="no room for 4800000 bytes of values: let TMPDIR"):
        values_on_disk(tmp_path / "b.npy", np.dtype(np.int16), (300, 200, 40))
