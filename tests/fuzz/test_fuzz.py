"""A short campaign in every test run, and that a campaign sees what it should see."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .mutations import mutated
from .seeds import seeds

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/statm").exists(), reason="needs fork and Linux's limits of memory"
    ),
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: a campaign forks, and counts memory from where it starts."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True
    )


def test_no_damaged_file_does_harm(tmp_path):
    result = run("-m", "tests.fuzz", "-n", "2000", "--keep", str(tmp_path))
    assert result.returncode == 0, result.stdout
    found = re.fullmatch(r"(\d+) read, (\d+) refused, 0 did harm\n", result.stdout)
    assert found, result.stdout
    assert int(found[1]) + int(found[2]) == 2000
    assert int(found[1]) > 100


HARMS = {
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", "it ended the process by signal 11"),
    "exit": ("os._exit(0)", "it left the process"),
    "traceback": ("[][0]", "IndexError"),
    "hang": ("while True: pass", "it takes more than 1 s"),
    "memory": ("raise ImageError(f'{path}: there is not enough memory to read it')", "bytes"),
    "print": ("os.write(2, b'libpng warning')", "printed: libpng warning"),
    "lines": ("raise ImageError(f'{path}: one\\ntwo')", "not one line"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_campaign_sees(harm):
    """The third file does harm, and the others are still read."""
    deed, said = HARMS[harm]
    code = f"""
import os, signal
from fusionkit.errors import ImageError
from tests.fuzz import campaign
real, campaign.SECONDS, tried = campaign.read_picture, 1, []
def read_picture(path):
    if campaign.file_of(2, 0)[1] == path.read_bytes():
        {deed}
    return real(path)
campaign.read_picture = read_picture
for read, refused, harm in campaign.campaign(6):
    print(read + refused, harm and (harm.number, harm.what))
"""
    result = run("-c", code)
    first, last = result.stdout.splitlines()[0], result.stdout.splitlines()[-1]
    assert first.startswith("2 (2, "), result.stdout + result.stderr
    assert said in first
    assert last == "5 None"


def test_damage_is_the_same_in_every_run():
    files = seeds()
    names = sorted(files)
    for name in names[::10]:
        twice = [mutated(files[name], [files[names[0]]], random.Random(name)) for _ in range(2)]
        assert twice[0] == twice[1]
