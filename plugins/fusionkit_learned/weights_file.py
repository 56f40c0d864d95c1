"""Files of weights: safetensors, tensors and text alone, whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.errors import UsageError
from fusionkit.imaging import atomic_write

from .network import Network

FORMAT = "fusionkit-learned-1"
"""The metadata's ``format``: the network, and what it is given, as in :mod:`.network`."""


def write_file(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that is complete on the disk before it takes its name."""
    from safetensors.torch import save

    # Contiguous copies: kernels may be in channels_last layout.
    plain = {
        key: value.detach().contiguous(memory_format=torch.contiguous_format).clone()
        for key, value in tensors.items()
    }
    with atomic_write(path, overwrite=True) as file:
        file.write(save(plain, {"format": FORMAT, **metadata}))
        file.flush()
        os.fsync(file.fileno())


def read_file(path: str | Path, sha256: str = "") -> tuple[dict[str, Tensor], dict[str, str], str]:
    """Read tensors, metadata and the file's SHA-256; nothing in the file is ever run.

    Raises
    ------
    UsageError
        There is no such file, it has another hash than ``sha256``, if that is given, or it is no
        whole safetensors file of this network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    file = Path(path).expanduser()
    if file.is_dir():
        raise UsageError(f"{file}: is a folder, not a file of weights")
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    try:
        content = file.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if sha256 and found != sha256.lower():
            raise UsageError(
                f"{file}: its SHA-256 is {found}, not {sha256.lower()}: it is another file than "
                "was asked for, or damaged"
            )
        tensors = load(content)
        # The layout of the format: the header's length in 8 bytes, the header, the tensors.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata: dict[str, str] = header.get("__metadata__", {})
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UsageError(
            f"{file}: is truncated, damaged, or no .safetensors file "
            f"({file.stat().st_size} bytes; {reason[:120].strip()})"
        ) from error
    if metadata.get("format") != FORMAT:
        raise UsageError(
            f"{file}: is no file of the learned weighting: its metadata say format "
            f"{metadata.get('format', '(none)'):.40}, not {FORMAT}"
        )
    return tensors, metadata, found


def network_from(tensors: Mapping[str, Tensor], file: Path, dtype: torch.dtype) -> Network:
    """Return the network with these weights; raise UsageError for the first that does not fit."""
    with torch.random.fork_rng(devices=[]):
        network = Network().to(dtype)
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            raise UsageError(
                f"{file}: is not of this network's architecture: {key:.60} is "
                f"{found.get(key, 'missing')}, expected {expected.get(key, 'none')}"
            )
        if not tensors[key].is_floating_point():
            raise UsageError(f"{file}: {key} holds {tensors[key].dtype}, no weights")
    network.load_state_dict(dict(tensors))
    return network
