"""JPEG XL (ISO/IEC 18181), by imagecodecs (libjxl)."""

from __future__ import annotations

import imagecodecs
import numpy as np

from fusionkit import Decoded

NOTE = "profile and metadata of JPEG XL are not carried to results"


def decode(data: bytes, part: str) -> Decoded:
    """Decode the only image, upright, in its depth: 8 or 16 bits, or floats."""
    samples = np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1))
    if samples.ndim == 4:
        raise ValueError(f"it holds {len(samples)} frames: save the one you mean")
    if samples.dtype == np.float16:
        samples = samples.astype(np.float32)
    alpha = None
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    return Decoded(np.ascontiguousarray(samples), alpha, notes=(NOTE,))
