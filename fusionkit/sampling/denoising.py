"""The prior of a pipeline, as a denoiser of images at any level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..ops.sending import sent
from .evaluator import Evaluator


class Denoiser:
    """The prior of a pipeline, as a denoiser of images at any level.

    Parameters
    ----------
    evaluator
        Pads, splits into tiles, and counts.
    channels
        Those that the estimator takes at once.
    """

    def __init__(self, evaluator: Evaluator, channels: int) -> None:
        self._evaluator = evaluator
        self._channels = channels

    def __call__(self, y: Tensor, sigmas: Sequence[float], fresh: Tensor) -> Tensor:
        """Return clean estimates of images at known noise levels.

        Parameters
        ----------
        y
            (M, C, H, W) in about [-1, 1], C the estimator's channels or 1.
        sigmas
            (M,) standard deviations, > 0, in units of y: 25 of 255 is 25 / 127.5.
        fresh
            Standard normal, (M, channels, H, W), to split grey images by: a colour
            prior knows noise that differs between channels, so a grey image becomes C
            channels of sqrt(C) sigma, whose mean it is (a sufficient statistic: nothing
            is added, and nothing lost).
        """
        if y.shape[1] == self._channels:
            return self._evaluator.clean(y, sigmas)
        widening = math.sqrt(self._channels)
        spread = fresh - fresh.mean(1, keepdim=True)
        split = y + widening * _column(sigmas, y) * spread
        clean = self._evaluator.clean(split, [sigma * widening for sigma in sigmas])
        return clean.mean(1, keepdim=True)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return sent(torch.tensor(values, device="cpu"), like.device, like.dtype).view(-1, 1, 1, 1)
