"""Decoding in a process of its own: what a library does to a damaged file, it does there.

These libraries are large, and in C; a file can crash them, or have them take any time and memory.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fusionkit import Decoded, split_part
from fusionkit.imaging import Grid, Volume, from_exif

SECONDS = 120
"""After which decoding is given up."""

VALUES = "values.npy"
"""Where the values of a volume are, in its room."""

MEMORY = 8 * 2**30
"""Bytes that decoding may take, where the system can limit them."""

KINDS = ("heif", "camera_raw", "dicom", "exr", "nifti", "netpbm", "jpeg_xl", "flir", "avif")


class Decoder(Protocol):
    """What the modules of the formats have."""

    @staticmethod
    def decode(data: bytes, part: str) -> Decoded:
        """Decode the bytes of a file, or of a part of it."""
        ...

    @staticmethod
    def read_volume(name: str, part: str, room: Path) -> Volume:
        """Read a volume, its values into a file in a folder; not every format has this."""
        ...


def decode_apart(kind: str, data: bytes, part: str = "") -> Decoded:
    """Decode the bytes of a file of one of :data:`KINDS`, or a part, in another process.

    Raises
    ------
    ValueError
        It is damaged, or holds what is not read; the message says what.
    """
    return _unpacked(_done(f"main({kind!r}, {part!r})", data, SECONDS))


def volume_apart(kind: str, name: str, room: Path) -> Volume:
    """Read a volume in another process; its values are in a file in the folder ``room``."""
    found = split_part(name)
    said = json.loads(_done(f"main_volume({kind!r}, *{found!r}, {str(room)!r})", b"", 10 * SECONDS))
    values = np.load(room / VALUES, mmap_mode="r", allow_pickle=False)
    grid = said.pop("grid")
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    runs = tuple((axis, back) for axis, back in said["runs"])
    about = {**said, **lists, "runs": runs, "grid": None if grid is None else _grid(grid)}
    return Volume(values, **about)


def main_volume(kind: str, name: str, part: str, room: str) -> None:
    """Read a volume, and write to stdout what there is beside values: the other process."""

    def read() -> bytes:
        volume = _module(kind).read_volume(name, part, Path(room))
        said = {each.name: getattr(volume, each.name) for each in fields(volume)}
        del said["values"]
        grid = None if volume.grid is None else asdict(volume.grid)
        return json.dumps({**said, "patient": dict(volume.patient), "grid": grid}).encode()

    _work(read)


def _done(called: str, data: bytes, seconds: int) -> bytes:
    """Return what another process writes that calls a function of this module."""
    program = [sys.executable, "-c", f"from {__name__} import main, main_volume; {called}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            program, input=data, capture_output=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"decoding takes more than {seconds} s: get it anew") from None
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode == 1 and said:
        raise ValueError(said[-1])
    raise ValueError(f"its decoder crashed ({done.returncode}): get it anew")


def main(kind: str, part: str) -> None:
    """Decode what is on stdin, and write what it is to stdout: the other process."""
    _work(lambda: _packed(_module(kind).decode(sys.stdin.buffer.read(), part)))


def _module(kind: str) -> Decoder:
    decoder: Decoder = import_module(f".{kind}", __package__)  # type: ignore[assignment]
    return decoder


def _work(made: Callable[[], bytes]) -> None:
    """Write to stdout what a function makes, or end with what it raises in one line."""
    _limit_memory()
    output = os.dup(1)
    os.dup2(2, 1)  # libraries print
    try:
        packed = made()
    except MemoryError:
        sys.exit(f"decoding takes more than {MEMORY >> 30} GiB: get it anew")
    except Exception as error:
        sys.exit(" ".join(f"{error}".split()) or type(error).__name__)
    with os.fdopen(output, "wb") as out:
        out.write(packed)


def _packed(decoded: Decoded) -> bytes:
    metadata = decoded.metadata
    said = {
        "notes": decoded.notes,
        "metadata": {
            "left_out": metadata.left_out,
            "flaw": metadata.flaw,
            "patient": dict(metadata.patient),
        },
        "grid": None if metadata.grid is None else asdict(metadata.grid),
        "stored_range": decoded.stored_range,
        "no_data": decoded.no_data,
        "quantity": decoded.quantity,
    }
    arrays: dict[str, NDArray[Any]] = {"pixels": decoded.pixels}
    if decoded.alpha is not None:
        arrays["alpha"] = decoded.alpha
    if decoded.mask is not None:
        arrays["mask"] = decoded.mask
    if decoded.icc:
        arrays["icc"] = np.frombuffer(decoded.icc, np.uint8)
    arrays["exif"] = np.frombuffer(metadata.block(), np.uint8)
    arrays["said"] = np.frombuffer(json.dumps(said).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _unpacked(packed: bytes) -> Decoded:
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        said = json.loads(arrays["said"].tobytes())
        stored, metadata = said["stored_range"], from_exif(arrays["exif"].tobytes())
        about, grid = said["metadata"], said["grid"]
        metadata = replace(
            metadata,
            left_out=tuple(about["left_out"]),
            flaw=about["flaw"] or metadata.flaw,
            patient=about["patient"],
            grid=None if grid is None else _grid(grid),
        )
        return Decoded(
            arrays["pixels"],
            arrays.get("alpha"),
            arrays["icc"].tobytes() if "icc" in arrays else None,
            tuple(said["notes"]),
            None if stored is None else (stored[0], stored[1]),
            metadata,
            no_data=said["no_data"],
            mask=arrays.get("mask"),
            quantity=said["quantity"],
        )


def _grid(said: dict[str, Any]) -> Grid:
    vectors = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return Grid(**{**said, **vectors})


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))
