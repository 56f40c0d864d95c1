"""``fusionkit bench quality``: recipes that fit, what their parts buy, and processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fusionkit_benchmarks.quality.parts import variants
from fusionkit_benchmarks.quality.recipes import Recipe

import fusionkit
from fusionkit.evaluation.cost import nearest_steps, nfe_of
from fusionkit.evaluation.statistics import Difference
from fusionkit.evaluation.variants import resolve
from fusionkit.host.pool import Pool
from fusionkit.recipes.finding import task_recipe
from fusionkit.recipes.layers import merge

from .benches import bench, mean, missing_tools

pytestmark = pytest.mark.slow

GUIDED = """\
steps = {steps}
start-sigma = 0.34
[estimator]
name = "gaussian"
[weighting]
name = "dig"
dynamic = true
resolution = 1
stride = 1
[objective]
name = "gradients"
strength = 0.02
"""


@pytest.fixture
def guided(tmp_path: Path) -> Path:
    """A recipe that has all parts, and costs little."""
    path = tmp_path / "guided.toml"
    path.write_text(GUIDED.format(steps=2))
    return path


def test_every_table_has_the_recipes_that_are_for_it(photos, data, tmp_path, monkeypatch):
    missing_tools(monkeypatch)
    light = {**task_recipe("general"), "estimator": "gaussian"}
    recipe_of = "fusionkit_benchmarks.quality.tables.task_recipe"
    monkeypatch.setattr(recipe_of, lambda name: light)
    wanted = ["--data", data, "--photos", photos, "--only", "truth,noise,published", "--limit", "1"]
    wanted += ["--counts", "2", "--sigma", "10", "--noise", "gaussian", "--noise-in", "all"]
    code, tables = bench(tmp_path / "out", *wanted)
    assert code == 0
    focus, exposure = "multi-focus", "multi-exposure"
    suits = {"focus": focus, "exposure": exposure, "lighting": exposure, "three": focus}
    suits |= {"tno": "infrared-visible", "pet-mri": "medical", "pet-mri, foreground": "medical"}
    for title, table in tables.items():
        subject = title.removeprefix("Truth, ").removeprefix("Noise, ").split(":")[0]
        rows = list(table["methods"])
        assert rows[:3] == ["general", suits[subject], "mean"], title
    content = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert list(content["settings"]["recipes"]) == ["general", *dict.fromkeys(suits.values())]


def test_recipes_that_are_named_are_in_all_tables(photos, recipe, tmp_path, monkeypatch):
    missing_tools(monkeypatch)
    wanted = ["--only", "truth", "--counts", "2", "--families", "focus,lighting", "--limit", "1"]
    light = {**task_recipe("general"), "estimator": "gaussian"}
    monkeypatch.setattr("fusionkit_benchmarks.quality.tables.task_recipe", lambda name: light)
    wanted += ["--photos", photos, "--recipe", recipe]
    _, tables = bench(tmp_path / "one", *wanted)
    assert all(list(table["methods"])[:2] == ["quick", "mean"] for table in tables.values())
    _, tables = bench(tmp_path / "two", *wanted, "--task", "fitting")
    assert [list(table["methods"])[:3] for table in tables.values()] == [
        ["general", "multi-focus", "quick"],
        ["general", "multi-exposure", "quick"],
    ]


def test_parts(photos, guided, tmp_path, monkeypatch):
    missing_tools(monkeypatch)
    wanted = ["--only", "truth", "--counts", "2,3", "--families", "focus", "--photos", photos]
    code, tables = bench(tmp_path / "out", *wanted, "--recipe", guided, "--parts")
    assert code == 0
    plain, parts = tables.values()
    assert "guided, fixed" not in plain["methods"]  # or the ranks of published sets would change
    assert parts["parts_of"] == "guided"
    # The gaussian prior is the recipe's own.
    rows = [f"guided, {name}" for name in ("fixed", "saliency", "learned", "target only")]
    assert list(parts["methods"]) == ["guided", *rows, "guided, no prior"]
    nfe = {
        method: [cost["nfe"] for cost in found["cost"].values()]
        for method, found in parts["methods"].items()
    }
    assert nfe["guided"] == [6, 8]  # two steps: K (2 - 1 + 1) for the gains, and 2
    assert nfe["guided, fixed"] == nfe["guided, saliency"] == nfe["guided, learned"] == [6, 8]
    assert nfe["guided, target only"] == [4, 6]
    assert nfe["guided, no prior"] == [0, 0]
    assert mean(parts, "guided", "psnr K=2") == mean(plain, "guided", "psnr K=2")
    assert mean(parts, "guided, fixed", "psnr K=2") < mean(parts, "guided", "psnr K=2") - 1
    # A row says what the recipe has more.
    shown = (tmp_path / "out" / "quality.md").read_text()
    assert "| guided minus | NFE | psnr K=2 |" in shown
    row = next(line for line in shown.splitlines() if line.startswith("| guided, fixed | 6 / 8 |"))
    more = mean(parts, "guided", "psnr K=2") - mean(parts, "guided, fixed", "psnr K=2")
    assert f"{more:+.3f} [" in row
    assert parts["differences"]["baseline"] == "guided"


def test_the_parts_have_the_options_that_they_share_with_the_recipe():
    layer = {**task_recipe("multi-exposure"), "estimator": "gaussian"}
    recipe = Recipe("multi-exposure", layer, fusionkit.load_plugins(), {})
    by_name = {variant.name: variant for variant in variants(recipe)}
    saliency = by_name["multi-exposure, saliency"].of_count(2).recipe["weighting"]
    assert (saliency["window"], saliency["consistency"]) == (9, 21)
    classical = by_name["multi-exposure, no prior"].recipe["weighting"]
    assert (classical["window"], classical["consistency"]) == (9, 21)


def test_parts_of_published_sets_have_ranks_of_their_own(data, guided, tmp_path, monkeypatch):
    missing_tools(monkeypatch)
    wanted = ["--only", "published", "--data", data, "--sets", "pet-mri", "--recipe", guided]
    _, tables = bench(tmp_path / "out", *wanted, "--parts")
    whole, inner = "pet-mri", "pet-mri, foreground"
    of = ": the parts of guided"
    assert list(tables) == [whole, whole + of, inner, inner + of]
    for table in tables.values():
        ranks = [found["rank5"] for found in table["methods"].values()]
        assert np.mean(ranks) == pytest.approx((len(ranks) + 1) / 2)
    assert "ground" in tables[inner + of]["methods"]["guided, no prior"]["mean"]


@pytest.mark.parametrize(("count", "steps"), [(2, 1), (2, 3), (4, 2)])
def test_the_nearest_nfe_is_found(count, steps):
    registry = fusionkit.load_plugins()
    light = {"estimator": "gaussian", "steps": steps}
    recipe = resolve(merge(task_recipe("general"), light, registry=registry), registry)
    wanted = nfe_of(recipe, count, registry)
    for weighting in ({"name": "fixed"}, {"name": "dig", "stride": 2}):
        changed = resolve(merge(recipe, {"weighting": weighting}, registry=registry), registry)
        found = nearest_steps(changed, wanted, count, registry)
        costs = [
            abs(nfe_of({**changed, "steps": number}, count, registry) - wanted)
            for number in range(1, 20)
        ]
        assert costs[found - 1] == min(costs)
    change = {"weighting": "fixed", "objective": {"strength": 0.0}}
    fixed = resolve(merge(recipe, change, registry=registry), registry)
    assert nearest_steps(fixed, wanted, count, registry) == steps  # it costs nothing, ever


def test_a_difference_can_be_turned():
    assert -Difference(1.0, -0.5, 2.0, 7) == Difference(-1.0, -2.0, 0.5, 7)


# Processes


def without_times(table: dict) -> dict:
    """Return a table without how long it took."""
    for found in table["methods"].values():
        for cost in found["cost"].values():
            del cost["seconds"]
    return table


def test_processes_find_the_same(photos, recipe, tmp_path, monkeypatch):
    missing_tools(monkeypatch)
    wanted = ["--only", "truth", "--counts", "2,3", "--photos", photos, "--recipe", recipe]
    wanted += ["--families", "focus", "--seeds", "0,1", "--cascades"]
    # Another process does not know what is missing here.
    monkeypatch.setattr("fusionkit_benchmarks.quality.tables.TOOLS", ())
    found = {}
    for jobs in ("1", "2"):
        monkeypatch.setenv("PATH", str(tmp_path))  # nor finds enfuse
        code, tables = bench(tmp_path / jobs, *wanted, "--jobs", jobs)
        assert code == 0
        found[jobs] = {title: without_times(table) for title, table in tables.items()}
    assert found["1"] == found["2"]
    images = [
        {path.relative_to(folder): path.read_bytes() for path in folder.glob("images/**/*.png")}
        for folder in (tmp_path / "1", tmp_path / "2")
    ]
    assert images[0] == images[1]
    # What processes have done is done.
    kept = [path.stat().st_mtime_ns for path in sorted((tmp_path / "2" / "results").iterdir())]
    bench(tmp_path / "2", *wanted)
    assert kept == [p.stat().st_mtime_ns for p in sorted((tmp_path / "2" / "results").iterdir())]


SLOW = """\
import os, time
from pathlib import Path

