"""What a study believes of its folder: nothing stale, nothing damaged, nobody else's.

``FUSIONKIT_DAMAGES=500 python -m pytest tests/evaluation/test_resuming.py`` damages more.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionkit import UsageError
from fusionkit.cli import main
from fusionkit.evaluation.folder import Known, held, read_results, read_study, sealed, valid_lines
from fusionkit.evaluation.origins import Origins
from fusionkit.evaluation.report import write_report
from fusionkit.host.plugins import load_plugins

pytestmark = pytest.mark.slow

DAMAGES = int(os.environ.get("FUSIONKIT_DAMAGES", "60"))
QUICK = ["--estimator", "gaussian", "--objective", "increments", "--steps", "2", "--quiet"]
PLUGIN = """
import torch
from dataclasses import dataclass
from fusionkit import Component, hookimpl, option

@dataclass(frozen=True)
class Options:
    table: str = option("", "A file with the weight of the first source.")

class Weighs:
    uses_trajectory = False

    def __init__(self, share):
        self.share = share

    def start(self, run):
        first = torch.full_like(run.sources[:1, :, :1], self.share)
        return lambda step: torch.cat([first, 1 - first])

@hookimpl
def fusionkit_weightings():
    def build(options, context):
        return Weighs(float(open(options.table).read()) if options.table else SHARE)
    return [Component("shares", "fixed shares", build, Options)]

class Mean:
    higher_is_better, convention, sources = True, "the mean", "any"

    def __call__(self, fused, sources):
        return fused.mean((1, 2, 3)) * SCALE

@hookimpl
def fusionkit_metrics():
    return [Component("brightness", "the mean", lambda options, context: Mean())]
"""


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two scenes by role: dark first sources, bright second ones."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for scene in ("1", "2"):
        for role, level in (("a", 40), ("b", 160)):
            image = generator.integers(level, level + 40, (20, 24), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"{scene}_{role}.png")
    return folder


class Bench:
    """A study by a plugin of ours, and what its cells come to."""

    def __init__(self, tmp_path: Path, scenes: Path) -> None:
        self.plugin, self.folder = tmp_path / "ours.py", tmp_path / "study"
        self.scenes = scenes
        self.write()

    def write(self, share: float = 0.25, scale: float = 1.0) -> None:
        self.plugin.write_text(f"SHARE, SCALE = {share}, {scale}\n{PLUGIN}")

    def run(self, *words: str) -> int:
        """Run it; return how many cells were run."""
        results = self.folder / "results.jsonl"
        before = len(results.read_bytes().splitlines()) if results.exists() else 0
        arguments = ["ablate", str(self.scenes), "-o", str(self.folder), *QUICK, *words]
        arguments += ["--plugin", str(self.plugin), "--weighting", "shares", "--metric"]
        assert main([*arguments, "brightness", "--baseline", "none"]) == 0
        return len(results.read_bytes().splitlines()) - before

    def values(self) -> list[float]:
        """The values that count."""
        lines = valid_lines(read_study(self.folder), read_results(self.folder))
        assert len(lines) == 2
        return [line["values"]["brightness"] for line in lines.values()]


@pytest.fixture
def bench(tmp_path: Path, scenes: Path) -> Bench:
    return Bench(tmp_path, scenes)


def test_another_reader_of_the_sources_is_another_source(bench, scenes, tmp_path):
    for path in scenes.glob("*.png"):
        path.with_suffix(".grey").write_bytes(np.asarray(Image.open(path)).tobytes())
        path.unlink()
    reader = tmp_path / "grey.py"
    code = """
import numpy as np
from fusionkit import Reader, hookimpl

def read(data, name):
    return np.frombuffer(data, np.uint8).reshape(20, 24) // {}

@hookimpl
def fusionkit_readers():
    return [Reader("grey", "bytes in rows", (".grey",), read)]
