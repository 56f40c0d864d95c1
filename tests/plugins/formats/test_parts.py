"""Parts of files, FILE#PART: slices of volumes, frames, pages, and what a thermal camera took."""

from __future__ import annotations

import gzip
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

import fusionkit
from fusionkit import Decoded, ImageError
from fusionkit.cli import main
from fusionkit.imaging import read_picture
from tests.plugins.formats.test_formats import STORED, dicom

# NIfTI

VOLUME = np.arange(20 * 24 * 16, dtype=np.int16).reshape(20, 24, 16)
"""x to the right, y to the front, z to the head."""


def nifti(path: Path, values: np.ndarray = VOLUME, flips: str = "", **header: Any) -> Path:
    nibabel = pytest.importorskip("nibabel")
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    for axis in flips:  # stored the other way round, which the affine says
        at = "xyz".index(axis)
        values = np.flip(values, at)
        affine[at, at] *= -1
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def decoded(whole: bytes, part: str) -> Decoded:
    """Decode in this process."""
    from fusionkit_formats import nifti

    return nifti.decode(whole, part)


@pytest.mark.parametrize("flips", ["", "x", "xyz"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_slices_of_a_volume(tmp_path: Path, flips: str, name: str) -> None:
    whole = nifti(tmp_path / name, flips=flips).read_bytes()
    axial = decoded(whole, "z5").pixels
    assert np.array_equal(axial, VOLUME[::-1, ::-1, 5].T)  # front above, right at the left
    assert np.array_equal(decoded(whole, "y7").pixels, VOLUME[::-1, 7, ::-1].T)
    assert np.array_equal(decoded(whole, "x3").pixels, VOLUME[3, ::-1, ::-1].T)
    middle = decoded(whole, "")
    assert np.array_equal(middle.pixels, VOLUME[::-1, ::-1, 8].T)
    assert "slice z8 of 16" in middle.notes
    assert any("not square: 2 by 3" in note for note in decoded(whole, "x3").notes)


def test_the_range_is_that_of_the_file_or_of_the_whole_volume(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz")
    unit = read_picture(f"{path}#z0").unit()
    assert np.array_equal(read_picture(path).pixels, decoded(path.read_bytes(), "").pixels)
    assert np.allclose(unit, VOLUME[::-1, ::-1, 0].T / VOLUME.max(), atol=1e-6)
    said = read_picture(f"{nifti(tmp_path / 'b.nii', cal_min=100, cal_max=1100)}#z5")
    assert np.allclose(said.unit(), ((said.pixels - 100) / 1000).clip(0, 1), atol=1e-6)


def test_a_range_that_is_none_does_not_count(tmp_path: Path) -> None:
    endless = nifti(tmp_path / "a.nii", cal_min=0.0, cal_max=np.inf).read_bytes()
    assert decoded(endless, "z5").stored_range == (0.0, float(VOLUME.max()))
    no_slices = nifti(tmp_path / "b.nii").read_bytes()
    no_slices = no_slices[:42] + struct.pack("<h", 0) + no_slices[44:]
    with pytest.raises(ValueError, match="holds no values"):
        decoded(no_slices, "z5")


def test_several_volumes_and_what_there_is_not(tmp_path: Path) -> None:
    four = nifti(tmp_path / "a.nii", np.stack([VOLUME, VOLUME + 1], -1)).read_bytes()
    assert np.array_equal(decoded(four, "z5,t1").pixels, VOLUME[::-1, ::-1, 5].T + 1)
    path = nifti(tmp_path / "b.nii.gz")
    for part, says in {
        "z16": "along z are 0 to 15",
        "w1": "give x, y or z",
        "z1,t1": "its volumes are t0 to t0",
    }.items():
        with pytest.raises(ValueError, match=says):
            decoded(path.read_bytes(), part)
    with pytest.raises(ValueError, match="holds 2 volumes"):
        decoded(four, "z5")
    with pytest.raises(ImageError, match=r"b\.nii\.gz#z16: .*along z are 0 to 15"):
        read_picture(f"{path}#z16")
    with pytest.raises(ImageError, match=r"no\.nii#z5: there is no such file"):
        read_picture(tmp_path / "no.nii#z5")
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole[:1000]))
    with pytest.raises(ImageError, match=r"\A.*b\.nii\.gz.*\Z"):
        read_picture(path)


def test_slices_are_fused_and_the_record_makes_them_again(tmp_path: Path) -> None:
    flair = nifti(tmp_path / "flair.nii.gz")
    t1 = nifti(tmp_path / "t1.nii.gz", VOLUME[::-1])
    out = tmp_path / "fused.png"
    sources = [f"{flair}#z5", f"{t1}#z5"]
    quick = ["--weighting", "fixed", "--objective", "mse", "--depth", "16", "--quiet"]
    assert main(["run", *sources, "-o", str(out), *quick]) == 0
    with Image.open(out) as image:
        assert image.info["dpi"] == pytest.approx((12.7, 12.7), abs=0.01)  # 2 mm
    again = tmp_path / "again.png"
    record = ["--recipe", f"{out}.json", "--quiet"]
    assert main(["run", *sources, "-o", str(again), *record]) == 0
    assert out.read_bytes() == again.read_bytes()
    # Its file is a source, whatever part of it was read.
    before = flair.read_bytes()
    assert main(["run", *sources, "-o", str(flair), "--overwrite", *quick]) == 2
    assert flair.read_bytes() == before


# DICOM, TIFF, and what has no parts


def test_frames_of_dicom(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", STORED, NumberOfFrames=4, Rows=16, PixelSpacing=[0.5, 0.25])
    picture = read_picture(f"{path}#2")
    assert np.array_equal(picture.pixels, STORED[16:32])
    assert picture.metadata.per_inch() == pytest.approx((101.6, 50.8))
    with pytest.raises(ImageError, match="its frames are #1 to #4"):
        read_picture(f"{path}#5")
    assert not read_picture(dicom(tmp_path / "b.dcm", STORED)).metadata.resolution


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    pages = np.arange(3 * 8 * 9, dtype=np.uint8).reshape(3, 8, 9)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, pages, photometric="minisblack")
    assert np.array_equal(read_picture(f"{path}#2").pixels, pages[1])
    with pytest.raises(ImageError, match="its pages are 1 to 3"):
        read_picture(f"{path}#4")
    with pytest.raises(ImageError, match="is a page, counted from 1"):
        read_picture(f"{path}#z4")


def test_results_of_pages_are_as_those_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = np.stack([data.camera()[:64, :64], data.camera()[64:128, :64]])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    (tmp_path / "m.csv").write_text("scene,one,two\nx,a.tif#1,a.tif#2\n")
    out = tmp_path / "out"
    quick = ["--weighting", "fixed", "--objective", "mse", "--quiet"]
    assert main(["run", str(tmp_path / "m.csv"), "-o", str(out), *quick]) == 0
    assert (out / "x.tif").is_file()
    before = (tmp_path / "a.tif").read_bytes()
    parts = [f"{tmp_path / 'a.tif'}#1", f"{tmp_path / 'a.tif'}#2"]
    measured = ["evaluate", str(out / "x.tif"), "--metric", "en", "--quiet", "--sources"]
    assert main([*measured, *parts]) == 0
    assert main([*measured, parts[0], f"{tmp_path / 'b.tif'}#2"]) == 2
    assert "b.tif#2: there is no such file" in capsys.readouterr().err
    assert main(["align", *parts, "-o", str(tmp_path / "aligned")]) == 2
    assert "a.tif#1: part of a file" in capsys.readouterr().err
    assert not (tmp_path / "aligned").exists()
    assert (tmp_path / "a.tif").read_bytes() == before


def test_what_has_no_parts_and_files_with_the_mark_in_their_name(tmp_path: Path) -> None:
    image = data.camera()[:16, :16]
    Image.fromarray(image).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png#2: parts of such a file cannot be asked for"):
        read_picture(tmp_path / "a.png#2")
    Image.fromarray(image).save(tmp_path / "b#2.png")
    (tmp_path / "b#2.png").rename(tmp_path / "b.png#2")
    assert np.array_equal(read_picture(tmp_path / "b.png#2").pixels, image)


# Thermal cameras

PLANCK = {"r1": 14364.633, "r2": 0.01, "b": 1385.4, "f": 1.0, "o": -5753}
RAW = np.linspace(12000, 19000, 30 * 40).reshape(30, 40).astype("<u2")


def celsius(raw: np.ndarray) -> np.ndarray:
    ratio = PLANCK["r1"] / (PLANCK["r2"] * (raw.astype(float) + PLANCK["o"]))
    return PLANCK["b"] / np.log(ratio + PLANCK["f"]) - 273.15


def flir(path: Path, photograph: np.ndarray | None) -> Path:
    """Write a radiometric JPEG as exiftool's tables of FLIR describe it."""
    camera = bytearray(900)
    # Emissivity, distance, reflected, air and window temperature, transmission of the window.
    struct.pack_into("<6f", camera, 32, 1.0, 0.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into("<3f", camera, 88, PLANCK["r1"], PLANCK["b"], PLANCK["f"])
    struct.pack_into("<5f", camera, 112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9)
    struct.pack_into("<if", camera, 776, PLANCK["o"], PLANCK["r2"])

    def sized(width: int, height: int, body: bytes) -> bytes:
        return struct.pack("<3H", 2, width, height).ljust(32, b"\0") + body

    records = [(1, sized(40, 30, RAW.tobytes())), (32, bytes(camera))]
    if photograph is not None:
        buffer = BytesIO()
        Image.fromarray(photograph).save(buffer, "PNG")
        height, width = photograph.shape[:2]
        records.append((14, sized(width, height, buffer.getvalue())))
        records.append((42, struct.pack("<f6h", 2.0, 4, -2, 0, 39, 0, 29)))
    slots = 14  # of the directory, the last of which are empty, as cameras write it
    at = 64 + 32 * slots
    head = b"FFF\0".ljust(20, b"\0") + struct.pack(">3I", 100, 64, slots).ljust(44, b"\0")
    entries, bodies = b"", b""
    for kind, body in records:
        entries += struct.pack(">HHIIIIIII", kind, 1, 100, 1, at + len(bodies), len(body), 0, 0, 0)
        bodies += body
    whole = head + entries.ljust(32 * slots, b"\0") + bodies
    buffer = BytesIO()
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    pieces = [whole[n : n + 60000] for n in range(0, len(whole), 60000)]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(piece) + 10) + b"FLIR\0\1"
        + bytes([n, len(pieces) - 1]) + piece
        for n, piece in enumerate(pieces)
    )  # fmt: skip
    path.write_bytes(jpeg[:2] + segments + jpeg[2:])
    return path


