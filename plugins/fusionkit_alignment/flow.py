"""What no motion of the whole frame explains: parallax, by dense optical flow."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit import UsageError

from .edges import Array

INSTALL = "pip install 'fusionkit-imaging[align]'"

_WINDOW = 31  # pixels, over which brightness and contrast are made alike


def opencv() -> Any:
    """Return OpenCV's module.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise UsageError(f"--align flow needs OpenCV: {INSTALL}") from None


def flow_between(reference: Array, source: Array) -> NDArray[np.float32]:
    """Return by how many pixels each pixel of the reference lies elsewhere in a source.

    By the inverse search of Kroeger et al. (Fast optical flow using dense inverse search, ECCV
    2016) as OpenCV has it, on images of one local mean and contrast.

    Parameters
    ----------
    reference, source
        (H, W), values from 0 to 1, no more than some tens of pixels apart.

    Returns
    -------
    array of float32, (2, H, W)
        Along x and y.
    """
    cv2 = opencv()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the search goes on from neighbours, where a thread's part has them
    try:
        finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        images = [_evened(cv2, image) for image in (reference, source)]
        found = finder.calc(*images, None)
    finally:
        cv2.setNumThreads(threads)
    return np.ascontiguousarray(np.moveaxis(found, -1, 0), np.float32)


def _evened(cv2: Any, image: Array) -> NDArray[np.uint8]:
    """Return an image of local mean 128 and, where there is contrast, deviation 48."""
    mean = cv2.blur(image, (_WINDOW, _WINDOW))
    power = cv2.blur((image - mean) ** 2, (_WINDOW, _WINDOW))
    even = 128 + 48 * (image - mean) / np.sqrt(power + np.float32((2 / 255) ** 2))
    levels: NDArray[np.uint8] = np.clip(np.rint(even), 0, 255).astype(np.uint8)
    return levels
