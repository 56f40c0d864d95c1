"""OpenEXR, linear floats, by the library of its makers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import OpenEXR

from fusionkit import Decoded


def decode(data: bytes, part: str) -> Decoded:
    """Decode the first part: R, G, B or Y, and A. Values are as they are stored, linear."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "image.exr")  # the library reads files alone
        file.write_bytes(data)
        try:
            with OpenEXR.File(str(file), separate_channels=True) as image:
                parts = len(image.parts)
                found = {name: np.array(part.pixels) for name, part in image.channels().items()}
        except Exception as error:  # it names the file that was written here
            raise ValueError("it is damaged, or ends too early") from error
    colours = [name for name in ("R", "G", "B") if name in found] or ["Y"]
    if len(colours) == 2 or colours[0] not in found:
        raise ValueError(f"it has the channels {', '.join(found)}: R, G and B, or Y, are read")
    pixels = np.stack([found[name] for name in colours], -1).astype(np.float32)
    alpha = found["A"].astype(np.float32) if "A" in found else None
    others = sorted(set(found) - {*colours, "A"})
    notes = [f"channels left out: {', '.join(others)}"] if others else []
    notes += [f"the first of {parts} parts"] if parts > 1 else []
    return Decoded(pixels if len(colours) == 3 else pixels[..., 0], alpha, None, tuple(notes))
