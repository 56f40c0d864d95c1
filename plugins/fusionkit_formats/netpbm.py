"""PBM, PGM, PPM and PAM, by netpbmfile."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from netpbmfile import NetpbmFile

from fusionkit import Decoded


def decode(data: bytes, part: str) -> Decoded:
    """Decode the only image: grey, RGB, either with alpha in PAM; white is the greatest value."""
    with NetpbmFile(BytesIO(data)) as file:
        if file.magicnumber not in ("P1", "P2", "P3", "P4", "P5", "P6", "P7"):
            raise ValueError("PFM is not read: save it as TIFF of floats")
        if file.frames > 1:
            raise ValueError(f"it holds {file.frames} images: save the one you mean")
        try:
            samples = np.asarray(file.asarray())
        except ValueError as error:  # which tells of the shapes of arrays
            raise ValueError("it ends too early, or holds no numbers") from error
        greatest, kind = int(file.maxval), str(file.tupltype)
    if not 0 < greatest < 2**16:
        raise ValueError(f"it says that {greatest} is the greatest value: 1 to 65535 are")
    if samples.dtype == np.bool_ or greatest == 1:
        if file.magicnumber in ("P1", "P4"):  # 1 is black
            samples = 1 - samples.astype(np.uint8)
        samples, greatest = samples.astype(np.uint8) * 255, 255
    if samples.max() > greatest:
        raise ValueError(
            f"it holds {samples.max()}, and says that {greatest} is the greatest value"
        )
    samples = samples.astype(np.uint8 if greatest < 256 else np.uint16)
    alpha = None
    if samples.ndim == 3 and kind.endswith("_ALPHA"):
        whole = np.iinfo(samples.dtype).max
        samples, opacity = samples[..., :-1], samples[..., -1].astype(np.float64)
        alpha = np.rint(opacity / greatest * whole).astype(samples.dtype)
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    return Decoded(samples, alpha, stored_range=(0.0, float(greatest)))
