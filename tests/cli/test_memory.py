"""Memory that a process of the command line frees and asks for again."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
from fusionkit.host.memory import keep_freed_memory
if {kept}:
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):  # glibc learns from what is freed
    maps = [bytearray(8 * 2**20) for _ in range(4)]
    del maps
before = faults()
for _ in range(8):
    maps = [bytearray(8 * 2**20) for _ in range(4)]
    del maps
print(faults() - before)
"""


def pages(kept: bool, **environment: str) -> int:
    line = [sys.executable, "-c", SCRIPT.format(kept=kept)]
    done = subprocess.run(
        line, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_freed_memory_is_not_asked_of_the_system_again():
    assert pages(kept=True) < pages(kept=False) / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_what_the_environment_says_is_kept():
    assert pages(kept=True, MALLOC_TRIM_THRESHOLD_="131072") > 1000
