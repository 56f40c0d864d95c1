"""Files of the learned weighting: safetensors, tensors and text alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fusionkit import (
    UsageError,
    check_tensors,
    checked_file,
    checked_hash,
    empty_network,
    read_safetensors,
    write_safetensors,
)

from .network import Network
from .planes import GAIN_PLANES, PLANES

FORMAT = "fusionkit-learned-2"
"""The metadata's ``format``: the network, and what it is given, as in :mod:`.network`."""


def write_file(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file that is complete on the disk before it takes its name."""
    write_safetensors(path, tensors, {"format": FORMAT, **metadata})


def read_file(path: str | Path, sha256: str = "") -> tuple[dict[str, Tensor], dict[str, str], str]:
    """Read tensors, metadata and the file's SHA-256; nothing in the file is ever run.

    Raises
    ------
    UsageError
        There is no such file, it has another hash than ``sha256``, if that is given, or it is no
        whole safetensors file of this network.
    """
    file = checked_file(path)
    found = checked_hash(file, sha256)
    tensors, metadata = read_safetensors(file)
    if metadata.get("format") != FORMAT:
        raise UsageError(
            f"{file}: is no file of the learned weighting: its metadata say format "
            f"{metadata.get('format', '(none)'):.40}, not {FORMAT}"
        )
    return tensors, metadata, found


def network_from(tensors: Mapping[str, Tensor], file: Path, dtype: torch.dtype) -> Network:
    """Return the network with these weights; raise UsageError for the first that does not fit."""
    stem = tensors.get("stem.weight")
    planes = stem.shape[1] if stem is not None and stem.ndim == 4 else PLANES
    with empty_network():
        network = Network(max(0, planes - PLANES) // GAIN_PLANES)
    check_tensors(tensors, network.state_dict(), file)
    weights = {key: value.to(dtype, copy=True) for key, value in tensors.items()}
    network.load_state_dict(weights, assign=True)
    return network
