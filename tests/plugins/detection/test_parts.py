"""Overlaps, fitting into the input, suppression and average precision, by hand."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from fusionkit_detection.boxes import Boxes, overlaps
from fusionkit_detection.detector import Detector
from fusionkit_detection.precision import found

from fusionkit import FusionkitError, UsageError

from .common import CELL, SIDE, picture, write_detector

A, B, FAR = (0, 0, 10, 10), (0, 0, 10, 5), (50, 50, 60, 60)


def boxes(*rows, kind=0):
    table = np.array([row[0] for row in rows], float).reshape(-1, 4)
    scores = np.array([row[1] if len(row) > 1 else 1.0 for row in rows])
    return Boxes(table, np.full(len(rows), kind), scores)


def test_overlaps():
    expected = [[1, 0.5, 0], [0.5, 1, 0]]
    assert overlaps(np.array([A, B], float), np.array([A, B, FAR], float)) == pytest.approx(
        np.array(expected)
    )
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_a_thing_is_found_once():
    one = found([(boxes((A, 0.9), (A, 0.8)), boxes((A,)))], 0.5)
    assert (one.mean, one.recall, one.precision) == (1, 1, 0.5)


def test_a_surer_mistake_halves_the_precision():
    one = found([(boxes((FAR, 0.9), (A, 0.8)), boxes((A,)))], 0.5)
    assert one.mean == pytest.approx(0.5)


def test_what_is_not_found_bounds_the_average():
    # Recalls 0 ... .50 are reached, 51 of 101.
    one = found([(boxes((A, 0.9)), boxes((A,), (FAR,)))], 0.5)
    assert one.mean == pytest.approx(51 / 101)
    nothing = found([(boxes(), boxes((A,)))], 0.5)
    assert (nothing.mean, nothing.recall) == (0, 0)
    assert np.isnan(nothing.precision)


def test_detections_of_all_images_are_ranked_together():
    # The mistake of the second image is surer than what is right in the first.
    one = found([(boxes((A, 0.4)), boxes((A,))), (boxes((A, 0.9)), boxes((FAR,)))], 0.3)
    assert one.mean == pytest.approx(51 / 101 * 0.5)


def test_other_classes_find_nothing():
    one = found([(boxes((A, 0.9), kind=1), boxes((A,)))], 0.5)
    assert (one.mean, one.recall, one.precision) == (0, 0, 0)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 128), (64, 32), (32, 64), (96, 128)])
def test_boxes_are_in_pixels_of_the_image(tmp_path, height, width):
    detector = Detector(write_detector(tmp_path / "cells.onnx"), 640)
    scale = SIDE / max(height, width)
    left, top = ((SIDE - round(side * scale)) // 2 for side in (width, height))
    # The cell in the middle of the input, in pixels of the image.
    x, y = (round((2 * CELL - pad) / scale) for pad in (left, top))
    size = round(CELL / scale)
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + size, x : x + size, 0] = 255
    seen = detector(image)
    best = seen.where(seen.classes == 0)
    assert best.corners[0] == pytest.approx([x, y, x + size, y + size])
    assert best.scores[0] > 0.9
    assert (seen.corners[:, 2:] > seen.corners[:, :2]).all()  # nothing in the grey border


def test_an_open_side_is_that_which_is_asked_for(tmp_path):
    path = write_detector(tmp_path / "cells.onnx", side="side")
    assert len(Detector(path, SIDE)(picture((1, 1, (255, 0, 0)))).scores) == 1


@pytest.mark.parametrize("imgsz", [f"[{SIDE}, {SIDE}]", f"[{SIDE},{SIDE}]"])
def test_an_open_side_is_that_of_the_export(tmp_path, imgsz):
    path = write_detector(tmp_path / "cells.onnx", side="side", imgsz=imgsz, stride="32")
    assert len(Detector(path)(picture((1, 1, (255, 0, 0)))).scores) == 1


@pytest.mark.parametrize("imgsz", ["", "64", "[64, 64, 3]", "[-1, 64]", "None"])
def test_an_open_side_of_which_nothing_is_told_is_640(tmp_path, imgsz):
    # This detector takes 64 x 64 alone.
    with pytest.raises(FusionkitError, match=r"cells\.onnx"):
        Detector(write_detector(tmp_path / "cells.onnx", side="side", imgsz=imgsz))(
            picture((1, 1, (255, 0, 0)))
        )


def test_a_side_that_is_no_multiple_of_the_stride_is_refused(tmp_path):
    path = write_detector(tmp_path / "cells.onnx", side="side", stride="32")
    with pytest.raises(UsageError, match="multiples of 32 pixels: --size"):
        Detector(path, 300)


def test_an_input_too_large_for_memory_is_refused(tmp_path):
    with pytest.raises(UsageError, match="at most 4096"):
        Detector(write_detector(tmp_path / "d.onnx", side=100_000), 640)


def test_what_was_suppressed_already_is_refused(tmp_path):
    detector = Detector(write_detector(tmp_path / "d.onnx"), 640)
    for shape in ((1, 300, 6), (1, 6, 0)):

        class Session:
            def run(self, names, feed, shape=shape):
                return [np.zeros(shape, np.float32)]

        detector._session = Session()
        with pytest.raises(FusionkitError, match="nms=False"):
            detector(picture())


def test_of_overlapping_boxes_of_a_class_the_surest_is_kept():
    from fusionkit_detection.detector import _separate

    near = (0, 0, 10, 9)
    three = boxes((near, 0.7), (A, 0.9), (B, 0.8))
    assert _separate(three).scores.tolist() == [0.9, 0.8]
    other = Boxes(three.corners, np.array([1, 0, 0]), three.scores)
    assert _separate(other).scores.tolist() == [0.9, 0.8, 0.7]


def test_nothing_is_reported_to_the_maker_of_the_runtime(tmp_path):
    write_detector(tmp_path / "net.onnx")
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "from pathlib import Path; from fusionkit import open_onnx\n"
        f"open_onnx(Path({str(tmp_path / 'net.onnx')!r}), 'it')\n"
    )
    silent = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    told = {key: value for key, value in os.environ.items() if key not in silent}
    subprocess.run([sys.executable, "-c", code], env={**told, "HOME": str(home)}, check=True)
    assert list(home.rglob("*onnxruntime*")) == []
