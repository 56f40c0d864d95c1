"""Files of weights, for plugins that read or train them: nothing in them is run.

What is refused is refused in one line, a UsageError that begins with the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..contract.hashes import hash_of_file
from ..errors import UsageError
from ..imaging import atomic_write


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
        found = hash_of_file(file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    if expected and found != expected.lower():
        raise UsageError(
            f"{file}: its SHA-256 is {found}, not {expected.lower()}: it is another file than "
            "was asked for, or damaged"
        )
    return found


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file, whatever its name.

    The tensors may be mapped from the file, not yet read.

    Raises
    ------
    UsageError
        The file is truncated or damaged, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
        with safe_open(file, "pt") as opened:
            return tensors, opened.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(file, error) from error


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
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


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path
) -> None:
    """Raise UsageError for the first tensor that is not as in the network's own state dict.

    Names and shapes must be those of ``expected``, which may be on the meta device, and the
    numbers floating point, of any precision.
    """
    wanted = {key: tuple(value.shape) for key, value in expected.items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise UsageError(
                f"{file}: is not of the architecture that it should have: {key:.60} is "
                f"{found.get(key, 'missing')}, expected {wanted.get(key, 'none')}"
            )
        if not tensors[key].is_floating_point():
            raise UsageError(f"{file}: {key} holds {tensors[key].dtype}, no weights")


@contextmanager
def empty_network() -> Iterator[None]:
    """Build networks on the meta device, their weights to be assigned: nothing is drawn.

    To draw numbers for tensors that hold none, torch would import its compiler, which takes
    longer than a small fusion.

    Examples
    --------
    >>> with empty_network():
    ...     layer = torch.nn.Linear(4, 2)
    >>> layer.weight.device.type
    'meta'
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Leave tensors as they are where numbers would be drawn for them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        # Some of torch.nn.init come here as a whole, the others when they draw.
        whole = getattr(func, "__module__", None) == "torch.nn.init"
        if whole or func in (Tensor.normal_, Tensor.uniform_):
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def damaged(file: Path, error: Exception) -> UsageError:
    """Return the refusal of a file that a reader of weights failed on with ``error``."""
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return UsageError(
        f"{file}: is truncated, damaged, or no file of weights ({file.stat().st_size} bytes; "
        f"{reason[:120].strip()})"
    )
