"""``fusionkit bench trust``: agreement of metrics with the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fusionkit_benchmarks.photographs import middle_of
from fusionkit_benchmarks.trust.agreement import Group, agreement, overall
from PIL import Image

from fusionkit.cli import main


def test_agreement_is_kendalls_tau_and_what_a_choice_loses() -> None:
    known = np.array([30.0, 25.0, 20.0, 10.0])
    assert agreement(known / 7, known) == (pytest.approx(1), 0)
    assert agreement(-known, known) == (pytest.approx(-1), 20)
    # One pair of six is turned round: (5 - 1) / 6; the best by the metric is the second.
    assert agreement(np.array([3.0, 4.0, 2.0, 1.0]), known) == (pytest.approx(2 / 3), 5)


def test_agreement_leaves_out_what_has_no_value() -> None:
    known = np.array([30.0, np.nan, 20.0, 10.0, 0.0])
    values = np.array([3.0, 9.0, 2.0, 1.0, np.nan])
    assert agreement(values, known) == (pytest.approx(1), 0)
    tau, lost = agreement(np.ones(3), np.array([3.0, 2.0, 1.0]))
    assert np.isnan(tau)
    assert lost == 1  # all are liked alike: the best less the mean
    assert all(np.isnan(agreement(np.ones(2), np.ones(2))))


def test_a_photograph_counts_once_in_whatever_order() -> None:
    def group(title: str, photographs: str, *taus: float) -> Group:
        return Group(title, 4, tuple(photographs), {"m": np.array(taus)}, {"m": np.array(taus)})

    one = group("one", "abc", 1.0, 0.5, 0.0)
    two = group("two", "abc", 0.0, 0.5, np.nan)
    found = overall([one, two], "m")
    assert found is not None
    assert (found.mean, found.scenes) == (pytest.approx((0.5 + 0.5 + 0.0) / 3), 3)
    assert found == overall([group("two", "cab", np.nan, 0.0, 0.5), one], "m")


def test_the_middle_of_a_photograph() -> None:
    photograph = np.arange(20, dtype=np.uint8).reshape(4, 5)
    assert middle_of(lambda: photograph, 2).tolist() == [[6, 7], [11, 12]]
    assert middle_of(lambda: photograph, 4).shape == (4, 4)
    assert middle_of(lambda: photograph, 9).shape == (4, 5)


@pytest.mark.slow
def test_the_command_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skimage_data = pytest.importorskip("skimage.data")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, read in (("a", skimage_data.astronaut), ("b", skimage_data.coffee)):
        Image.fromarray(read()[100:280, 180:360]).save(photos / f"{name}.png")
    out = tmp_path / "out"
    command = f"bench trust -o {out} --photos {photos} --families focus --sigma none --size 176"
    assert main([*command.split(), "--metric", "qabf,mse", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert (out / "trust.md").read_text() in shown
    (group,) = json.loads((out / "trust.json").read_text())["groups"]
    assert group["photographs"] == ["a", "b"]
    # Being near to all sources is no sign of a sharp image; keeping their edges is.
    assert min(group["tau"]["qabf"]) > max(group["tau"]["mse"])
    assert min(group["tau"]["truth-psnr"]) == pytest.approx(1)
    # Two processes make the same of it, but for enfuse, which rounds at random.
    command = command.replace(str(out), str(tmp_path / "two"))
    assert main([*command.split(), "--metric", "qabf,mse", "--quiet", "--jobs", "2"]) == 0
    alone, side_by_side = measured(out), measured(tmp_path / "two")
    assert len(alone) > 10
    assert alone == side_by_side


def measured(folder: Path) -> dict[tuple[str, str], object]:
    """Return what was measured, by file and method."""
    kept = {file.name: json.loads(file.read_text()) for file in folder.glob("results/*.json")}
    return {
        (name, about["name"]): about["views"]
        for name, about in kept.items()
        if "enfuse" not in about["name"]
    }


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--size 100", "176 pixels"),
        ("--sigma many", "--sigma many"),
        ("--families fog", "unknown 'fog'; there are focus"),
        ("--jobs 0", "--jobs must be at least 1"),
        ("--metric nothing", "nothing"),
    ],
)
def test_wrong_flags_are_one_line(
    flags: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "trust", "-o", str(tmp_path / "out"), *flags.split()]) == 2
    assert said in capsys.readouterr().err
