"""Manifests of ``fusionkit run``: outputs and options by row, checked before work starts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionkit.cli import main
from tests.cli.test_run import fails

QUICK = ["--estimator", "gaussian"]


@pytest.fixture
def scenes(pair, tmp_path, monkeypatch):
    """Write a manifest beside two sources, and return how to run it from another folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    def write(*lines: str) -> list[str]:
        (tmp_path / "scenes.csv").write_text("\n".join(lines) + "\n")
        return ["run", str(tmp_path / "scenes.csv"), "-o", str(tmp_path / "out"), *QUICK]

    return write


def recipe(out: Path) -> dict:
    return json.loads(Path(f"{out}.json").read_text())["recipe"]


def test_rows_say_their_options(scenes, tmp_path, capsys):
    arguments = scenes(
        "id,ir,vi,output,weighting,weighting.weights,steps,metadata,noise",
        '1,left.png,right.png,day/one.tif,fixed,"0.7,0.3",2,no,',
        "2,left.png,right.png,day/two,,,,yes,",
        "3,left.png,right.png,,dig,,3,,auto",
    )
    assert main([*arguments, "--seed", "5"]) == 0
    out = tmp_path / "out"
    one, two, three = (recipe(out / n) for n in ("day/one.tif", "day/two.png", "3.png"))
    assert one["weighting"] == {"name": "fixed:fixed", "weights": [0.7, 0.3]}
    assert (one["steps"], one["metadata"], one["seed"]) == (2, False, 5)
    assert two["weighting"]["name"] == "dig:dig"
    assert two["metadata"] is True
    assert three["steps"] == 3
    assert list(three["preparations"]) == ["noise"]
    assert "preparations" not in two
    capsys.readouterr()
    # What a row says is part of what makes a result finished.
    assert main([*arguments, "--seed", "5"]) == 0
    assert "3 of 3 scenes are finished" in capsys.readouterr().err
    text = (tmp_path / "scenes.csv").read_text().replace("0.7,0.3", "0.6,0.4")
    (tmp_path / "scenes.csv").write_text(text)
    assert main([*arguments, "--seed", "5"]) == 1
    assert "error: 1: " in capsys.readouterr().err
    by_hand = ["run", str(tmp_path / "left.png"), str(tmp_path / "right.png"), *QUICK]
    flags = ["--weighting", "fixed", "--weighting.weights", "0.7,0.3", "--steps", "2"]
    alone = tmp_path / "alone.tif"
    assert main([*by_hand, "-o", str(alone), *flags, "--no-metadata", "--seed", "5"]) == 0
    assert alone.read_bytes() == (out / "day/one.tif").read_bytes()


