"""What a source can be in Python: a path, a file's bytes, an open file, an image, an array."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fusionkit.contract.paths import split_part
from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging.making import checked_picture, picture_from_array, split_alpha
from fusionkit.imaging.metadata import Metadata, Tags, from_exif, resolution_of
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.read import picture_from_bytes, read_picture
from fusionkit.imaging.slicing import pictures_on_first
from fusionkit.imaging.stacks import read_stack
from fusionkit.imaging.values import ValueRange, value_ranges

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Source: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO"
    " | Image | NDArray[Any] | Tensor"
)
"""A path; the bytes of an image file; one open for reading; a PIL image; an array; a tensor."""

# How pixels that NumPy has no channels for are converted; what is transparent keeps that.
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}
_CONVERTED |= {"CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
_FINEST = 1e6  # pixels an inch
_TAKEN = ("L", "LA", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")  # as they are


def listed(sources: Any) -> list[Source]:
    """Return the sources of one scene as a list; a path alone is that of a stack.

    Raises
    ------
    UsageError
        It is one source, or nothing that has an order.
    """
    if isinstance(sources, (str, os.PathLike)):
        return [sources]
    one = isinstance(sources, (bytes, bytearray, memoryview)) or hasattr(sources, "read")
    if not (one or _is_image(sources) or isinstance(sources, (Mapping, Set))):
        try:
            return list(sources)
        except TypeError:  # it cannot be gone through
            pass
    raise UsageError(
        f"{type(sources).__name__} is no list of sources: give two or more in one: fuse([a, b])"
    )


def source_pictures(
    sources: Sequence[Source],
    ranges: Sequence[str] = (),
    stretch: Sequence[int] = (),
    on_first: bool = False,
) -> tuple[Picture, ...]:
    """Read the sources of one scene: two or more, or one file that is a stack of them.

    Parameters
    ----------
    sources
        See :data:`Source`.
    ranges, stretch
        The settings ``range`` and ``stretch``.
    on_first
        Whether the others are interpolated on the grid of the first.

    Raises
    ------
    ImageError
        One cannot be read, or is no image.
    UsageError
        There is one only, and no stack; a source is none of the kinds; a range is wrong.
    """
    if len(sources) == 1 and on_first:
        raise UsageError("--grid first is of two files or more, each with its place in space")
    if len(sources) == 1 and isinstance(sources[0], (str, os.PathLike)):
        path = os.fspath(sources[0])
        if os.path.exists(split_part(path)[0]):
            return read_stack(path, ranges, stretch)
        raise UsageError(f"{path}: there is no such file, and fusion needs at least two images")
    if len(sources) < 2:
        raise UsageError("one source only: fusion needs at least two images of one scene")
    given = value_ranges(ranges, stretch, len(sources))
    if on_first:
        return pictures_on_first(sources, given, source_picture)
    return tuple(source_picture(source, k, given.get(k)) for k, source in enumerate(sources))


def source_picture(
    source: Source, index: int, value_range: ValueRange | None = None, name: str = ""
) -> Picture:
    """Read one source, whatever it is given as.

    Parameters
    ----------
    source
        See :data:`Source`. An open file is read from where it stands.
    index
        Position among the sources, counted from 0.
    value_range
        The stored values that stand for 0 and 1, where conventions do not say.
    name
        What messages call it if it is no file; by default ``source`` with its number.

    Raises
    ------
    ImageError
        It cannot be read, or is no image.
    UsageError
        It is none of these kinds.
    """
    name = name or f"source {index + 1}"
    if isinstance(source, (str, os.PathLike)):
        return read_picture(source, value_range, index, masks=True)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return picture_from_bytes(bytes(source), name, value_range, index, masks=True)
    if _is_image(source):
        return _picture_from_image(source, name, value_range, index)
    if hasattr(source, "read"):
        return picture_from_bytes(_content(source, name), name, value_range, index, masks=True)
    tensor = is_tensor(source)
    array = _array_of(source, name) if is_tensor(source) else source
    if not hasattr(array, "__array__") and not isinstance(array, (list, tuple)):
        raise UsageError(
            f"{name}: {type(source).__name__} is no source: give a path, bytes, an open file, "
            "a PIL image, an array or a tensor"
        )
    return picture_from_array(array, name, value_range, tensor, index, masks=True)


def as_array(source: Source, name: str) -> NDArray[Any] | None:
    """Return an array, or a tensor as one; None for what is neither."""
    if is_tensor(source):
        return _array_of(source, name)
    return source if isinstance(source, np.ndarray) else None


def is_tensor(source: object) -> TypeGuard[Tensor]:
    """Whether it is a tensor of PyTorch, which need not be imported to say no."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def _array_of(tensor: Tensor, name: str) -> NDArray[Any]:
    try:
        return tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError):  # NumPy has no such dtype or layout, or there is no data
        raise ImageError(
            f"{name}: a tensor of {tensor.dtype}, {tensor.layout}, on {tensor.device} is no array "
            "of NumPy's: give a dense one of float32, for example"
        ) from None


def _is_image(source: object) -> TypeGuard[Image]:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(source, pillow.Image)


def _content(file: Any, name: str) -> bytes:
    """Read an open file."""
    try:
        data = file.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed, or not text after all
        raise ImageError(f"{name}: the open file cannot be read: {error}") from None
    if not isinstance(data, bytes):
        raise ImageError(f"{name}: the file is open for text: open it for bytes, mode 'rb'")
    if not data and getattr(file, "seekable", bool)() and file.tell() > 0:
        raise ImageError(f"{name}: the open file stands at its end: call seek(0) first")
    return data


def _picture_from_image(
    image: Image, name: str, value_range: ValueRange | None, index: int
) -> Picture:
    """Make a source of a PIL image, turned upright as its file would be."""
    notes: tuple[str, ...] = ()
    icc = image.info.get("icc_profile")
    mode = _CONVERTED.get(image.mode, image.mode)
    if mode not in _TAKEN:
        raise ImageError(f"{name}: a PIL image of mode {mode} is not supported: convert it to RGB")
    try:
        if image.has_transparency_data and mode in ("L", "RGB"):
            mode = "LA" if mode == "L" else "RGBA"
        converted = image if mode == image.mode else image.convert(mode)
        samples = np.asarray(converted)
    except Exception as error:  # Pillow raises nearly anything on damaged data
        said = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: the PIL image cannot be loaded: {said}") from None
    if image.mode in ("CMYK", "YCbCr", "HSV"):
        notes += (f"converted from {image.mode} to RGB without a colour profile",)
        icc = None  # it describes what was converted
    pixels, alpha = split_alpha(samples)
    return checked_picture(
        pixels,
        alpha,
        name,
        value_range=value_range,
        index=index,
        notes=notes,
        icc=icc,
        metadata=_metadata(image),
        masks=True,
    )


def _metadata(image: Image) -> Metadata:
    try:
        block = image.getexif().tobytes()
    except Exception:  # a broken block raises nearly anything, and the pixels are still good
        block = b"broken"
    return from_exif(block, _resolution(image))


def _resolution(image: Image) -> Tags | None:
    """Return the resolution that Pillow has read beside Exif, in hundredths of a pixel an inch."""
    if image.format == "JPEG" and image.info.get("jfif_unit") not in (1, 2):
        return None  # Pillow makes one up where Exif has none
    try:
        x, y = (float(side) for side in image.info["dpi"])
    except (KeyError, TypeError, ValueError):
        return None
    known = 0 < x < _FINEST and 0 < y < _FINEST
    return resolution_of(round(100 * x), round(100 * y), False, 100) if known else None
