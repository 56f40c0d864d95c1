"""Formats of phones, cameras, clinics and studios, each written by its field's own library."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fusionkit_formats import apart, fusionkit_readers
from PIL import Image
from skimage import data

import fusionkit
from fusionkit import ImageError, UsageError
from fusionkit.cli import main
from fusionkit.imaging import read_picture

PHOTO = data.astronaut()[40:104, 180:260]
"""(64, 80, 3) uint8."""


# HEIF


def heif(path: Path, samples: np.ndarray, mode: str, **how: Any) -> Path:
    pillow_heif = pytest.importorskip("pillow_heif")
    height, width = samples.shape[:2]
    file = pillow_heif.from_bytes(mode, (width, height), samples.tobytes())
    file.save(path, quality=-1, chroma=444, **how)
    return path


def test_a_photograph_of_a_phone(tmp_path: Path) -> None:
    picture = read_picture(heif(tmp_path / "a.heic", PHOTO, "RGB"))
    assert picture.pixels.shape == PHOTO.shape
    assert picture.pixels.dtype == np.uint8
    # Lossless but for the colour transform.
    assert np.abs(picture.pixels.astype(int) - PHOTO).max() <= 3
    assert picture.notes == ()


def test_more_than_eight_bits_are_kept(tmp_path: Path) -> None:
    fine = (np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) * 12).astype(np.uint16)
    path = heif(tmp_path / "a.heif", np.stack([fine] * 3, -1), "RGB;16")
    pixels = read_picture(path).pixels
    assert pixels.dtype == np.uint16
    grey = pixels if pixels.ndim == 2 else pixels[..., 1]
    assert len(np.unique(grey)) > 256
    assert np.abs(grey / 65535 - fine / 65535).max() < 2 / 1023


def test_alpha_is_alpha(tmp_path: Path) -> None:
    alpha = np.full((*PHOTO.shape[:2], 1), 200, np.uint8)
    picture = read_picture(heif(tmp_path / "a.heic", np.concatenate([PHOTO, alpha], 2), "RGBA"))
    assert picture.alpha is not None
    assert abs(int(picture.alpha.mean()) - 200) <= 1


# DICOM


def dicom(path: Path, values: np.ndarray, **said: Any) -> Path:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_ = pydicom.Dataset()
    slice_.file_meta = meta
    slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    slice_.PatientName, slice_.PatientID = "Doe^Jane", "12345"
    colour = values.ndim == 3
    slice_.Rows, slice_.Columns = values.shape[:2]
    slice_.SamplesPerPixel = 3 if colour else 1
    slice_.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        slice_.PlanarConfiguration = 0
    slice_.BitsAllocated = slice_.BitsStored = 8 * values.itemsize
    slice_.HighBit = slice_.BitsStored - 1
    slice_.PixelRepresentation = int(values.dtype.kind == "i")
    slice_.PixelData = values.tobytes()
    for name, value in said.items():
        setattr(slice_, name, value)
    slice_.save_as(path, enforce_file_format=True)
    return path


STORED = np.arange(64 * 80, dtype=np.int16).reshape(64, 80)


def test_a_slice_has_the_units_and_the_window_of_its_file(tmp_path: Path) -> None:
    rescale = {"RescaleSlope": "0.5", "RescaleIntercept": "-1024"}
    path = dicom(tmp_path / "a.dcm", STORED, WindowCenter="40", WindowWidth="400", **rescale)
    picture = read_picture(path)
    assert np.allclose(picture.pixels, STORED * 0.5 - 1024)
    low, high = 40 - 0.5 - 399 / 2, 40 - 0.5 + 399 / 2
    unit = picture.unit()
    assert np.allclose(unit.clip(0, 1), ((STORED * 0.5 - 1024 - low) / (high - low)).clip(0, 1))
    assert any("window of the file: 40, 400 wide" in note for note in picture.notes)


def test_without_a_window_the_stored_bits_say_what_white_is(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", STORED, BitsStored=13, HighBit=12, PixelRepresentation=0)
    picture = read_picture(path)
    assert np.allclose(picture.unit(), STORED / 8191, atol=1e-6)
    assert any("no window" in note for note in picture.notes)


def test_of_monochrome1_the_lowest_value_is_white(tmp_path: Path) -> None:
    window = {"WindowCenter": "2560", "WindowWidth": "5120"}
    plain = read_picture(dicom(tmp_path / "a.dcm", STORED, **window)).unit()
    turned = {"PhotometricInterpretation": "MONOCHROME1", **window}
    assert np.allclose(
        read_picture(dicom(tmp_path / "b.dcm", STORED, **turned)).unit(), 1 - plain, atol=1e-6
    )


def test_padding_is_no_data(tmp_path: Path) -> None:
    values = STORED.copy()
    values[:, :8] = -2000
    path = dicom(tmp_path / "a.dcm", values, PixelPaddingValue=-2000)
    other = dicom(tmp_path / "b.dcm", STORED)
    fused = fusionkit.fuse([path, other], weighting="fixed", objective="mse", depth="float")
    # Where the first has nothing, the second's alone is shown.
    assert np.allclose(np.asarray(fused.image)[:, :4], read_picture(other).unit()[:, :4], atol=1e-4)


def test_colour_of_dicom(tmp_path: Path) -> None:
    assert np.array_equal(read_picture(dicom(tmp_path / "a.dcm", PHOTO)).pixels, PHOTO)


def test_what_is_said_of_the_patient_goes_nowhere(tmp_path: Path) -> None:
    first = dicom(tmp_path / "a.dcm", STORED, WindowCenter="2560", WindowWidth="5120")
    Image.fromarray(PHOTO[..., 0]).save(tmp_path / "b.png")
    out = tmp_path / "fused.tif"
    assert main(["run", str(first), str(tmp_path / "b.png"), "-o", str(out), "--quiet"]) == 0
    written = out.read_bytes() + (tmp_path / "fused.tif.json").read_bytes()
    assert b"Doe" not in written
    assert b"12345" not in written


def test_spacing_that_is_none_is_told(tmp_path: Path) -> None:
    place = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, 0]}
    for spacing in ([-1, 1], [0, 1]):
        picture = read_picture(dicom(tmp_path / "a.dcm", STORED, PixelSpacing=spacing, **place))
        assert picture.metadata.grid is None
        assert not picture.metadata.resolution
        assert sum("is no distance: it is left out" in note for note in picture.notes) == 1


def test_of_enhanced_dicom_every_frame_has_its_own_rescale(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    frames = STORED.reshape(4, 16, 80)
    path = dicom(tmp_path / "a.dcm", frames.reshape(64, 80), NumberOfFrames=4, Rows=16)
    groups = []
    for k in range(4):
        group, values = pydicom.Dataset(), pydicom.Dataset()
        values.RescaleSlope, values.RescaleIntercept = str(k + 1), "-10"
        group.PixelValueTransformationSequence = [values]
        groups.append(group)
    slice_ = pydicom.dcmread(path)
    slice_.PerFrameFunctionalGroupsSequence = groups
    slice_.save_as(path)
    for k in range(4):
        found = read_picture(f"{path}#{k + 1}").pixels
        assert np.allclose(found, frames[k].astype(float) * (k + 1) - 10)


def test_patients_are_told_of_once_and_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = {"WindowCenter": "2560", "WindowWidth": "5120"}
    pair = [dicom(tmp_path / f"{name}.dcm", STORED, **window) for name in "ab"]
    words = ["run", *map(str, pair), "--weighting", "fixed", "--objective", "mse", "-o"]
    assert main([*words, str(tmp_path / "o.dcm")]) == 0
    said = capsys.readouterr().err
    assert said.count("what is said of patient, study and scanner does not go to the result") == 1
    assert main([*words, str(tmp_path / "k.dcm"), "--keep-patient"]) == 0
    said = capsys.readouterr().err
    assert "a.dcm: what it says of its patient goes to the result, and what " in said
    assert "b.dcm says does not" in said
    assert "does not go to the result" not in said
    dicom(pair[1], STORED, PatientID="777", **window)
    assert main([*words, str(tmp_path / "p.dcm")]) == 0
    said = capsys.readouterr().err
    assert "b.dcm: its patient's ID is another than that of " in said
    assert "777" not in said + (tmp_path / "p.dcm.json").read_text()


def test_several_frames_are_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", STORED.reshape(64, 80), NumberOfFrames=4, Rows=16)
    with pytest.raises(ImageError, match=r"a\.dcm: .*it holds 4 frames"):
        read_picture(path)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_padding_is_written_and_not_missed(
    kind: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A TIFF that declares what means no data, in pixels that no source shows."""
    import tifffile

    pytest.importorskip("pydicom")
    values = (STORED + 1000).astype(kind)
    values[:8] = 7
    declared = [(42113, "s", 0, "7", True)]
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, values, extratags=declared, metadata=None)
    out = tmp_path / "o.dcm"
    words = ["--range", "1:0,9000", "--range", "2:0,9000", "--weighting", "fixed"]
    sources = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    assert main(["run", *sources, "-o", str(out), "--objective", "mse", *words]) == 0
    assert "cannot declare" not in capsys.readouterr().err
    back = read_picture(out, masks=True)
    assert back.mask is not None
    assert not back.mask[:8].any()
    assert back.mask[8:].all()
    assert np.allclose(back.pixels[8:], values[8:], atol=0.1)


