"""Statistics and tables of scores, against values worked out by hand."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from scipy import stats

from fusionkit.evaluation.scores import Column, Scores
from fusionkit.evaluation.statistics import (
    effect_size,
    equivalence_test,
    holm,
    least_scenes,
    paired_bootstrap,
    randomisation_test,
    wilcoxon_test,
)
from fusionkit.evaluation.tables import (
    as_csv,
    as_json,
    as_markdown,
    as_text,
    differences_as_markdown,
)

NAN = float("nan")


def scores() -> Scores:
    table = Scores.empty(
        ["a", "b", "c"], ["one", "two"], [Column("up", True, "more"), Column("down", False, "less")]
    )
    table.set("a", "one", {"up": 1.0, "down": 5.0})
    table.set("a", "two", {"up": 3.0, "down": 7.0})
    table.set("b", "one", {"up": 2.0, "down": 1.0})
    table.set("b", "two", {"up": 4.0, "down": 1.0, "unknown": 9.0})
    table.set("c", "one", {"up": 2.0})
    return table


def test_means_and_deviations_leave_out_what_is_missing():
    assert np.allclose(scores().mean(), [[2, 6], [3, 1], [2, NAN]], equal_nan=True)
    assert np.allclose(scores().deviation()[:2], [[2**0.5, 2**0.5], [2**0.5, 0]])


def test_the_best_follows_the_direction():
    assert scores().best().tolist() == [[False, False], [True, True], [False, False]]


def test_ranks_share_ties_and_need_all_their_columns():
    names = ("mi", "scd", "vif", "qabf", "ssim")
    table = Scores.empty(["a", "b", "c"], ["one"], [Column(name, True) for name in names])
    for method, value in (("a", 3.0), ("b", 3.0), ("c", 1.0)):
        table.set(method, "one", dict.fromkeys(names, value))
    table.set("a", "one", {"mi": 9.0})
    assert set(table.ranks()) == {"rank5"}
    assert table.ranks()["rank5"].tolist() == [(1 + 4 * 1.5) / 5, (2 + 4 * 1.5) / 5, 3.0]
    table.set("c", "one", {"vif": NAN})
    assert table.ranks() == {}


def test_the_bootstrap_interval_is_that_of_a_mean():
    generator = np.random.default_rng(5)
    sample = generator.normal(1.0, 2.0, 400)
    found = paired_bootstrap(sample)
    assert found is not None
    assert found.mean == pytest.approx(sample.mean())
    half = 1.96 * sample.std(ddof=1) / 20
    assert found.low == pytest.approx(sample.mean() - half, abs=0.02)
    assert found.high == pytest.approx(sample.mean() + half, abs=0.02)
    assert found.clear
    assert paired_bootstrap(sample) == found  # the resampling is seeded


@pytest.mark.parametrize("count", [6, 12, 40])
def test_the_bootstrap_is_bias_corrected_and_accelerated(count):
    sample = np.random.default_rng(count).gamma(1.0, size=count)
    how = {"n_resamples": 10_000, "method": "BCa", "rng": np.random.default_rng(1)}
    expected = stats.bootstrap((sample,), np.mean, **how).confidence_interval
    found = paired_bootstrap(sample)
    assert found is not None
    assert [found.low, found.high] == pytest.approx(expected, abs=0.05 * sample.std())
    # The skewness of the sample is in it: a symmetric interval would not reach as far.
    assert found.high - found.mean > 1.1 * (found.mean - found.low)
    shuffled = np.random.default_rng(2).permutation(sample)
    assert paired_bootstrap(shuffled) == found


def test_the_other_tests_are_those_of_scipy():
    sample = np.random.default_rng(3).normal(0.1, 1.0, 25)
    assert wilcoxon_test(sample) == pytest.approx(stats.wilcoxon(sample).pvalue)
    assert wilcoxon_test(np.array([0.0, 0.0, NAN])) == 1
    sides = [
        stats.ttest_1samp(sample, 0.5, alternative="less").pvalue,
        stats.ttest_1samp(sample, -0.5, alternative="greater").pvalue,
    ]
    assert equivalence_test(sample, 0.5) == pytest.approx(max(sides))
    assert equivalence_test(np.array([0.1, 0.1]), 0.2) == 0
    assert equivalence_test(np.array([0.3, 0.3]), 0.2) == 1
    assert equivalence_test(np.array([0.1]), 0.2) == 1
    assert effect_size(sample) == pytest.approx(sample.mean() / sample.std(ddof=1))
    assert effect_size(np.array([0.5, 0.5])) == np.inf
    assert effect_size(np.zeros(3)) == 0


def test_the_bootstrap_is_paired_and_leaves_out_missing_scenes():
    found = paired_bootstrap(np.array([0.5, NAN, 0.5]))
    assert found is not None
    assert (found.mean, found.low, found.high, found.scenes) == (0.5, 0.5, 0.5, 2)
    assert paired_bootstrap(np.array([NAN])) is None
    differences = scores().differences("a")
    assert list(differences) == ["b", "c"]
    assert differences["b"][0].mean == 1.0
    assert differences["c"][0].scenes == 1
    assert differences["c"][1] is None


def test_markdown_has_the_best_in_bold():
    lines = as_markdown(scores()).splitlines()
    assert lines[0] == "| method | up ↑ | down ↓ |"
    assert lines[3] == "| b | **3.000** | **1.000** |"
    assert lines[4] == "| c | 2.000 | - |"


def test_differences_are_bold_where_they_stand_out_in_the_table():
    table = differences_as_markdown(scores(), "a")
    assert "| +1.000 [+1.000, +1.000] |" in table  # two scenes show nothing
    assert table.splitlines()[3].endswith("| - |")
    assert "corrected for 2 comparisons (Holm), which takes 7 scenes or more" in table
    found = differences_as_markdown(many_scenes(12), "a")
    assert "| **+1.000 [+0." in found
    assert "corrected for 40 comparisons (Holm), which takes 11 scenes or more" in found


def many_scenes(count: int) -> Scores:
    """Two methods and forty columns, of which the first differs by 1, the others by noise."""
    generator = np.random.default_rng(1)
    names = [str(n) for n in range(count)]
    table = Scores.empty(["a", "b"], names, [Column(f"m{n}", True) for n in range(40)])
    table.values[0] = 0
    table.values[1] = generator.normal(0, 1, (count, 40))
    swing = generator.normal(0, 0.1, count)
    table.values[1, :, 0] = 1 + swing - swing.mean()
    return table


def test_what_stands_out_is_corrected_for_the_number_of_comparisons():
    found = many_scenes(12).differences("a")["b"]
    assert found[0].stands_out
    assert sum(each.clear for each in found[1:]) > 0  # of 39 intervals, some exclude zero
    assert not any(each.stands_out for each in found[1:])
    # With too few scenes nothing stands out, however large it is.
    few = many_scenes(10).differences("a")["b"]
    assert few[0].clear
    assert not few[0].stands_out
    assert least_scenes(40) == 11


def test_holm_is_that_of_the_book():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_randomisation_test_counts_signs():
    # Of the 2^3 patterns, +++ and --- alone are as far from zero.
    assert randomisation_test(np.array([[1.0, 2.0, 3.0]]))[0] == 2 / 8
    # A scene that is missing changes nothing.
    assert randomisation_test(np.array([[1.0, NAN, 2.0, 3.0]]))[0] == 2 / 8
    assert randomisation_test(np.zeros((1, 5)))[0] == 1
    sample = np.random.default_rng(2).normal(0.4, 1.0, (1, 40))
    t = sample.mean() / (sample.std(ddof=1) / 40**0.5)
    expected = 2 * stats.t.sf(abs(t), 39)
    assert randomisation_test(sample)[0] == pytest.approx(expected, rel=0.15)


@pytest.mark.slow
def test_false_statements_are_as_rare_as_said():
    """Where nothing differs, a table of 20 comparisons says so in 19 of 20 cases or more."""
    generator = np.random.default_rng(4)
    false = 0
    for _ in range(200):
        table = Scores.empty(
            ["a", "b"], list("abcdefghij"), [Column(f"m{n}", True) for n in range(20)]
        )
        table.values[:] = generator.normal(size=table.values.shape)
        false += any(each.stands_out for each in table.differences("a")["b"])
    assert false <= 18  # 10 are expected at most; 18 in 1 of 100 cases


def test_text_marks_the_best_and_lines_up():
    lines = as_text(scores()).splitlines()
    assert "3.000 ± 1.414*" in lines[2]
    columns = [line.index(word) for line, word in zip(lines, ("up", "2.0", "3.0"), strict=False)]
    assert len(set(columns)) == 1
    assert "\033[1m3.000 ± 1.414\033[0m" in as_text(scores(), bold=True)


def test_csv_holds_every_value_exactly():
    table = scores()
    table.set("a", "one", {"up": 1 / 3})
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert len(rows) == 6
    assert float(rows[0]["up"]) == 1 / 3
    assert rows[5] == {"method": "c", "scene": "two", "up": "", "down": ""}


def test_sums_are_given_per_source_too():
    table = Scores.empty(
        ["a"], ["pair", "stack"], [Column("mi", True, "", True), Column("en", True)]
    )
    table.counts = {"pair": 2, "stack": 4}
    table.set("a", "pair", {"mi": 3.0, "en": 1.0})
    table.set("a", "stack", {"mi": 8.0, "en": 1.0})
    assert {name: list(values) for name, values in table.mean_per_source().items()} == {
        "mi": [1.75]
    }
    assert json.loads(as_json(table))["methods"]["a"]["mean_per_source"] == {"mi": 1.75}


def test_json_holds_everything():
    table = scores()
    table.problems.append("c, two: no fused image of this name")
    content = json.loads(as_json(table, "a"))
    assert content["metrics"]["down"] == {"higher_is_better": False, "convention": "less"}
    assert content["methods"]["b"]["mean"] == {"up": 3.0, "down": 1.0}
    assert content["methods"]["c"]["scenes"]["two"] == {"up": None, "down": None}
    found = content["differences"]["methods"]["b"]["up"]
    assert (found["mean"], found["p"], found["stands_out"]) == (1.0, 1.0, False)
    assert content["problems"] == ["c, two: no fused image of this name"]


def test_one_scene_has_no_interval():
    scores = Scores.empty(["a", "b"], ["one", "two"], [Column("x", True)])
    scores.set("a", "one", {"x": 1.0})
    scores.set("b", "one", {"x": 3.0})
    (difference,) = scores.differences("a")["b"]
    assert not difference.clear
    assert "| b | +2.000 |" in differences_as_markdown(scores, "a")
    scores.set("a", "two", {"x": 1.0})
    scores.set("b", "two", {"x": 4.0})
    assert "| b | +2.500 [+2.000, +3.000] |" in differences_as_markdown(scores, "a")
