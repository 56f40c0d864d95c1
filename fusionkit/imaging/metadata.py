"""What a file says of its image beside the pixels: who took it when and where, and how finely.

Of Exif: camera, time, settings, author and position. Left out are what describes the stored
pixels of that one file (orientation, sizes, compression, thumbnail), and the maker's note, whose
offsets hold in that file alone.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fusionkit.errors import ImageError
from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tags import Tag, directory, offset, rational, short
from fusionkit.imaging._tiff_file import Directory, first_directory
from fusionkit.imaging.grid import Grid

Tags = Mapping[int, Tag]

_EXIF, _GPS, _MAKER_NOTE, _ORIENTATION, _DESCRIPTION = 34665, 34853, 37500, 274, 270
_CAMERA = (271, 272, 306, 315, 33432)  # make, model, time, artist, copyright
_FINE = 10_000  # that a resolution is told in parts of
_X, _Y, _UNIT, _INCH, _CENTIMETRE = 282, 283, 296, 2, 3
# Of the stored pixels of that file: colour space, components, sizes, areas, unique name, padding.
_OF_THE_FILE = (37121, 37122, 37396, 40961, 40962, 40963, 40965, 41492, 42016, 59932, 59933)

_GEO = {
    33550: "ModelPixelScale",
    33922: "ModelTiepoint",
    34264: "ModelTransformation",
    34735: "GeoKeyDirectory",
    34736: "GeoDoubleParams",
    34737: "GeoAsciiParams",
    42112: "GDAL_METADATA",
    42113: "GDAL_NODATA",
}
_GDAL, _NO_DATA = 42112, 42113
_OF_A_BAND = b"sample="  # what GDAL says of one band does not hold of the fused one

EXIF_PARTS = ("image", "exif", "gps", "resolution")
"""The parts of `Metadata` that an Exif block holds."""

PARTS = (*EXIF_PARTS, "geo", "grid", "patient")
"""All of them."""

UNASKED = (*EXIF_PARTS, "geo", "grid")
"""Those that are carried unless somebody says not to."""

_GRID = "place in space"


@dataclass(frozen=True)
class Metadata:
    """Tags of one file that are carried to another.

    Attributes
    ----------
    image, exif, gps
        Camera, time and author; settings of the camera; position.
    resolution
        Pixels an inch or a centimetre.
    geo
        GeoTIFF's, which TIFF alone holds.
    grid
        Where the pixels of a scanner's image lie; None where that is not known.
    patient
        What DICOM says of patient and study, by keyword: carried to DICOM alone, and only where
        that is asked for.
    left_out
        Names of what the file has beside these.
    orientation
        The orientation tag, 1 where there is none, None where it could not be read.
    flaw
        What is wrong with those that could not be read.
    """

    image: Tags = field(default_factory=dict)
    exif: Tags = field(default_factory=dict)
    gps: Tags = field(default_factory=dict)
    resolution: Tags = field(default_factory=dict)
    geo: Tags = field(default_factory=dict)
    grid: Grid | None = None
    patient: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    orientation: int | None = 1
    flaw: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tags, as Exif, GeoTIFF and DICOM call them."""
        from PIL.ExifTags import GPSTAGS, TAGS

        of_image = {**self.image, **self.exif, **self.resolution}
        named = [TAGS.get(code, f"tag {code}") for code in of_image]
        named += [GPSTAGS.get(code, f"GPS tag {code}") for code in self.gps]
        named += [_GEO[code] for code in self.geo]
        return (*named, *([] if self.grid is None else [_GRID]), *self.patient)

    def per_inch(self) -> tuple[float, float] | None:
        """Return the resolution along x and y, pixels an inch; None if it is not known."""
        if not self.resolution:
            return None
        scale = 2.54 if self.resolution[_UNIT].integer() == _CENTIMETRE else 1.0
        return scale * self.resolution[_X].fraction(), scale * self.resolution[_Y].fraction()

    def only(self, parts: Container[str]) -> Metadata:
        """Return it with these parts alone; the tags of the others count as left out."""
        dropped: dict[str, Any] = {p: getattr(self, p) for p in PARTS if p not in parts}
        nothing: dict[str, Any] = {part: getattr(NO_METADATA, part) for part in dropped}
        return replace(self, left_out=(*self.left_out, *Metadata(**dropped).names), **nothing)

    @property
    def declares_no_data(self) -> bool:
        """Whether a value means that there is none."""
        return _NO_DATA in self.geo

    def without_no_data(self) -> Metadata:
        """Return it for an image in which no value means that there is none."""
        if not self.declares_no_data:
            return self
        geo = {code: tag for code, tag in self.geo.items() if code != _NO_DATA}
        return replace(self, geo=geo, left_out=(*self.left_out, _GEO[_NO_DATA]))

    def upright(self) -> Metadata:
        """Return what holds of the pixels once they are turned upright."""
        if self.orientation in (None, 1):
            return self
        turned = self.only(EXIF_PARTS)
        if self.orientation in (5, 6, 7, 8) and self.resolution:
            sides = {_X: self.resolution[_Y], _Y: self.resolution[_X]}
            turned = replace(turned, resolution={**self.resolution, **sides})
        return replace(turned, orientation=1, left_out=("Orientation", *turned.left_out))

    def block(self) -> bytes:
        """Return an Exif block, which begins like a TIFF file; empty if there is nothing."""
        image = {**self.image, **self.resolution}
        _, pointers = self.below(0)
        if not (image or pointers):
            return b""
        size = len(directory({**image, **pointers}, 8))
        below, pointers = self.below(8 + size)
        return b"II*\0\x08\0\0\0" + directory({**image, **pointers}, 8) + below

    def below(self, at: int, big: bool = False) -> tuple[bytes, Tags]:
        """Return the directories of Exif and GPS, to stand at `at`, and tags that point there.

        ``big`` makes them BigTIFF's.
        """
        data, pointers = b"", {}
        for code, tags in ((_EXIF, self.exif), (_GPS, self.gps)):
            if tags:
                pointers[code] = offset(at + len(data), big)
                data += directory(tags, at + len(data), big)
        return data, pointers


