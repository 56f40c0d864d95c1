"""``fusionkit ablate``: what it runs, that it resumes, that it reports failures and goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionkit.cli import main
from fusionkit.evaluation.folder import read_results, read_study

pytestmark = pytest.mark.slow

QUICK = [
    *("--estimator", "gaussian", "--objective", "increments"),
    "--metric",
    "en,sd",
    "--quiet",
]


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A folder of three scenes by role."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for scene in ("1", "2", "3"):
        for role in ("ir", "vi"):
            image = generator.integers(0, 256, (22, 26), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"{scene}_{role}.png")
    return folder


def table(folder: Path) -> list[tuple[str, str, dict[str, float]]]:
    """Everything of the results that a second run must find again."""
    return sorted((r["cell"], r["scene"], r["values"]) for r in lines_of(folder))


def lines_of(folder: Path) -> list[dict]:
    """The results as they are written; none is damaged."""
    found = read_results(folder)
    assert found.damaged == 0
    return list(found.lines.values())


def finished(folder: Path) -> list[tuple[str, str]]:
    """The cell and scene of every line, in the order in which they were done."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [(line["cell"], line["scene"]) for line in map(json.loads, lines)]


def test_published_methods_are_an_axis(scenes, tmp_path):
    study = tmp_path / "study"
    methods = ["dig2dig", "ddfm", "ccf", "general"]
    asked = ["--recipe", ",".join(methods), "--estimator", "gaussian", "--steps", "2"]
    assert main(["ablate", str(scenes), "-o", str(study), *asked, "--metric", "sd"]) == 0
    cells = [cell for cell in read_study(study).cells if cell.role == "variant"]
    assert [cell.label.partition(",")[0] for cell in cells] == methods
    objectives = [cell.recipe["objective"]["name"] for cell in cells]
    assert objectives == [
        f"objectives:{n}" for n in ("ddfm-em", "ddfm-em", "condition-bank", "gradients")
    ]
    assert {cell.recipe["steps"] for cell in cells} == {2}


def test_every_combination_is_run_on_every_scene(scenes, tmp_path, capsys):
    study = tmp_path / "study"
    arguments = ["ablate", str(scenes), "-o", str(study), *QUICK, "--steps", "2,3"]
    arguments += ["--objective.strength", "0.1"]
    assert main([*arguments, "--weighting", "fixed,dig", "--seeds", "0,1"]) == 0
    cells = {cell.key: cell for cell in read_study(study).cells}
    labels = [cell.label for cell in cells.values() if cell.role == "variant" and cell.seed == 0]
    assert labels == [
        f"gaussian, {weighting}, increments, steps {steps}"
        for weighting in ("fixed", "dig")
        for steps in (2, 3)
    ]
    assert {cell.role for cell in cells.values()} == {"variant", "target only", "no denoiser"}
    done = set(finished(study))
    assert done == {(key, scene) for key in cells for scene in ("1", "2", "3")}
    for line in lines_of(study):
        assert (study / line["image"]).exists()
        assert line["seconds"] >= 0
        recipe = cells[line["cell"]].recipe
        if recipe:
            trajectory = 1 if recipe["objective"]["strength"] else 0
            assert line["nfe"] == recipe["steps"] * (2 + trajectory)
    for name in ("report.html", "report.md", "report.csv"):
        assert (study / name).stat().st_size > 500
    assert "gaussian, dig, increments, steps 3" in capsys.readouterr().out


def test_an_axis_that_changes_nothing_is_said_so_before_it_is_run(scenes, tmp_path, capsys):
    study = ["ablate", str(scenes), "-o", str(tmp_path / "study"), *QUICK, "--baseline", "none"]
    axes = ["--weighting", "fixed,dig", "--weighting.dynamic", "no", "--steps", "2,3"]
    axes += ["--objective", "increments,gradients", "--objective.strength", "0"]
    assert main([*study, *axes]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "changes nothing" in line]
    assert len(said) == 2  # with increments they do something
    for line, weighting in zip(said, ("fixed:fixed", "dig:dig"), strict=True):
        assert line.startswith("fusionkit: warning: --steps changes nothing in 2 of 8 rows: ")
        assert f"weighting {weighting} and objective objectives:gradients" in line
    assert main([*study, *axes]) == 0  # nothing is left to do
    assert capsys.readouterr().err == ""


