"""``fusionkit bench speed``: every second in one place, ratios pair by pair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fusionkit_benchmarks.speed import measure
from fusionkit_benchmarks.speed.timing import LOOP, Stopwatch, TimedPipeline
from fusionkit_diffusion.compact import CompactEstimator

import fusionkit
from fusionkit.cli import main
from fusionkit.testing.doubles import ConstantWeights, WeightedMean, WhiteGaussian
from tests.plugins.diffusion.compact.tiny import weights_file

pytestmark = pytest.mark.slow

SAMPLED = ["--recipe", str(Path(__file__).with_name("sampled.toml"))]
SMALL = ["bench", "speed", "--size", "40x24", *SAMPLED, "--repeats", "2"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """What the machine could do is not the matter here."""
    monkeypatch.setattr(measure, "convolution_rate", lambda dtype, device: 0.5)


@pytest.fixture(autouse=True)
def same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Telling(WhiteGaussian):
    """An estimator that tells its operations."""

    def flops(self, height: int, width: int) -> float:
        return 100.0 * height * width


def pipeline(estimator: WhiteGaussian) -> fusionkit.Pipeline:
    return fusionkit.compose(
        estimator=estimator, weighting=ConstantWeights(), objective=WeightedMean(),
        steps=3, device="cpu",
    )  # fmt: skip


def test_a_table_of_every_part(capsys, tmp_path):
    file = tmp_path / "speed.json"
    assert main([*SMALL, "--json", str(file)]) == 0
    out = capsys.readouterr().out
    parts = ["import", "load", "read", "estimator", "weighting", "objective", "loop"]
    for part in [*parts, "colour, write"]:
        assert f"  {part:<14}" in out
    assert "NFE 6" in out
    assert "peak memory" in out
    measured = json.loads(file.read_text())
    assert list(measured["seconds"]) == [*parts, "colour, write"]
    assert all(seconds >= 0 for seconds in measured["seconds"].values())
    assert measured["size"] == [40, 24]
    assert measured["peak_memory_bytes"] > 2**20
    in_loop = sum(measured["seconds"][part] for part in parts[3:])
    assert in_loop == pytest.approx(measured["sampling"]["median"])


def test_timing_changes_nothing():
    plain = pipeline(Telling())
    watch = Stopwatch("cpu")
    sources = torch.rand(2, 1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(TimedPipeline(plain, watch)(sources).image, plain(sources).image)
    assert set(watch.seconds) == {"estimator", "weighting", "objective", LOOP}
    assert watch.flops == 3 * 100 * 16 * 16  # three steps of the trajectory
    assert fusionkit.sampling.run.Run.noise.__name__ == "noise"  # nothing is left wrapped


def test_no_time_is_counted_twice(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    watch = Stopwatch("cpu")
    with watch.part("outer"):
        with watch.part("inner"), watch.part("innermost"):
            pass
        with watch.part("inner"):
            pass
    assert dict(watch.seconds) == {"outer": 3, "inner": 3, "innermost": 1}


def test_an_estimator_that_tells_its_operations_is_rated(capsys, tmp_path):
    plugin = tmp_path / "telling.py"
    plugin.write_text(
        "from fusionkit import Component, hookimpl\n"
        "def build(options, context):\n"
        "    from tests.benchmarks.test_bench_speed import Telling\n"
        "    return Telling()\n"
        "@hookimpl\n"
        "def fusionkit_noise_estimators():\n"
        "    return [Component('telling', 'tells', build)]\n"
    )
    arguments = [*SMALL[:6], "--estimator", "telling", "--plugin", str(plugin)]
    assert main([*arguments, "--json", str(tmp_path / "s.json")]) == 0
    assert "TFLOP/s; convolutions reach 0.500" in capsys.readouterr().out
    measured = json.loads((tmp_path / "s.json").read_text())
    expected = measured["nfe"] * 100 * 40 * 24 / 1e9
    assert measured["gflop"] == pytest.approx(expected)
    rate = measured["gflop"] / 1e3 / measured["seconds"]["estimator"]
    assert measured["tflop_per_second"] == pytest.approx(rate)


def test_two_settings_in_turn(capsys, tmp_path):
    file = tmp_path / "c.json"
    changes = ["--compare", "weighting=fixed", "--compare", "steps=4"]
    assert main([*SMALL, *changes, "--repeats", "3", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "B weighting=fixed, steps=4" in out
    assert "median" in out
    measured = json.loads(file.read_text())
    assert measured["nfe"] == [6, 4]
    ratios = sorted(b / a for a, b in measured["sampling"])
    ratio = measured["ratio"]
    assert [ratio["least"], ratio["median"], ratio["most"]] == pytest.approx(ratios)


def test_two_recipes(capsys, tmp_path):
    recipe = tmp_path / "b.toml"
    recipe.write_text(
        'estimator = "gaussian"\nweighting = "fixed"\nsteps = 3\n'
        '[objective]\nname = "mse"\nstrength = 0.1\n'
    )
    arguments = [*SMALL, "--compare", str(recipe), "--json", str(tmp_path / "c.json")]
    assert main(arguments) == 0
    assert json.loads((tmp_path / "c.json").read_text())["nfe"] == [6, 3]


def test_each_side_has_its_threads(monkeypatch):
    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    assert main([*SMALL, "--repeats", "1", "--threads", "2", "--compare", "threads=1"]) == 0
    assert used == [2, 2, 1, 2, 1]  # at once; then one not counted of each, and one counted


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--size", "40"], "--size 40: expected WIDTHxHEIGHT"),
        (["--sources", "1"], "a whole number from 2"),
        (["--compare", "size=9x9"], "size is the same for both"),
        (["--compare", "step=4"], "'--step=4'"),
        (["--compare", "missing.toml"], "missing.toml does not exist"),
        (["--threads", "0"], "a number from 1 to 1024"),
    ],
)
def test_refusals(arguments, complaint, capsys):
    assert main([*SMALL, *arguments]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["bench", "--help"], ["bench", "speed", "--help"]])
def test_help_imports_no_torch(arguments):
    code = (
        "import sys\nfrom fusionkit.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as ended: assert not ended.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fusionkit bench speed" in done.stdout


def test_run_takes_threads_and_records_them(pair, tmp_path):
    out = tmp_path / "fused.png"
    flags = ["--estimator", "gaussian", "--threads", "1"]
    assert main(["run", *pair, "-o", str(out), *flags]) == 0
    record = json.loads((tmp_path / "fused.png.json").read_text())
    assert record["environment"]["threads"] == 1
    assert "threads" not in record["recipe"]


def test_the_compact_prior_tells_its_operations(tmp_path):
    estimator = CompactEstimator(weights_file(tmp_path))
    side = estimator.multiple_of
    assert estimator.flops(2 * side, 3 * side) == 6 * estimator.flops(side, side) > 0


# How the cost grows, and what the framework adds


TINY = ["bench", "speed", *SAMPLED, "--repeats", "2"]


def test_scaling_goes_along_three_axes(capsys, tmp_path):
    file = tmp_path / "s.json"
    assert main([*TINY, "--scaling", "--size", "12x8", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "| pixels | 96 x 64 | 6 |" in out
    assert "| sources, the weighting alone | 6 sources | 12 |" in out
    axes = json.loads(file.read_text())["axes"]
    assert [point["amount"] for point in axes["pixels"]] == [96, 384, 1536, 6144]
    assert [point["amount"] for point in axes["steps"]] == [3, 6, 12, 24]  # NFE
    assert [point["amount"] for point in axes["sources"]] == [2, 3, 4, 6]
    assert [point["nfe"] for point in axes["sources"]] == [4, 6, 8, 12]  # no trajectory
    for points in axes.values():
        assert points[0]["ratio"] == {"median": 1, "least": 1, "most": 1}
        assert all(len(point["seconds"]) == 2 for point in points)


def test_scaling_where_nothing_is_evaluated(capsys):
    assert main([*TINY, "--scaling", "--size", "8x8", "--weighting", "fixed"]) == 0
    assert "| sources, the weighting alone | 6 sources | 0 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "recipe",
    [
        [],
        ["--weighting", "fixed", "--objective", "mse", "--objective.strength", "0.1",
         "--start-sigma", "157"],
        ["--objective", "increments", "--objective.strength", "0.1", "--weighting", "dig-residual"],
        ["--weighting.stride", "3", "--steps", "5"],
    ],
)  # fmt: skip
def test_a_loop_by_hand_gives_what_the_framework_gives(recipe, capsys, tmp_path):
    file = tmp_path / "o.json"
    assert main([*TINY, "--overhead", "--size", "24x16", "--json", str(file), *recipe]) == 0
    out = capsys.readouterr().out
    assert "framework / hand, pair by pair: median" in out
    measured = json.loads(file.read_text())
    assert measured["difference"] < 1e-5
    assert len(measured["seconds"]) == 2
    assert measured["ratio"]["least"] <= measured["ratio"]["median"] <= measured["ratio"]["most"]


def test_what_a_loop_by_hand_cannot_do_is_one_line(capsys, tmp_path):
    compact = ["--overhead", "--estimator.checkpoint", str(weights_file(tmp_path))]
    cases = {
        ("--overhead", "--size", "8x8", "--objective.strength", "0"): "nothing to sample",
        ("--overhead", "--scaling"): "one measurement each",
        ("--overhead", "--size", "200x200", "--tile", "128"): "images go in tiles",
    }
    for flags, message in cases.items():
        assert main([*TINY, *flags]) == 2
        assert message in capsys.readouterr().err
    assert main(["bench", "speed", *compact, "--size", "21x16"]) == 2
    assert "does not pad: multiples of" in capsys.readouterr().err
