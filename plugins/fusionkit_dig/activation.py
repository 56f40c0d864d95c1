"""From what each source has to give, gains or residuals, to weights on the simplex."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit import raised


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
    largest = gains.amax(0)
    if activation == "softmax":
        # By its parts: torch's own rounds otherwise where a thread's share of the image ends.
        share = (gains - largest).mul_(scale).exp_()
    elif activation == "hard":
        share = (gains == largest).to(gains.dtype)
    else:
        # Relative to the largest, or the powers would underflow; where no source
        # gains anything, all count the same.
        least = torch.finfo(gains.dtype).tiny
        share = gains.clamp_min(0).div_(largest.clamp_min(least))
        share = raised(share.masked_fill_(~(largest >= least), 1.0), scale)
    return share.div_(share.sum(0))