def test_a_cell_is_what_run_makes_of_its_recipe(scenes, tmp_path):
    study = tmp_path / "study"
    arguments = ["ablate", str(scenes), "-o", str(study), *QUICK, "--steps", "2", "--seeds", "7"]
    assert main([*arguments, "--baseline", "none"]) == 0
    (cell,) = read_study(study).cells
    sources = [str(scenes / f"2_{role}.png") for role in ("ir", "vi")]
    recipe = str(study / "cells" / f"{cell.key}.json")
    assert main(["run", *sources, "-o", str(tmp_path / "o.png"), "--recipe", recipe]) == 0
    made = (study / "images" / cell.key / "2.png").read_bytes()
    assert (tmp_path / "o.png").read_bytes() == made


def test_the_weight_maps_of_every_step_are_kept(scenes, tmp_path):
    study = tmp_path / "study"
    arguments = ["ablate", str(scenes), "-o", str(study), *QUICK, "--steps", "3"]
    assert main([*arguments, "--baseline", "none"]) == 0
    (cell,) = read_study(study).cells
    maps = np.asarray(Image.open(study / "weights" / cell.key / "1.png")).astype(int)
    assert maps.shape == (3 * 22, 2 * 26)
    assert abs(maps[:, :26] + maps[:, 26:] - 255).max() <= 1  # the sources' weights sum to one


def test_a_second_call_adds_what_is_new_and_redoes_nothing(scenes, tmp_path):
    study = tmp_path / "study"
    arguments = ["ablate", str(scenes), "-o", str(study), *QUICK, "--baseline", "none"]
    assert main([*arguments, "--steps", "2"]) == 0
    before = (study / "results.jsonl").read_bytes()
    assert main([*arguments, "--steps", "2,3"]) == 0
    after = (study / "results.jsonl").read_bytes()
    assert after.startswith(before)
    assert len(after.splitlines()) == 6


def test_a_killed_study_resumes_and_ends_with_the_same_table(scenes, tmp_path):
    axes = ["--weighting", "fixed,dig", "--steps", "2,4", "--seeds", "0,1", *QUICK]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(["ablate", str(scenes), "-o", str(whole), *axes]) == 0
    command = [sys.executable, "-m", "fusionkit", "ablate", str(scenes), "-o", str(killed), *axes]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    results = killed / "results.jsonl"
    while process.poll() is None and not (results.exists() and results.stat().st_size > 2000):
        time.sleep(0.01)
    process.kill()
    process.wait()
    with open(results, "a") as file:
        file.write('{"cell": "cut off wh')  # the power went while a line was written
    done = read_results(killed)
    assert done.damaged == 1
    done = done.lines
    assert 0 < len(done) < len(table(whole))
    before = results.read_bytes()
    assert main(["ablate", str(scenes), "-o", str(killed), *axes]) == 0
    assert results.read_bytes().startswith(before)
    mended = read_results(killed)
    assert len(mended.lines) == len(results.read_bytes().splitlines()) - 1  # nothing was done twice
    found = sorted((r["cell"], r["scene"], r["values"]) for r in mended.lines.values())
    assert found == table(whole)


def test_several_processes_find_the_same(scenes, tmp_path):
    axes = ["--weighting", "fixed,dig", "--steps", "2", *QUICK]
    assert main(["ablate", str(scenes), "-o", str(tmp_path / "one"), *axes]) == 0
    assert main(["ablate", str(scenes), "-o", str(tmp_path / "two"), *axes, "--jobs", "2"]) == 0
    assert table(tmp_path / "one") == table(tmp_path / "two")