def test_results_of_a_manifest_are_measured_where_they_went(scenes, tmp_path, capsys):
    arguments = scenes(
        "id,a,b,output,steps", "x,left.png,right.png,day/one.tif,1", "y,left.png,right.png,,1"
    )
    assert main(arguments) == 0
    capsys.readouterr()
    measure = ["evaluate", str(tmp_path / "out"), "--sources", str(tmp_path / "scenes.csv")]
    assert main([*measure, "--metric", "sd", "--csv"]) == 0
    told = capsys.readouterr().out
    assert {line.split(",")[1] for line in told.splitlines()[1:]} == {"x", "y"}
    study = ["ablate", str(tmp_path / "scenes.csv"), "-o", str(tmp_path / "study")]
    assert "column steps" in fails(capsys, 2, *study)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["id,a,b,steps", "1,left.png,right.png,2", "2,left.png,right.png,two"],
         ["line 3, column steps", "'two'"]),
        (["id,a,b,steps", "1,left.png,right.png,0"], ["line 2, column steps"]),
        (["id,a,b,weighting.windw", "1,left.png,right.png,5"],
         ["column weighting.windw", "weighting.window"]),
        (["id,a,b,stepps", "1,left.png,right.png,5"], ["column stepps", "Did you mean steps"]),
        (["id,a,b,weighting,weighting.window", "1,left.png,right.png,fixed,5"],
         ["line 2, column weighting.window", "option of weighting"]),
        (["id,a,b,weighting", "1,left.png,right.png,dug"], ["line 2, column weighting", "dig"]),
        (["id,a,b,task", "1,left.png,right.png,medicle"], ["line 2, column task", "medical"]),
        (["id,a,b,output", "1,left.png,right.png,../x"], ["line 2, column output"]),
        (["id,a,b,output", "1,left.png,right.png,x", "2,left.png,right.png,x"],
         ["line 3, column output", "line 2 goes"]),
        (["id,a,b,output", "1,left.png,right.png,x.gif"], ["line 2, column output", ".png"]),
        (["id,a,b,range", "1,left.png,right.png,1:0"], ["line 2, column range", "K:LO,HI"]),
        (["id,a,b,range", '1,left.png,right.png,"3:0,9"'], ["line 2, column range", "source 3"]),
        (["id,a,b,range", '1,left.png,right.png,"1:9,0"'], ["line 2, column range"]),
        (["id,a,b,noise", "1,left.png,right.png,3:9"], ["line 2, column noise", "source 3"]),
        (["id,a,b,observe", "1,left.png,right.png,3:noise=2"],
         ["line 2, column observe", "source 3"]),
        (["id,a,b,jobs", "1,left.png,right.png,2"], ["column jobs", "give --jobs"]),
        (["id,a,b,overwrite", "1,left.png,right.png,yes"], ["column overwrite"]),
        (["id,a,b,steps,steps", "1,left.png,right.png,2,3"], ["two columns steps"]),
        (["id,a,b,output,Output", "1,left.png,right.png,x,y"], ["two columns Output"]),
        (["id,a,b,device", "1,left.png,right.png,meta"], ["line 2, column device"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_work_starts(scenes, tmp_path, capsys, lines, said):
    line = fails(capsys, 2, *scenes(*lines))
    assert str(tmp_path / "scenes.csv") in line
    assert all(part in line for part in said), line
    assert not (tmp_path / "out").exists()


def test_what_is_said_to_have_holes_or_noise_is_not_warned_of(tmp_path, capsys):
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        noisy = generator.normal(120, 20, (64, 64)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / f"{name}.png")
    command = ["run", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--estimator", "gaussian"]
    known = {"1:mask=auto": "b", "2:blur=1,noise=20": "a", "1:blur=1": "ab", "1:noise=9,2:mask": ""}
    for chain, warned in known.items():
        said = ["--observe", chain, "-o", str(tmp_path / "out.png"), "--overwrite"]
        assert main([*command, *said]) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "looks noisy" in line]
        assert [line.partition(".png: looks")[0][-1] for line in lines] == list(warned)


def test_help_says_what_samples_without_a_trajectory(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "samplers:direct runs instead" in " ".join(capsys.readouterr().out.split())


def test_paths_and_recipes_are_those_beside_the_manifest(scenes, tmp_path):
    (tmp_path / "mine.toml").write_text("steps = 4\n")
    assert main(scenes("id,a,b,recipe", "1,left.png,right.png,mine.toml")) == 0
    assert recipe(tmp_path / "out" / "1.png")["steps"] == 4


def test_sources_may_be_called_as_an_option(scenes, pair, tmp_path):
    assert main(scenes("id,colour,depth", "1,left.png,right.png")) == 0
    assert (tmp_path / "out" / "1.png").exists()


def test_whole_numbers_of_pandas_are_whole_where_some_are_missing(scenes, pair, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names, left, right = ["1", "2", "3"], ["left.png"] * 3, ["right.png"] * 3
    table = pa.table({"id": names, "a": left, "b": right, "steps": [2.0, float("nan"), None]})
    parquet.write_table(table, tmp_path / "scenes.parquet")
    arguments = scenes("unused")
    arguments[1] = str(tmp_path / "scenes.parquet")
    assert main(arguments) == 0
    steps = [recipe(tmp_path / "out" / f"{name}.png")["steps"] for name in names]
    assert steps[0] == 2
    assert steps[1] == steps[2] != 2


def test_a_quality_is_of_the_rows_that_are_jpegs(scenes, tmp_path, capsys):
    rows = scenes("id,a,b,output", "1,left.png,right.png,x.png", "2,left.png,right.png,y.jpg")
    assert main([*rows, "--quality", "50"]) == 0
    rows = scenes("id,a,b,output", "1,left.png,right.png,x.png")
    assert "--quality" in fails(capsys, 2, *rows, "--quality", "50", "--overwrite")


def test_parquet_holds_the_same(scenes, pair, tmp_path, capsys):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table(
        {
            "id": [1, 2],
            "sources": [["left.png", "right.png"], ["right.png", "left.png"]],
            "steps": pa.array([2, None], pa.int64()),
            "metadata": [False, True],
            "weighting": ["fixed", "fixed"],
            "weighting.weights": [[0.7, 0.3], [0.5, 0.5]],
        }
    )
    arguments = scenes("unused")
    manifest = tmp_path / "scenes.parquet"
    parquet.write_table(table, manifest)
    arguments[1] = str(manifest)
    assert main(arguments) == 0
    made = recipe(tmp_path / "out" / "1.png")
    assert made["weighting"]["weights"] == [0.7, 0.3]
    assert (made["steps"], made["metadata"]) == (2, False)
    left, right = (np.asarray(Image.open(path), float) for path in pair)
    fused = np.asarray(Image.open(tmp_path / "out" / "2.png"), float)
    assert fused.shape == left.shape == right.shape
    capsys.readouterr()
    parquet.write_table(table.set_column(2, "steps", [[2, 0]]), manifest)
    assert "row 2, column steps" in fails(capsys, 2, *arguments)
    manifest.write_bytes(b"no Parquet")
    assert "cannot be read" in fails(capsys, 2, *arguments)
