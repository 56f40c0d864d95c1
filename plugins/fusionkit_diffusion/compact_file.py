"""Files of the compact prior: safetensors, tensors and text alone, whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from torch import Tensor

from fusionkit import UsageError, checked_file, read_safetensors

from .compact_network import Architecture

FORMAT = "fusionkit-compact-1"
"""The metadata's ``format``: preconditioning and network as in :mod:`.compact_network`."""


def read_file(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata; nothing in the file is ever run.

    Raises
    ------
    UsageError
        There is no such file, or it is no whole safetensors file, whatever its name.
    """
    file = checked_file(path)
    if file.suffix != ".safetensors":
        raise UsageError(f"{file}: is not a .safetensors file, the only kind that is read here")
    return read_safetensors(file)


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
