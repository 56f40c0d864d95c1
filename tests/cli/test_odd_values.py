"""Values that no one means: one line, exit code 2, and nothing computed."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from fusionkit.cli import main

LARGE = str(2**63 - 1)
ODD = [
    ("--weighting.window", LARGE, "at most 9999"),
    ("--steps", LARGE, "at most 10000"),
    ("--seed", "99999999999999999999", "at most"),
    ("--observe.levels", LARGE, "at most 200"),
    ("--threads", LARGE, "from 1 to 1024"),
    ("--device", "meta", "computes no image"),
    ("--device", "xla", "unknown device"),
    ("--range", "1:-1e308,1e308", "within 1e+30 of zero"),
    ("--range", "1:0,1e-320", "1e-30 below HI"),
    ("--weighting.scale", "1e308", "at most"),
    ("--sampler.eta", "nan", "finite"),
]


@pytest.mark.parametrize(("flag", "value", "said"), ODD)
def test_what_is_out_of_bounds_is_said(pair, tmp_path, capsys, flag, value, said):
    out = tmp_path / "o.png"
    assert main(["run", *pair, "-o", str(out), "--task", "general", flag, value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not out.exists()


def test_a_name_of_thousands_of_characters_is_not_printed_whole(pair, tmp_path, capsys):
    more = ["--estimator", "adm", "--estimator.checkpoint", "a" * 5000]
    assert main(["run", *pair, "-o", str(tmp_path / "o.png"), *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no such file" in line
    assert len(line) < 500


@pytest.mark.parametrize("weights", ["1e308,1e308", "1e-320,1e-320"])
def test_weights_of_any_size_are_shares(pair, tmp_path, weights):
    more = ["--weighting", "fixed", "--objective", "mse", "--estimator", "gaussian", "--quiet"]
    for name, said in (("a", weights), ("b", "1,1")):
        out = str(tmp_path / f"{name}.png")
        assert main(["run", *pair, "-o", out, *more, "--weighting.weights", said]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_spreadsheet_runs_a_scene_of_a_csv(pair, tmp_path, capsys):
    for folder, source in zip(("ir", "vi"), pair, strict=True):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "=1+1.png")
    sources = [str(tmp_path / "ir"), str(tmp_path / "vi")]
    assert main(["evaluate", sources[0], "--sources", *sources, "--metric", "en", "--csv"]) == 0
    assert "\nfused,'=1+1," in capsys.readouterr().out
    quick = ["--weighting", "fixed", "--estimator", "gaussian", "--metric", "en", "--quiet"]
    study = ["ablate", *sources, "-o", str(tmp_path / "s"), "--baseline", "none", *quick]
    assert main(study) == 0
    with open(tmp_path / "s" / "report.csv", newline="", encoding="utf-8") as file:
        assert [row["scene"] for row in csv.DictReader(file)] == ["'=1+1"]
    Path(sources[1], "=1+1.png").write_bytes(b"no image")
    assert main(["run", *sources, "-o", str(tmp_path / "out"), "--quiet"]) == 1
    assert "\n'=1+1," in (tmp_path / "out" / "failed.csv").read_text()
