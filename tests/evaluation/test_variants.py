"""The cartesian product of an ablation, and its baselines."""

from __future__ import annotations

import pytest

import fusionkit
from fusionkit import UsageError
from fusionkit.evaluation.cost import nfe_of, steps_at_nfe
from fusionkit.evaluation.departures import departure, named_flags
from fusionkit.evaluation.origins import Origins
from fusionkit.evaluation.study import cells_of
from fusionkit.evaluation.variants import at_same_cost, product, rungs
from fusionkit.recipes.finding import task_recipe

REGISTRY = fusionkit.load_plugins()
BASE = task_recipe("general")


def variants(**axes: str):
    named = {key.replace("__", ".").replace("_", "-"): v.split(",") for key, v in axes.items()}
    return product(BASE, named, REGISTRY)


def test_every_combination_once():
    found = variants(weighting="fixed,dig", objective="mse,increments", steps="4,6")
    assert len(found) == 8
    assert len({variant.key for variant in found}) == 8
    assert found[0].label == "fixed, mse, steps 4"
    assert found[0].recipe["weighting"]["name"] == "fixed:fixed"
    assert "seed" not in found[0].recipe


def test_an_option_concerns_only_components_that_have_it():
    found = variants(weighting="fixed,dig", weighting__window="3,7")
    assert [variant.label for variant in found] == ["fixed", "dig, window 3", "dig, window 7"]


def test_an_axis_of_one_value_changes_the_recipe_and_not_the_label():
    (only,) = variants(weighting__window="5", steps="3")
    assert only.recipe["weighting"]["window"] == 5
    assert only.recipe["steps"] == 3
    assert only.label == "dig"


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"weighting": "fixd"}, "Did you mean fixed"),
        ({"weighting__windw": "3"}, "Did you mean window"),
        ({"weighting": "fixed", "weighting__window": "3"}, "option of dig"),
        ({"weighting__window": "4"}, "odd"),
        ({"weighting__window": "x"}, "whole number"),
        ({"stepps": "3"}, "Did you mean steps"),
        ({"wieghting__window": "3"}, "Did you mean weighting"),
    ],
)
def test_what_cannot_be_combined_is_said(axes, words):
    with pytest.raises(UsageError, match=words):
        variants(**axes)


EVERY_LEVEL = {"weighting__dynamic": "yes", "weighting__stride": "1"}
TRAJECTORY = {"objective": "mse", "objective__strength": "0.1", "steps": "5"}


def test_rungs_take_away_the_trajectory():
    (variant,) = variants(steps="4", estimator="gaussian", objective__strength="0.02")
    (target_only,) = rungs(variant, REGISTRY)  # the prior is the closed-form one already
    assert target_only.role == "target only"
    assert target_only.recipe["objective"]["strength"] == 0
    assert target_only.recipe["weighting"] == variant.recipe["weighting"]
    assert list(rungs(target_only, REGISTRY)) == []


@pytest.mark.parametrize("name", ["gaussian", "diffusion:gaussian"])
def test_no_rung_by_the_closed_form_prior_where_it_is_asked_by_any_name(name):
    asked = {"estimator": "compact", "weighting__prior": name, "objective__strength": "0"}
    (variant,) = variants(**asked)
    assert list(rungs(variant, REGISTRY)) == []
    (variant,) = variants(**{**asked, "weighting__prior": "compact"})
    assert [rung.role for rung in rungs(variant, REGISTRY)] == ["gaussian prior"]


def test_fixed_weights_get_the_same_number_of_evaluations():
    (shrunk,) = variants(**TRAJECTORY, **EVERY_LEVEL, weighting__resolution="4")
    target = nfe_of(shrunk.recipe, 2, REGISTRY)
    assert target == 5 + 10 / 16  # the sources at a quarter of their width and height
    assert steps_at_nfe(shrunk, target, 2, REGISTRY) == 6
    (variant,) = variants(**TRAJECTORY, **EVERY_LEVEL, weighting__resolution="1")
    target = nfe_of(variant.recipe, 2, REGISTRY)
    assert target == 15  # 5 on the trajectory, 2 sources at 5 levels
    steps = steps_at_nfe(variant, target, 2, REGISTRY)
    assert steps == 15
    same = at_same_cost(variant, steps, REGISTRY)
    assert nfe_of(same.recipe, 2, REGISTRY) == target
    # Without a trajectory fixed weights cost nothing, and more steps buy nothing.
    (free,) = variants(objective="mse", objective__strength="0")
    assert steps_at_nfe(free, 20, 2, REGISTRY) is None


