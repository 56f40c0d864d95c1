"""Learned metrics: whatever a network in an ONNX file of the user's says of images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit import UsageError, checked_hash, one_line, open_onnx

from .colours import InColour

_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")


class Network(InColour):
    """The one number that a network returns for an image, or for a pair.

    With two inputs, the first is the fused image, the second a source, and the value the mean over
    sources; or the second is the ground truth. Images are RGB, a grey one three times the same.
    Nothing is resampled.

    Parameters
    ----------
    network
        The file: one or two float32 inputs (1, 3, H, W), one output.
    better
        ``higher`` or ``lower``.
    values
        ``unit`` for inputs from 0 to 1, ``signed`` for -1 to 1.
    against
        ``sources`` or ``truth``; of one input, the former.

    Raises
    ------
    UsageError
        onnxruntime is not installed, or the file holds no such network.
    """

    name = "network"
    reference = "the file's"

    def __init__(self, network: Path, better: str, values: str, against: str) -> None:
        called = f"--metric.network {network}"
        self._session = open_onnx(network, called, whole=True)
        self._file = network.name
        sides = _sides_of_inputs(self._session, called)
        _check_output(self._session, called)
        alone = len(sides) == 1
        if alone and against == "truth":
            raise UsageError(
                f"{called}: one image goes in, which is compared with nothing: leave out "
                "--metric.against"
            )
        self._sides = sides
        self._signed = values == "signed"
        self.higher_is_better = better == "higher"
        self.sources = 1 if against == "truth" else "any"
        how = "against a ground truth" if against == "truth" else "mean over sources"
        digest = checked_hash(network)[:8]
        self.convention = (
            f"{one_line(self._file)} (SHA-256 {digest}...), "
            f"{'of the fused image alone' if alone else how}, "
            f"RGB from {'-1 to 1' if self._signed else '0 to 1'}"
        )

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        self._check_sides(*fused.shape[-2:])
        found = []
        for b, image in enumerate(fused):
            alone = len(self._sides) == 1
            given = [(image,)] if alone else [(image, other) for other in sources[:, b]]
            scores = [self._score(*images) for images in given]
            found.append(math.fsum(scores) / len(scores))
        return fused.new_tensor(found)

    def _score(self, *images: Tensor) -> float:
        given = {
            name: self._prepared(image) for name, image in zip(self._sides, images, strict=True)
        }
        try:
            output = np.asarray(self._session.run(None, given)[0])
        except Exception as error:  # each kind of failure has a class of its own
            raise ValueError(f"{self._file}: {one_line(error)}") from None
        if output.size != 1:
            raise ValueError(f"{self._file}: its output is {output.shape}, not one number")
        value = float(output.reshape(()))
        if not math.isfinite(value):
            raise ValueError(f"{self._file}: its output is {value}")
        return value

    def _prepared(self, image: Tensor) -> NDArray[np.float32]:
        """Return an image (C, H, W) in [0, 255] as the network takes it, (1, 3, H, W)."""
        scaled = image / 127.5 - 1 if self._signed else image / 255
        three = scaled.expand(3, -1, -1)[None].to(torch.float32).contiguous()
        values: NDArray[np.float32] = three.cpu().numpy()
        return values

    def _check_sides(self, height: int, width: int) -> None:
        for sides in self._sides.values():
            wanted = [
                n if isinstance(n, int) else own
                for n, own in zip(sides, (height, width), strict=True)
            ]
            if wanted != [height, width]:
                raise ValueError(
                    f"{self._file} takes {wanted[1]}x{wanted[0]} pixels, and this image is "
                    f"{width}x{height}: export it with sides that are open (dynamic)"
                )


def _sides_of_inputs(session: Any, called: str) -> dict[str, tuple[Any, Any]]:
    """Return H and W of each input by its name, numbers where they are fixed."""
    inputs = session.get_inputs()
    if len(inputs) not in (1, 2):
        raise UsageError(
            f"{called}: it has {len(inputs)} inputs: export it with one, the image, or two, the "
            "image and what it is compared with"
        )
    found = {}
    for each in inputs:
        shape = tuple(each.shape)
        fits = len(shape) == 4 and all(
            not isinstance(side, int) or side == wanted
            for side, wanted in zip(shape, (1, 3), strict=False)
        )
        if not fits or each.type != "tensor(float)":
            raise UsageError(
                f"{called}: its input {each.name} is {each.type} {shape}: export it as float32 "
                "(1, 3, H, W)"
            )
        found[each.name] = shape[2:]
    return found


def _check_output(session: Any, called: str) -> None:
    outputs = session.get_outputs()
    if len(outputs) != 1:
        raise UsageError(f"{called}: it has {len(outputs)} outputs: export it with one number")
    kind, shape = outputs[0].type, tuple(outputs[0].shape)
    open_ended = not all(isinstance(side, int) for side in shape)
    if kind not in _FLOATS or not (open_ended or math.prod(shape) == 1):
        raise UsageError(f"{called}: its output is {kind} {shape}: export it with one number")
