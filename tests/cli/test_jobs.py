"""``fusionkit run`` in several processes: same bytes, and what becomes of those that are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusionkit.cli import main
from fusionkit.host.pool import cores
from tests.cli.test_run import fails
from tests.cli.test_scenes import whole

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="processes are killed by signals"),
    pytest.mark.skipif(cores() < 2, reason="two processes take two cores"),
]
QUICK = ["--estimator", "gaussian", "--quiet"]
# Weights that cannot be built.
BROKEN = """
from fusionkit import Component, hookimpl

def build(options, context):
    raise RuntimeError("boom")

@hookimpl
def fusionkit_weightings():
    return [Component("broken", "broken", build)]
"""
# Waits where a file named as the scene's width lies, and tells who it is.
SLOW = """
import os, time
from pathlib import Path
from fusionkit import Component, hookimpl

class Slow:
    def start(self, run):
        folder = Path(os.environ["SLOW"])
        if run.sources.shape[-1] == 52:
            (folder / f"{os.getpid()}.pid").touch()
            while not (folder / "go").exists():
                time.sleep(0.02)
        return lambda step: step.run.sources[:, :, :1] * 0 + 0.5

@hookimpl
def fusionkit_weightings():
    return [Component("slow", "slow", lambda options, context: Slow())]
