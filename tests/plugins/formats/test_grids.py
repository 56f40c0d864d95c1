"""Sources on other grids in space, interpolated on that of the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

import fusionkit
from fusionkit import ImageError, UsageError
from fusionkit.cli import main
from fusionkit.imaging import Grid, check_comparable, read_picture, sampled
from fusionkit.imaging.sources import source_pictures
from tests.plugins.formats.test_formats import dicom

FINE = np.diag([1.0, 1.0, 2.0, 1.0])
FINE[:3, 3] = -20, -25, 5
COARSE = np.array([[2.1, 0.2, 0, -18], [-0.2, 2.2, 0.1, -22], [0, -0.1, 3.5, 0], [0, 0, 0, 1]])


def smooth(shape: tuple[int, ...], seed: int) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return (500 + 4000 * noise).astype(np.int16)


CT, MR = smooth((40, 48, 16), 1), smooth((20, 26, 14), 2)


def volume(path: Path, values: np.ndarray, affine: np.ndarray, space: str = "scanner") -> Path:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, space)
    nibabel.save(image, path)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return volume(tmp_path / "ct.nii.gz", CT, FINE), volume(tmp_path / "mr.nii.gz", MR, COARSE)


@pytest.mark.parametrize("part", ["z6", "y20", "x11"])
def test_a_volume_is_cut_where_the_first_lies_as_nibabel_does(
    pair: tuple[Path, Path], part: str
) -> None:
    import nibabel
    from nibabel.processing import resample_from_to

    first, second = source_pictures([f"{pair[0]}#{part}", pair[1]], on_first=True)
    assert first.shape == second.shape
    assert second.dtype == np.int16
    floats = nibabel.Nifti1Image(MR.astype(np.float64), COARSE)
    whole = resample_from_to(floats, (CT.shape, FINE), order=1, cval=np.nan).get_fdata()
    axis, number = "xyz".index(part[0]), int(part[1:])
    there = np.take(whole, number, axis).T[::-1, ::-1]
    known = np.isfinite(there)
    assert known.sum() > 100
    assert second.mask is not None
    assert second.mask[known].all()
    assert np.abs(second.pixels[known] - there[known]).max() <= 0.5 + 1e-6
    # Voxels reach to half of their size beyond the middle of the last one, and no further.
    at = np.linalg.inv(COARSE) @ FINE
    indices = np.moveaxis(np.indices(CT.shape), 0, -1) @ at[:3, :3].T + at[:3, 3]
    inside = ((indices >= -0.5) & (indices <= np.array(MR.shape) - 0.5)).all(-1)
    assert np.array_equal(second.mask, np.take(inside, number, axis).T[::-1, ::-1])


def test_slices_show_what_lies_within_their_thickness(pair: tuple[Path, Path]) -> None:
    ct = pair[0]
    same = source_pictures([f"{ct}#z6", f"{ct}#z6"], on_first=True)
    assert np.array_equal(same[0].pixels, same[1].pixels)
    assert same[1].mask is None
    with pytest.raises(ImageError, match=r"#z9: it shows nothing where .*6 mm .* is 2 mm thick"):
        source_pictures([f"{ct}#z6", f"{ct}#z9"], on_first=True)
    # A slice askew lies in it in part.
    _, second = source_pictures([f"{ct}#z6", f"{pair[1]}#z5"], on_first=True)
    assert second.mask is not None
    assert any("interpolated on the grid of" in note for note in second.notes)


def test_slices_of_dicom(tmp_path: Path) -> None:
    about: dict[str, Any] = {
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SliceThickness": "2",
        "WindowCenter": "500", "WindowWidth": "1000", "FrameOfReferenceUID": "1.2.3",
    }  # fmt: skip
    ramp = np.add.outer(np.arange(40), np.arange(30)).astype(np.int16)
    fine = dicom(
        tmp_path / "a.dcm", ramp, PixelSpacing=[1, 1], ImagePositionPatient=[0, 0, 0], **about
    )
    half, about["PixelSpacing"] = ramp[::2, ::2].copy(), [2, 2]
    coarse = dicom(tmp_path / "b.dcm", half, ImagePositionPatient=[0, 0, 0.5], **about)
    first, second = source_pictures([fine, coarse], on_first=True)
    assert second.mask is None
    assert np.abs(second.pixels[:-1, :-1] - ramp[:-1, :-1]).max() <= 1
    about["FrameOfReferenceUID"] = "1.2.9"
    elsewhere = dicom(tmp_path / "c.dcm", half, ImagePositionPatient=[0, 0, 0], **about)
    with pytest.raises(ImageError, match=r"c\.dcm: its frame of reference is another"):
        source_pictures([fine, elsewhere], on_first=True)
    nowhere = dicom(tmp_path / "d.dcm", half)
    with pytest.raises(ImageError, match=r"d\.dcm: it does not say where it lies in space"):
        source_pictures([fine, nowhere], on_first=True)
    assert first.shape == (40, 30)


def test_what_cannot_be_compared(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    atlas = volume(tmp_path / "mni.nii", MR, COARSE, "mni")
    with pytest.raises(ImageError, match="its coordinates are mni, and those of the first are sca"):
        source_pictures([f"{pair[0]}#z6", atlas], on_first=True)
    away = COARSE.copy()
    away[2, 3] = 900
    far = volume(tmp_path / "far.nii", MR, away)
    with pytest.raises(ImageError, match=r"far\.nii: .*shows nothing where the first source lies"):
        source_pictures([f"{pair[0]}#z6", far], on_first=True)
    with pytest.raises(UsageError, match="--grid first is of two files or more"):
        source_pictures([pair[0]], on_first=True)
    with pytest.raises(ImageError, match="source 2: it does not say where it lies"):
        source_pictures([f"{pair[0]}#z6", np.zeros((48, 40), np.uint8)], on_first=True)
    plain = Grid((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    check_comparable(plain, "aligned", "any")


def test_sources_that_lie_elsewhere_are_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    from fusionkit.imaging.slicing import elsewhere_notes

    ct, mr = (str(path) for path in pair)
    assert elsewhere_notes(source_pictures([f"{ct}#z6", f"{ct}#z6"])) == ()
    (note,) = elsewhere_notes(source_pictures([f"{ct}#z6", f"{ct}#z8"]))
    assert "#z8: it lies elsewhere in space than" in note
    assert "by up to 4 mm: --grid first" in note
    assert elsewhere_notes(source_pictures([f"{ct}#z6", f"{mr}#z2"]))
    assert elsewhere_notes(source_pictures([f"{ct}#z6", mr], on_first=True)) == ()
    halves = CT[:, :, :].reshape(20, 2, 24, 2, 16).mean((1, 3)).astype(np.int16)
    affine = FINE @ np.diag([2.0, 2, 1, 1])
    affine[:2, 3] += 0.5  # the same field, in pixels of twice the size
    half = volume(tmp_path / "half.nii", halves, affine)
    assert elsewhere_notes(source_pictures([f"{ct}#z6", f"{half}#z6"])) == ()


def test_sampling_of_colour_keeps_types() -> None:
    maps = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5, 1)
    found, inside = sampled(maps, np.eye(4), (5, 4))
    assert found.dtype == np.uint8
    assert np.array_equal(found, maps[..., 0].transpose(0, 2, 1))
    assert inside.all()
    moved = np.eye(4)
    moved[0, 3] = 3.4
    found, inside = sampled(maps, moved, (5, 4))
    assert inside[:, 0].all()
    assert not inside[:, 1:].any()


@pytest.mark.slow
def test_never_without_being_asked(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = COARSE + np.diag([12.0], 3)[:4, :4]  # to the right
    volume(pair[1], MR, moved)
    words = ["run", f"{pair[0]}#z6", str(pair[1]), "--weighting", "fixed", "--objective", "mse"]
    out = tmp_path / "o.nii.gz"
    assert main([*words, "-o", str(out), "--quiet"]) == 2
    assert "fusion needs registered images of one size" in capsys.readouterr().err
    assert main([*words, "-o", str(out), "--grid", "first"]) == 0
    assert "mr.nii.gz: interpolated on the grid of the first source" in capsys.readouterr().err
    fused, first = read_picture(out), read_picture(f"{pair[0]}#z6")
    assert fused.metadata.grid is not None
    assert first.metadata.grid is not None
    assert np.allclose(fused.metadata.grid.matrix(), first.metadata.grid.matrix(), atol=1e-5)
    # Where the second shows nothing, the first's alone is shown.
    _, second = source_pictures([f"{pair[0]}#z6", pair[1]], on_first=True)
    assert second.mask is not None
    alone = fusionkit.fuse(
        [f"{pair[0]}#z6", pair[1]], grid="first", weighting="fixed", objective="mse",
        range=["1:0,1000", "2:0,1000"],
    )  # fmt: skip
    hidden = distance_transform_edt(~second.mask) > 5
    assert hidden.any()
    there = np.asarray(alone.image)[hidden].astype(int)
    assert np.abs(there - first.pixels[hidden].clip(0, 1000)).max() <= 1
    again = tmp_path / "again.nii.gz"
    assert main([*words[:3], "--recipe", f"{out}.json", "-o", str(again), "--quiet"]) == 0
    assert again.read_bytes() == out.read_bytes()
