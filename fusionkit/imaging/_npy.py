"""NumPy's .npy files."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging._raw import Raw
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.making import split_alpha

SIGNATURE = b"\x93NUMPY"

_CONTENT = {"O": "Python objects", "S": "text", "U": "text", "M": "dates", "m": "times"}
_CONTENT |= {"c": "complex values"}
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_REMEDY = "save a plain array of integers or floats"


def decode_npy(raw: Raw) -> Decoded:
    """Decode a .npy array of shape (H, W) or (H, W, 1 to 4); pickles are never loaded."""
    shape = _shape(raw)
    if len(shape) not in (2, 3) or (len(shape) == 3 and not 1 <= shape[2] <= 4):
        raise raw.error(_shape_error(shape))
    return _decoded(_load(raw, shape[:2]))


def decode_npy_stack(raw: Raw) -> list[Decoded]:
    """Decode a .npy array of shape (K, H, W), W at least 5 and K, or (K, H, W, C)."""
    shape = _shape(raw)
    if npy_images(raw) == 1:
        return [decode_npy(raw)]
    if len(shape) == 4 and not 1 <= shape[3] <= 4:
        raise raw.error(_shape_error(shape))
    return [_decoded(image) for image in _load(raw, shape[1:3])]


def decode_npy_bands(raw: Raw) -> list[Decoded]:
    """Decode a .npy array of bands, (H, W), (N, H, W) or (H, W, N): bands are the fewer."""
    shape = _shape(raw)
    if len(shape) not in (2, 3):
        raise raw.error(f"an array of shape {shape} is no image of bands: save (N, H, W)")
    last = len(shape) == 3 and shape[2] < shape[0]
    samples = _load(raw, shape[:2] if last else shape[-2:])
    planes = np.moveaxis(samples, -1, 0) if last else samples.reshape(-1, *shape[-2:])
    return [Decoded(plane) for plane in planes]


def npy_images(raw: Raw) -> int:
    """Count the images of an array by its shape; one in many bands, (H, W, C), is no stack."""
    shape = _shape(raw)
    stacked = len(shape) == 3 and shape[2] >= max(5, shape[0])
    return shape[0] if len(shape) == 4 or stacked else 1


def _shape(raw: Raw) -> tuple[int, ...]:
    """Read the shape from the header, and refuse what holds no numbers."""
    return _header(raw)[0]


def _header(raw: Raw) -> tuple[tuple[int, ...], int]:
    """Read the shape, and how many bytes an array of it takes that are not there."""
    file = BytesIO(raw.data)
    version = np.lib.format.read_magic(file)
    read = _HEADERS.get(version)
    if read is None:
        raise raw.error("it is of an NPY version for structured arrays: save a plain array")
    try:
        shape, _, dtype = read(file)
    except Exception as error:  # of any kind, and it shows objects of Python
        raise raw.damaged("NPY", "its header is malformed") from error
    if dtype.kind not in "biuf":
        raise raw.error(f"it holds {_CONTENT.get(dtype.kind, 'records')}, not numbers: {_REMEDY}")
    missing = math.prod(shape) * dtype.itemsize - (len(raw.data) - file.tell())
    return tuple(shape), missing


def _load(raw: Raw, size: tuple[int, ...]) -> NDArray[Any]:
    raw.check_size(size[1], size[0])
    if _header(raw)[1] > 0:
        raise raw.damaged("NPY")
    samples: NDArray[Any] = np.load(BytesIO(raw.data), allow_pickle=False)
    return samples


def _decoded(samples: NDArray[Any]) -> Decoded:
    pixels, alpha = split_alpha(samples)
    return Decoded(pixels, alpha)


def _shape_error(shape: tuple[int, ...]) -> str:
    hint = ""
    if len(shape) == 3:
        first = shape[0] <= 4
        hint = "; move the channels last" if first else "; of a stack, save (K, H, W, 1)"
    return f"an array of shape {shape} is not an image: save (H, W) or (H, W, 1 to 4){hint}"
