"""Results in the formats of the sources: what the field's own libraries find in them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionkit import Decoded, ImageError
from fusionkit.cli import main
from fusionkit.imaging import encode_picture, read_picture
from tests.plugins.formats.test_formats import PHOTO, STORED, dicom

QUICK = ["--weighting", "fixed", "--objective", "mse", "--quiet"]
TURNED = np.array([[1.5, 0.1, 0.2, -80], [-0.1, 1.2, 0.3, 30], [-0.2, -0.2, 4.0, 12], [0, 0, 0, 1]])
VOLUME = np.random.default_rng(3).integers(0, 1000, (20, 24, 16)).astype(np.int16)
GEOMETRY = {
    "PixelSpacing": [0.7, 0.5],
    "ImageOrientationPatient": [1, 0, 0, 0, 0.8, 0.6],
    "ImagePositionPatient": [-10.5, 20, 30.25],
    "SliceThickness": "3",
}
SERIES = {"StudyInstanceUID": "1.2.5", "SeriesInstanceUID": "1.2.4", "FrameOfReferenceUID": "1.2.3"}
RESCALED = {"RescaleSlope": "0.5", "RescaleIntercept": "-1024"}
WINDOW = {"WindowCenter": "40", "WindowWidth": "400"}


STRAIGHT = TURNED.copy()
"""Its rows, columns and slices are at right angles."""
STRAIGHT[:3, :3] = np.linalg.qr(TURNED[:3, :3])[0] * [-1.5, -1.2, 4]


def volume(
    path: Path,
    values: np.ndarray = VOLUME,
    unit: str = "mm",
    flip: str = "",
    affine: np.ndarray = TURNED,
) -> Any:
    """Write a volume that lies askew, its axes stored the other way round if that is said."""
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(values, affine)
    for axis in flip:
        order = np.array([[n, -1 if axis == "xyz"[n] else 1] for n in range(3)])
        image = image.as_reoriented(order)
    image.header.set_xyzt_units(unit)
    image.set_sform(image.affine, "mni")
    nibabel.save(image, path)
    return path


def run(*words: Any) -> int:
    return main(["run", *map(str, words), *QUICK])


# NIfTI


@pytest.mark.parametrize("flip", ["", "x", "xyz"])
@pytest.mark.parametrize("part", ["z5", "y7", "x3"])
def test_a_slice_keeps_its_place_in_space(tmp_path: Path, part: str, flip: str) -> None:
    slice_ = decoded(volume(tmp_path / "a.nii.gz", flip=flip).read_bytes(), part)
    made = nibabel_of(tmp_path / "o.nii", slice_)
    axis, number = "xyz".index(part[0]), int(part[1:])
    place = TURNED.copy()
    place[:, 3] = TURNED @ [*(number * (n == axis) for n in range(3)), 1]
    assert np.allclose(made.affine, place, atol=1e-4)
    assert np.array_equal(np.asanyarray(made.dataobj), np.take(VOLUME, [number], axis))
    assert made.header.get_xyzt_units()[0] == "mm"
    assert made.get_sform(coded=True)[1] == 4  # MNI
    ends = np.array([*np.ndindex(2, 2, 2)]) * (np.array(made.shape) - 1)
    off = (nibabel_qform(made) - made.affine) @ np.c_[ends, np.ones(8)].T
    near = np.linalg.norm(off[:3], axis=0).max() <= min(made.header.get_zooms()) / 2
    assert made.get_qform(coded=True)[1] == (4 if near else 0)  # it knows no shear
    assert np.allclose(made.header.get_zooms(), np.linalg.norm(TURNED[:3, :3], axis=0), atol=1e-5)
    back = decoded((tmp_path / "o.nii").read_bytes(), "")
    assert np.array_equal(back.pixels, slice_.pixels)
    assert back.stored_range == slice_.stored_range


def nibabel_qform(made: Any) -> np.ndarray:
    """Return the qform that would be nearest, whatever the file says."""
    import nibabel

    other = nibabel.Nifti1Image(np.zeros(made.shape, np.uint8), made.affine)
    other.set_qform(made.affine, 4)
    found: np.ndarray = other.get_qform()
    return found


def test_without_shear_both_forms_say_the_place(tmp_path: Path) -> None:
    slice_ = decoded(volume(tmp_path / "a.nii.gz", affine=STRAIGHT).read_bytes(), "z5")
    made = nibabel_of(tmp_path / "o.nii", slice_)
    assert made.get_sform(coded=True)[1] == made.get_qform(coded=True)[1] == 4
    assert np.allclose(made.get_qform(), made.affine, atol=1e-4)


def test_rows_askew_are_no_dicom(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    slice_ = decoded(volume(tmp_path / "a.nii.gz").read_bytes(), "z5")
    with pytest.raises(ImageError, match=r"o\.dcm: .*rows and columns .* at 8\d\.\d degrees"):
        encode_picture("o.dcm", slice_.pixels, metadata=slice_.metadata)


def decoded(whole: bytes, part: str) -> Decoded:
    """Decode NIfTI in this process."""
    from fusionkit_formats import nifti

    return nifti.decode(whole, part)


def nibabel_of(path: Path, image: Decoded) -> Any:
    """Return what nibabel finds in an image that is written as NIfTI."""
    import nibabel

    about = {"metadata": image.metadata, "stored_range": image.stored_range}
    path.write_bytes(encode_picture(path, image.pixels, **about))
    return nibabel.load(path)


@pytest.mark.slow
def test_a_fused_slice_is_read_again(tmp_path: Path) -> None:
    first = volume(tmp_path / "a.nii.gz", unit="micron")
    sources = [f"{first}#y7", f"{volume(tmp_path / 'b.nii', VOLUME[::-1])}#y7"]
    out = tmp_path / "o.nii.gz"
    assert run(*sources, "-o", out, "--range", "1:0,999", "--range", "2:0,999") == 0
    back, before = decoded(out.read_bytes(), ""), decoded(first.read_bytes(), "y7")
    assert back.pixels.dtype == np.int16
    assert back.stored_range == (0, 999)
    grid, there = back.metadata.grid, before.metadata.grid
    assert grid is not None
    assert there is not None
    assert (grid.unit, grid.space) == ("micron", "mni")
    assert np.allclose(grid.matrix(), there.matrix(), atol=1e-7)
    record = json.loads(Path(f"{out}.json").read_text())
    assert "place in space" in record["metadata"]["kept"]
    assert record["output"]["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    again = tmp_path / "again.nii.gz"
    assert run(*sources, "-o", again, "--recipe", f"{out}.json") == 0
    assert again.read_bytes() == out.read_bytes()


def test_what_lies_nowhere_has_the_distance_of_its_pixels(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    from fusionkit.imaging import by_spacing

    pixels = PHOTO[..., 0]
    made = nibabel_of(tmp_path / "o.nii", Decoded(pixels, metadata=by_spacing(0.25, 0.5)))
    assert made.header.get_zooms() == pytest.approx((0.25, 0.5, 1))
    assert not made.header["sform_code"]
    plain = nibabel_of(tmp_path / "p.nii", Decoded(pixels))
    assert plain.header.get_zooms() == (1, 1, 1)
    assert np.array_equal(np.asanyarray(plain.dataobj)[..., 0].T, pixels[::-1])  # y is upwards
    for code in ("o", "p"):  # as the same image
        assert np.array_equal(read_picture(tmp_path / f"{code}.nii").pixels, pixels)


def test_what_nifti_cannot_hold_is_said_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nibabel")
    for name, pixels in {"c.png": PHOTO, "g.png": PHOTO[..., 0]}.items():
        (tmp_path / name).write_bytes(encode_picture(name, pixels))
    out = tmp_path / "o.nii.gz"
    pair = [tmp_path / "g.png", tmp_path / "c.png"]
    assert run(*pair, "-o", out) == 2
    said = capsys.readouterr().err
    assert "o.nii.gz: nifti holds grey values alone: give --chroma none, or use .png" in said
    assert said.count("\n") == 1
    assert run(*pair, "-o", out, "--chroma", "none") == 0
    written = out.read_bytes()
    assert run(*pair, "-o", out, "--chroma", "none") == 2
    assert out.read_bytes() == written
    half = np.zeros((8, 9), np.float16)
    with pytest.raises(ImageError, match=r"cannot hold float16 values: give --depth 8 or 16 or fl"):
        encode_picture(tmp_path / "h.nii", half)
    with pytest.raises(ImageError, match="cannot hold the alpha channel"):
        encode_picture("h.nii", PHOTO[..., 0], PHOTO[..., 1])


@pytest.mark.slow
def test_a_folder_of_results_and_names_of_maps(tmp_path: Path) -> None:
    for name in ("ct", "mr"):
        (tmp_path / name).mkdir()
        volume(tmp_path / name / "one.nii.gz")
    assert run(tmp_path / "ct", tmp_path / "mr", "-o", tmp_path / "o", "--format", "nii.gz") == 0
    assert read_picture(tmp_path / "o" / "one.nii.gz").metadata.grid is not None
    from fusionkit.host.saving import map_path_of

    assert map_path_of("a/o.nii.gz", "std") == str(Path("a/o.std.tif"))


# DICOM


@pytest.mark.slow
def test_a_dicom_slice_keeps_its_place_its_values_and_its_window(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.pixels.processing import apply_modality_lut, apply_windowing

    about = {**GEOMETRY, **SERIES, **RESCALED, **WINDOW}
    first = dicom(tmp_path / "a.dcm", STORED, **about)
    second = dicom(tmp_path / "b.dcm", np.ascontiguousarray(STORED[::-1]), **about)
    assert run(first, second, "-o", tmp_path / "o.dcm") == 0
    assert run(first, second, "-o", tmp_path / "o.tif") == 0
    made = pydicom.dcmread(tmp_path / "o.dcm")
    for name, value in GEOMETRY.items():
        assert np.allclose(np.array(made[name].value, float), np.array(value, float)), name
    assert made.PhotometricInterpretation == "MONOCHROME2"
    values = apply_modality_lut(made.pixel_array, made)
    floats = read_picture(tmp_path / "o.tif", (-160, 239)).pixels
    assert np.allclose(values, floats, atol=0.5 * 399 / 65535 + 1e-4)
    # Black and white are the ends of the range: a viewer's window changes nothing.
    assert np.allclose(apply_windowing(values, made), values, atol=1e-3)
    back = read_picture(tmp_path / "o.dcm")
    assert (back.low, back.high) == pytest.approx((-160, 239))


@pytest.mark.slow
def test_of_the_patient_nothing_is_written_unless_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pydicom = pytest.importorskip("pydicom")
    about = {**GEOMETRY, **SERIES, **WINDOW, "PatientName": "Müller^Änne", "StudyDate": "20200102"}
    about |= {"SpecificCharacterSet": "ISO_IR 192", "InstitutionName": "Here"}
    first = dicom(tmp_path / "a.dcm", STORED, **about)
    out = tmp_path / "o.dcm"
    assert run(first, first, "-o", out) == 0
    written = out.read_bytes() + Path(f"{out}.json").read_bytes()
    for told in ("ller", "12345", "1.2.3", "1.2.4", "1.2.5", "20200102", "Here"):
        assert told.encode() not in written.replace(b"1.2.826", b"").replace(b"1.2.840", b"")
    record = json.loads(Path(f"{out}.json").read_text())
    assert {"PatientName", "PatientID", "StudyDate"} <= {*record["metadata"]["left_out"]}
    kept = tmp_path / "k.dcm"
    assert run(first, first, "-o", kept, "--keep-patient") == 0
    made = pydicom.dcmread(kept)
    assert (str(made.PatientName), made.PatientID) == ("Müller^Änne", "12345")
    assert (made.StudyInstanceUID, made.FrameOfReferenceUID) == ("1.2.5", "1.2.3")
    assert made.SeriesInstanceUID != "1.2.4"
    assert "InstitutionName" not in made
    record = json.loads(Path(f"{kept}.json").read_text())
    assert {"PatientName", "StudyDate"} <= {*record["metadata"]["kept"]}
    assert record["recipe"]["keep-patient"] is True
    capsys.readouterr()
    loud = [word for word in QUICK if word != "--quiet"]
    words = ["run", str(first), str(first), "--keep-patient", *loud, "-o"]
    assert main([*words, str(tmp_path / "k.tif")]) == 0
    assert "k.tif: it cannot hold what --keep-patient asks for" in capsys.readouterr().err
    assert b"ller" not in (tmp_path / "k.tif").read_bytes()
    grey = tmp_path / "g.png"
    grey.write_bytes(encode_picture(grey, PHOTO[..., 0]))
    assert run(grey, first, "-o", tmp_path / "n.dcm", "--keep-patient") == 2
    assert "g.png says nothing of a patient" in capsys.readouterr().err


def dicom_of(path: Path, image: Decoded) -> Any:
    """Return what pydicom finds in an image that is written as DICOM."""
    import pydicom

    about = {"metadata": image.metadata, "stored_range": image.stored_range}
    path.write_bytes(encode_picture(path, image.pixels, **about))
    return pydicom.dcmread(path)


def test_uids_are_of_the_content_and_slices_of_a_series_stay_one(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from fusionkit_formats.dicom import decode

    made = {}
    for name, at in {"one": 30, "two": 33, "same": 30}.items():
        about = {**GEOMETRY, **SERIES, **WINDOW, "ImagePositionPatient": [0, 0, at]}
        source = dicom(tmp_path / f"{name}-in.dcm", STORED + at, **about)
        made[name] = dicom_of(tmp_path / f"{name}.dcm", decode(source.read_bytes(), ""))
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "same.dcm").read_bytes()
    one, two = made["one"], made["two"]
    assert one.SOPInstanceUID != two.SOPInstanceUID
    for uid in ("SeriesInstanceUID", "FrameOfReferenceUID"):
        assert one[uid].value == two[uid].value
        assert one[uid].value.is_valid
    assert one.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage


def test_colour_integers_and_missing_pixels(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    colour = dicom_of(tmp_path / "c.dcm", Decoded(PHOTO, stored_range=(0, 255)))
    assert colour.PhotometricInterpretation == "RGB"
    assert np.array_equal(colour.pixel_array, PHOTO)
    holes = np.linspace(0, 1, 80 * 64, dtype=np.float32).reshape(64, 80)
    holes[:8] = np.nan
    np.save(tmp_path / "h.npy", holes)
    assert run(tmp_path / "h.npy", tmp_path / "h.npy", "-o", tmp_path / "h.dcm") == 0
    back = read_picture(tmp_path / "h.dcm", masks=True)
    assert back.mask is not None
    assert np.array_equal(back.mask, np.isfinite(holes))
    assert np.allclose(back.pixels[8:], holes[8:], atol=1e-5)
    odd = (np.arange(7 * 9) * 4).astype(np.uint8).reshape(7, 9)  # an odd number of bytes
    made = dicom_of(tmp_path / "odd.dcm", Decoded(odd, stored_range=(0, 255)))
    assert np.array_equal(made.pixel_array, odd)
    assert (made.WindowCenter, made.WindowWidth) == (128, 256)
    with pytest.raises(ImageError, match="no value for pixels without data: give --chroma none"):
        encode_picture(tmp_path / "n.dcm", np.full((4, 4, 3), np.nan, np.float32))


def test_between_the_formats_the_place_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    pytest.importorskip("pydicom")
    from fusionkit_formats.dicom import decode

    slice_ = decoded(volume(tmp_path / "a.nii.gz", affine=STRAIGHT).read_bytes(), "z5")
    dicom_of(tmp_path / "o.dcm", slice_)
    through, before = decode((tmp_path / "o.dcm").read_bytes(), "").metadata.grid, slice_.metadata
    assert through is not None
    assert before.grid is not None
    columns = [0, 1, 3]  # DICOM has no sign for the third
    assert np.allclose(through.matrix()[:, columns], before.grid.matrix()[:, columns], atol=1e-6)
    source = dicom(tmp_path / "b.dcm", STORED, **GEOMETRY, **WINDOW)
    made = nibabel_of(tmp_path / "o.nii", decode(source.read_bytes(), ""))
    corner = np.diag([-1, -1, 1, 1]) @ [*GEOMETRY["ImagePositionPatient"], 1]  # LPS, RAS
    ends = [made.affine @ [i, j, k, 1] for i in (0, 79) for j in (0, 63) for k in (0, 63)]
    assert min(np.abs(end - corner).max() for end in ends) < 1e-3