def test_cells_are_known_by_their_resolved_recipe():
    (plain,) = variants()
    (spelled,) = variants(weighting__window="9")
    assert plain.key == spelled.key
    cells = cells_of([plain], [0, 1], Origins(REGISTRY), sources=2)
    assert [cell.seed for cell in cells[:2]] == [0, 1]
    assert len({cell.key for cell in cells}) == 7
    trivial = ["mean", "max", "laplacian-max", "source 1", "source 2"]
    assert [cell.label for cell in cells[2:]] == trivial
    assert cells[-1].key == "source-2"


def test_components_of_an_axis_are_matched_if_asked():
    axes = {"weighting": ["dig", "saliency", "dig-residual", "fixed"]}
    base = task_recipe("infrared-visible")
    own = [variant.recipe["weighting"] for variant in product(base, axes, REGISTRY)]
    dig, saliency, residual, _ = own
    assert (dig["window"], dig["consistency"]) == (9, 21)
    assert (saliency["window"], saliency["consistency"]) == (11, 1)
    matched = [variant.recipe["weighting"] for variant in product(base, axes, REGISTRY, match=True)]
    assert matched[0] == dig
    assert (matched[1]["window"], matched[1]["consistency"]) == (9, 21)
    assert matched[1]["sharpness"] == saliency["sharpness"]
    for name in residual:
        expected = residual[name] if name in ("name", "mode") else dig[name]
        assert matched[2][name] == expected, name
    assert matched[3] == own[3]
    # What the command line says stands above that, for all that have it.
    axes["weighting.window"] = ["5"]
    windows = [
        variant.recipe["weighting"].get("window") for variant in product(base, axes, REGISTRY, True)
    ]
    assert windows == [5, 5, 5, None]


def test_lists_are_separated_by_semicolons():
    axes = {"sigmas": ["25", "6;12", "2"], "weighting": ["fixed"]}
    found = product(BASE, axes, REGISTRY)
    assert [variant.recipe["sigmas"] for variant in found] == [[25.0, 6.0], [12.0, 2.0]]
    assert [variant.label for variant in found] == [
        "fixed, sigmas 25,6",
        "fixed, sigmas 12,2",
    ]
    axes = {"weighting.weights": ["0.7", "0.3"], "weighting": ["fixed"]}
    (found,) = product(BASE, axes, REGISTRY)
    assert found.recipe["weighting"]["weights"] == [0.7, 0.3]
    assert found.label == "fixed"


def test_departures_are_told_from_what_the_study_is_about():
    axes = {"weighting": ["dig", "saliency"], "steps": ["4", "6"]}
    found = product(task_recipe("infrared-visible"), axes, REGISTRY)
    reference = found[0].recipe
    by_label = {variant.label: variant.recipe for variant in found}
    named = named_flags(axes, "variant")
    steps = departure(by_label["dig, steps 6"], reference, named)
    assert (steps.named, steps.others, steps.own) == ({"steps": (6, 4)}, {}, {})
    saliency = departure(by_label["saliency, steps 4"], reference, named)
    assert saliency.named == {"weighting": ("saliency:saliency", "dig:dig")}
    assert saliency.others["weighting.window"] == (11, 9)
    assert saliency.others["weighting.consistency"] == (1, 21)
    assert {"weighting.sharpness", "weighting.measure"} <= set(saliency.own)
    matched = product(task_recipe("infrared-visible"), axes, REGISTRY, match=True)
    assert not any(departure(v.recipe, reference, named).others for v in matched)
