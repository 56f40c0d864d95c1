"""The results of a study as an object: best, comparisons, effects, files and figures."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

import fusionkit
from fusionkit import FusionkitWarning, Records, StudyTable, UsageError
from fusionkit.evaluation.comparing import compared, few_scenes
from fusionkit.evaluation.statistics import holm

from .studies import HOSTILE, ROWS, change_lines, write_study
from .test_report import metrics

__all__ = ["metrics"]

MANY = tuple(f"scene{n:02d}" for n in range(14))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of 14 scenes and two seeds; the values of ``en`` swing by scene and row."""
    place = tmp_path_factory.mktemp("study") / "s"
    write_study(place, metrics=("en", "sd"), scenes=MANY, seeds=(0, 1), size=(24, 18))
    generator = np.random.default_rng(0)

    def swing(line):
        line["values"]["en"] += generator.normal(0, 0.05)

    change_lines(place, swing)
    return place


@pytest.fixture
def table(folder, metrics):
    return StudyTable.read(folder, registry=metrics)


def test_the_best_row_is_the_one_with_the_best_mean(table):
    assert table.best("en") == "dig, window 15"
    assert table.best("sd") == "mean"  # lower is better, in these tests
    assert table.best() == {"en": "dig, window 15", "sd": "mean"}
    with pytest.raises(UsageError, match=r"no metric 'eh'\. There are en, sd"):
        table.best("eh")


def test_a_source_does_not_compete(tmp_path, metrics):
    rows = {**ROWS, "source 1": ("no denoiser", 9.0, 0.0, 0.0)}
    write_study(tmp_path / "s", rows=rows, metrics=("en",), size=(24, 18))
    assert StudyTable.read(tmp_path / "s", registry=metrics).best("en") == "dig, window 15"


def test_comparisons_are_those_of_the_values(table):
    by_row = {}
    for record in table.records():
        by_row.setdefault(record["row"], {}).setdefault(record["scene"], []).append(record["en"])
    means = {row: {s: np.mean(v) for s, v in found.items()} for row, found in by_row.items()}
    base, found = "mean", table.pairwise("mean", ["en"], margin={"en": 0.05})
    others = [row for row in ROWS if row != base]
    assert [record["row"] for record in found] == others
    away = {row: np.array([means[row][s] - means[base][s] for s in MANY]) for row in others}
    expected = holm([stats.wilcoxon(away[row]).pvalue for row in others])
    for record, wilcoxon in zip(found, expected, strict=True):
        values = away[record["row"]]
        assert record["difference"] == pytest.approx(values.mean())
        assert record["low"] < record["difference"] < record["high"]
        assert record["wilcoxon p"] == pytest.approx(wilcoxon)
        assert record["effect size"] == pytest.approx(values.mean() / values.std(ddof=1))
        assert (record["scenes"], record["margin"]) == (14, 0.05)
        assert record["verdict"] == "better"
    assert "corrected for 5 comparisons (Holm)" in found.notes[0]
    assert "14 scenes, 2 seeds" in found.notes[0]


def test_a_smaller_margin_is_harder_to_stay_within():
    generator = np.random.default_rng(1)
    values = generator.normal(0.02, 0.05, (1, 30))
    p = [compared(values, [margin]).equivalence[0] for margin in (0.03, 0.05, 0.1)]
    t = [
        max(
            stats.ttest_1samp(values[0], margin, alternative="less").pvalue,
            stats.ttest_1samp(values[0], -margin, alternative="greater").pvalue,
        )
        for margin in (0.03, 0.05, 0.1)
    ]
    assert p == pytest.approx(t)
    assert p[0] > p[1] > p[2]


def test_verdicts():
    generator = np.random.default_rng(2)
    noise = generator.normal(0, 0.05, (4, 20))
    pairs = noise + np.array([[0.5], [-0.5], [0.0], [0.0]])
    pairs[3] *= 20
    family = compared(pairs, [0.1] * 4)
    verdicts = [family.fields(n, True)["verdict"] for n in range(4)]
    assert verdicts == ["better", "worse", "equivalent", "undecided"]
    assert [family.fields(n, False)["verdict"] for n in (0, 1)] == ["worse", "better"]
    assert family.fields(0, None)["verdict"] == "differs"
    nothing = compared(np.full((1, 3), np.nan), None)
    assert nothing.fields(0, True)["verdict"] == "no scene"


def test_too_few_scenes_are_warned_of(tmp_path, metrics):
    write_study(tmp_path / "s", metrics=("en",), size=(24, 18))
    few = StudyTable.read(tmp_path / "s", registry=metrics)
    with pytest.warns(FusionkitWarning) as caught:
        found = few.pairwise()
    said = [str(each.message) for each in caught]
    assert said == list(found.notes[1:])
    assert said[0].startswith("Too few scenes: of 5 comparisons none can stand out with 3")
    assert said[1].startswith("With fewer than 10 scenes (3)")
    assert found.marked == frozenset()
    assert few_scenes(3, 1)[0].startswith("Too few scenes: of 1 comparison none can stand out ")


@pytest.mark.parametrize("margin", [0, -0.1, {"en": 0}, {"eh": 1.0}])
def test_a_margin_that_is_none(table, margin):
    with pytest.raises(UsageError, match="margin"):
        table.pairwise(margin=margin)


def test_a_row_that_is_none(table):
    with pytest.raises(UsageError, match=r"no row 'dig, window 16'\. Did you mean"):
        table.pairwise("dig, window 16")


