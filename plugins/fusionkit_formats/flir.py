"""Radiometric JPEG of FLIR cameras, by flyr: temperatures, and the photograph taken with them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import flyr
import numpy as np

from fusionkit import Decoded


def decode(data: bytes, part: str) -> Decoded:
    """Decode ``thermal``, in degrees Celsius, or ``visible``, the photograph.

    The coldest and the hottest pixel are black and white. Of the photograph, what the thermal
    image shows is cut out, as far as the camera says where that is: what is near is shifted by
    parallax.
    """
    try:
        camera = flyr.unpack(BytesIO(data))
    except (KeyError, ValueError) as error:
        raise ValueError(f"it holds no temperatures of a FLIR camera ({error})") from None
    if part == "thermal":
        return _thermal(camera)
    if part == "visible":
        return _visible(camera)
    raise ValueError(f"there is no part {part}: give #thermal or #visible")


def _thermal(camera: Any) -> Decoded:
    celsius = np.asarray(camera.celsius, np.float32)
    if not np.isfinite(celsius).all():
        raise ValueError("the camera's numbers give no temperatures")
    low, high = float(celsius.min()), float(celsius.max())
    note = f"{low:.1f} to {high:.1f} degrees Celsius; --range K:LO,HI says what is black and white"
    return Decoded(celsius, notes=(note,), stored_range=(low, max(high, low + 1e-3)), quantity="°C")


def _visible(camera: Any) -> Decoded:
    photograph = camera.optical
    if photograph is None:
        raise ValueError("it holds no photograph beside the temperatures")
    about = camera.pip_info
    height, width = photograph.shape[:2]
    if about is None or not about.real_to_ir > 1:
        return Decoded(photograph, notes=("where the thermal image lies in it is not said",))
    rows, columns = camera.celsius.shape
    w = round(width / about.real_to_ir)
    h = round(w * rows / columns)
    x, y = (width - w) // 2 + about.offset_x, (height - h) // 2 + about.offset_y
    if x < 0 or y < 0 or x + w > width or y + h > height:
        raise ValueError("the thermal image does not lie within the photograph")
    cut = np.ascontiguousarray(photograph[y : y + h, x : x + w])
    return Decoded(cut, notes=(f"cut to what the thermal image shows: {w}x{h} at {x}, {y}",))
