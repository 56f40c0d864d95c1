"""HEIF, as phones write it (ISO/IEC 23008-12), by pillow-heif."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pillow_heif

from fusionkit import Decoded

NOTE = "the metadata of HEIF are not carried to results"


def decode(data: bytes) -> Decoded:
    """Decode the first image, upright; of more than 8 bits as 16 bits."""
    found = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    several = f"the first of {len(found)} images" if len(found) > 1 else ""
    samples = np.asarray(found)
    alpha = None
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    notes = tuple(note for note in (several, NOTE) if note)
    return Decoded(samples, alpha, found.info.get("icc_profile") or None, notes)