# OpenEXR


def exr(path: Path, **channels: np.ndarray) -> Path:
    OpenEXR = pytest.importorskip("OpenEXR")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as image:
        image.write(str(path))
    return path


def test_linear_floats(tmp_path: Path) -> None:
    values = (PHOTO / 255).astype(np.float32)
    planes = {name: np.ascontiguousarray(values[..., n]) for n, name in enumerate("RGB")}
    path = exr(tmp_path / "a.exr", **planes, A=np.full(values.shape[:2], 0.5, np.float16))
    picture = read_picture(path)
    assert np.array_equal(picture.pixels, values)
    assert picture.alpha is not None
    assert np.allclose(picture.alpha, 0.5)
    grey = read_picture(exr(tmp_path / "b.exr", Y=planes["R"], depth=planes["G"]))
    assert np.array_equal(grey.pixels, values[..., 0])
    assert any("channels left out: depth" in note for note in grey.notes)
    with pytest.raises(ImageError, match=r"c\.exr: .*R, G and B, or Y, are read"):
        read_picture(exr(tmp_path / "c.exr", U=planes["R"]))


# Raw files of cameras


def dng(path: Path) -> np.ndarray:
    """Write a small raw file: half red light, half green, no other; return what it shows."""
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rawpy")
    mosaic = np.zeros((64, 80), np.uint16)
    mosaic[0::2, 0:40:2] = 20000  # red, at the left
    mosaic[0::2, 41::2] = mosaic[1::2, 40::2] = 20000  # green, at the right
    identity = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    tags = [
        (33421, "H", 2, (2, 2), True),  # the pattern's size
        (33422, "B", 4, (0, 1, 1, 2), True),  # red, green, green, blue
        (50706, "B", 4, (1, 4, 0, 0), True),  # of DNG, the version
        (50708, "s", 0, "Made up", True),
        (50714, "H", 1, 0, True),  # black
        (50717, "H", 1, 40000, True),  # white
        (50721, "2i", 9, identity, True),  # of XYZ, the camera's colours
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),  # neutral
        (50778, "H", 1, 21, True),
    ]
    tifffile.imwrite(path, mosaic, photometric=32803, extratags=tags, metadata=None)
    return mosaic


