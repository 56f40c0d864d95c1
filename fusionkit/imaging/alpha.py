"""Transparency of the result, and what sources do not show for being transparent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.geometry import check_same_size
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.values import full_scale, to_unit


def common_alpha(
    pictures: Sequence[Picture],
) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """Return alpha of the result, and where each source counts.

    A source without alpha counts as opaque. Where all agree, by no more than half a level of
    the coarser of two, alpha is kept and every source counts everywhere. Where they do not,
    as for frames that were aligned on one canvas, the result is as opaque as the most opaque
    source, and a source counts where it is at least half as opaque.

    Returns
    -------
    alpha : array of float64, (H, W), or None
        In [0, 1], from the deepest source; None where no source stores alpha.
    shown : array of bool, (K, H, W), or None
        True where a source counts; None where all do everywhere.
    """
    check_same_size(pictures)
    if all(picture.alpha is None for picture in pictures):
        return None, None
    alphas = [_unit_alpha(picture) for picture in pictures]
    # From coarse to fine: the last that stores alpha is the most exact.
    ordered = sorted(zip(pictures, alphas, strict=True), key=_step, reverse=True)
    if all(
        np.abs(coarse[1] - fine[1]).max() <= _step(coarse) / 2 * (1 + 1e-9)
        for coarse, fine in pairwise(ordered)
    ):
        return [alpha for picture, alpha in ordered if picture.alpha is not None][-1], None
    most: NDArray[np.float64] = np.max(alphas, axis=0)
    return most, np.stack([(alpha >= most / 2) & (most > 0) for alpha in alphas])


def _unit_alpha(picture: Picture) -> NDArray[np.float64]:
    if picture.alpha is None:
        return np.ones(picture.shape)
    return to_unit(picture.alpha, *full_scale(picture.alpha.dtype))


def _step(pair: tuple[Picture, NDArray[np.float64]]) -> float:
    """One level of a source's alpha in [0, 1] units; floats count as 16-bit levels."""
    dtype = pair[0].dtype
    return 1.0 / (full_scale(dtype)[1] if dtype.kind != "f" else 65535.0)
