"""Main effects and interactions of the axes of a study."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fusionkit.evaluation.factors import effects_of

SCENES = 6


def found(levels, values, axes):
    return {effect.label: effect.values for effect in effects_of(levels, values, axes)}


def test_a_planted_model_comes_out():
    """y = scene + 2 [w = dig] + 0.5 [steps = 4] + 1.5 [both], the mean over the other axis."""
    scene = np.random.default_rng(0).normal(0, 5, SCENES)
    levels = [{"w": w, "steps": s} for w, s in itertools.product(("fixed", "dig"), ("2", "4"))]
    values = np.array(
        [
            scene
            + 2 * (row["w"] == "dig")
            + 0.5 * (row["steps"] == "4")
            + 1.5 * (row["w"] == "dig" and row["steps"] == "4")
            for row in levels
        ]
    )[..., None]
    effects = found(levels, values, ["w", "steps"])
    expected = {
        "w: fixed to dig": 2 + 1.5 / 2,
        "steps: 2 to 4": 0.5 + 1.5 / 2,
        "w: fixed to dig x steps: 2 to 4": 1.5,
    }
    assert list(effects) == list(expected)
    for label, value in expected.items():
        assert effects[label][:, 0] == pytest.approx(np.full(SCENES, value))


def test_an_option_of_one_component_is_averaged_where_components_are_compared():
    levels = [{"w": "fixed"}, {"w": "dig", "w.window": "5"}, {"w": "dig", "w.window": "9"}]
    values = np.array([1.0, 3.0, 7.0])[:, None, None].repeat(2, 1)
    effects = found(levels, values, ["w", "w.window"])
    assert list(effects) == ["w: fixed to dig", "w.window: 5 to 9"]  # no fixed has a window
    assert effects["w: fixed to dig"].ravel().tolist() == [4.0, 4.0]
    assert effects["w.window: 5 to 9"].ravel().tolist() == [4.0, 4.0]


def test_only_settings_with_all_sides_count():
    """Where a corner is missing, its setting says nothing of the effect."""
    levels = [{"a": "0", "b": "0"}, {"a": "1", "b": "0"}, {"a": "1", "b": "1"}]
    values = np.array([1.0, 3.0, 100.0])[:, None, None]
    effects = found(levels, values, ["a", "b"])
    assert effects["a: 0 to 1"].item() == 2.0
    assert effects["b: 0 to 1"].item() == 97.0
    assert len(effects) == 2


def test_a_scene_that_a_row_lacks_has_no_effect():
    levels = [{"a": "0"}, {"a": "1"}, {"a": "2"}]
    values = np.array([[1.0, 2.0], [2.0, np.nan], [3.0, 5.0]])[..., None]
    effects = found(levels, values, ["a"])
    assert np.isnan(effects["a: 0 to 1"][:, 0]).tolist() == [False, True]
    assert effects["a: 0 to 2"][:, 0].tolist() == [2.0, 3.0]


def test_three_axes_are_averaged_over_the_third():
    names = ("a", "b", "c")
    levels = [dict(zip(names, point, strict=True)) for point in itertools.product("01", repeat=3)]
    a, b, c = (np.array([int(row[name]) for row in levels], float) for name in names)
    values = (a + 10 * b * c + 100 * a * b * c)[:, None, None]
    effects = {label: each.item() for label, each in found(levels, values, names).items()}
    assert effects["a: 0 to 1"] == pytest.approx(1 + 100 / 4)
    assert effects["b: 0 to 1 x c: 0 to 1"] == pytest.approx(10 + 100 / 2)
    assert len(effects) == 6
