"""Flags of what plugins return: shapes at once, values on the device until the loop ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import FusionkitError, PluginError

SIMPLEX_TOLERANCE = 1e-3
"""How far from 1 the weights of a pixel may sum: float32 softmax and division stay far within."""


class Flags:
    """Flags on the device, one per check, read back once.

    Reading a value from a GPU waits for it; a flag per tensor and one read
    after the loop cost nothing and still name the first culprit.
    """

    def __init__(self) -> None:
        self._flags: list[Tensor] = []
        self._complaints: list[str] = []

    def finite(self, tensor: Tensor, complaint: str) -> None:
        """Note that ``tensor`` must be finite."""
        self._note(_spans_finite(*_span(tensor)), complaint)

    def simplex(self, weights: Tensor, who: str, where: str) -> None:
        """Note that ``weights`` (K, ...) must be finite, non-negative and sum to one over K."""
        least, greatest = _span(weights)
        self._note(
            _spans_finite(least, greatest), f"{who} returned weights that are not finite {where}"
        )
        self._note(least >= 0, f"{who} returned negative weights {where}")
        least, greatest = _span(weights.sum(0))
        sums_to_one = (1 - least <= SIMPLEX_TOLERANCE) & (greatest - 1 <= SIMPLEX_TOLERANCE)
        self._note(
            sums_to_one, f"{who} returned weights that do not sum to 1 over the sources {where}"
        )

    def verify(self) -> None:
        """Read the flags; raise PluginError for the first that failed."""
        if not self._flags or self._flags[0].device.type == "meta":
            return
        passed = torch.stack(self._flags).cpu().tolist()
        for good, complaint in zip(passed, self._complaints, strict=True):
            if not good:
                raise PluginError(complaint)

    def _note(self, flag: Tensor, complaint: str) -> None:
        self._flags.append(flag)
        self._complaints.append(complaint)


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor has been written to; -1 in inference mode, which does not count."""
    return -1 if tensor.is_inference() else tensor._version


def _span(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest value; NaN, where there is one.

    Two passes that allocate nothing, instead of flags for each value.
    """
    return tensor.amin(), tensor.amax()


def _spans_finite(least: Tensor, greatest: Tensor) -> Tensor:
    return torch.isfinite(least) & torch.isfinite(greatest)


def check_shape(
    value: Any,
    shape: Sequence[int],
    who: str,
    what: str,
    where: str = "",
    dtype: torch.dtype | None = None,
) -> None:
    """Raise PluginError unless ``value`` is a floating tensor of this shape (and dtype)."""
    at = f" {where}" if where else ""
    if not isinstance(value, Tensor):
        raise PluginError(f"{who} returned {type(value).__name__} for {what}, not a tensor{at}")
    if tuple(value.shape) != tuple(shape):
        raise PluginError(
            f"{who} returned {what} of shape {tuple(value.shape)}, expected {tuple(shape)}{at}"
        )
    if not value.is_floating_point():
        raise PluginError(f"{who} returned {what} of {value.dtype}, expected floating point{at}")
    if dtype is not None and value.dtype != dtype:
        raise PluginError(f"{who} returned {what} of {value.dtype}, expected {dtype}{at}")


@contextmanager
def blame(who: str, where: str = "") -> Iterator[None]:
    """Report whatever a plugin raises in its name; running out of memory is nobody's fault."""
    try:
        yield
    except (FusionkitError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"{who} failed{' ' + where if where else ''}: {reason}") from error
