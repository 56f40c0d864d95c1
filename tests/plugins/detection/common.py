"""A detector for tests: bright squares of 16 x 16 pixels on a grid are things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

import fusionkit.cli

SIDE = 64
CELL = 16
GRID = SIDE // CELL


def write_detector(path: Path, *, side: int | str = SIDE, outputs: int = 1, **told: str) -> Path:
    """Write a detector of two classes: score 0 is mean red, score 1 mean blue, of each cell.

    ``told`` are its metadata.
    """
    corners = np.arange(GRID) * CELL + CELL / 2
    down, across = (axis.ravel() for axis in np.meshgrid(corners, corners, indexing="ij"))
    size = np.full(GRID**2, CELL)
    places = np.stack([across, down, size, size])[None].astype(np.float32)
    constants = {
        "places": places,
        "flat": np.array([1, 3, GRID**2]),
        "kinds": np.array([0, 2]),
    }
    nodes = [
        helper.make_node(
            "AveragePool", ["images"], ["means"], kernel_shape=[CELL] * 2, strides=[CELL] * 2
        ),
        helper.make_node("Reshape", ["means", "flat"], ["colours"]),
        helper.make_node("Gather", ["colours", "kinds"], ["scores"], axis=1),
        helper.make_node("Concat", ["places", "scores"], ["output0"], axis=1),
    ]
    kinds = {"output0": [1, 6, GRID**2], "colours": [1, 3, GRID**2]}
    graph = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in list(kinds.items())[:outputs]
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def picture(*cells: tuple[int, int, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Make an image (64, 64, 3) with squares: row and column of the grid, and colour."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for row, column, colour in cells:
        image[row * CELL :, column * CELL :][:CELL, :CELL] = colour
    return image


def label(kind: int, row: int, column: int) -> str:
    """Return a line of a YOLO file for a cell."""
    x, y, size = (column + 0.5) / GRID, (row + 0.5) / GRID, 1 / GRID
    return f"{kind} {x} {y} {size} {size}\n"


def save(path: Path, image: NDArray[np.uint8]) -> Path:
    """Write an image, and the folder that it is in."""
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def detect(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command; return its exit code, stdout and stderr."""
    code = fusionkit.cli.main(["detect", *map(str, words), "--quiet"])
    told = capsys.readouterr()
    return code, told.out, told.err