from fusionkit import Component, hookimpl


class Slow:
    uses_trajectory = False

    def start(self, run):
        K = len(run.sources)
        if K == 3 and os.environ.get("SLOW"):
            Path(os.environ["SLOW"], str(os.getpid())).touch()
            time.sleep(600)
        weights = run.sources.new_ones(K, *run.sources[0, :, :1].shape) / K
        return lambda step: weights


@hookimpl
def fusionkit_weightings():
    return [Component("slow", "sleeps over three", lambda options, context: Slow())]
"""


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal there")
def test_an_interrupt_ends_cleanly_and_is_taken_up(photos, recipe, tmp_path, monkeypatch):
    plugin = tmp_path / "slow_weighting.py"
    plugin.write_text(SLOW)
    mine = tmp_path / "mine.toml"
    mine.write_text(Path(recipe).read_text().replace('"fixed"', '"slow"'))
    busy = tmp_path / "busy"
    busy.mkdir()
    wanted = ["--only", "truth", "--counts", "2,3", "--families", "focus", "--photos", photos]
    wanted += ["--recipe", mine, "--plugin", plugin]
    program = (  # a shell's background job, as some CI runs tests, would ignore the signal
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from fusionkit.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    begun = subprocess.Popen(
        [sys.executable, "-c", program, "bench", "quality", "-o", tmp_path / "out", *wanted,
         "--jobs", "2"],
        env={**os.environ, "SLOW": str(busy)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal sends Ctrl-C to all of a group
    )  # fmt: skip
    while len(list(busy.iterdir())) < 2 and begun.poll() is None:
        time.sleep(0.05)
    os.killpg(begun.pid, signal.SIGINT)
    said = begun.communicate(timeout=60)[1]
    assert (begun.returncode, said) == (130, "fusionkit: error: interrupted\n")
    for process in busy.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(process.name), 0)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "results").glob("*.json")}
    assert kept  # of two sources
    missing_tools(monkeypatch)
    code, tables = bench(tmp_path / "out", *wanted)
    assert code == 0
    assert mean(tables["Truth, focus"], "mine", "psnr K=3") > 10
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


def test_a_process_that_is_killed_is_no_bug_of_ours(capfd):
    with (
        pytest.raises(fusionkit.FusionkitError, match="ended from outside"),
        Pool(1, time.sleep, (0,)) as pool,
    ):
        list(pool.run(os._exit, [(3,)]))  # which loads no module of tests


ORPHANS = """
import sys, time
from pathlib import Path
from fusionkit.host.pool import Pool

def wait(folder):
    import os
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    with Pool(2, time.sleep, (0,)) as pool:
        list(pool.run(wait, [(sys.argv[1],)] * 2))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_processes_do_not_outlive_the_one_that_started_them(tmp_path):
    program, busy = tmp_path / "orphans.py", tmp_path / "busy"
    program.write_text(ORPHANS)
    busy.mkdir()
    begun = subprocess.Popen([sys.executable, program, busy])
    while len(list(busy.iterdir())) < 2 and begun.poll() is None:
        time.sleep(0.05)
    begun.kill()
    begun.wait(timeout=60)
    workers = [int(process.name) for process in busy.iterdir()]
    assert len(workers) == 2
    deadline = time.monotonic() + 30
    while workers and time.monotonic() < deadline:
        time.sleep(0.05)
        workers = [pid for pid in workers if _is_there(pid)]
    assert workers == []


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended stays in the table until somebody asks how.
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
