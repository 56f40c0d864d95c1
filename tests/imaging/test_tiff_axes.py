"""Images of a TIFF by the axes of a microscope, FILE#z=3,c=1."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fusionkit import ImageError
from fusionkit.cli import main
from fusionkit.imaging import read_picture
from fusionkit.imaging.sources import source_pictures
from fusionkit.imaging.stacks import images_in

SHAPE = {"T": 2, "C": 3, "Z": 4}


def written(path: Path, axes: str, **how: Any) -> dict[tuple[int, ...], np.ndarray]:
    """Write images along axes such as TZC, the last changing fastest; return them by z, c and t."""
    sizes = [SHAPE[axis] for axis in axes]
    array = np.random.default_rng(0).integers(0, 65536, (*sizes, 12, 16), dtype=np.uint16)
    tifffile.imwrite(path, array, metadata={"axes": f"{axes}YX"}, **how)
    found = {}
    for at in np.ndindex(*sizes):
        places = dict(zip(axes, at, strict=True))
        found[tuple(places.get(axis, 0) for axis in "ZCT")] = array[at]
    return found


@pytest.mark.parametrize("axes", ["TZC", "TCZ", "CTZ", "ZTC", "ZC", "Z"])
def test_images_of_ome_have_places(tmp_path: Path, axes: str) -> None:
    path = tmp_path / "a.ome.tif"
    for (z, c, t), image in written(path, axes).items():
        part = f"z={z + 1},c={c + 1},t={t + 1}"
        assert np.array_equal(read_picture(f"{path}#{part}").pixels, image), part


def test_and_so_have_those_of_imagej(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for (z, c, t), image in written(path, "TZC", imagej=True).items():
        assert np.array_equal(read_picture(f"{path}#t={t + 1},z={z + 1},c={c + 1}").pixels, image)


def test_a_stack_is_along_one_axis(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    images = written(path, "TZC")
    asked = f"{path}#z=all,c=2,t=1"
    assert images_in(asked) == 4
    stack = source_pictures([asked])
    for z, picture in enumerate(stack):
        assert np.array_equal(picture.pixels, images[z, 1, 0])
    with pytest.raises(ImageError, match="these are 4 images: give them alone"):
        read_picture(asked)
    with pytest.raises(ImageError, match="a stack is along one axis, and z and c are all"):
        source_pictures([f"{path}#z=all,c=all,t=1"])
    assert images_in(f"{path}#z=all,c=9,t=1") == 1
    # Channels, as bands or as sources.
    channels = source_pictures([f"{path}#c=all,z=1,t=2"])
    assert np.array_equal(channels[2].pixels, images[0, 2, 1])


def test_what_is_not_said_or_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    written(path, "ZC")
    for part, says in {
        "z=2": "its images are z=1 to 4, c=1 to 3: say which is meant, such as #z=1,c=1, or a",
        "z=2,c=1,c=2": "its images are",
        "z=2,q=1": "its images are",
        "z=5,c=1": "there is no z=5",
        "z=0,c=1": "there is no z=0",
        "z=1,c=1,t=2": "there is no t=2",
        "z2": "a part of a TIFF is a page, counted from 1, such as #2",
    }.items():
        with pytest.raises(ImageError, match=re.escape(says)):
            read_picture(f"{path}#{part}")
    assert read_picture(f"{path}#z=1,c=1,t=1").shape == (12, 16)
    pages = np.zeros((3, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", pages, photometric="minisblack", metadata=None)
    with pytest.raises(ImageError, match="or, where OME or ImageJ say"):
        read_picture(tmp_path / "b.tif#z=1")
    with pytest.raises(ImageError, match=r"several images: .* or name it, such as #1"):
        read_picture(tmp_path / "b.tif")


def ome(path: Path, pixels: str, pages: int, samples: int = 1) -> Path:
    """Write pages that hold their number, with a description made by hand."""
    shape = (8, 9) if samples == 1 else (8, 9, samples)
    told = f"<OME><Image><Pixels {pixels}</Pixels></Image></OME>"
    with tifffile.TiffWriter(path) as writer:
        for n in range(pages):
            writer.write(
                np.full(shape, n, np.uint8),
                metadata=None,
                photometric="minisblack" if samples == 1 else "rgb",
                description=None if n else told,
            )
    return path


def test_pages_in_another_order_and_pages_that_are_elsewhere(tmp_path: Path) -> None:
    sizes = 'DimensionOrder="XYZCT" SizeZ="3" SizeC="1" SizeT="1">'
    blocks = "".join(f'<TiffData FirstZ="{z}" IFD="{2 - z}"/>' for z in range(3))
    path = ome(tmp_path / "a.tif", sizes + blocks, 3)
    assert [int(p.pixels[0, 0]) for p in source_pictures([f"{path}#z=all"])] == [2, 1, 0]
    path = ome(tmp_path / "b.tif", sizes.replace('"3"', '"4"'), 3)
    with pytest.raises(ImageError, match="says that it is 4 images, and holds 3 pages"):
        read_picture(f"{path}#z=1")
    twice = '<TiffData IFD="0" PlaneCount="999999999"/><TiffData IFD="1"/>'
    for blocks in (twice, '<TiffData IFD="7"/>', '<TiffData FirstZ="9"/>'):
        path = ome(tmp_path / "c.tif", sizes + blocks, 3)
        with pytest.raises(ImageError, match="does not say which of its pages"):
            read_picture(f"{path}#z=1")
    colour = ome(tmp_path / "d.tif", sizes.replace('C="1"', 'C="3"'), 3, 3)
    assert read_picture(f"{colour}#z=2").pixels.shape == (8, 9, 3)
    assert len(source_pictures([colour])) == 3


@pytest.mark.parametrize("order", ["XYZZT", "XYZC", "ZCTXY", "XYZCTT", ""])
def test_an_order_that_is_none(tmp_path: Path, order: str) -> None:
    sizes = f'DimensionOrder="{order}" SizeZ="3" SizeC="1" SizeT="1">'
    path = ome(tmp_path / "a.tif", sizes, 3)
    with pytest.raises(ImageError, match=r"a\.tif.*DimensionOrder=.* is no order of slices, chan"):
        read_picture(f"{path}#z=1")


@pytest.mark.slow
def test_a_focus_stack_of_one_channel(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    images = written(path, "ZC")
    before = path.read_bytes()
    quick = ["--weighting", "fixed", "--objective", "mse", "--quiet"]
    out, same = tmp_path / "o.tif", tmp_path / "same.tif"
    assert main(["run", f"{path}#z=all,c=2", "-o", str(out), *quick]) == 0
    each = []
    for z in range(4):
        tifffile.imwrite(tmp_path / f"{z}.tif", images[z, 1, 0])
        each.append(str(tmp_path / f"{z}.tif"))
    assert main(["run", *each, "-o", str(same), *quick, "--no-metadata"]) == 0
    assert np.array_equal(read_picture(out).pixels, read_picture(same).pixels)
    assert main(["run", f"{path}#z=all,c=2", "-o", str(path), "--overwrite", *quick]) == 2
    assert path.read_bytes() == before