def test_effects_need_axes(table):
    with pytest.raises(UsageError, match="no effects"):
        table.effects()


def test_effects_of_a_study(tmp_path, metrics):
    folder = tmp_path / "s"
    write_study(folder, metrics=("en",), scenes=MANY, size=(24, 18))
    written = json.loads((folder / "study.json").read_text())
    for cell in written["cells"][:2]:
        cell["levels"] = {"weighting.window": cell["label"].split()[-1]}
    (folder / "study.json").write_text(json.dumps(written))
    (record,) = StudyTable.read(folder, registry=metrics).effects()
    assert record["effect"] == "weighting.window: 7 to 15"
    assert record["difference"] == pytest.approx(0.08 * (1 + 0.1 * 6.5))
    assert (record["kind"], record["verdict"]) == ("main", "better")


def test_files_hold_every_value(table, tmp_path):
    table.save(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["en"]) for row in rows] == [each["en"] for each in table.records()]
    assert rows[0]["seed"] == "0"
    assert len(rows) == 14 * (2 * 5 + 1)
    for name in ("t.md", "t.html", "t.tex"):
        table.save(tmp_path / name)
        assert "dig, window 15" in (tmp_path / name).read_text("utf-8")
    with pytest.raises(UsageError, match=r"t.doc: say by its extension .*\.csv, \.parquet"):
        table.save(tmp_path / "t.doc")
    with pytest.raises(UsageError):
        table.save(tmp_path / "nowhere" / "t.csv")


def test_the_table_for_a_paper_says_what_it_is(table, tmp_path):
    table.save(tmp_path / "t.tex", errors=True)
    text = (tmp_path / "t.tex").read_text()
    assert r"\caption{Means with standard errors over 14 scenes, 2 seeds (0, 1)." in text
    assert "corrected for 10 comparisons (Holm)" in text
    assert r"{\scriptsize $\pm$ " in text
    table.save(tmp_path / "plain.tex")
    assert "scriptsize" not in (tmp_path / "plain.tex").read_text()


def test_comparisons_are_written_too(table, tmp_path):
    found = table.pairwise(margin=0.01)
    for suffix in ("csv", "md", "html", "tex"):
        found.save(tmp_path / f"p.{suffix}")
    assert "| **dig, window 15** |" in (tmp_path / "p.md").read_text()
    assert r"\textbf{dig, window 15}" in (tmp_path / "p.tex").read_text()
    with open(tmp_path / "p.csv", newline="") as file:
        assert [float(r["difference"]) for r in csv.DictReader(file)] == [
            record["difference"] for record in found
        ]


def test_what_is_hostile_is_shown_as_text(tmp_path):
    records = Records(HOSTILE, [{"a|b": HOSTILE, "=n": "=1+1"}])
    for suffix in ("csv", "md", "html", "tex"):
        records.save(tmp_path / f"r.{suffix}")
    assert "<script>" not in (tmp_path / "r.html").read_text()
    assert "'=1+1" in (tmp_path / "r.csv").read_text()
    assert "<img" not in records._repr_html_()


def test_a_notebook_shows_the_best_in_bold(table):
    shown = ElementTree.fromstring(f"<div>{table._repr_html_()}</div>")
    bold = [each.text for each in shown.iter("b")]
    assert len(bold) == 2
    assert table.rows == [each.text for each in shown.findall("table/tbody/tr/th")]


def test_a_data_frame_has_every_value(table):
    pandas = pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.groupby("row")["sd"].mean()["mean"] == pytest.approx(
        np.mean([r["sd"] for r in table.records() if r["row"] == "mean"])
    )
    assert list(table.pairwise().to_pandas()["metric"][:2]) == ["en", "sd"]


def test_parquet_has_every_value(table, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table.save(tmp_path / "t.parquet")
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == table.records()


@pytest.mark.parametrize("missing", ["pandas", "pyarrow"])
def test_what_is_not_installed_is_said(table, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    ask = table.to_pandas if missing == "pandas" else lambda: table.save(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=f"pip install {missing}"):
        ask()


def test_pandas_waits_until_it_is_asked_for(folder):
    code = (
        "import sys; from fusionkit import StudyTable\n"
        f"table = StudyTable.read({str(folder)!r}); table._repr_html_(); table.best()\n"
        "assert not {'pandas', 'pyarrow', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trade-off", "differences"])
def test_figures_are_vectors_and_the_same_each_time(table, tmp_path, kind):
    for name in ("a.svg", "b.svg", "a.pdf"):
        table.plot(kind, "en", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_the_points_of_a_figure_are_the_values(table):
    axes = table.plot("differences", "en", reference="mean").axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == [row for row in reversed(table.rows) if row != "mean"]
    drawn = [line for line in axes.lines if line.get_alpha() == 0.5]
    assert [len(line.get_xdata()) for line in drawn] == [14] * 5
    means = [record["difference"] for record in reversed(list(table.pairwise("mean", ["en"])))]
    assert [line.get_xdata().mean() for line in drawn] == pytest.approx(means)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("tradeoff", "en"), "unknown kind of plot 'tradeoff'. Did you mean trade-off"),
        (("trade-off", "eh"), "no metric 'eh'"),
        (("trade-off", "en", "x.gif"), "x.gif: a figure is written as"),
    ],
)
def test_figures_that_are_none(table, asked, said):
    with pytest.raises(UsageError, match=said):
        table.plot(*asked)


def test_it_is_public():
    assert {"study", "StudyTable", "Records"} <= set(fusionkit.__all__)
