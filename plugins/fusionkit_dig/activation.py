"""From what each source has to give, gains or residuals, to weights on the simplex."""

from __future__ import annotations

import torch
from torch import Tensor


def simplex_weights(gains: Tensor, activation: str, scale: float) -> Tensor:
    """Turn gains (K, ...) into weights that are >= 0 and sum to 1 over K.

    Parameters
    ----------
    gains
        What is compared over the sources, of any sign.
    activation
        ``power``: max(gain, 0)^scale; ``softmax``: exp(scale * gain); ``hard``: all to
        the largest gain (shared by ties). Then normalised over the sources.
    scale
        How sharply; not used by ``hard``.
    """
    if activation == "softmax":
        return torch.softmax(scale * gains, 0)
    largest = gains.amax(0)
    if activation == "hard":
        share = (gains == largest).to(gains.dtype)
    else:
        # Relative to the largest, or the powers would underflow; where no source
        # gains anything, all count the same.
        least = torch.finfo(gains.dtype).tiny
        share = gains.clamp_min(0).div_(largest.clamp_min(least))
        share.masked_fill_(~(largest >= least), 1.0).pow_(scale)
    return share.div_(share.sum(0))