def test_models_are_built_once_for_all_cells(scenes, tmp_path):
    counted = tmp_path / "counted.py"
    counted.write_text(
        "import pathlib\n"
        "from fusionkit import Component, hookimpl\n"
        "def build(options, context):\n"
        f"    with open({str(tmp_path / 'built')!r}, 'a') as file: file.write('x')\n"
        "    from fusionkit_diffusion.gaussian import GaussianEstimator\n"
        "    return GaussianEstimator()\n"
        "@hookimpl\n"
        "def fusionkit_noise_estimators():\n"
        "    return [Component('counted', 'counts how often it is built', build)]\n"
    )
    arguments = ["ablate", str(scenes), "-o", str(tmp_path / "study"), *QUICK]
    axes = ["--estimator", "counted", "--steps", "2,3,4", "--baseline", "rungs,fixed"]
    assert main([*arguments, *axes, "--plugin", str(counted)]) == 0
    assert (tmp_path / "built").read_text() == "x"


def test_what_fails_is_named_and_the_rest_is_done(scenes, tmp_path, capsys):
    (scenes / "2_vi.png").write_bytes(b"")
    (scenes / "4_ir.png").write_bytes((scenes / "1_ir.png").read_bytes())
    study = tmp_path / "study"
    arguments = ["ablate", str(scenes), "-o", str(study), *QUICK, "--steps", "2"]
    assert main([*arguments, "--baseline", "trivial"]) == 1
    error = capsys.readouterr().err
    assert "2_vi.png: the file is empty" in error
    assert "4: " in error
    assert "only source" in error
    assert {scene for _, scene in finished(study)} == {"1", "3"}
    # Once it is mended, what failed is done, and only that.
    (scenes / "2_vi.png").write_bytes((scenes / "1_vi.png").read_bytes())
    (scenes / "4_ir.png").unlink()
    assert main([*arguments, "--baseline", "trivial"]) == 0
    assert {scene for _, scene in finished(study)} == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--weighting", "fixd"], "Did you mean fixed"),
        (["--steps"], "needs a value"),
        (["--weighting.windw", "3"], "Did you mean window"),
        (["--baseline", "rung"], "unknown baseline"),
        (["--seeds", "a"], "whole numbers"),
        (["--seeds", "0,-1"], "from 0"),
        (["--seed", "1"], "--seeds"),
        (["--against", "nobody"], "there are"),
        (["--metric", "endd"], "Did you mean"),
        (["--jobs", "0"], "from 1"),
        (["--ray-gpus", "1"], "add --ray"),
        (["--ray-gpus", "-1"], "from 0"),
        (["--ray", "nowhere"], "local"),
    ],
)
def test_bad_requests(scenes, tmp_path, capsys, arguments, words):
    study = tmp_path / "study"
    assert main(["ablate", str(scenes), "-o", str(study), "--quiet", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1
    assert not study.exists()


def test_sources_are_kept_apart_from_the_study(scenes, capsys):
    before = sorted(scenes.iterdir())
    assert main(["ablate", str(scenes), "-o", str(scenes), *QUICK]) == 2
    assert "holds sources" in capsys.readouterr().err
    assert sorted(scenes.iterdir()) == before


def test_a_seed_that_is_given_twice_is_run_once(scenes, tmp_path, capsys):
    study = tmp_path / "study"
    arguments = ["ablate", str(scenes), "-o", str(study), *QUICK, "--baseline", "none"]
    assert main([*arguments, "--seeds", "3,3, 1", "--steps", "2"]) == 0
    assert "not finished" not in capsys.readouterr().out
    assert [cell.seed for cell in read_study(study).cells] == [3, 1]


def test_a_folder_of_another_study_is_left_alone(scenes, tmp_path, capsys):
    study = tmp_path / "study"
    arguments = ["ablate", str(scenes), "-o", str(study), "--quiet", "--steps", "2"]
    assert main([*arguments, "--metric", "en", "--baseline", "none"]) == 0
    before = (study / "results.jsonl").read_bytes()
    assert main([*arguments, "--metric", "en,sd", "--baseline", "none"]) == 2
    assert "other metrics" in capsys.readouterr().err
    assert (study / "results.jsonl").read_bytes() == before


def test_rows_are_compared_with_their_options_matched_or_it_is_said(scenes, tmp_path, capsys):
    arguments = ["ablate", str(scenes), *QUICK, "--steps", "2", "--baseline", "none"]
    arguments += ["--task", "infrared-visible", "--weighting", "dig,saliency"]
    assert main([*arguments, "-o", str(tmp_path / "own")]) == 0
    shown = capsys.readouterr().out
    assert "1 row differs from gaussian, dig, increments in more than the axes" in shown
    assert "weighting.window" in shown
    assert "weighting.consistency" in shown
    assert "weighting.window 11, not 9" in (tmp_path / "own" / "report.md").read_text()
    assert main([*arguments, "-o", str(tmp_path / "matched"), "--match-options"]) == 0
    assert "more than the axes" not in capsys.readouterr().out
    windows = {
        cell.recipe["weighting"]["window"] for cell in read_study(tmp_path / "matched").cells
    }
    assert windows == {9}


def test_frames_of_a_study_are_matched_as_those_of_a_run(scenes, tmp_path):
    arguments = ["ablate", str(scenes), *QUICK, "--steps", "2", "--baseline", "none"]
    assert main([*arguments, "-o", str(tmp_path / "even"), "--match", "auto"]) == 0
    (cell,) = read_study(tmp_path / "even").cells
    assert cell.recipe["preparations"]["match"]["mode"] == "auto"


def test_rows_with_the_same_images_are_said(scenes, tmp_path, capsys):
    arguments = ["ablate", str(scenes), "-o", str(tmp_path / "study"), *QUICK, "--steps", "2"]
    assert (
        main([*arguments, "--weighting", "fixed", "--depth", "8,auto", "--baseline", "none"]) == 0
    )
    shown = capsys.readouterr().out
    assert "depth auto has the same images as" in shown
    assert "depth 8: counted once." in shown


def test_deep_sources_are_measured_in_the_range_that_they_are_fused_in(scenes, tmp_path, capsys):
    for path in scenes.iterdir():
        deep = np.rint(np.asarray(Image.open(path)) * (4095 / 255)).astype(np.uint16)
        (tmp_path / "deep").mkdir(exist_ok=True)
        Image.fromarray(deep).save(tmp_path / "deep" / path.name)
    rest = [*QUICK, "--steps", "2", "--weighting", "fixed", "--baseline", "trivial"]
    assert main(["ablate", str(tmp_path / "deep"), "-o", str(tmp_path / "no"), *rest]) == 1
    assert "give --range 1:LO,HI" in capsys.readouterr().err
    ranges = ["--range", "1:0,4095", "--range", "2:0,4095"]
    deep, plain = tmp_path / "d", tmp_path / "p"
    assert main(["ablate", str(tmp_path / "deep"), "-o", str(deep), *rest, *ranges]) == 0
    assert main(["ablate", str(scenes), "-o", str(plain), *rest]) == 0
    labels = {cell.key: cell.label for cell in read_study(deep).cells}
    labels |= {cell.key: cell.label for cell in read_study(plain).cells}
    found = {(labels[c], s): v for c, s, v in table(deep)}
    for cell, scene, values in table(plain):
        assert found[labels[cell], scene] == pytest.approx(values, rel=0.01)


def test_metrics_have_their_options_in_a_study_too(scenes, tmp_path, capsys):
    study = tmp_path / "study"
    arguments = ["ablate", str(scenes), "-o", str(study), *QUICK[:4], "--quiet", "--steps", "2"]
    arguments += ["--baseline", "none", "--metric", "qabf"]
    assert main([*arguments, "--metric.orientation", "wrapped"]) == 0
    assert "wrapped" in (study / "report.md").read_text()
    assert read_study(study).options == {"qabf": {"orientation": "wrapped"}}
    assert main(arguments) == 2
    assert "other metrics" in capsys.readouterr().err


def test_the_cost_of_a_study_is_in_its_lines(scenes, tmp_path):
    study = tmp_path / "study"
    assert main(["ablate", str(scenes), "-o", str(study), *QUICK, "--steps", "2"]) == 0
    lines = lines_of(study)
    names = ("mean", "max", "laplacian-max", "source-1", "source-2")
    trivial = [line for line in lines if line["cell"] in names]
    assert [line["nfe"] for line in trivial] == [0.0] * 15
    if os.path.exists("/proc/self/clear_refs"):
        assert all(line["peak_mb"] > 10 for line in lines)
    assert json.loads((study / "study.json").read_text())["metrics"] == ["en", "sd"]
