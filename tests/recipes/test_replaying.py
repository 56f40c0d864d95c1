"""Replays: a record with other weights than those that ship is told of, and replayed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import fusionkit_learned.learned as learned
import numpy as np
import pytest
from PIL import Image

import fusionkit
from fusionkit import FusionkitWarning
from fusionkit.cli import main

OTHER = "0" * 64


@pytest.fixture(scope="module")
def sources() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    fine = rng.integers(60, 200, (40, 56)).astype(np.float32)
    coarse = np.asarray(Image.fromarray(fine).reduce(4).resize((56, 40)))
    left = np.where(np.arange(56) < 28, fine, coarse)
    return [each.astype(np.uint8) for each in (left, fine + coarse - left)]


@pytest.fixture(scope="module")
def made(sources: list[np.ndarray]) -> fusionkit.FusionResult:
    return quietly(sources, weighting="learned", objective="mse")


def quietly(sources: list[np.ndarray], **how: Any) -> fusionkit.FusionResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FusionkitWarning)
        return fusionkit.fuse(sources, device="cpu", **how)


def other(record: dict[str, Any], *components: str) -> dict[str, Any]:
    """Return a record as if components had had other weights when it was made."""
    found: dict[str, Any] = json.loads(json.dumps(record))
    for name in components:
        found["components"][name]["weights_sha256"] = OTHER
    return found


def said(**how: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fusionkit.compose(device="cpu", **how)
    return [str(each.message) for each in caught if each.category is FusionkitWarning]


def test_weights_that_changed_make_another_image_and_are_told_of(
    sources: list[np.ndarray], made: fusionkit.FusionResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = quietly(sources, recipe=made.record)
    assert (again.image == made.image).all()
    monkeypatch.setitem(learned.SHIPPED, "focus", learned.SHIPPED["exposure"])
    then, now = (made.record["components"]["weighting"]["weights_sha256"], learned.SHIPPED["focus"])
    (line,) = said(recipe=made.record)
    assert line.startswith("weighting learned (plugin learned, ")
    assert line.endswith(
        "its weights are not those that the record was made with "
        f"(SHA-256 {now[1][:12]}, not {then[:12]}): the image will differ"
    )
    assert (quietly(sources, recipe=made.record).image != made.image).any()


def test_a_version_alone_is_not_told_of(made: fusionkit.FusionResult) -> None:
    record = other(made.record)
    record["components"]["weighting"] |= {"version": "0.0.1", "code": OTHER}
    assert said(recipe=record) == said(recipe=made.record) == []
    assert said(recipe=made.record["recipe"]) == []  # which says nothing of weights


def test_what_is_chosen_anew_is_not_compared(made: fusionkit.FusionResult) -> None:
    record = other(made.record, "weighting")
    assert len(said(recipe=record)) == 1
    assert len(said(recipe=record, weighting="learned")) == 1  # the same again
    assert said(recipe=record, weighting="fixed") == []
    assert said(recipe=record, weighting={"subject": "exposure"}) == []


def test_a_prior_that_nobody_asks_changes_nothing(made: fusionkit.FusionResult) -> None:
    record = other(made.record, "estimator")
    another = {"name": "dig", "prior": "diffusion:gaussian"}
    assert said(recipe=record) == said(recipe=record, weighting=another) == []
    assert said(recipe=record, match="auto") == []
    for how in ({"weighting": "dig"}, {"noise": {1: 10}}):
        (line,) = said(recipe=record, **how)
        assert line.startswith("noise estimator compact (plugin diffusion, ")


def test_a_prior_is_told_of_where_it_is_asked(sources: list[np.ndarray]) -> None:
    """By the recipe of a task, DIG asks another one."""
    assert said(recipe=other(quietly(sources, task="general").record, "estimator")) == []
    asking = {"start_sigma": 1.2, "weighting": {"name": "dig", "prior": ""}, "objective": "mse"}
    record = quietly(sources, **asking).record
    assert said(recipe=record) == []
    (line,) = said(recipe=other(record, "estimator"))
    assert line.startswith("noise estimator compact (plugin diffusion, ")


@pytest.mark.parametrize("components", [None, [], {"weighting": "learned"}, {"weighting": {}}])
def test_a_record_that_names_no_weights_is_replayed(
    made: fusionkit.FusionResult, components: object
) -> None:
    assert said(recipe={**made.record, "components": components}) == []


def test_the_command_says_it_once_unless_it_is_quiet(
    sources: list[np.ndarray],
    made: fusionkit.FusionResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for scene in ("a", "b"):
        (folder := tmp_path / "scenes" / scene).mkdir(parents=True)
        for number, pixels in enumerate(sources):
            Image.fromarray(pixels).save(folder / f"{number}.png")
    record = tmp_path / "record.json"
    record.write_text(json.dumps(other(made.record, "weighting")))
    scenes = ["run", str(tmp_path / "scenes"), "-o", str(tmp_path / "out")]
    assert main([*scenes, "--recipe", str(record), "--strict"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "weights" in line]
    assert len(lines) == 1
    assert lines[0].startswith("fusionkit: warning: weighting learned (plugin learned, ")
    fused = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert (fused == made.image).all()  # here only the record was changed
    assert main([*scenes, "--recipe", str(record), "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
