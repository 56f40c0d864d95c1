"""What a device can do: its precision, how fast it convolves, whether it compiles."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time

import torch
from torch.nn.functional import conv2d

from ..errors import UsageError


def usable_device(name: str, precision: str = "auto") -> str:
    """Return a device as torch calls it; ``auto`` is the fastest kind that there is.

    Raises
    ------
    UsageError
        There is no such device here, or it cannot compute in that precision.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() and precision != "float64" else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}: auto, cpu, cuda, cuda:N or mps") from None
    count = {"cuda": torch.cuda.device_count, "mps": torch.mps.device_count}
    if device.type in count and (device.index or 0) >= count[device.type]():
        raise UsageError(f"device {name} is not available here; use --device cpu or auto")
    if device.type == "mps" and precision == "float64":
        raise UsageError("device mps has no float64; use --device cpu")
    return name


def synchronize(device: str | torch.device) -> None:
    """Wait until a device has done what it was given."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def cost_clock(device: str | torch.device) -> float:
    """Return seconds of what was computed so far, to compare costs on a machine that does more.

    On a CPU, processor time of all threads, which other work disturbs less than the time on
    the wall; elsewhere that, once the device has done what it was given.
    """
    if torch.device(device).type == "cpu":
        return time.process_time()
    synchronize(device)
    return time.perf_counter()


@torch.no_grad()
def convolution_rate(
    dtype: torch.dtype,
    device: str = "cpu",
    *,
    channels: int = 128,
    side: int = 512,
    seconds: float = 0.5,
) -> float:
    """Return TFLOP/s of a 3x3 convolution, channels to channels, of one square image.

    The best of as many as are done in about ``seconds``, one at least, after one that is not
    counted, in which kernels are chosen. A multiplication and an addition count as two.
    """
    layout = torch.channels_last
    x = torch.ones(1, channels, side, side, dtype=dtype, device=device)
    weight = torch.ones(channels, channels, 3, 3, dtype=dtype, device=device)
    x, weight = x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout)
    conv2d(x, weight, padding=1)
    synchronize(device)
    times: list[float] = []
    while sum(times) < seconds or not times:
        start = time.perf_counter()
        conv2d(x, weight, padding=1)
        synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * 9 * channels**2 * side**2 / min(times) / 1e12


def fast_precision(device: str) -> str:
    """Return the precision that ``auto`` means on this device.

    A function of the kind of device alone, so that a command makes the same image whenever it is
    run. On CUDA, bfloat16 from compute capability 8 on, which is where it is not emulated, and
    float16 below. On a CPU, and elsewhere, float32: half precision is asked for by its name.
    """
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"
    return "float32"


def check_compiler(device: str) -> None:
    """Raise a UsageError if torch.compile would find no compiler for this device."""
    kind = torch.device(device).type
    if kind == "cpu":
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if sys.platform != "win32" and shutil.which(compiler) is None:
            raise UsageError(
                f"--compile on: there is no C++ compiler {compiler}: install it, or leave it off"
            )
    elif importlib.util.find_spec("triton") is None:
        raise UsageError(
            f"--compile on: compiling for {kind} takes the package triton: install it, or leave "
            "it off"
        )


def has_bfloat16_instructions() -> bool:
    """Whether this CPU says that it multiplies bfloat16 itself (AMX or AVX-512 BF16).

    Where it does, ``--precision bfloat16`` may take half the time; elsewhere it is emulated,
    and slower than float32 by far.
    """
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)
