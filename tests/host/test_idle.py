"""Settings and options that change nothing: what is said of them is true, and all are said."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fusionkit
from fusionkit import FusionkitWarning, PluginError, UsageError, compose
from fusionkit.cli import main
from fusionkit.contract.options import specs
from fusionkit.host.idle import idle
from fusionkit.host.parts import Part
from fusionkit.recipes.settings import Settings

SETTINGS: dict[str, Any] = {
    "steps": 2,
    "start-sigma": 0.7,
    "spacing": "log-sigma",
    "sigmas": [12.0, 0.1],
    "init": "noise",
    "seed": 1,
    "precision": "float64",
    "tile": 128,
    "colour": "rgb",
    "chroma": "none",
    "range": ["1:0,200"],
    "stretch": [1],
    "depth": "16",
}
"""Another value of every setting than a recipe has."""

ELSEWHERE = {"device", "compile", "quality", "metadata", "grid", "keep-patient"}
"""Settings that want another device, a compiler, or a file."""

OPTIONS: dict[str, Any] = {
    "weighting.loss": "l2",
    "weighting.granularity": "pixel",
    "weighting.subject": "exposure",
    "weighting.window": 15,
    "weighting.dynamic": True,
    "weighting.activation": "hard",
    "weighting.scale": 2.0,
    "weighting.consistency": 3,
    "weighting.stride": 1,
    "weighting.resolution": 4,
    "weighting.prior": "diffusion:compact",
    "weighting.sharpness": 3.0,
    "weighting.dig": 2.0,
    "objective.strength": 0.05,
    "objective.psi": 11.0,
    "objective.base": "saliency",
    "objective.hidden": 0.2,
    "objective.gain": 1.01,
    "objective.targets": 1.0,
    "objective.cold": 1.0,
}
"""Another value of every option than a recipe has."""

FILES = {
    f"{group}.{name}" for group in ("estimator", "weighting") for name in ("checkpoint", "sha256")
}
"""Options that want another file of weights, and what must be true of it."""

STACKS = {"objective.outlines"}
"""Options that show on focus stacks as a lens makes them."""

LARGE = {"weighting.resolution", "tile"}
"""What shows with images that are not small."""


def scene(height: int, width: int) -> list[NDArray[Any]]:
    """Two images as photographs are: shades, edges and texture; blurred here and there."""
    generator = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width].astype(float)
    shade = 120 + 50 * np.sin(x / 23 + y / 41)
    edges = 60 * ((x // 17 + y // 13) % 2) + 25 * (np.hypot(x - width / 2, y - height / 3) < 15)
    texture = generator.normal(0, 12, (height, width))
    grey = (0.5 * shade + np.where(x < width / 2, edges + texture, edges.mean())).clip(20, 220)
    bright = (0.8 * shade + np.where(x < width / 2, edges.mean(), edges + texture)).clip(0, 255)
    tint = np.stack([bright, 0.7 * bright + 30, 220 - 0.6 * bright], -1)
    return [grey.round().astype(np.uint8), tint.round().astype(np.uint8)]


SMALL_SCENE, LARGE_SCENE = scene(66, 70), scene(262, 268)


@pytest.fixture(scope="module")
def built() -> dict[str, Part]:
    """Components that are built, for all tests."""
    return {}


def fused(
    recipe: Mapping[str, Any], flag: str, value: Any, built: dict[str, Part], large: bool
) -> bytes:
    """Fuse with one flag changed; return the pixels, and of what kind they are."""
    group, dot, name = flag.partition(".")
    change = {group: {**recipe[group], name: value}} if dot else {flag: value}
    if flag == "estimator":
        change = {"estimator": {"name": value}}
    elif flag == "objective.strength":  # which wants a trajectory
        change["sampler"] = {"name": "ddim"}
    pipeline = compose(recipe={**recipe, **change}, built=built)
    image = fusionkit.fuse(LARGE_SCENE if large else SMALL_SCENE, pipeline=pipeline).image
    assert isinstance(image, np.ndarray)
    return f"{image.dtype} {image.shape} ".encode() + image.tobytes()


def base(built: dict[str, Part], **how: Any) -> tuple[dict[str, Any], set[str]]:
    """Return a resolved recipe in floating point, which shows the last bit, and what is idle."""
    made = {"device": "cpu", "precision": "float32", "depth": "float", **how}
    pipeline = compose(built=built, **made)
    return pipeline.as_recipe(), set(idle(pipeline))


def compare(recipe: dict[str, Any], flags: Mapping[str, Any], built: dict[str, Part]) -> set[str]:
    """Return the flags whose change shows in no bit."""
    usual = {
        large: fused(recipe, "seed", recipe["seed"], built, large)
        for large in {flag in LARGE for flag in flags}
    }
    return {
        flag
        for flag, value in flags.items()
        if fused(recipe, flag, value, built, flag in LARGE) == usual[flag in LARGE]
    }


@pytest.mark.slow
def test_every_setting_and_option_of_the_recipes_is_tried() -> None:
    assert {spec.name for spec in specs(Settings)} == set(SETTINGS) | ELSEWHERE
    registry = fusionkit.load_plugins()
    for task in fusionkit.tasks():
        recipe = compose(task=task, device="cpu").as_recipe()
        for kind in (fusionkit.ESTIMATOR, fusionkit.WEIGHTING, fusionkit.OBJECTIVE):
            component = registry.find(kind, recipe[kind.group]["name"]).component
            names = {f"{kind.group}.{spec.name}" for spec in specs(component.options)}
            assert names <= set(OPTIONS) | FILES | STACKS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
@pytest.mark.parametrize("task", fusionkit.tasks())
def test_in_a_shipped_recipe_what_is_idle_changes_no_bit_and_the_rest_does(
    task: str, built: dict[str, Part]
) -> None:
    recipe, found = base(built, task=task)
    assert {"steps", "spacing", "init", "sampler"} <= found
    assert ("weighting.stride" in found) == ("stride" in recipe["weighting"])
    own = {f"{kind}.{name}" for kind in ("weighting", "objective") for name in recipe[kind]}
    flags = {**SETTINGS, **{flag: value for flag, value in OPTIONS.items() if flag in own}}
    flags["estimator"] = "diffusion:gaussian"
    assert ("estimator" in found) == bool(recipe["weighting"].get("prior"))
    assert compare(recipe, flags, built) == found & set(flags)


LEVELS = {"steps", "start-sigma", "spacing", "sigmas", "init"}
"""What chooses the levels of a run, and how it starts."""

FIXED = {"weighting": "fixed", "objective": {"name": "mse", "strength": 0.0}}

COMPOSITIONS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "fixed weights": (
        FIXED,
        {*LEVELS, "seed", "tile"},
    ),
    "fixed weights, and noise to take off": (
        {**FIXED, "noise": ["1:10", "2:15"], "estimator": "compact"},
        {*LEVELS},
    ),
    "the same by a prior of any channels": (
        {**FIXED, "noise": ["1:10", "2:15"]},
        {*LEVELS, "seed"},
    ),
    "saliency": (
        {"weighting": "saliency"},
        {*LEVELS, "seed", "tile"},
    ),
    "increments without a trajectory": (
        {"weighting": "fixed", "objective": {"name": "increments", "strength": 0.0}},
        {"init"},
    ),
    "weights of every level": ({"weighting": {"dynamic": True}}, {"init"}),
    "a trajectory": ({**FIXED, "objective": {"name": "mse", "strength": 0.1}, "steps": 3}, set()),
    "a trajectory of one step": (
        {**FIXED, "objective": {"name": "mse", "strength": 0.1}, "steps": 1},
        {"spacing"},
    ),
    "levels by name": (
        {**FIXED, "objective": {"name": "mse", "strength": 0.1}, "sigmas": [6.0, 0.35]},
        {"steps", "start-sigma", "spacing"},
    ),
    "learned": ({"weighting": "learned"}, {*LEVELS, "seed", "tile"}),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_in_other_compositions_too(name: str, built: dict[str, Part]) -> None:
    how, expected = COMPOSITIONS[name]
    recipe, found = base(built, **{"estimator": "gaussian", **how})
    levels = {*LEVELS, "seed"}
    assert found & (levels | {"tile"}) == expected
    flags = {name: SETTINGS[name] for name in levels | {"tile"} & expected}
    assert compare(recipe, flags, built) == expected


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
@pytest.mark.parametrize(
    ("how", "flags"),
    [
        ({"granularity": "pixel"}, {"window": 3}),
        ({"granularity": "image", "dynamic": True}, {"window": 3}),
        ({"activation": "hard", "loss": "l1"}, {"scale": 1.0, "stride": 7}),
    ],
)
def test_options_are_idle_beside_others(
    how: dict[str, Any], flags: dict[str, Any], built: dict[str, Part]
) -> None:
    recipe, found = base(built, estimator="gaussian", weighting=how)
    tried = {f"weighting.{name}": value for name, value in flags.items()}
    assert set(tried) <= found
    assert compare(recipe, tried, built) == set(tried)


GRADIENTS = {"name": "gradients", "strength": 0.0}


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
@pytest.mark.parametrize(
    "how",
    [
        {"objective": {"name": "mse", "strength": 0.0}},
        {"weighting": {"dynamic": True}, "objective": GRADIENTS},
        *({"objective": {**GRADIENTS, "base": base}} for base in ("weights", "saliency")),
        {"objective": {**GRADIENTS, "targets": 1.0}, "colour": "rgb"},
    ],
)
def test_a_prior_is_idle_beside_another_in_its_place(
    how: dict[str, Any], built: dict[str, Part]
) -> None:
    weighting = {"name": "dig", "prior": "gaussian", **how.get("weighting", {})}
    given = {"estimator": "compact", "device": "cpu", "precision": "float32", "depth": "float"}
    pipeline = compose(built=built, **{**given, **how, "weighting": weighting})
    assert idle(pipeline)["estimator"] == (
        "weighting dig:dig asks diffusion:gaussian instead, and nothing else asks for an estimate"
    )
    flags = {"estimator": "diffusion:gaussian"}
    assert compare(pipeline.as_recipe(), flags, built) == {"estimator"}


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
@pytest.mark.parametrize(
    "how",
    [
        {"weighting": {"prior": ""}},
        {"objective": {"name": "mse", "strength": 0.1}},
        {"objective": "increments"},
        {"noise": ["1:10"]},
    ],
)
def test_so_it_is_not_where_something_asks_it(how: dict[str, Any], built: dict[str, Part]) -> None:
    weighting = {"name": "dig", "prior": "gaussian", **how.get("weighting", {})}
    recipe, found = base(built, estimator="compact", **{**how, "weighting": weighting})
    assert "estimator" not in found
    assert compare(recipe, {"estimator": "diffusion:gaussian"}, built) == set()


def test_the_noise_of_a_sampler_shows(built: dict[str, Part]) -> None:
    how = {**FIXED, "objective": {"name": "mse", "strength": 0.1}, "steps": 3}
    recipe, found = base(built, estimator="gaussian", **how)
    assert not {"sampler", "sampler.eta"} & found
    assert compare(recipe, {"sampler.eta": 0.5}, built) == set()


def test_a_sampler_that_is_left_out_must_be_one_nevertheless() -> None:
    for sampler, words in (("dim", "unknown sampler 'dim'"), ({"eat": 1}, "no option 'eat'")):
        with pytest.raises(UsageError, match=words):
            compose(estimator="gaussian", sampler=sampler, device="cpu")


def test_what_is_said_of_ddfms_released_form(built: dict[str, Part]) -> None:
    objective = {"name": "ddfm-em", "variant": "released"}
    recipe, found = base(
        built, estimator="gaussian", weighting="fixed", objective=objective, steps=2
    )
    assert "objective.strength" in found
    assert compare(recipe, {"objective.strength": 3.0}, built) == {"objective.strength"}


# How it is said


def test_python_warns_of_what_it_is_given(tmp_path: Path) -> None:
    with pytest.warns(FusionkitWarning) as caught:
        compose(
            estimator="gaussian",
            steps=9,
            sampler={"eta": 0.5},
            weighting={"stride": 3},
            device="cpu",
        )
    said = [str(warning.message) for warning in caught]
    assert len(said) == 3
    assert said[0].startswith("--steps changes nothing here: weighting dig:dig and objective ")
    assert said[1].startswith("--sampler.eta changes nothing here: ")
    assert said[2] == (
        "--weighting.stride changes nothing here: stride matters with dynamic yes only"
    )
    dig = {"name": "dig", "prior": "gaussian"}
    with pytest.warns(FusionkitWarning) as caught:
        compose(estimator={"name": "gaussian", "exponent": 2.5}, weighting=dig, device="cpu")
    (line,) = [str(warning.message) for warning in caught]
    assert line == (
        "--estimator and --estimator.exponent change nothing here: weighting dig:dig asks "
        "diffusion:gaussian instead, and nothing else asks for an estimate"
    )
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[sampler]\neta = 0.5\n")
    with pytest.warns(FusionkitWarning, match="--sampler.eta changes nothing"):
        compose(recipe=recipe, estimator="gaussian", device="cpu")
    record = tmp_path / "fused.png.json"
    record.write_text(json.dumps({"recipe": {"sampler": {"eta": 0.5}}}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compose(device="cpu")  # what a task says, nobody chose for this run
        compose(recipe=record, estimator="gaussian", device="cpu")  # and a record says everything
        compose(
            estimator="gaussian", start_sigma=1.2, seed=3, weighting={"scale": 2.0}, device="cpu"
        )


def test_the_command_says_it_once(
    tmp_path: Path, pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, path in zip(("a", "b"), pair, strict=True):
        (tmp_path / folder).mkdir()
        for name in ("1.png", "2.png"):
            (tmp_path / folder / name).write_bytes(Path(path).read_bytes())
    scenes = ["run", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "out")]
    flags = ["--estimator", "gaussian", "--weighting", "fixed", "--steps", "9", "--seed", "3"]
    assert main([*scenes, *flags]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("fusionkit: warning: --steps changes nothing here: ")
    assert lines[1].startswith("fusionkit: warning: --seed changes nothing here: ")
    assert main([*scenes, *flags, "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_strict_refuses_it(
    tmp_path: Path, pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", *pair, "-o", str(tmp_path / "out.png"), "--estimator", "gaussian", "--strict"]
    assert main([*run, "--sampler.eta", "0.5", "--weighting.stride", "4"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fusionkit: error: --sampler.eta changes nothing here: ")
    assert "; --weighting.stride changes nothing here: " in line
    assert not (tmp_path / "out.png").exists()
    assert main([*run, "--weighting.window", "3"]) == 0


# What is not needed is not run


class Counting:
    """A weighting of the sources alone that counts how often it is asked."""

    uses_trajectory = False
    levels = "none"

    def __init__(self, levels: str = "none", uses_trajectory: bool = False) -> None:
        self.levels = levels
        self.uses_trajectory = uses_trajectory
        self.calls = 0

    def start(self, run: Any) -> Any:
        def weigh(step: Any) -> Any:
            self.calls += 1
            return run.sources[:, :, :1] * 0 + 1 / len(run.sources)

        return weigh


@pytest.mark.parametrize(
    ("levels", "objective", "strength", "calls"),
    [
        ("none", "mse", 0.0, 1),
        ("first", "mse", 0.0, 1),
        ("all", "mse", 0.0, 4),
        ("none", "mse", 0.1, 5),  # the provisional one too
        ("none", "ddfm-em", 0.0, 4),  # which goes on from step to step
    ],
)
def test_one_step_is_run_where_all_are_alike(
    levels: str, objective: str, strength: float, calls: int
) -> None:
    weighting = Counting(levels)
    pipeline = compose(
        estimator="gaussian",
        weighting=weighting,
        objective={"name": objective, "strength": strength},
        device="cpu",
    )
    result = fusionkit.fuse(SMALL_SCENE, pipeline=pipeline)
    assert weighting.calls == calls
    assert result.record["run"]["steps"] == len(result.record["run"]["sigmas"])
    assert result.record["run"]["steps"] == (1 if calls == 1 else 4)
    assert result.record["recipe"]["steps"] == 4  # as the task says


def test_a_trace_shows_and_costs_what_is_run(pair: tuple[str, str]) -> None:
    pipeline = compose(estimator="gaussian", device="cpu")
    summary = fusionkit.trace(pipeline, pair).summary()
    assert len(summary["steps"]) == 1
    assert summary["nfe_of_trace"] <= 2


@pytest.mark.parametrize(
    ("weighting", "complaint"),
    [
        (Counting("some"), "levels is one of none, first, all, not 'some'"),
        (Counting("first", uses_trajectory=True), "uses_trajectory must be False"),
    ],
)
def test_what_levels_cannot_be(weighting: Counting, complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        compose(estimator="gaussian", weighting=weighting, device="cpu")


def test_a_pipeline_is_shown_in_one_line() -> None:
    shown = repr(compose(estimator="gaussian", weighting=Counting(), device="cpu"))
    assert shown == (
        "<Pipeline of diffusion:gaussian, <tests.host.test_idle.Counting>, objectives:gradients, "
        "samplers:direct; steps: 1; cpu, float32>"
    )


def test_an_idle_option_needs_another_to_be_idle_beside() -> None:
    from dataclasses import dataclass

    from fusionkit import option

    @dataclass(frozen=True)
    class Nobody:
        window: int = option(3, "A window.", only_with={"mode": ("a",)})

    @dataclass(frozen=True)
    class NoValue:
        mode: bool = option(True, "A mode.")
        window: int = option(3, "A window.", only_with={"mode": ("a",)})

    for options, words in ((Nobody, "mode, which is not another"), (NoValue, "expects yes or no")):
        with pytest.raises(TypeError, match=words):
            specs(options)
