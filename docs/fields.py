"""The images of docs/fields.md, made of what scikit-image ships.

python docs/fields.py DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import resize

Planes = NDArray[np.float64]
SIDE = 192


def thermal(folder: Path) -> None:
    """Write a photograph, and the temperatures of what is in it: degrees Celsius, as floats."""
    scene = data.coffee()[60 : 60 + SIDE, 180 : 180 + SIDE] / 255
    warm = gaussian_filter(1 - scene.mean(-1), 2)
    temperatures = 18 + 40 * (warm - warm.min()) / (warm.max() - warm.min())
    tifffile.imwrite(folder / "thermal.tif", temperatures.astype(np.float32))
    save(folder / "photo.png", scene)


def macro(folder: Path) -> None:
    """Write five frames of a tilted plane, focus moving along it; the lamp fades meanwhile."""
    scene = data.astronaut()[:SIDE, 130 : 130 + SIDE] / 255
    depth = np.linspace(0, 4, SIDE)[np.newaxis, :, np.newaxis]
    for k in range(5):
        blurs = [gaussian_filter(scene, (1.5 * n, 1.5 * n, 0)) for n in range(5)]
        away = np.abs(depth - k)
        frame = sum(np.maximum(0, 1 - np.abs(away - n)) * blur for n, blur in enumerate(blurs))
        save(folder / "macro" / f"frame_{k + 1}.png", frame * (0.9 - 0.03 * k))


def cells(folder: Path) -> None:
    """Write a z-stack of two channels as OME-TIFF: the focus goes from left to right."""
    scene = np.moveaxis(data.immunohistochemistry()[:SIDE, :SIDE, :2] / 255, -1, 0)
    depth = np.linspace(0, 3, SIDE)
    slices = []
    for z in range(4):
        near = np.exp(-((depth - z) ** 2))
        blurred = gaussian_filter(scene, (0, 3, 3))
        slices.append(scene * near + blurred * (1 - near))
    stored = np.rint(np.stack(slices) * 255).astype(np.uint8)
    tifffile.imwrite(folder / "cells.ome.tif", stored, metadata={"axes": "ZCYX"})


def bracket(folder: Path) -> None:
    """Write three exposures, two stops apart, the last moved by a few pixels."""
    light = (data.rocket()[20 : 20 + SIDE, 200 : 220 + SIDE] / 255) ** 2.2
    for k, stops in enumerate((-2, 0, 2)):
        part = light[:, 4 * k : 4 * k + SIDE]
        save(
            folder / "bracket" / f"DSC_{k + 1:04}.png", (part * 2.0**stops).clip(0, 1) ** (1 / 2.2)
        )


def volumes(folder: Path) -> None:
    """Write volumes of a head phantom: bone, tissue, and a coarser one of what is warm; mm."""
    head = resize(data.shepp_logan_phantom(), (128, 128))
    grow = np.sqrt(np.clip(1 - np.linspace(-0.9, 0.9, 16) ** 2, 0, 1))
    for name, seen in {"ct": head > 0.9, "mr": np.where(head > 0.9, 0, head)}.items():
        slices = np.stack([seen * share for share in grow], -1)[::-1].transpose(1, 0, 2)
        volume = nibabel.Nifti1Image((1000 * slices).astype(np.int16), np.diag([1.5, 1.5, 4, 1]))
        volume.header.set_xyzt_units("mm")
        nibabel.save(volume, folder / f"{name}.nii.gz")
    warm = gaussian_filter(((head > 0.1) & (head < 0.9)).astype(float), 3)[::2, ::2]
    slices = np.stack([warm * share for share in grow[::2]], -1)[::-1].transpose(1, 0, 2)
    pet = nibabel.Nifti1Image(np.rint(1000 * slices).astype(np.int16), np.diag([3, 3, 8, 1]))
    pet.header.set_xyzt_units("mm")
    nibabel.save(pet, folder / "pet.nii.gz")


def rasters(folder: Path) -> None:
    """Write two dates of four bands with clouds, which have no data; UTM, 10 m."""
    ground = data.immunohistochemistry()[:SIDE, :SIDE] / 255
    bands = np.stack([*np.moveaxis(ground, -1, 0), ground.mean(-1) ** 0.5])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    place = [
        (33550, "d", 3, (10.0, 10.0, 0.0), True),  # the size of a pixel
        (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 4100000.0, 0.0), True),  # of the corner
        (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
        (42113, "s", 0, "0", True),  # no data
    ]
    for name, (y, x) in {"may": (50, 60), "june": (140, 120)}.items():
        stored = np.rint(2000 + 8000 * bands).astype(np.uint16)
        stored[:, np.hypot(rows - y, columns - x) < 30] = 0
        tifffile.imwrite(
            folder / f"{name}.tif", stored, photometric="minisblack", metadata=None,
            extratags=place,
        )  # fmt: skip


def save(path: Path, image: Planes) -> None:
    """Write values in [0, 1] as 8 bits."""
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.rint(image.clip(0, 1) * 255).astype(np.uint8)).save(path)


def main(folder: Path) -> None:
    """Write all images into a folder."""
    folder.mkdir(exist_ok=True)
    for make in (thermal, macro, cells, bracket, volumes, rasters):
        make(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
