"""Reading files of weights of any kind: nothing in them is run, every refusal is one line."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from fusionkit import UsageError, damaged, read_safetensors


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.safetensors``, or else from what ``torch.save`` wrote.

    The tensors may be mapped from the file, not yet read. Pickled code is refused
    by torch's own restricted unpickler before anything of it is run.

    Raises
    ------
    UsageError
        The file is truncated or damaged, holds code, or is no flat dictionary of tensors.
    """
    safe = file.suffix == ".safetensors"
    tensors = read_safetensors(file)[0] if safe else _torch_saved(file)
    if not isinstance(tensors, dict) or not tensors:
        raise UsageError(f"{file}: holds no dictionary of tensors, which a state dict is")
    for key, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise UsageError(
                f"{file}: holds no flat state dict: {key!r} is a {type(tensor).__name__}, no tensor"
            )
    return tensors


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
            raise damaged(file, error) from error
        raise UsageError(
            f"{file}: holds pickled code ({code[1]}) beside tensors, which is never run: "
            "save the state dict alone"
        ) from error
    return loaded
