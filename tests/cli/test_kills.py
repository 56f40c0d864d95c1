"""Kills at random moments, folders that take nothing: the bytes of an undisturbed run.

``FUSIONKIT_KILLS=1000 python -m pytest tests/cli/test_kills.py`` is the campaign.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image
from tqdm import tqdm

from fusionkit.cli import main
from fusionkit.host.pool import cores
from tests.cli.test_jobs import results
from tests.cli.test_run import fails
from tests.cli.test_scenes import whole

KILLS = int(os.environ.get("FUSIONKIT_KILLS", "22"))  # fifty in all tests together
QUICK = ["--estimator", "gaussian", "--quiet"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed by signals"),
]


def in_child(arguments: Sequence[str], before: Callable[[], object] = lambda: None) -> int:
    """Begin a command in a process of its own that has all loaded; return its id."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            # That of this process is everybody's who is forked: one that is killed keeps it.
            tqdm.set_lock(threading.RLock())
            before()
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            code = main(list(arguments))
        finally:
            os._exit(code)
    return pid


def killed_again_and_again(arguments: Sequence[str], out: Path, times: int = KILLS) -> None:
    """Kill a command until it has been killed so often, checking what it leaves; then let it end.

    A run that ends before it is killed begins anew, in an empty folder.
    """
    began = time.monotonic()
    assert os.waitpid(in_child(arguments), 0)[1] == 0
    lasts = time.monotonic() - began
    chance = random.Random(0)
    kills = fresh = 0
    while kills < times:
        pid = in_child(arguments)
        time.sleep(chance.uniform(0, 0.7 * lasts))
        os.kill(pid, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
            kills += 1
        else:
            lasts *= 0.7  # the first was slow, on a busy machine: kill sooner
        for path in out.rglob("*.png"):
            with Image.open(path) as image:
                image.load()  # whole, under a final name
        for record in out.glob("*.png.json"):
            image_of = Path(str(record).removesuffix(".json"))
            assert not image_of.exists() or whole(image_of)
        if kills % 5 == 0 and kills // 5 > fresh:  # each state is reached several times
            fresh = kills // 5
            for path in sorted(out.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
    assert os.waitpid(in_child(arguments), 0)[1] == 0
    assert list(out.rglob(".fusionkit-*")) == []


def pixels(folder: Path) -> dict[str, bytes]:
    """Every image below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))
    }


@pytest.mark.parametrize("traced", [False, True])
def test_a_run_that_is_killed_ends_with_the_same_bytes(folders, tmp_path, traced):
    scenes = range(6)
    if traced:  # pictures take a while
        scenes = range(2)
        for folder in folders:
            for n in range(2, 6):
                (Path(folder) / f"{n}.png").unlink()
    whole_run, out = tmp_path / "whole", tmp_path / "out"

    def command(place: Path) -> list[str]:
        place.mkdir()
        trace = ["--trace", str(place / "why")] if traced else []
        return ["run", *folders, "-o", str(place), *QUICK, *trace]

    assert main(command(whole_run)) == 0
    # Each takes seconds with pictures, which are written like all else.
    killed_again_and_again(command(out), out, -(-KILLS // 4) if traced else KILLS)
    assert pixels(out) == pixels(whole_run)
    assert [whole(out / f"{n}.png") for n in scenes] == [True] * len(scenes)
    traces = [sorted(path.name for path in each.iterdir()) for each in out.glob("why/*")]
    assert traces == [["curves.png", "strip.png", "trace.json"]] * (2 if traced else 0)


def test_a_study_that_is_killed_ends_with_the_same_table(folders, tmp_path):
    whole_study, out = tmp_path / "whole", tmp_path / "out"
    flags = ["--weighting", "fixed,dig", "--baseline", "none", "--metric", "sd", *QUICK]
    assert main(["ablate", *folders, "-o", str(whole_study), *flags]) == 0
    out.mkdir()
    killed_again_and_again(["ablate", *folders, "-o", str(out), *flags], out)

    def table(folder: Path) -> list[dict]:
        lines = map(json.loads, (folder / "results.jsonl").read_text().splitlines())
        kept = ("cell", "scene", "values", "sha256")
        return sorted(({key: line[key] for key in kept} for line in lines), key=str)

    by_pair = {(line["cell"], line["scene"]): line for line in table(out)}
    assert sorted(by_pair.values(), key=str) == table(whole_study)


@pytest.mark.skipif(cores() < 2, reason="two processes take two cores")
def test_a_run_of_several_processes_that_is_killed_goes_on(folders, tmp_path):
    whole_run, out = tmp_path / "whole", tmp_path / "out"
    command = ["run", *folders, *QUICK]
    assert main([*command, "-o", str(whole_run)]) == 0
    command += ["-o", str(out), "--jobs", "2"]
    program = [sys.executable, "-m", "fusionkit", *command]
    for count in (1, 3):
        begun = subprocess.Popen(program)
        while len(list(out.glob("*.png"))) < count and begun.poll() is None:
            time.sleep(0.01)
        begun.kill()
        begun.wait()
    assert main(command) == 0
    assert results(out) == results(whole_run)
    assert list(out.glob(".fusionkit-*")) == []


def test_a_full_disk_leaves_earlier_results(folders, tmp_path):
    out = tmp_path / "out"
    command = ["run", *folders, "-o", str(out), *QUICK]
    assert main([*command, "--shard", "1/2"]) == 0
    before = results(out)
    assert 0 < len(before) < 6

    reader, writer = os.pipe()

    def fill() -> None:  # no file may grow beyond this, whoever writes it
        sys.stderr = open(writer, "w", buffering=1)  # noqa: SIM115
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    status = os.waitpid(in_child(command, fill), 0)[1]
    os.close(writer)
    with open(reader) as told:
        said = told.read().splitlines()
    assert os.WEXITSTATUS(status) in (1, 2)
    assert all(line.startswith("fusionkit: ") for line in said)
    assert sum("cannot be written" in line for line in said) >= 6 - len(before)
    assert results(out) == before
    assert list(out.glob(".fusionkit-*")) == []
    assert main(command) == 0
    assert before.items() <= results(out).items()
    assert len(results(out)) == 6


def test_a_file_system_that_is_full_or_only_read(folders, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        out = disk / "out"
        assert main(["run", *folders, "-o", str(out), *QUICK]) == 1
        said = capsys.readouterr().err.splitlines()
        assert any("No space left" in line for line in said)
        assert all(line.startswith("fusionkit: ") for line in said)
        done = results(out)
        assert all(whole(path) for path in out.glob("*.png"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert main(["run", *folders, "-o", str(out), *QUICK]) == 0
        assert done.items() <= results(out).items()
        assert len(results(out)) == 6
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        elsewhere = ["run", *folders, "-o", str(disk / "more"), *QUICK]
        assert "Read-only" in fails(capsys, 2, *elsewhere)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
