"""``fusionkit bench speed --peers``: whole commands in turn, on files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fusionkit_benchmarks.peers import installed
from fusionkit_benchmarks.peers.installed import Installed, Peer, Way
from fusionkit_benchmarks.speed import child
from fusionkit_benchmarks.speed.peers import Contender, beside_peers, theirs, write_stack
from PIL import Image

from fusionkit.cli import main
from fusionkit.errors import FusionkitError, UsageError

pytestmark = pytest.mark.slow

COPIES = """\
#!{python}
import pathlib, shutil, sys
if sys.argv[1] == "--version":
    sys.exit(print("copies 2.0"))
if sys.argv[1] == "--fail":
    sys.exit("reading\\nno luck")
*sources, out = map(pathlib.Path, sys.argv[2:])
if sys.argv[1] == "--one":
    shutil.copy(sources[0], out)
for folder in sources if sys.argv[1] == "--many" else ():
    out.mkdir(exist_ok=True)
    shutil.copy(next(folder.iterdir()), out / (folder.name + ".png"))
"""
ONE = Way(
    "first source", "focus", ("--one", "{sources}", "{out}"), ("--many", "{sources}", "{out}")
)
ALONE = Way("no folders", "focus", ("--one", "{sources}", "{out}"))
FAILS = Way("fails", "focus", ("--fail",))
IDLE = Way("idle", "focus", ("--idle", "{out}"))
BRACKETS = Way("brackets", "exposure", ("--one", "{sources}", "{out}"))
PEER = Peer(
    "copies", "no-program-of-this-name", ("--version",), (ONE, ALONE, FAILS, IDLE, BRACKETS)
)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A peer that copies one of its sources."""
    path = tmp_path / "copies"
    path.write_text(COPIES.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setattr(installed, "PEERS", (PEER,))
    return str(path)


def test_the_recipe_and_peers_run_in_turn_on_the_same_files(program, tmp_path, capsys):
    file = tmp_path / "beside.json"
    arguments = ["--peers", "--peer", f"copies={program}", "--rows", "first source,no folders"]
    arguments += ["--size", "48x32,64x40", "--repeats", "1", "--scenes", "3", "--json", str(file)]
    assert main(["bench", "speed", *arguments, "--weighting", "fixed", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "fusionkit run --weighting fixed --threads 1 --task multi-focus; copies 2.0" in out
    assert "48x32, 2 sources, a scene of 3, 1 round\n" in out
    small, large, folder = json.loads(file.read_text())["cases"]
    assert [small["size"], large["size"], folder["size"]] == [[48, 32], [64, 40], [48, 32]]
    for case in (small, large):
        assert list(case["rows"]) == ["fusionkit", "first source", "no folders"]
    assert list(folder["rows"]) == ["fusionkit", "first source"]  # the other has no such command
    ours, theirs = small["rows"]["fusionkit"], small["rows"]["first source"]
    assert ours["peak"] > 2 * theirs["peak"]  # torch, and a copy of a file
    # Start-up is paid once for all scenes.
    assert max(folder["rows"]["fusionkit"]["seconds"]) < min(ours["seconds"])


def test_rounds_are_compared_one_by_one_and_each_is_in_the_other_order(program, tmp_path):
    order = tmp_path / "order"

    def contender(name: str) -> Contender:
        told = f"echo {name} >> {order}; exec {program} --one"
        begin = ["sh", "-c", f'{told} "$@"', "sh"]
        return Contender(name, lambda sources, out: [*begin, *map(str, sources), str(out)])

    (case,) = beside_peers([contender("a"), contender("b")], [(16, 16)], 2, 0, 2)["cases"]
    assert order.read_text().split() == ["a", "b", "b", "a"]
    first, other = case["rows"]["a"], case["rows"]["b"]
    for what in ("seconds", "processor"):
        ratios = sorted(a / b for a, b in zip(first[what], other[what], strict=True))
        found = other[f"ratio of {what}"]
        assert [found["least"], found["most"]] == pytest.approx(ratios)
        assert found["median"] == pytest.approx(sum(ratios) / 2)
        assert f"ratio of {what}" not in first


def test_what_a_command_takes_is_its_own(tmp_path):
    log = tmp_path / "log"
    small, large = (
        measured(log, f"print('said'); x = bytearray({size}); sys.exit(3)")
        for size in (0, 200_000_000)
    )
    assert small[0] == large[0] == 3
    assert log.read_text() == "said\n"
    assert small[1]["peak"] < 50e6
    assert large[1]["peak"] - small[1]["peak"] == pytest.approx(200e6, rel=0.05)
    assert large[1]["processor"] > 0
    assert measured(log, "import time; time.sleep(0.2)")[1]["seconds"] > 0.2


def measured(log: Path, code: str) -> tuple[int, dict[str, float]]:
    """Run code by the process that measures; return its status and what it measured."""
    line = [sys.executable, "-c", f"import sys; {code}"]
    start = [sys.executable, "-I", "-S", child.__file__, str(log), *line]
    done = subprocess.run(start, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_command_that_fails_or_makes_nothing_is_named(program):
    found = [Installed(PEER, program, "copies 2.0")]
    first, fails, idle = theirs(found, ["first source", "fails", "idle"])
    for bad, message in ((fails, "fails failed: no luck"), (idle, "idle made 0 of 1 image$")):
        with pytest.raises(FusionkitError, match=message):
            beside_peers([first, bad], [(16, 16)], 2, 0, 1)
    gone = Contender("gone", lambda sources, out: ["/no/such/program"])
    with pytest.raises(FusionkitError, match="gone failed: /no/such/program: No such file"):
        beside_peers([gone, first], [(16, 16)], 2, 0, 1)


def test_ways_for_focus_stacks_or_those_named(program):
    found = [Installed(PEER, program, "copies 2.0")]
    assert [each.name for each in theirs(found, None)] == [
        "first source",
        "no folders",
        "fails",
        "idle",
    ]
    with pytest.raises(UsageError, match="--rows brackets: there are first source, no folders"):
        theirs(found, ["brackets"])


def test_each_source_is_sharp_in_its_band(tmp_path):
    files = write_stack(tmp_path / "stack", (96, 64), 3, 0)
    images = [np.asarray(Image.open(file)).astype(float) for file in files]
    assert images[0].shape == (64, 96, 3)
    contrast = [
        [abs(np.diff(i[:, at : at + 24], axis=0)).mean() for at in (4, 36, 68)] for i in images
    ]
    assert np.argmax(contrast, axis=0).tolist() == [0, 1, 2]
    assert not np.array_equal(images[0], np.asarray(
        Image.open(write_stack(tmp_path / "other", (96, 64), 3, 1)[0])
    ))  # fmt: skip


def test_refusals(program, capsys):
    for arguments, complaint in {
        ("--scenes", "2"): "--scenes, --peer and --rows go with --peers",
        ("--peers", "--scaling"): "one measurement each",
        ("--peers", "--size", "64x48,9"): "--size 9: expected WIDTHxHEIGHT",
        ("--peers", "--peer", "copies"): "expected NAME=PATH",
        ("--size", "64x48,64x64"): "expected WIDTHxHEIGHT",
    }.items():
        assert main(["bench", "speed", *arguments]) == 2
        assert complaint in capsys.readouterr().err
