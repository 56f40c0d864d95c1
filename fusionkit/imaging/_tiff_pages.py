"""Which of the images in a TIFF file is meant."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from fusionkit.imaging._raw import Raw
from fusionkit.imaging._sniff import raw_by_extension, raw_refusal
from fusionkit.imaging._tiff_axes import axes_of
from fusionkit.imaging._tiff_file import Directory, read_directories
from fusionkit.imaging._tiff_layout import NONE, Layout

_SUBFILE, _OLD_SUBFILE, _PHOTOMETRIC, _DESCRIPTION = 254, 255, 262, 270
_SUB_DIRECTORIES, _DNG_VERSION = 330, 50706
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_MOSAIC, _LINEAR_RAW = 32803, 34892  # values of PhotometricInterpretation
_SEVERAL = "this TIFF holds several images: save the one you mean, or name it, such as #1"
_HIDDEN = "this TIFF holds several images: save the one you mean"  # without pages of their own

# ImageJ and OME say how many channels, slices and times their pages are.
_AXES = (rb"^(?:channels|slices|frames)=(\d{1,9})\s*$", rb"\bSize[CZT]=\"(\d{1,9})\"")


def only_page(raw: Raw) -> Directory:
    """Return the one full-size image of a TIFF; thumbnails and masks beside it do not count.

    Raises
    ------
    ImageError
        If there are several or none, or the file is the raw file of a camera.
    """
    images = full_size_pages(raw)
    if len(images) > 1:
        raise raw.error(_SEVERAL)
    return images[0]


def full_size_pages(raw: Raw) -> list[Directory]:
    """Return all images of a TIFF but the thumbnails and masks beside them, one or more.

    Raises
    ------
    ImageError
        If there is none, or the file is the raw file of a camera.
    """
    pages = read_directories(raw)
    _refuse_camera_raw(raw, pages)
    images = [page for page in pages if not _kind(page) & (_REDUCED | _MASK)]
    if not images:
        raise raw.damaged("TIFF", "it holds no full-size image")
    return images


def refuse_several_axes(raw: Raw, pages: Sequence[Directory]) -> None:
    """Refuse pages that differ in two ways, such as channels of slices: they are no one stack."""
    description = pages[0].octets(_DESCRIPTION) or b""
    if not (description.startswith(b"ImageJ=") or b"<OME" in description):
        return
    counts = [re.findall(pattern, description, re.MULTILINE) for pattern in _AXES]
    if sum(int(count) > 1 for found in counts for count in found) < 2:
        return
    axes = axes_of(raw, pages)
    if axes is None or len(axes.several) > 1:
        named = "" if axes is None else f", or name it: {axes.example(stack=True)}, of {axes}"
        raise raw.error(
            "its pages are of several channels, slices or times at once: save one stack of them"
            + named
        )


def refuse_hidden_stack(page: Directory, layout: Layout) -> None:
    """Refuse a stack that only the description of its first image tells of.

    ImageJ and tifffile can write the other images behind it without directories of their own.
    """
    description = page.octets(_DESCRIPTION) or b""
    stack = re.search(rb"^images=(\d{1,9})\s*$", description, re.MULTILINE)
    if description.startswith(b"ImageJ=") and stack and int(stack[1]) > 1:
        raise page.raw.error(_HIDDEN)
    shape = re.match(rb'\{[^{}\[]*"shape": \[([\d, ]{1,99})\]', description)
    if shape and layout.compression == NONE:
        # The description may be left from another image, so the others must be there.
        samples = math.prod(int(side) for side in shape[1].split(b",") if side.strip())
        images, rest = divmod(samples, layout.width * layout.height * layout.samples)
        end = layout.offsets[0] + samples * layout.bits // 8
        if images > 1 and rest == 0 and end <= len(page.raw.data):
            raise page.raw.error(_HIDDEN)


def _kind(page: Directory) -> int:
    """Bits of NewSubfileType; the old SubfileType calls a reduced image 2."""
    return page.integer(_SUBFILE, int(page.integer(_OLD_SUBFILE, 1) == 2))


def _refuse_camera_raw(raw: Raw, pages: Sequence[Directory]) -> None:
    """Refuse a camera's raw file, whose pages are previews: its image lies elsewhere."""
    extension = raw_by_extension(raw.name)
    if extension:
        raise raw.error(raw_refusal(extension))
    if raw.data[8:10] == b"CR":
        raise raw.error(raw_refusal("CR2"))
    if any(_DNG_VERSION in page for page in pages):
        raise raw.error(raw_refusal("DNG"))
    mosaic = any(page.integer(_PHOTOMETRIC, 0) in (_MOSAIC, _LINEAR_RAW) for page in pages)
    previews = all(_kind(page) & _REDUCED for page in pages)
    if mosaic or (previews and any(_SUB_DIRECTORIES in page for page in pages)):
        raise raw.error(raw_refusal("in TIFF"))