"""


def command(*arguments: object) -> list[str]:
    program = (  # a job of a shell's background would ignore the one, nohup the other
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "from fusionkit.cli import main; sys.exit(main())"
    )
    return [sys.executable, "-c", program, "run", *map(str, arguments), *QUICK]


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob(".fusionkit-*"))


@pytest.fixture
def folders(pair, tmp_path) -> tuple[Path, Path]:
    """Five scenes, of which the third is another size, so that a plugin knows it."""
    from PIL import Image

    for name, source in zip(("ir", "vi"), pair, strict=True):
        (tmp_path / name).mkdir()
        for n in range(5):
            with Image.open(source) as image:
                width = 52 if n == 2 else 50
                image.crop((0, 0, width, 40 - n)).save(tmp_path / name / f"{n}.png")
    return tmp_path / "ir", tmp_path / "vi"


@pytest.fixture
def slow(tmp_path, monkeypatch) -> tuple[Path, list[str]]:
    """A folder where a plugin says who waits in it, and the flags for the plugin."""
    plugin, waiting = tmp_path / "slow.py", tmp_path / "waiting"
    plugin.write_text(SLOW)
    waiting.mkdir()
    monkeypatch.setenv("SLOW", str(waiting))
    return waiting, ["--plugin", str(plugin), "--weighting", "slow"]


def pid_in(waiting: Path, begun: subprocess.Popen[str], count: int = 1) -> list[int]:
    """Wait until processes wait, and return their ids."""
    while len(found := list(waiting.glob("*.pid"))) < count:
        assert begun.poll() is None, begun.communicate()
        time.sleep(0.02)
    return [int(path.stem) for path in found]


def there(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_any_number_of_processes_makes_the_same_bytes(folders, tmp_path, capsys):
    outs = [tmp_path / f"out-{jobs}" for jobs in (0, 1, 2)]
    for jobs, out in enumerate(outs):
        flags = ["--jobs", str(jobs)] if jobs else []
        assert main(["run", *map(str, folders), "-o", str(out), *flags, *QUICK[:2]]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sorted(line.partition(":")[0] for line in lines) == [
            str(out / f"{n}.png") for n in range(5)
        ]
        assert results(out) == results(outs[0])
        assert len(results(out)) == 5
        assert all(whole(path) for path in out.glob("*.png"))
    records = [json.loads((out / "2.png.json").read_text()) for out in outs]
    for record in records:
        del record["run"]["seconds"], record["environment"]["threads"]
    assert records[1] == records[2] == records[0]


def test_a_process_that_is_killed_fails_its_scene_alone(folders, slow, tmp_path, capsys):
    (waiting, flags), out = slow, tmp_path / "out"
    begun = subprocess.Popen(
        command(*folders, "-o", out, "--jobs", 2, *flags), stderr=subprocess.PIPE, text=True
    )
    (pid,) = pid_in(waiting, begun)
    os.kill(pid, signal.SIGKILL)
    said = begun.communicate(timeout=120)[1].splitlines()
    assert begun.returncode == 1
    assert said == [
        "fusionkit: error: 2: its worker process was ended from outside, perhaps for want of "
        "memory",
        f"fusionkit: 4 of 5 fused, 1 failed: {out / 'failed.csv'}",
    ]
    assert sorted(results(out)) == ["0.png", "1.png", "3.png", "4.png"]
    assert left_over(out) == []
    (waiting / "go").touch()
    assert main(["run", *map(str, folders), "-o", str(out), *flags, *QUICK]) == 0
    assert capsys.readouterr().err == ""
    assert len(results(out)) == 5
    assert not (out / "failed.csv").exists()


@pytest.mark.parametrize(("name", "jobs"), [("SIGINT", 2), ("SIGTERM", None), ("SIGHUP", 2)])
def test_a_signal_ends_a_run_cleanly(folders, slow, tmp_path, name, jobs):
    (waiting, flags), out = slow, tmp_path / "out"
    more = [] if jobs is None else ["--jobs", jobs]
    begun = subprocess.Popen(
        command(*folders, "-o", out, *more, *flags),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = pid_in(waiting, begun)
    number = signal.Signals[name]
    os.kill(begun.pid, number)
    said = begun.communicate(timeout=120)[1]
    word = "interrupted" if name == "SIGINT" else f"ended by {name}"
    assert (begun.returncode, said) == (128 + number, f"fusionkit: error: {word}\n")
    assert not any(map(there, pids))
    assert left_over(out) == []
    done = results(out)
    assert all(whole(out / each) for each in done)
    (waiting / "go").touch()
    assert main(["run", *map(str, folders), "-o", str(out), *flags, *QUICK]) == 0
    assert len(results(out)) == 5
    assert done.items() <= results(out).items()


def test_events_as_json_count_what_is_done(folders, tmp_path, capsys):
    (folders[0] / "3.png").write_bytes(b"no image")
    arguments = ["run", *map(str, folders), "-o", str(tmp_path / "out"), *QUICK[:2]]
    assert main([*arguments, "--progress", "json", "--jobs", "2"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["event"] for each in told] == ["begin", *["item"] * 5, "end"]
    items = {each["id"]: each for each in told[1:-1]}
    assert items["3"]["state"] == "failed"
    assert "3.png" in items["3"]["why"]
    assert items["2"]["output"] == str(tmp_path / "out" / "2.png")
    assert items["2"]["pixels"] == 52 * 38
    assert [told[-1][key] for key in ("items", "done", "skipped", "failed")] == [5, 4, 0, 1]
    assert told[-1]["megapixels_per_second"] > 0
    assert told[0]["eta_seconds"] is None
    etas = [each["eta_seconds"] for each in told[1:-1]]
    assert all(eta > 0 for eta in etas[:-1])
    assert etas[-1] == 0
    shutil.copy(folders[1] / "3.png", folders[0])
    assert main([*arguments, "--progress", "json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [told[-1][key] for key in ("items", "done", "skipped", "failed")] == [5, 1, 4, 0]


def test_more_processes_than_cores_are_refused(folders, tmp_path, capsys):
    many = str(cores() + 1)
    arguments = ["run", *map(str, folders), "-o", str(tmp_path / "out")]
    assert f"of {cores()}" in fails(capsys, 2, *arguments, "--jobs", many)
    assert "--threads" in fails(capsys, 2, *arguments, "--jobs", "2", "--threads", str(cores()))
    assert "from 1" in fails(capsys, 2, *arguments, "--jobs", "0")
    assert "add --ray" in fails(capsys, 2, *arguments, "--ray-gpus", "1")


def test_what_is_wrong_with_all_is_said_once(folders, tmp_path, capsys):
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN)
    flags = ["--plugin", str(plugin), "--weighting", "broken", "--jobs", "2"]
    arguments = ["run", *map(str, folders), "-o", str(tmp_path / "out"), *flags]
    assert "boom" in fails(capsys, 1, *arguments)


def test_two_runs_into_one_folder_are_both_right(folders, slow, tmp_path):
    (waiting, flags), out = slow, tmp_path / "out"
    runs = [
        subprocess.Popen(command(*folders, "-o", out, *flags), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    pid_in(waiting, runs[0], 2)  # both are about to make the third
    (waiting / "go").touch()
    for each in runs:
        assert (each.communicate(timeout=120)[1], each.returncode) == ("", 0)
    assert len(results(out)) == 5
    assert all(whole(path) for path in out.glob("*.png"))
    assert left_over(out) == []
