"""``fusionkit align``: files that lie on the first one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusionkit import CommandParser, FusionkitWarning, UsageError, split_part, visible
from fusionkit.imaging import (
    Picture,
    atomic_write,
    check_fits,
    check_output,
    check_same_size,
    common_alpha,
    encode_picture,
    full_scale,
    read_picture,
    shown_by,
)

from . import MODELS
from .align import places_of, rigid, seen
from .deciding import lying
from .flow import opencv
from .resampling import moved_picture

_EPILOG = """\
Every image is written under its name, in its own depth and format, on the grid of the first one.
What an image does not show there is transparent; where the format has no transparency, it is
black in NAME.mask.png. What is not moved is copied. The motion of each goes to stdout.

examples:
  fusionkit align near.png far.png -o aligned/
  fusionkit align DSC_0001.tif DSC_0002.tif DSC_0003.tif -o aligned/ --model homography
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    given = _parser().parse_args(arguments)
    if given.model == "flow":
        opencv()
    if len(given.images) < 2:
        raise UsageError(f"{given.images[0]}: one image only: give two or more to align")
    for path in given.images:
        if split_part(path)[1]:
            raise UsageError(
                f"{path}: part of a file, and images are written under their names: save it as "
                "a file of its own"
            )
    pictures = [read_picture(path, index=k, masks=True) for k, path in enumerate(given.images)]
    check_same_size(pictures)
    outputs = [Path(given.output) / Path(path).name for path in given.images]
    _check(given.images, outputs, pictures, given.overwrite)
    for note in (note for picture in pictures for note in picture.notes):
        warnings.warn(note, FusionkitWarning, stacklevel=2)

    planes = [np.moveaxis(np.atleast_3d(picture.unit()), -1, 0) for picture in pictures]
    images = [seen(each) for each in planes]
    shown = shown_by(pictures, common_alpha(pictures)[1])
    lie = lying(images, [picture.name for picture in pictures], rigid(given.model), shown)
    for path, output, picture, image, lies in zip(
        given.images, outputs, pictures, images, lie, strict=True
    ):
        if lies.is_moved:
            moved = moved_picture(picture, places_of(images[0], image, lies, given.model))
            _write(output, moved, given.overwrite)
        else:
            with atomic_write(output, overwrite=given.overwrite) as file:
                file.write(Path(path).read_bytes())
        print(f"{visible(str(output))}: {lies if picture is not pictures[0] else 'the reference'}")
    return 0


def _check(
    images: Sequence[str], outputs: Sequence[Path], pictures: Sequence[Picture], overwrite: bool
) -> None:
    """Raise, before anything is computed, if an output could not be written."""
    if len(set(outputs)) < len(outputs):
        raise UsageError("two images have one name, and all go into one folder: rename one")
    folder = outputs[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: no folder can be made there: {error.strerror}") from None
    for output, picture in zip(outputs, pictures, strict=True):
        for place in (output, _mask_of(output)):
            if any(place.exists() and os.path.samefile(place, image) for image in images):
                raise UsageError(f"{place}: this is an image that is read: give another folder")
        check_output(output, picture.dtype, size=picture.shape, overwrite=overwrite)
        check_output(_mask_of(output), np.uint8, overwrite=overwrite)


def _write(output: Path, picture: Picture, overwrite: bool) -> None:
    """Write a moved picture, what it does not show transparent, or in a mask beside it."""
    alpha, mask = picture.alpha, picture.mask
    if mask is not None and _holds_alpha(output, picture):
        opaque = np.full(picture.shape, full_scale(picture.dtype)[1], picture.dtype)
        alpha = np.where(mask, opaque if alpha is None else alpha, 0).astype(picture.dtype)
    elif mask is not None:
        data = encode_picture(_mask_of(output), mask.astype(np.uint8) * 255)
        with atomic_write(_mask_of(output), overwrite=overwrite) as file:
            file.write(data)
    data = encode_picture(
        output, picture.pixels, alpha, picture.icc, metadata=picture.metadata, quality=100
    )
    with atomic_write(output, overwrite=overwrite) as file:
        file.write(data)


def _holds_alpha(output: Path, picture: Picture) -> bool:
    try:
        check_fits(output, picture.dtype, True, picture.shape)
    except UsageError:
        return False
    return True


def _mask_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.mask.png")


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="fusionkit align",
        description="Write images that lie on the first one, as --align makes them for a run.",
        epilog=_EPILOG,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="two images or more")
    parser.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="the folder of what is written"
    )
    parser.add_argument(
        "--model",
        choices=[model for model in MODELS if model != "none"],
        default="auto",
        help="as of --align (default: auto)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    return parser
