"""Kinds of components: one table, members with defaults, near-misses."""

from __future__ import annotations

from typing import Any

import pytest

from fusionkit import (
    ESTIMATOR,
    KINDS,
    METRIC,
    OBJECTIVE,
    WEIGHTING,
    BaseEstimator,
    BaseMetric,
    BaseObjective,
    BaseWeighting,
    Kind,
    Run,
)
from fusionkit.contract.guiding import levels, uses_trajectory
from fusionkit.contract.hooks import SPECS

BASES = {
    ESTIMATOR: BaseEstimator,
    WEIGHTING: BaseWeighting,
    OBJECTIVE: BaseObjective,
    METRIC: BaseMetric,
}


def test_every_kind_has_names_and_a_hook_of_its_own() -> None:
    for names in ("group", "title", "hook"):
        assert len({getattr(kind, names) for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        assert kind.summary in getattr(SPECS, kind.hook).__doc__


class Declared(BaseWeighting):
    """Says two things, and leaves the rest to the base class."""

    levels = "first"
    uses_trajectory = False

    def start(self, run: Run) -> Any:
        return None


def test_a_base_class_holds_the_defaults() -> None:
    assert (levels(Declared()), uses_trajectory(Declared())) == ("first", False)
    assert (levels(BaseWeighting()), uses_trajectory(BaseWeighting())) == ("all", True)
    assert Declared.sources == "any"


@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        (ESTIMATOR, "pixel_per_pass", "pixels_per_pass"),
        (WEIGHTING, "use_trajectory", "uses_trajectory"),
        (OBJECTIVE, "level", "levels"),
        (METRIC, "refernce", "reference"),
    ],
)
@pytest.mark.parametrize("inherits", [True, False])
def test_a_near_miss_is_refused_whether_or_not_the_base_class_is_inherited(
    kind: Kind, wrong: str, right: str, inherits: bool
) -> None:
    near = type("Near", (BASES[kind],) if inherits else (), {wrong: 1, "__module__": "mine"})
    assert f"attribute {wrong!r}, which nothing reads. Did you mean {right}?" in kind.misspelt(
        near()
    )
    both = type("Both", (near,), {right: getattr(BASES[kind], right), "__module__": "mine"})
    assert kind.misspelt(both()) == ""
