"""What a report says, in the files that need no browser."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from fusionkit import UsageError
from fusionkit.evaluation.presets import RANKINGS
from fusionkit.evaluation.report import pictures, write_report
from fusionkit.evaluation.report.summary import summarise
from fusionkit.host.plugins import load_plugins

from .studies import HOSTILE, METRICS, ROWS, change_lines, value, write_study

PLUGIN = """
from fusionkit import Component, hookimpl

LOWER = ("nabf", "sd")

class Constant:
    sources = "any"
    convention = "a convention of its own"

    def __init__(self, higher_is_better):
        self.higher_is_better = higher_is_better

    def __call__(self, fused, sources):
        return fused.mean()

@hookimpl
def fusionkit_metrics():
    names = {names!r}
    return [
        Component(name, "constant", lambda options, context, n=name: Constant(n not in LOWER))
        for name in names
    ]
"""


MANY = tuple(f"scene{n:02d}" for n in range(12))


def no_plugins():
    return load_plugins(entry_points=[])


@pytest.fixture
def metrics(tmp_path):
    """A registry with metrics of the names in the studies; sd and nabf are better when lower."""
    plugin = tmp_path / "constants.py"
    plugin.write_text(PLUGIN.replace("{names!r}", repr(METRICS)))
    return load_plugins(entry_points=[], inline=[str(plugin)])


def csv_rows(folder):
    with open(folder / "report.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_has_every_single_value(tmp_path):
    study = write_study(tmp_path / "s", seeds=(0, 3))
    write_report(tmp_path / "s", registry=no_plugins())
    rows = csv_rows(tmp_path / "s")
    assert len(rows) == len(study.cells) * 3
    (found,) = [
        row
        for row in rows
        if (row["row"], row["scene"], row["seed"]) == ("dig, window 15", "canal", "3")
    ]
    assert float(found["vif"]) == value("dig, window 15", METRICS.index("vif"), 2, 3)
    assert (found["role"], found["nfe"], found["seconds"]) == ("variant", "14.0", "3.1")
    assert found["peak_mb"] == "530.0"


def test_seeds_are_averaged_before_scenes_are_compared(tmp_path):
    write_study(tmp_path / "s", seeds=(0, 3))
    summary = summarise(tmp_path / "s", no_plugins())
    assert [row.label for row in summary.rows] == list(ROWS)
    expected = [np.mean([value("dig, window 15", 0, s, seed) for seed in (0, 3)]) for s in range(3)]
    np.testing.assert_allclose(summary.scores.values[1, :, 0], expected)
    np.testing.assert_allclose(summary.costs[1, :, 2], 515.0)
    deviation = np.std([0.0, 0.03], ddof=1)
    np.testing.assert_allclose(summary.seed_deviation[1], deviation, rtol=1e-6)
    assert np.isnan(summary.seed_deviation[-1]).all()  # a trivial fusion has no seed
    difference = summary.differences[1][0]
    assert difference.mean == pytest.approx(0.08 * 1.1)
    assert difference.scenes == 3


def test_markdown_marks_only_what_stands_out(tmp_path):
    folder = tmp_path / "s"
    write_study(folder, metrics=("en", "sd"), scenes=MANY, size=(24, 18))
    swing = dict(zip(MANY, (5.0, -5.0) * 6, strict=True))

    def swings(line):
        if line["cell"].startswith("digwindow15"):
            line["values"]["sd"] += swing[line["scene"]]

    change_lines(folder, swings)
    write_report(folder, registry=no_plugins())
    (row,) = re.findall(
        r"^\| dig, window 15 \| (\S.* \[.*\].*) \|$", (folder / "report.md").read_text(), re.M
    )
    first, second = row.split(" | ")
    assert re.fullmatch(r"\*\*\+0\.124 \[\+0\.109, \+0\.139\]\*\*", first)
    assert second.startswith("+0.124 [-")
    page = (folder / "report.html").read_text("utf-8")
    assert '<strong class="difference">+0.124' in page
    assert '<span class="difference">+0.124' in page
    # Ten comparisons: a difference of one sign in all scenes needs nine of them.
    assert "corrected for 10 comparisons (Holm), which takes 9 scenes or more." in page


def test_one_scene_has_no_interval_and_nothing_stands_out(tmp_path):
    write_study(tmp_path / "s", scenes=("alley",))
    shown = write_report(tmp_path / "s", registry=no_plugins())
    text = (tmp_path / "s" / "report.md").read_text()
    assert "There is no interval of a difference over one scene." in shown
    assert "| +0.080 |" in text
    assert "**+0.080" not in text
    assert '<strong class="difference' not in (tmp_path / "s" / "report.html").read_text()


def test_directions_conventions_and_ranks_come_from_the_metrics(tmp_path, metrics):
    write_study(tmp_path / "s", scenes=MANY, size=(24, 18))
    shown = write_report(tmp_path / "s", registry=metrics)
    header = shown.splitlines()[0].split()
    assert header[:2] == ["en", "↑"]
    assert header[header.index("nabf") + 1] == "↓"
    assert "rank9 ↓" in shown.splitlines()[0]
    ranks = summarise(tmp_path / "s", metrics).ranks
    assert set(ranks) == set(RANKINGS)
    order = sorted(ROWS, key=lambda label: -ROWS[label][1])
    places = np.array([order.index(label) + 1 for label in ROWS])
    np.testing.assert_allclose(ranks["rank5"], places)
    # Of the nine, sd alone counts the other way round.
    np.testing.assert_allclose(ranks["rank9"], (8 * places + len(ROWS) + 1 - places) / 9)
    page = (tmp_path / "s" / "report.html").read_text("utf-8")
    assert "lower is better; a convention of its own" in page
    assert 'class="difference better"' in page


def test_metrics_that_are_not_installed_have_no_direction(tmp_path):
    write_study(tmp_path / "s")
    shown = write_report(tmp_path / "s", registry=no_plugins())
    assert "↑" not in shown
    assert "rank9" not in shown
    assert "- en: not installed here" in (tmp_path / "s" / "report.md").read_text()


def test_an_unfinished_study_says_what_is_missing(tmp_path, metrics):
    skip = frozenset({("dig, window 15", "bridge"), ("mean", "bridge"), ("mean", "canal")})
    write_study(tmp_path / "s", skip=skip)
    with open(tmp_path / "s" / "results.jsonl", "a") as results:
        results.write('{"cell": "digwindow1500", "scene": "bri')  # cut off by a kill
    shown = write_report(tmp_path / "s", registry=metrics)
    assert "3 cells of 18 missing" in shown
    assert "Ranks are over the 1 scene of all rows." in shown
    assert "| dig, window 15 | variant | 2/3 |" in (tmp_path / "s" / "report.md").read_text()
    assert len(csv_rows(tmp_path / "s")) == 15


def test_results_of_other_rows_are_left_out_and_said(tmp_path):
    folder = tmp_path / "s"
    write_study(folder)
    content = json.loads((folder / "study.json").read_text())
    content["cells"] = [cell for cell in content["cells"] if cell["label"] != "mean"]
    (folder / "study.json").write_text(json.dumps(content))
    assert "3 results left out: of rows no longer in the study" in write_report(
        folder, registry=no_plugins()
    )


def test_damaged_lines_are_left_out_and_said(tmp_path):
    folder = tmp_path / "s"
    write_study(folder)
    file = folder / "results.jsonl"
    text = file.read_text()
    file.write_text(
        text.replace('"en": 1.0,', '"en": 9.0,', 1) + '{"cell": "mean"}\nnonsense\n[1]\n'
    )
    shown = write_report(folder, registry=no_plugins())
    assert "4 lines of results.jsonl left out: damaged" in shown
    assert "1 cell of 18 missing" in shown


def test_rows_with_the_same_images_are_marked_and_not_counted(tmp_path, metrics):
    folder = tmp_path / "s"
    write_study(folder)

    def as_the_reference(line):
        if line["cell"].startswith("digwindow15"):
            line["sha256"] = f"first {line['scene']}"
        if line["cell"].startswith("digwindow700"):
            line["sha256"] = f"first {line['scene']}"

    change_lines(folder, as_the_reference)
    summary = summarise(folder, metrics)
    assert summary.twins == [None, 0, None, None, None, None]
    assert summary.differences[1] == [None] * len(METRICS)
    assert len(summary.compared) == 4 * len(METRICS)
    assert summary.ranks["rank5"][1] == summary.ranks["rank5"][0] == 1
    assert summary.ranks["rank5"].max() == 5
    shown = write_report(folder, registry=metrics)
    assert "dig, window 15 has the same images as dig, window 7: counted once." in shown
    assert "| dig, window 15 (same images as dig, window 7) |" in (folder / "report.md").read_text()
    assert "same images as row 1" in (folder / "report.html").read_text("utf-8")


def test_what_differs_beside_the_axes_is_listed(tmp_path):
    folder = tmp_path / "s"
    rows = {"dig": ("variant", 0.0, 10.0, 1.0), "saliency": ("variant", 0.1, 4.0, 1.0)}
    write_study(folder, rows=rows)
    content = json.loads((folder / "study.json").read_text())
    first, second = content["cells"]
    content["axes"] = ["weighting"]
    first["recipe"]["weighting"] = {"name": "dig:dig", "window": 9, "loss": "l2", "scale": 4.0}
    second["recipe"]["weighting"] = {"name": "saliency:saliency", "window": 11, "sharpness": 4.0}
    (folder / "study.json").write_text(json.dumps(content))
    shown = write_report(folder, registry=no_plugins())
    assert "1 row differs from dig in more than the axes of the study (weighting): in " in shown
    assert "weighting.window" in shown
    text = (folder / "report.md").read_text()
    expected = "weighting saliency:saliency, not dig:dig | **weighting.window 11, not 9** | "
    assert f"| saliency | {expected}weighting.sharpness 4 |" in text
    page = (folder / "report.html").read_text("utf-8")
    assert "<strong>weighting.window 11, not 9</strong>" in page
    second["recipe"]["weighting"]["window"] = 9
    (folder / "study.json").write_text(json.dumps(content))
    assert "more than the axes" not in write_report(folder, registry=no_plugins())


def test_the_page_is_written_only_when_something_has_changed(tmp_path):
    folder = tmp_path / "s"
    write_study(folder)
    write_report(folder, registry=no_plugins())
    page = folder / "report.html"
    first = page.stat()
    write_report(folder, registry=no_plugins())
    assert page.stat().st_ino == first.st_ino  # it was not replaced
    change_lines(folder, lambda line: line["values"].update(en=3.0))
    write_report(folder, registry=no_plugins())
    assert page.stat().st_ino != first.st_ino


def test_what_could_not_be_measured_is_listed(tmp_path):
    folder = tmp_path / "s"
    write_study(folder, scenes=("alley",), metrics=("en",))

    def fails(line):
        if line["cell"] == "digwindow1500":
            line.update(values={}, problems={"en": "ValueError: <no> edges"})

    change_lines(folder, fails)
    (folder / "images" / "mean" / "alley.png").unlink()
    shown = write_report(folder, registry=no_plugins())
    assert "1 value could not be measured." in shown
    assert re.search(r"^dig, window 15 +- +14 ", shown, re.M)
    page = (folder / "report.html").read_text("utf-8")
    assert "dig, window 15, alley: en: ValueError: &lt;no&gt; edges" in page
    assert "mean/alley.png: there is no such file" in page


def test_infinite_values_leave_the_data_valid(tmp_path):
    folder = tmp_path / "s"
    write_study(folder, metrics=("psnr",))

    def is_infinite(line):
        if (line["cell"], line["scene"]) == ("digwindow700", "alley"):
            line["values"]["psnr"] = float("inf")

    change_lines(folder, is_infinite)
    write_report(folder, registry=no_plugins())
    assert csv_rows(folder)[0]["psnr"] == "inf"
    page = (folder / "report.html").read_text("utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]
    assert json.loads(data, parse_constant=pytest.fail)["rows"][0]["values"] == [
        pytest.approx(1.45)
    ]


def test_the_number_of_scenes_is_capped_and_said(tmp_path):
    write_study(tmp_path / "s")
    write_report(tmp_path / "s", registry=no_plugins(), scenes=2)
    page = (tmp_path / "s" / "report.html").read_text("utf-8")
    assert "The first 2 of 3 scenes are shown, reduced to 900 pixels" in page
    assert page.count('"problems":[]') == 2


@pytest.mark.slow
def test_images_over_the_budget_are_made_smaller_then_left_out(tmp_path, monkeypatch):
    write_study(tmp_path / "s", size=(1000, 160))
    summary = summarise(tmp_path / "s", no_plugins())
    whole = pictures.gallery(summary, 6)
    assert (len(whole.scenes), whole.side) == (3, 900)
    assert (whole.scenes[0]["width"], whole.scenes[0]["height"]) == (1000, 160)
    weight = sum(len(picture["image"]) for picture in whole.scenes[0]["pictures"])
    monkeypatch.setattr(pictures, "BUDGET", weight // 2)
    tight = pictures.gallery(summary, 6)
    assert len(tight.scenes) < 3
    assert tight.side < 900


def test_sixteen_bits_and_long_weight_maps(tmp_path):
    folder = tmp_path / "s"
    rows = {"dig": ("variant", 0.0, 10.0, 1.0)}
    write_study(folder, rows=rows, scenes=("alley",), steps=60)
    deep = (np.linspace(0, 65535, 96 * 72).reshape(72, 96)).astype(np.uint16)
    Image.fromarray(deep).save(folder / "sources" / "alley_ir.png")
    (scene,) = pictures.gallery(summarise(folder, no_plugins()), 1).scenes
    assert scene["problems"] == []
    maps = scene["pictures"][2]["maps"]
    assert len(maps["steps"]) == len(maps["means"]) == pictures.SHOWN_STEPS
    assert (maps["steps"][0], maps["steps"][-1], maps["of"]) == (1, 60, 60)
    assert maps["means"][0] == [pytest.approx(0.5, abs=0.01)] * 2


def test_markdown_shows_labels_as_they_are(tmp_path):
    rows = {"a | b": ROWS["mean"], f"`x` *y* {HOSTILE}": ("variant", 0.0, 10.0, 1.0)}
    write_study(tmp_path / "s", rows=rows, scenes=("it's & so",))
    write_report(tmp_path / "s", registry=no_plugins())
    text = (tmp_path / "s" / "report.md").read_text()
    assert r"| a \| b | no denoiser |" in text
    assert r"\`x\` \*y\* \</script\>" in text
    assert f"""{tmp_path}/s/sources/it'"'"'s & so_ir.png'""" in text
    assert "The trivial fusion a | b" in text


def test_reports_are_replaced_and_are_the_same_again(tmp_path):
    write_study(tmp_path / "s")
    write_report(tmp_path / "s", registry=no_plugins())
    names = ("report.html", "report.md", "report.tex", "report.csv", "report.txt")
    before = [(tmp_path / "s" / name).read_bytes() for name in names]
    for name in names:
        (tmp_path / "s" / name).write_text("old")
    write_report(tmp_path / "s", registry=no_plugins())
    assert [(tmp_path / "s" / name).read_bytes() for name in names] == before


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no study"):
        write_report(tmp_path, registry=no_plugins())
    assert list(tmp_path.iterdir()) == []
