"""A detector from an ONNX file, as the YOLO family exports it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionkit import FusionkitError, UsageError, one_line, open_onnx

from .boxes import Boxes, overlaps

MOST_PIXELS = 4096
"""Along a side of a detector's input."""

_SIDE = 640
_LEAST_SCORE = 0.001
_SAME = 0.7  # boxes of one class that overlap by more are one thing
_MOST = 300
_GREY = 114


class Detector:
    """Finds things in images; runs on the CPU, on one thread.

    Parameters
    ----------
    file
        One input, (1, 3, H, W) float32 RGB in [0, 1]; one output, (1, 4 + classes, N): centre x
        and y, width and height in pixels of the input, and a score in [0, 1] for each class.
    size
        H and W, where the file leaves them open; None for those that it was exported for, as
        Ultralytics writes them into its metadata, else 640.

    Raises
    ------
    UsageError
        onnxruntime is not installed, or the file holds no such detector.
    """

    def __init__(self, file: Path, size: int | None = None) -> None:
        self._session = open_onnx(file, f"--detector {file}")
        self._file = file
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] not in (3, "3") or inputs[0].type != "tensor(float)":
            raise UsageError(
                f"--detector {file}: its input is no float image of three channels: export it "
                "with one input (1, 3, H, W), float32"
            )
        if len(outputs) != 1:
            raise UsageError(f"--detector {file}: it has {len(outputs)} outputs, not one")
        self._name = inputs[0].name
        told = self._session.get_modelmeta().custom_metadata_map
        sides = (size, size) if size is not None else _exported_for(told.get("imgsz", ""))
        self._size = tuple(
            n if isinstance(n, int) else side for n, side in zip(shape[2:], sides, strict=True)
        )
        if not all(1 <= side <= MOST_PIXELS for side in self._size):
            raise UsageError(
                f"--detector {file}: its input is {self._size[0]}x{self._size[1]}: export it with "
                f"sides of at most {MOST_PIXELS} pixels"
            )
        stride = told.get("stride", "")
        if stride.isdecimal() and any(side % max(int(stride), 1) for side in self._size):
            raise UsageError(
                f"--detector {file}: its input is {self._size[0]}x{self._size[1]}, and it takes "
                f"multiples of {stride} pixels: --size"
            )

    def __call__(self, pixels: NDArray[np.uint8]) -> Boxes:
        """Find things in an image, (H, W, 3) RGB.

        Returns
        -------
        Boxes
            In pixels of the image, the surest first; at most 300, of a score of 0.001 or more,
            less those that overlap a surer one of their class by more than 0.7.

        Raises
        ------
        FusionkitError
            The file cannot be run, or its output is not what it should be.
        """
        batch, scale, left, top = _letterboxed(pixels, *self._size)
        try:
            output = self._session.run(None, {self._name: batch})[0]
        except Exception as error:
            raise FusionkitError(f"{self._file.name}: {one_line(error)}") from None
        shape = output.shape
        # A thousand places and more for each thing: what was suppressed has fewer, (1, 300, 6).
        if output.ndim != 3 or shape[0] != 1 or not 5 <= shape[1] <= shape[2]:
            raise FusionkitError(
                f"{self._file.name}: its output is {output.shape}, not (1, 4 + classes, N): export "
                "it without suppression of overlaps (nms=False)"
            )
        found = output[0].astype(np.float64)
        if not np.isfinite(found).all():
            raise FusionkitError(f"{self._file.name}: its output is not finite")
        if found[4:].size and not 0 <= found[4:].min() <= found[4:].max() <= 1.001:
            raise FusionkitError(f"{self._file.name}: its scores are not within 0 and 1")
        centre, half = found[:2].T, found[2:4].T / 2
        corners = np.concatenate([centre - half, centre + half], 1)
        corners = (corners - [left, top, left, top]) / scale
        height, width = pixels.shape[:2]
        corners = corners.clip(0, [width, height, width, height])
        scores = found[4:].max(0)
        boxes = Boxes(corners, found[4:].argmax(0), scores)
        seen = (corners[:, 2:] > corners[:, :2]).all(1)  # not in the border that was added
        return _separate(boxes.where(seen & (scores >= _LEAST_SCORE)))


def _exported_for(imgsz: str) -> tuple[int, int]:
    """Return H and W of ``[H, W]``, or the default where it says nothing of the kind."""
    found = re.fullmatch(r"\[(\d{1,5}), ?(\d{1,5})\]", imgsz.strip())
    return (int(found[1]), int(found[2])) if found else (_SIDE, _SIDE)


def _letterboxed(
    pixels: NDArray[np.uint8], height: int, width: int
) -> tuple[NDArray[np.float32], float, int, int]:
    """Fit an image into (1, 3, height, width), and tell its scale, left and top."""
    scale = min(height / pixels.shape[0], width / pixels.shape[1])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    resized = Image.fromarray(pixels)
    if size != resized.size:
        resized = resized.resize(size, Image.Resampling.BILINEAR)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    whole = np.full((height, width, 3), _GREY, np.uint8)
    whole[top : top + size[1], left : left + size[0]] = np.asarray(resized)
    batch = np.ascontiguousarray(whole.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    return batch, scale, left, top


def _separate(boxes: Boxes) -> Boxes:
    """Keep the surest of boxes of one class that overlap."""
    boxes = boxes.where(np.argsort(-boxes.scores, kind="stable"))
    kept: list[int] = []
    for place in range(len(boxes.scores)):
        same = [k for k in kept if boxes.classes[k] == boxes.classes[place]]
        if not same or (
            overlaps(boxes.corners[place : place + 1], boxes.corners[same]).max() <= _SAME
        ):
            kept.append(place)
        if len(kept) == _MOST:
            break
    return boxes.where(np.array(kept, np.int64))
