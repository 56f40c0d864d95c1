"""HEIF, as phones write it (ISO/IEC 23008-12), by pillow-heif."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pillow_heif

from fusionkit import Decoded
from fusionkit.imaging import from_exif


def decode(data: bytes, part: str) -> Decoded:
    """Decode the first image, upright; of more than 8 bits as 16 bits."""
    found = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    several = f"the first of {len(found)} images" if len(found) > 1 else ""
    samples = np.asarray(found)
    alpha = None
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    # The decoder turns the image upright, whatever Exif says.
    metadata = replace(from_exif(found.info.get("exif")), orientation=1)
    icc = found.info.get("icc_profile") or None
    return Decoded(samples, alpha, icc, (several,) if several else (), metadata=metadata)
