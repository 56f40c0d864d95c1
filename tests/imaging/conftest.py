from __future__ import annotations

import numpy as np
import pytest

from fusionkit.errors import ImageError
from fusionkit.imaging import read_picture


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def make(rng):
    """Random samples of a dtype over its full scale; layouts by number of channels."""

    def samples(dtype: str = "uint8", channels: int = 1, height: int = 7, width: int = 9):
        shape = (height, width) if channels == 1 else (height, width, channels)
        dtype = np.dtype(dtype)
        if dtype.kind == "f":
            return rng.random(shape).astype(dtype)
        info = np.iinfo(dtype)
        values = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
        values.flat[0], values.flat[-1] = info.min, info.max
        return values

    return samples


@pytest.fixture
def refusal(tmp_path, capfd, recwarn):
    """Return what reading these bytes says, checking its form; nothing else may be printed."""

    def read(data: bytes | None, name: str = "bad.png", **options) -> str:
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ImageError) as caught:
            read_picture(path, **options)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        assert ": " in message.removeprefix(f"{path}: "), "it says what to do"
        assert capfd.readouterr() == ("", "")
        assert not list(recwarn)
        return message

    return read
