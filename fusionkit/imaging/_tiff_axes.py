"""Pages of a TIFF by the axes of microscopes: slices, channels and times, as OME and ImageJ say.

OME: https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fusionkit.contract.counting import number_of
from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tiff_file import Directory

ALL = "all"
"""What a part says of an axis along which it is a stack."""

_DESCRIPTION, _SAMPLES = 270, 277
_IMAGEJ = {"c": b"channels", "z": b"slices", "t": b"frames"}  # the first changes fastest
_ASKED = re.compile(r"([zct])=(\d{1,6}|all)")


@dataclass(frozen=True)
class Axes:
    """How the images of a TIFF are counted.

    Attributes
    ----------
    sizes
        How many there are along ``z``, ``c`` and ``t``, that which changes fastest first.
    pages
        The page of each image, in that order.
    """

    sizes: dict[str, int]
    pages: tuple[int, ...]

    @property
    def several(self) -> dict[str, int]:
        """Axes along which there is more than one image, as people list them."""
        return {axis: self.sizes[axis] for axis in "zct" if self.sizes[axis] > 1}

    def __str__(self) -> str:
        return ", ".join(f"{axis}=1 to {size}" for axis, size in self.several.items())

    def example(self, stack: bool = False) -> str:
        """Return a part that could be asked for: one image, or a stack along the first axis."""
        named = [f"{axis}={ALL if stack and n == 0 else 1}" for n, axis in enumerate(self.several)]
        return "#" + ",".join(named)

    def page(self, at: dict[str, int]) -> int:
        """Return the page of the image at these places, from 0."""
        index, step = 0, 1
        for axis, size in self.sizes.items():
            index += at[axis] * step
            step *= size
        return self.pages[index]


def axes_of(raw: Raw, pages: Sequence[Directory]) -> Axes | None:
    """Return the axes that the description of the first page tells of; None if it does not.

    Raises
    ------
    ImageError
        It tells of other images than there are.
    """
    description = pages[0].octets(_DESCRIPTION) or b""
    if description.startswith(b"ImageJ="):
        found = {axis: _number(rb"^%s=" % name, description) for axis, name in _IMAGEJ.items()}
        sizes = {axis: 1 if size is None else size for axis, size in found.items()}
        if math.prod(sizes.values()) == 1:
            return None
        _check(raw, sizes, len(pages))
        return Axes(sizes, tuple(range(len(pages))))
    if b"<OME" not in description or b"<Pixels" not in description:
        return None
    images = re.split(rb"<Pixels\b", description)
    if len(images) > 2:
        raise raw.error(f"it holds {len(images) - 1} series of images (OME): save one of them")
    sizes = _sizes_of_ome(raw, images[1], pages[0].integer(_SAMPLES, 1))
    _check(raw, sizes, len(pages))
    order = _order_of_ome(images[1], sizes, len(pages))
    if sorted(order) != list(range(len(pages))):
        raise raw.error("it does not say which of its pages is which image (OME)")
    return Axes(sizes, tuple(order))


def asked_pages(raw: Raw, pages: Sequence[Directory], part: str) -> list[Directory]:
    """Return the pages that a part of a TIFF names: ``2``, ``z=3,c=1``, ``z=all,c=1``.

    All are counted from 1.

    Raises
    ------
    ImageError
        There are no such pages, with what there is.
    """
    if part.isdecimal():
        if not 1 <= int(part) <= len(pages):
            raise raw.error(f"its pages are 1 to {len(pages)}")
        return [pages[int(part) - 1]]
    axes = axes_of(raw, pages) if "=" in part else None
    if axes is None:
        raise raw.error(
            "a part of a TIFF is a page, counted from 1, such as #2, or, where OME or ImageJ say "
            "what its pages are, #z=3,c=1"
        )
    words = [_ASKED.fullmatch(word) for word in part.split(",")]
    given = {found[1]: found[2] for found in words if found is not None}
    if len(given) != len(words) or set(axes.several) - set(given):
        raise raw.error(
            f"its images are {axes}: say which is meant, such as {axes.example()}, or a stack of "
            f"them, {axes.example(stack=True)}"
        )
    along = [axis for axis, value in given.items() if value == ALL]
    if len(along) > 1:
        raise raw.error(f"a stack is along one axis, and {' and '.join(along)} are all")
    at = dict.fromkeys("zct", 0) | {a: int(v) - 1 for a, v in given.items() if v != ALL}
    for axis, place in at.items():
        if not 0 <= place < axes.sizes[axis]:
            raise raw.error(f"there is no {axis}={place + 1}: its images are {axes or 'one'}")
    places = [at | {axis: n} for axis in along for n in range(axes.sizes[axis])] or [at]
    return [pages[axes.page(place)] for place in places]


def slices_of(raw: Raw, pages: Sequence[Directory], part: str) -> list[Directory]:
    """Return the pages that are the slices of a volume, in their order.

    Without a part, that is all pages; with one, such as ``z=all,c=1``, those that it names.

    Raises
    ------
    ImageError
        Nothing says that pages are slices, or which channel and time is meant.
    """
    axes = axes_of(raw, pages)
    if axes is None:
        raise raw.error(
            "nothing says that its pages are the slices of a volume: OME-TIFF does, and ImageJ, "
            "by the number of slices (z)"
        )
    others = [axis for axis in axes.several if axis != "z"]
    if not part and not others:
        part = f"z={ALL}"
    if f"z={ALL}" not in part.split(","):
        example = ",".join([f"z={ALL}", *(f"{axis}=1" for axis in others)])
        said = f"its images are {axes}" if axes.several else "it is one slice"
        raise raw.error(f"{said}: name a volume, such as #{example}")
    return asked_pages(raw, pages, part)


def _sizes_of_ome(raw: Raw, pixels: bytes, samples: int) -> dict[str, int]:
    """Return how many images there are along each axis, that which changes fastest first."""
    found = re.search(rb"\bDimensionOrder\s*=\s*[\"']([^\"'>]*)[\"']", pixels)
    said = found[1].decode("ascii", "replace").upper() if found else "XYZCT"
    if said[:2] != "XY" or sorted(said[2:]) != ["C", "T", "Z"]:
        raise raw.error(
            f"it says DimensionOrder={said[:20]!r} (OME), which is no order of slices, channels "
            "and times: save it anew"
        )
    order = said[2:].lower()
    sizes = {axis: _attribute(f"Size{axis.upper()}", pixels) or 1 for axis in order}
    sizes["c"] = max(1, sizes.get("c", 1) // samples)  # a page of RGB is three channels
    return sizes


def _order_of_ome(pixels: bytes, sizes: dict[str, int], count: int) -> list[int]:
    """Return the page of each of so many images, as the elements TiffData say; else nothing."""
    order: list[tuple[int, int]] = []
    for block in re.findall(rb"<(?:\w+:)?TiffData\b([^>]*)>", pixels) or [b""]:
        first, step = 0, 1
        for axis, size in sizes.items():
            first += (_attribute(f"First{axis.upper()}", block) or 0) * step
            step *= size
        page, planes = _attribute("IFD", block), _attribute("PlaneCount", block)
        if planes is None:
            planes = count if page is None else 1
        left = max(0, count - len(order))  # what comes after is too much
        order += [(first + n, (page or 0) + n) for n in range(min(planes, left + 1))]
    order.sort()
    whole = [image for image, _ in order] == list(range(count))
    return [page for _, page in order] if whole else []


def _check(raw: Raw, sizes: dict[str, int], count: int) -> None:
    told = math.prod(sizes.values())
    if told != count:
        raise raw.error(
            f"it says that it is {number_of(told, 'image')}, and holds {number_of(count, 'page')}: "
            "those in other files are not read"
        )


def _attribute(name: str, element: bytes) -> int | None:
    return _number(rb"\b%s\s*=\s*[\"']" % name.encode(), element)


def _number(before: bytes, text: bytes) -> int | None:
    found = re.search(before + rb"(\d{1,9})", text, re.MULTILINE)
    return int(found[1]) if found else None