def test_temperatures_and_photograph_of_a_thermal_camera(tmp_path: Path) -> None:
    pytest.importorskip("flyr")
    photograph = data.astronaut()[:240, :320]
    path = flir(tmp_path / "IR_1.jpg", photograph)
    thermal = read_picture(f"{path}#thermal")
    assert np.allclose(thermal.pixels, celsius(RAW), atol=0.01)
    low, high = celsius(RAW).min(), celsius(RAW).max()
    assert np.allclose(thermal.unit(), (celsius(RAW) - low) / (high - low), atol=1e-4)
    assert any("degrees Celsius" in note for note in thermal.notes)
    # Half of the photograph, 4 to the right of and 2 above its middle.
    visible = read_picture(f"{path}#visible").pixels
    assert np.array_equal(visible, photograph[58:178, 84:244])
    # Without a part it is the picture that the camera shows, and a note says what else there is.
    shown = read_picture(path)
    assert shown.pixels.shape == (30, 40, 3)
    assert any("#thermal" in note for note in shown.notes)


def test_a_thermal_image_is_fused_with_its_photograph(tmp_path: Path) -> None:
    pytest.importorskip("flyr")
    path = flir(tmp_path / "IR_1.jpg", data.astronaut()[:240, :320])
    fused = fusionkit.fuse(
        [f"{path}#visible", f"{path}#thermal"],
        task="infrared-visible", estimator="gaussian", weighting="saliency", depth="8",
    )  # fmt: skip
    assert np.asarray(fused.image).shape == (120, 160, 3)


def test_jpegs_without_temperatures(tmp_path: Path) -> None:
    pytest.importorskip("flyr")
    Image.fromarray(data.camera()[:32, :32]).save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"a\.jpg#thermal: .*no temperatures of a FLIR camera"):
        read_picture(tmp_path / "a.jpg#thermal")
    path = flir(tmp_path / "b.jpg", None)
    with pytest.raises(ImageError, match="no photograph beside"):
        read_picture(f"{path}#visible")
    with pytest.raises(ImageError, match="give #thermal or #visible"):
        read_picture(f"{path}#depth")
    assert not any("#thermal" in note for note in read_picture(tmp_path / "a.jpg").notes)