def test_a_raw_file_is_developed(tmp_path: Path) -> None:
    dng(tmp_path / "a.dng")
    picture = read_picture(tmp_path / "a.dng")
    assert picture.pixels.dtype == np.uint16
    assert picture.pixels.shape == (64, 80, 3)
    left, right = picture.pixels[16:48, 8:32], picture.pixels[16:48, 48:72]
    assert left[..., 0].mean() > 2 * left[..., 1].mean()
    assert right[..., 1].mean() > 2 * right[..., 0].mean()
    assert any("white balance" in note for note in picture.notes)


# What goes wrong


@pytest.mark.parametrize("kind", apart.KINDS)
def test_damage_is_one_line(kind: str) -> None:
    libraries = {"heif": "pillow_heif", "camera_raw": "rawpy", "exr": "OpenEXR"}
    pytest.importorskip(libraries.get(kind, "pydicom"))
    with pytest.raises(ValueError, match=r"\A.+\Z"):
        apart.decode_apart(kind, b"\0" * 400)


@pytest.mark.slow
def test_truncated_and_changed_files_are_refused_or_read(tmp_path: Path) -> None:
    files = [dicom(tmp_path / "a.dcm", STORED), heif(tmp_path / "a.heic", PHOTO, "RGB")]
    generator = np.random.default_rng(0)
    for path in files:
        whole = path.read_bytes()
        for share in (0.1, 0.5, 0.9):
            damaged = bytearray(whole[: int(share * len(whole))])
            for at in generator.integers(0, len(damaged), 5):
                damaged[at] ^= 0xFF
            path.write_bytes(damaged)
            with suppress(ImageError):  # one line, as of any reader
                assert read_picture(path).pixels.size > 0


def test_a_crash_of_a_decoder_is_an_error_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "__name__", "os import abort; abort() #")
    with pytest.raises(ValueError, match="its decoder crashed"):
        apart.decode_apart("dicom", b"")


def test_a_reader_without_its_library_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from fusionkit.contract.reading import readers

    assert {each.needs for each in fusionkit_readers()} >= {"pydicom", "nibabel", "imagecodecs"}
    monkeypatch.setattr("fusionkit.contract.reader._installed", lambda name: not name)
    assert not [each for each in readers() if each.plugin.name == "formats"]
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(400))
    with pytest.raises(ImageError, match=r"a\.heic: .*pillow_heif: pip install 'fusionkit-imaging"):
        read_picture(tmp_path / "a.heic")


def test_bytes_are_known_by_their_content() -> None:
    pytest.importorskip("pillow_heif")
    buffer = BytesIO()
    import pillow_heif

    pillow_heif.from_bytes("RGB", PHOTO.shape[1::-1], PHOTO.tobytes()).save(buffer, quality=-1)
    images = [buffer.getvalue(), PHOTO]
    fused = fusionkit.fuse(images, weighting="fixed", objective="mse")
    assert np.asarray(fused.image).shape == PHOTO.shape
    with pytest.raises(UsageError):
        fusionkit.fuse([buffer.getvalue()])
