"""``--ray``: the bytes and values of one process, whoever is killed.

``FUSIONKIT_KILLS=50 python -m pytest tests/cli/test_ray.py`` is the campaign.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusionkit.cli import main
from fusionkit.evaluation.folder import read_results
from tests.cli.test_jobs import BROKEN, results
from tests.cli.test_run import fails
from tests.cli.test_scenes import whole

pytest.importorskip("ray")

KILLS = int(os.environ.get("FUSIONKIT_KILLS", "2"))
QUICK = ["--estimator", "gaussian", "--quiet"]
RAY = ["--ray", "local", "--jobs", "1"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),  # a cluster at a time
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found there"),
]


def test_a_run_makes_the_same(folders, tmp_path, capsys):
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert main(["run", *folders, "-o", str(alone), *QUICK]) == 0
    (tmp_path / "ir" / "5.png").write_bytes(b"no image")
    assert main(["run", *folders, "-o", str(out), *QUICK, *RAY]) == 1
    assert "5.png" in capsys.readouterr().err
    expected = results(alone)
    del expected["5.png"]
    assert results(out) == expected
    one, other = (json.loads((f / "1.png.json").read_text()) for f in (alone, out))
    for record in (one, other):
        del record["run"]["seconds"], record["environment"]["threads"]
    assert one == other
    assert "local" in fails(capsys, 2, "run", *folders, "-o", str(out), "--ray", "nowhere")


def test_a_study_finds_the_same(folders, tmp_path):
    axes = ["--weighting", "fixed,dig", "--metric", "sd,qabf,ssim", "--baseline", "trivial", *QUICK]
    found = {}
    for name, where in (("alone", []), ("ray", RAY)):
        folder = tmp_path / name
        assert main(["ablate", *folders, "-o", str(folder), *axes, *where]) == 0
        kept = ("values", "problems", "sha256", "bytes", "nfe")
        lines = read_results(folder).lines
        found[name] = {pair: [line[key] for key in kept] for pair, line in lines.items()}
    assert len(found["ray"]) == 6 * (2 + 5)
    assert found["ray"] == found["alone"]


def test_what_is_measured_is_the_same(folders, tmp_path, capsys):
    (tmp_path / "ir" / "5.png").write_bytes(b"no image")
    command = ["evaluate", folders[0], "--sources", *folders, "--baselines", "--json", "--quiet"]
    command += ["--metric", "qabf,mi,ssim,sd", "--reference", folders[1]]
    said = []
    for where in ([], RAY):
        assert main([*command, *where]) == 1
        captured = capsys.readouterr()
        said.append((json.loads(captured.out), captured.err))
    assert said[0] == said[1]
    assert said[1][0]["methods"]["fused"]["scenes"]["2"]["qabf"] is not None


def test_what_is_wrong_with_all_is_said_once(folders, tmp_path, capsys):
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN)
    command = ["run", *folders, "-o", str(tmp_path / "out"), *QUICK, *RAY]
    said = fails(capsys, 1, *command, "--plugin", str(plugin), "--weighting", "broken")
    assert "boom" in said


def test_workers_and_drivers_that_are_killed(folders, tmp_path):
    """By turns: a worker, whose scene another one makes, and the command, which goes on."""
    alone, out, events = tmp_path / "alone", tmp_path / "out", tmp_path / "events.jsonl"
    assert main(["run", *folders, "-o", str(alone), *QUICK]) == 0
    flags = ["-o", str(out), *QUICK, *RAY, "--progress", "json"]
    program = [sys.executable, "-m", "fusionkit", "run", *folders, *flags]
    chance, lasts = random.Random(0), 0.0
    workers = drivers = 0
    while workers + drivers < KILLS:
        for path in out.glob("*"):
            path.unlink()
        with open(events, "w") as stdout:
            run = subprocess.Popen(program, stdout=stdout)
        worker, began = _worker_of(run), time.monotonic()
        if not lasts:  # the first is left alone
            assert run.wait() == 0
            lasts = time.monotonic() - began
            continue
        time.sleep(chance.uniform(0, lasts))
        if workers > drivers:
            workers_of_it = [pid for pid, words in _below(run.pid).items() if _ACTOR in words]
            drivers += run.poll() is None
            run.kill()
            run.wait()
            assert all(whole(path) for path in out.glob("*.png"))
            _gone(workers_of_it)
            assert subprocess.run(program, check=False, stdout=subprocess.DEVNULL).returncode == 0
        else:
            workers += run.poll() is None and worker is not None and _killed(worker)
            assert run.wait() == 0  # nothing is lost
            told = [json.loads(line) for line in events.read_text().splitlines()]
            assert (told[-1]["event"], told[-1]["done"]) == ("end", 6)
        assert results(out) == results(alone)
        assert sum(whole(path) for path in out.glob("*.png")) == 6
        assert list(out.glob(".fusionkit-*")) == []


_ACTOR = "ray::Actor"


def _worker_of(run: subprocess.Popen) -> int | None:
    """Wait for an actor of a command, and return its process; None if the command ends first."""
    while run.poll() is None:
        for pid, words in _below(run.pid).items():
            if words.startswith(_ACTOR):
                return pid
        time.sleep(0.05)
    return None


def _below(pid: int) -> dict[int, str]:
    """Return the processes that descend from one, with their command lines."""
    parents = {}
    words = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
            words[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it has ended
    found: dict[int, str] = {}
    new = {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new and child in words}
        found |= {child: words[child] for child in new}
    return found


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _gone(pids: list[int], seconds: float = 60) -> None:
    """Wait for processes to end by themselves: workers end with their command."""
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.1)