"""
    reader.write_text(code.format(1))
    flags = ["--plugin", str(reader)]
    assert bench.run(*flags) == 2
    bright = bench.values()
    assert bench.run(*flags) == 0
    reader.write_text(code.format(2))
    assert bench.run(*flags) == 2
    assert all(dark < 0.6 * before for dark, before in zip(bench.values(), bright, strict=True))


def test_nothing_is_run_twice(bench):
    assert bench.run() == 2
    assert bench.run() == 0


def test_a_plugin_that_has_changed_is_run_again(bench, capsys):
    bench.run()
    before = bench.values()
    bench.write(share=0.75)
    capsys.readouterr()
    assert bench.run() == 2
    assert (
        "2 results left out: of rows no longer in the study, or made of" in capsys.readouterr().out
    )
    assert all(now < then - 20 for now, then in zip(bench.values(), before, strict=True))
    bench.write()  # and back: what was made by it then counts again
    assert bench.run() == 0
    assert bench.values() == before


def test_a_metric_that_has_changed_measures_again(bench):
    bench.run()
    before = bench.values()
    bench.write(scale=2.0)
    assert bench.run() == 2
    assert bench.values() == pytest.approx([2 * value for value in before])


def test_a_source_that_has_changed_is_fused_again(bench):
    bench.run()
    Image.new("L", (24, 20), 250).save(bench.scenes / "2_b.png")
    assert bench.run() == 1


def test_a_file_of_an_option_that_has_changed_is_read_again(bench, tmp_path):
    table = tmp_path / "share.txt"
    table.write_text("0.5")
    option = f"--weighting.table={table}"
    bench.run(option)
    before = bench.values()
    assert bench.run(option) == 0
    table.write_text("0.9")
    assert bench.run(option) == 2
    assert bench.values() != before


def test_large_files_are_read_again_only_if_they_have_changed(tmp_path, monkeypatch):
    monkeypatch.setattr("fusionkit.evaluation.origins.LARGE", 4)
    file = tmp_path / "weights.bin"
    file.write_bytes(b"many weights")
    known: dict[str, list] = {}
    registry = load_plugins(entry_points=[])
    first = Origins(registry, known).of_file(file)
    assert known[str(file)][2] == first
    known[str(file)][2] = "as it was"
    assert Origins(registry, known).of_file(file) == "as it was"
    os.utime(file, ns=(0, 0))
    assert Origins(registry, known).of_file(file) == first
    file.write_bytes(b"other weights")
    assert Origins(registry, known).of_file(file) != first
    folder = Origins(registry).of_file(tmp_path)
    (tmp_path / "more.bin").write_bytes(b"")
    assert Origins(registry).of_file(tmp_path) != folder


def test_an_image_that_is_gone_is_made_again(bench):
    bench.run()
    images = sorted(bench.folder.glob("images/*/*.png"))
    images[0].unlink()
    images[1].write_bytes(b"")
    assert bench.run() == 2
    assert all(Image.open(image).size == (24, 20) for image in images)


def test_a_line_that_is_damaged_does_not_count(bench, capsys):
    bench.run()
    results = bench.folder / "results.jsonl"
    text = results.read_text()
    results.write_text(text.replace('"brightness": 1', '"brightness": 9', 1))
    assert bench.run() == 1
    assert "1 line of results.jsonl left out: damaged" in capsys.readouterr().out
    assert max(bench.values()) < 200


def test_a_resumed_study_imports_no_torch(bench):
    bench.run()
    code = (
        "import sys; from fusionkit.cli import main\n"
        f"assert main({['ablate', str(bench.scenes), '-o', str(bench.folder), *QUICK]!r}"
        f" + ['--plugin', {str(bench.plugin)!r}, '--weighting', 'shares', '--metric',"
        " 'brightness', '--baseline', 'none']) == 0\n"
        "print('torch' in sys.modules)"
    )
    # The plugin of this test imports torch itself: others do so when they are built.
    later = "def start(self, run):\n        import torch"
    text = bench.plugin.read_text().replace("\nimport torch\n", "\n")
    bench.plugin.write_text(text.replace("def start(self, run):", later))
    bench.run()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_folder_is_held_by_one_process_and_by_no_dead_one(tmp_path):
    folder = tmp_path / "study"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from fusionkit.evaluation.folder import held\n"
        f"with held(Path({str(folder)!r})):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match="another study is running in it"), held(folder):
        pass
    other.kill()
    other.wait()
    with held(folder):
        pass


def test_what_a_killed_process_was_writing_is_removed(bench):
    bench.run()
    images, weights = next(bench.folder.glob("images/*")), next(bench.folder.glob("weights/*"))
    left = [
        place / f".fusionkit-{number:016x}.part"
        for number, place in enumerate([bench.folder, bench.folder / "cells", images, weights])
    ]
    for part in left:
        part.write_bytes(b"half")
    assert bench.run() == 0
    assert list(bench.folder.rglob("*.part")) == []


def test_two_studies_at_once_do_no_work_twice(bench):
    arguments = ["ablate", str(bench.scenes), "-o", str(bench.folder), *QUICK]
    arguments += ["--plugin", str(bench.plugin), "--weighting", "shares,fixed"]
    command = [sys.executable, "-m", "fusionkit", *arguments, "--metric", "en"]

    def start() -> subprocess.Popen:
        pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        return subprocess.Popen(command, text=True, **pipes)

    both = [start()]
    while both[0].poll() is None and not (bench.folder / "study.json").exists():
        time.sleep(0.01)
    both.append(
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    )
    said = [process.communicate()[1] for process in both]
    assert both[0].returncode == 0, said[0]
    assert both[1].returncode in (0, 2)  # it came when all was done, or was sent away
    assert both[1].returncode == 0 or "another study is running" in said[1]
    lines = (bench.folder / "results.jsonl").read_bytes().splitlines()
    assert len(lines) == len(read_results(bench.folder).lines)


def test_damage_to_a_folder_is_said_in_a_line_or_mended(bench, tmp_path, capsys):
    """Whatever happens to its files, a study goes on, or says in one line what is wrong."""
    bench.run()
    whole = tmp_path / "whole"
    shutil.copytree(bench.folder, whole)
    values = bench.values()
    chance = random.Random(0)
    for turn in range(DAMAGES):
        shutil.rmtree(bench.folder)
        shutil.copytree(whole, bench.folder)
        damaged = _damage(bench.folder, chance)
        capsys.readouterr()
        arguments = ["ablate", str(bench.scenes), "-o", str(bench.folder), *QUICK]
        arguments += ["--plugin", str(bench.plugin), "--weighting", "shares"]
        code = main([*arguments, "--metric", "brightness", "--baseline", "none"])
        said = capsys.readouterr().err.strip()
        what = f"turn {turn}: {damaged}: {said}"
        assert code in (0, 1, 2), what
        if code == 0:
            assert bench.values() == values, what
        else:
            assert all(line.startswith("fusionkit: error: ") for line in said.splitlines()), what
        refused = ""
        try:
            write_report(bench.folder, registry=load_plugins(inline=[str(bench.plugin)]))
        except UsageError as error:
            refused = str(error)
        assert "\n" not in refused, what


def _damage(folder: Path, chance: random.Random) -> str:
    """Do something to a file of a study that is likely to hurt; say what."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    likely = [file for file in files if file.name in ("study.json", "results.jsonl")]
    file = chance.choice(files if chance.random() < 0.5 else likely)
    content = bytearray(file.read_bytes())
    kind = chance.choice(("flip", "cut", "empty", "folder", "swap", "words", "other type"))
    if kind == "flip":
        for _ in range(chance.choice((1, 1, 5))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del content[chance.randrange(len(content)) :]
    elif kind == "swap":
        other = chance.choice(files)
        mine, its = file.read_bytes(), other.read_bytes()
        file.write_bytes(its)
        other.write_bytes(mine)
        return f"{file.name} swapped with {other.name}"
    elif kind == "words":
        content = bytearray(
            chance.choice((b"null", b"[]", b'{"cells": 1}', b"[" * 5000, b"\xff\xfe"))
        )
    elif kind == "other type" and file.suffix == ".json":
        held_now = json.loads(content)
        if isinstance(held_now, dict):
            held_now[chance.choice(sorted(held_now))] = chance.choice((None, 3, [], {}, "x", [[1]]))
        content = bytearray(json.dumps(held_now).encode())
    elif kind == "folder":
        file.unlink()
        file.mkdir()
        return f"{file.name} is a folder"
    else:
        content.clear()
    file.write_bytes(content)
    return f"{kind} of {file.name}"


def test_what_is_known_may_be_lost(tmp_path):
    known = Known(files={"a": [1, 2, "x"]}, steps={"k": None, "l": 4})
    known.write(tmp_path)
    assert Known.read(tmp_path) == known
    file = tmp_path / "known.json"
    file.write_text(file.read_text().replace("4", "5"))
    assert Known.read(tmp_path) == Known()
    file.write_text("[1]")
    assert Known.read(tmp_path) == Known()


def test_a_line_is_read_as_it_was_written():
    line = {"cell": "a", "scene": "é", "values": {"x": 0.1 + 0.2, "y": float("inf")}}
    text = sealed(line)
    assert json.loads(text)["check"]
    assert text.count("\n") == 1
