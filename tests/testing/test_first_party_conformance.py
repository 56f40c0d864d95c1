"""The kit passes for everything that fusionkit itself provides, and skips nothing of it."""

from __future__ import annotations

import tomllib

import pytest

import fusionkit
from fusionkit.testing import Check, CheckSkipped, checks_for
from tests.conftest import REPOSITORY

REGISTRY = fusionkit.load_plugins()
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
OURS = sorted(PROJECT["entry-points"]["fusionkit"])
PROVIDED = [provided for provided in REGISTRY.all() if provided.plugin.name in OURS]
# What loads a file which the person has to have; configured ones are tested apart.
NEEDS_WEIGHTS = {"adm", "diffusers", "network"}


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_the_plugin_is_sound(name: str) -> None:
    checks = list(checks_for(REGISTRY.plugin(name)))
    assert len(checks) >= 2
    for check in checks:
        check.run()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("component", "check"),
    [
        pytest.param(provided.component.name, check, id=f"{provided.qualified}-{check.name}")
        for provided in PROVIDED
        for check in checks_for(provided)
    ],
)
def test_the_promise_is_kept(component: str, check: Check) -> None:
    try:
        check.run()
    except CheckSkipped as skipped:
        if component not in NEEDS_WEIGHTS:
            raise AssertionError(f"left out: {skipped}") from skipped
        pytest.skip(str(skipped))


def test_no_kind_and_no_plugin_is_left_out() -> None:
    assert {provided.plugin.name for provided in PROVIDED} == set(OURS)
    counts: dict[str, int] = {}
    for provided in PROVIDED:
        counts[provided.kind.group] = len(list(checks_for(provided)))
    assert set(counts) >= {"estimator", "weighting", "objective", "metric"}
    assert counts.pop("recipe") == 1  # that it composes
    assert counts.pop("command") == counts.pop("reader") == 0  # their records say all there is
    assert min(counts.values()) >= 10
