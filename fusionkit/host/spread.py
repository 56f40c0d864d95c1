"""How far fusions of scenes lie apart, any of which may have been measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..contract.preparation import Sources

if TYPE_CHECKING:
    from .pipeline import Pipeline


def spread_of(
    pipeline: Pipeline,
    samples: Sequence[Sources],
    seed: int | None,
    on_pixels: Callable[[float], None] | None = None,
) -> tuple[NDArray[np.float32], float]:
    """Return the standard deviation of fused samples, (H, W), of 255, and the NFE.

    Of luma, or root mean square over channels. All are fused with one seed, so that what differs
    is the scene.
    """
    images, nfe = [], 0.0
    for sample in samples:
        planes = torch.from_numpy(sample.planes)[:, None].mul(2).sub_(1)
        fused = pipeline(planes, seed, on_pixels=on_pixels)
        images.append(fused.image[0].double().cpu().numpy() * 127.5)
        nfe += fused.nfe
    variance = np.var(np.stack(images), axis=0, ddof=1).mean(0)
    return np.sqrt(variance).astype(np.float32), nfe
