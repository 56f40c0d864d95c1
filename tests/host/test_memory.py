"""A process that fuses for days does not grow."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusionkit
from fusionkit.host import memory

STATUS = Path("/proc/self/statm")


def resident() -> float:
    """Return the megabytes that this process has in memory."""
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux how large it is")
@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
def test_hundreds_of_fusions_leave_nothing_behind() -> None:
    generator = np.random.default_rng(0)
    pipeline = fusionkit.compose(task="infrared-visible", estimator="gaussian", device="cpu")

    def fuse(times: int) -> None:
        for _ in range(times):
            pair = [generator.integers(0, 255, (64, 72), np.uint8) for _ in range(2)]
            fusionkit.fuse(pair, pipeline=pipeline)

    fuse(20)
    before = resident()
    fuse(200)
    assert resident() - before < 5


# VmHWM, since what getrusage tells counts the process that started this one, too.
PEAK = """
import sys
from fusionkit.cli import main
assert main(sys.argv[1:]) == 0
(most,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(most) * 1024)
"""


def peak(folder: Path, height: int, width: int) -> int:
    """Return the most bytes that a process has in memory which fuses two colour images."""
    y, x = np.mgrid[:height, :width]
    paths = []
    for k in (0, 1):
        scene = 128 + 60 * np.sin(x / 17) * np.cos(y / 23) + 20 * np.sin((x + y) / (5 + k))
        image = np.repeat(scene[..., None], 3, 2)
        paths.append(str(folder / f"{height}-{k}.png"))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(paths[-1])
    out = str(folder / f"{height}-fused.png")
    words = ["run", *paths, "-o", out, "--task", "general", "--tile", "256", "--quiet"]
    words.append("--overwrite")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the peak")
def test_memory_grows_by_so_many_bytes_a_pixel(tmp_path) -> None:
    # How two threads meet adds tens of megabytes by chance, and never takes any away: the least of
    # a few runs is what the program needs.
    small = min(peak(tmp_path, 640, 1200) for _ in range(2))
    for _ in range(4):
        grown = (peak(tmp_path, 1920, 1200) - small) / (1280 * 1200)
        if grown < 110:
            return
    raise AssertionError(f"{grown:.0f} bytes a pixel")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux how large it is")
def test_memory_is_given_back_where_the_c_library_can() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("no glibc")
    # Pieces too small to be mapped by themselves, half of which stay.
    pieces = [bytearray(100_000) for _ in range(2000)]
    kept = pieces[::2]
    del pieces
    held = resident()
    memory.give_back_memory()
    assert resident() <= held - 50
    assert len(kept) == 1000


def test_another_c_library_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.give_back_memory()