NO_METADATA = Metadata()
"""What an image has that tells nothing of itself."""


def from_exif(block: bytes | None, resolution: Tags | None = None) -> Metadata:
    """Read an Exif block; `resolution` is the format's own, which wins over the block's."""
    own = resolution or {}
    if not block:
        return Metadata(resolution=own)
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    try:
        page, following = first_directory(Raw("", block, 0))
        orientation = page.integer(_ORIENTATION, 1)
    except ImageError:
        return Metadata(resolution=own, orientation=None, flaw="its Exif tags are damaged")
    found = replace(_read(page, (*_CAMERA, _DESCRIPTION)), orientation=orientation)
    if following:
        found = replace(found, left_out=(*found.left_out, "thumbnail"))
    return replace(found, resolution=own or found.resolution)


def from_tiff(page: Directory) -> Metadata:
    """Read the directory of a TIFF's image, but not its description, which programs read."""
    return replace(_read(page, _CAMERA, _GEO), orientation=page.integer(_ORIENTATION, 1))


def resolution_of(x: int, y: int, metric: bool, divided_by: int = 1) -> Tags:
    """Return the tags of a resolution in pixels an inch, or a centimetre where `metric`."""
    if x <= 0 or y <= 0:
        return {}
    unit = short(_CENTIMETRE if metric else _INCH)
    return {_X: rational(x, divided_by), _Y: rational(y, divided_by), _UNIT: unit}


def by_spacing(across: float, down: float) -> Metadata:
    """Return the resolution of pixels so many millimetres apart; none where that is no distance."""
    if not all(math.isfinite(each) and 3e-5 < each < 1e4 for each in (across, down)):
        return NO_METADATA
    x, y = (round(10 * _FINE / each) for each in (across, down))  # of a centimetre
    return Metadata(resolution=resolution_of(x, y, metric=True, divided_by=_FINE))


def _read(page: Directory, of_image: Iterable[int], of_place: Iterable[int] = ()) -> Metadata:
    try:
        exif, gps = page.below(_EXIF), page.below(_GPS)
        shot = [] if exif is None else [code for code in exif.fields if code not in _OF_THE_FILE]
        found = Metadata(
            image=_tags(page, of_image),
            exif={} if exif is None else _tags(exif, shot),
            gps={} if gps is None else _tags(gps, gps.fields),
            resolution=_resolution(page),
            geo=_tags(page, of_place),
        )
    except ImageError:
        return Metadata(flaw="its metadata are damaged")
    left_out = []
    if _MAKER_NOTE in found.exif:
        left_out.append("MakerNote")
    if _GDAL in found.geo and _OF_A_BAND in found.geo[_GDAL].data:
        left_out.append(_GEO[_GDAL])
    return replace(
        found,
        exif={code: tag for code, tag in found.exif.items() if code != _MAKER_NOTE},
        geo={code: tag for code, tag in found.geo.items() if _GEO[code] not in left_out},
        left_out=tuple(left_out),
    )


def _tags(page: Directory, codes: Iterable[int]) -> dict[int, Tag]:
    found = {code: page.tag(code) for code in sorted(codes)}
    return {code: tag for code, tag in found.items() if tag is not None}


def _resolution(page: Directory) -> Tags:
    """Return the resolution if it is one: two positive numbers, of a unit of length."""
    tags = {_UNIT: short(_INCH), **_tags(page, (_X, _Y, _UNIT))}
    try:
        sides = tags[_X].fraction(), tags[_Y].fraction()
        known = min(sides) > 0 and tags[_UNIT].integer() in (_INCH, _CENTIMETRE)
    except (KeyError, ValueError):
        return {}
    return tags if known else {}
