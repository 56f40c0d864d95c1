"""Raw files of cameras, by rawpy (LibRaw)."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import rawpy

from fusionkit import Decoded

NOTE = "developed to sRGB of 16 bits with the camera's white balance, without brightening"


def decode(data: bytes, part: str) -> Decoded:
    """Develop an image, upright: demosaiced, white balance of the camera, sRGB's curve."""
    try:
        with rawpy.imread(BytesIO(data)) as raw:
            pixels = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=(2.4, 12.92),
            )
    except rawpy.LibRawError as error:
        said = error.args[0] if error.args else b""  # as C has it
        raise ValueError(
            said.decode(errors="replace") if isinstance(said, bytes) else said
        ) from error
    grey = pixels.shape[2] == 1 or bool((pixels == pixels[..., :1]).all())
    return Decoded(np.ascontiguousarray(pixels[..., 0]) if grey else pixels, notes=(NOTE,))
