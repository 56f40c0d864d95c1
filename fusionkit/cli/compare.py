"""``fusionkit compare``: images side by side on one sheet, with enlarged regions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..contract.counting import number_of
from ..contract.reading import stem_of
from ..errors import ImageError, UsageError
from ..host.keeping import Kept
from ..host.saving import check_place, make_folder
from ..imaging.files import exists
from . import say
from .arguments import Parser, add_plugin_flags, add_range_flags, load_plugins_from

if TYPE_CHECKING:
    from ..evaluation.sheet import Region
    from ..imaging import Picture

_COLUMNS = 4

_EXAMPLES = """\
Images are kept at full resolution, their ranges shown as 8 bits. A zoom is outlined in every
image and enlarged under it; without one it is the window in which the images differ most in
detail.

examples:
  fusionkit compare ir.png vi.png fused.png -o sheet.png
  fusionkit compare ir.png vi.png a.png b.png -o sheet.png --labels Infrared,Visible,Ours,Theirs
  fusionkit compare near.jpg far.jpg fused.png -o sheet.png --zoom 120,80,64 --zoom 300,40,64
  fusionkit compare thermal.tif vi.png -o sheet.png --range 1:0,4095
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    given = _parser().parse_args(arguments)
    load_plugins_from(arguments)  # whose readers are those of this command
    if len(given.images) < 2:
        raise UsageError("one image only: give two or more to compare")
    if given.output is None:
        raise UsageError("say where the sheet goes: -o OUT, for example -o sheet.png")
    labels = _labels(given.labels, given.images)
    regions = [_region(text) for text in given.zoom]
    if given.columns is not None and given.columns < 1:
        raise UsageError("--columns must be at least 1")

    from ..evaluation.ranges import Ranges, parse_ranges
    from ..evaluation.sheet import check_regions, make_sheet, most_different
    from ..imaging import check_fits, write_picture

    Kept(given.images).refuse(given.output)
    check_fits(given.output, np.uint8)
    check_place(given.output)
    if os.path.exists(given.output) and not given.overwrite:
        raise exists(given.output)
    ranges = Ranges(parse_ranges(given.range, len(given.images)), given.stretch)
    pictures = ranges.sources(given.images, given.images)
    _check_sizes(pictures)
    check_regions(regions, pictures[0].width, pictures[0].height)
    for note in ranges.notes:
        say(f"warning: {note}")
    profile = next((picture.icc for picture in pictures if picture.icc), None)
    images = [picture.on_white() for picture in pictures]
    if not regions:
        regions = [most_different(_where_all_show(images, pictures))]
        found = regions[0]
        print(f"The images differ most at --zoom {found.x},{found.y},{found.size}")
    columns = given.columns or min(len(images), _COLUMNS)
    sheet = make_sheet(images, labels, regions, columns)
    make_folder(Path(given.output).absolute().parent)
    write_picture(given.output, sheet, icc=profile, overwrite=given.overwrite)
    return 0


def _where_all_show(
    images: Sequence[NDArray[np.uint8]], pictures: Sequence[Picture]
) -> list[NDArray[np.uint8]]:
    """Return the images, white in all where one has no data: that is no difference to look at."""
    hidden = [~picture.mask for picture in pictures if picture.mask is not None]
    if not hidden:
        return list(images)
    anywhere = np.logical_or.reduce(hidden)[..., np.newaxis]
    return [np.where(anywhere, np.uint8(255), image) for image in images]


def _parser() -> Parser:
    parser = Parser(
        prog="fusionkit compare",
        description="Put images of one size on a labelled sheet, with enlarged regions.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="two images or more")
    parser.add_argument("-o", "--output", metavar="OUT", help="the sheet")
    parser.add_argument(
        "--labels", metavar="A,B", help="what stands under the images (default: their names)"
    )
    parser.add_argument(
        "--zoom",
        action="append",
        default=[],
        metavar="X,Y,SIZE",
        help="enlarge the square of SIZE pixels at column X, row Y; may be given several times",
    )
    parser.add_argument(
        "--columns",
        type=int,
        metavar="N",
        help=f"images side by side (default: all, at most {_COLUMNS})",
    )
    add_range_flags(parser, "value range of image K: 1:0,4095 for 12-bit data; may be repeated")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    add_plugin_flags(parser)
    return parser


def _labels(given: str | None, paths: Sequence[str]) -> list[str]:
    if given is not None:
        labels = [label.strip() for label in given.split(",")]
        if len(labels) != len(paths):
            said = f"{number_of(len(labels), 'label')} for {number_of(len(paths), 'image')}"
            raise UsageError(f"--labels {given}: {said}")
        return labels
    stems = [stem_of(path) for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    # One scene in the folders of several methods: the folder tells them apart.
    return [str(Path(path).with_suffix("")) for path in paths]


def _region(text: str) -> Region:
    from ..evaluation.sheet import Region

    try:
        x, y, size = (int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"--zoom {text}: expected X,Y,SIZE in pixels, for example 120,80,64"
        ) from None
    return Region(x, y, size)


def _check_sizes(pictures: Sequence[Picture]) -> None:
    if len({picture.shape for picture in pictures}) > 1:
        sizes = ", ".join(f"{p.name} is {p.width}x{p.height}" for p in pictures)
        raise ImageError(f"{sizes}: images to compare have one size")
