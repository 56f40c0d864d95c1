"""Reading files of weights: nothing in them is run, and every refusal is one line."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import UsageError


def checked_file(path: str | Path) -> Path:
    """Return the path of a file that is there, ``~`` expanded; raise UsageError otherwise."""
    file = Path(path).expanduser()
    if file.is_dir():
        raise UsageError(f"{file}: is a folder, not a file of weights")
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    return file


def checked_hash(file: Path, expected: str = "") -> str:
    """Return the SHA-256 of a file in hexadecimal, which must be the one expected, if any."""
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    if expected and found != expected.lower():
        raise UsageError(
            f"{file}: its SHA-256 is {found}, not {expected.lower()}: it is another file than "
            "was asked for, or damaged"
        )
    return found


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.safetensors``, or else from what ``torch.save`` wrote.

    The tensors may be mapped from the file, not yet read. Pickled code is refused
    by torch's own restricted unpickler before anything of it is run.

    Raises
    ------
    UsageError
        The file is truncated or damaged, holds code, or is no flat dictionary of tensors.
    """
    tensors = _safetensors(file) if file.suffix == ".safetensors" else _torch_saved(file)
    if not isinstance(tensors, dict) or not tensors:
        raise UsageError(f"{file}: holds no dictionary of tensors, which a state dict is")
    for key, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise UsageError(
                f"{file}: holds no flat state dict: {key!r} is a {type(tensor).__name__}, no tensor"
            )
    return tensors


def _safetensors(file: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(file, error) from error


def _torch_saved(file: Path) -> object:
    # Files of before torch 1.6 are no zip archives, and cannot be mapped.
    archive = zipfile.is_zipfile(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, whose refusal is one line
            loaded: object = torch.load(file, map_location="cpu", weights_only=True, mmap=archive)
    except MemoryError:
        raise
    except Exception as error:  # whatever the bytes of a damaged file lead to
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is None:
            raise _damaged(file, error) from error
        raise UsageError(
            f"{file}: holds pickled code ({code[1]}) beside tensors, which is never run: "
            "save the state dict alone"
        ) from error
    return loaded


def _damaged(file: Path, error: Exception) -> UsageError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return UsageError(
        f"{file}: is truncated, damaged, or no file of weights ({file.stat().st_size} bytes; "
        f"{reason[:120].strip()})"
    )
