"""Files of the compact prior: safetensors, tensors and text alone, whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import UsageError
from fusionkit.imaging import atomic_write

from .compact_network import Architecture, Network
from .weights import checked_file, read_tensors

FORMAT = "fusionkit-compact-1"
"""The metadata's ``format``: preconditioning and network as in :mod:`.compact_network`."""


def write_file(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that is complete on the disk before it takes its name."""
    from safetensors.torch import save

    # Contiguous copies: kernels may be in channels_last layout, or share memory.
    plain = {
        key: value.detach().to("cpu").contiguous(memory_format=torch.contiguous_format).clone()
        for key, value in tensors.items()
    }
    with atomic_write(path, overwrite=True) as file:
        file.write(save(plain, dict(metadata)))
        file.flush()
        os.fsync(file.fileno())


def read_file(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata; nothing in the file is ever run.

    Raises
    ------
    UsageError
        There is no such file, or it is no whole safetensors file, whatever its name.
    """
    from safetensors import safe_open

    file = checked_file(path)
    if file.suffix != ".safetensors":
        raise UsageError(f"{file}: is not a .safetensors file, the only kind that is read here")
    tensors = read_tensors(file)
    with safe_open(file, "pt") as opened:
        metadata: dict[str, str] = opened.metadata() or {}
    return tensors, metadata


def describe(arch: Architecture) -> dict[str, str]:
    """Return the metadata that tell an architecture."""
    return {"format": FORMAT, "architecture": json.dumps(asdict(arch))}


def architecture_of(metadata: Mapping[str, str], file: Path) -> Architecture:
    """Return the architecture that a file's metadata tell; raise UsageError if they do not."""
    if metadata.get("format") != FORMAT:
        raise UsageError(
            f"{file}: is no file of the compact prior: its metadata say format "
            f"{metadata.get('format', '(none)')!s:.40}, not {FORMAT}"
        )
    names = {field.name for field in fields(Architecture)}
    try:
        table = json.loads(metadata.get("architecture", ""))
        if set(table) != names:
            raise ValueError(f"it must name {', '.join(sorted(names))}")
        return Architecture(**{**table, "widths": tuple(table["widths"])})
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{file}: the architecture in its metadata cannot be used: {str(error)[:200]}"
        ) from None


def check_weights(tensors: Mapping[str, Tensor], arch: Architecture, file: Path) -> None:
    """Raise UsageError for the first tensor that the architecture does not have so."""
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in Network(arch).state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            raise UsageError(
                f"{file}: is not of the architecture that it names: {key:.60} is "
                f"{found.get(key, 'missing')}, expected {expected.get(key, 'none')}"
            )
        if not tensors[key].is_floating_point():
            raise UsageError(f"{file}: {key} holds {tensors[key].dtype}, no weights")
