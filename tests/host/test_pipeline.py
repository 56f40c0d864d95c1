"""Composing components, named or built, and what a pipeline makes of good and bad ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_fixed import Fixed
from fusionkit_objectives.mse import Mse
from torch import Tensor

import fusionkit
from fusionkit import (
    ESTIMATOR,
    OBJECTIVE,
    SAMPLER,
    WEIGHTING,
    BuildContext,
    Component,
    PluginError,
    PluginInfo,
    PluginLoadError,
    Provided,
    Registry,
    Step,
    UsageError,
    compose,
    load_plugins,
    option,
)
from fusionkit.contract.options import to_mapping
from fusionkit.contract.run import Run
from fusionkit.testing.doubles import EulerSampler

N = 3
CPU: dict[str, Any] = {"device": "cpu", "steps": N}
LED: dict[str, Any] = {"name": "mse", "strength": 0.1}  # looks at the fused trajectory

pytestmark = pytest.mark.usefixtures("a_light_default")


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * 2 - 1


def options_of(pipe: fusionkit.Pipeline, group: str) -> dict[str, Any]:
    return dict(pipe.parts[group].table)


def recipe_file(folder: Path, text: str, name: str = "recipe.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


# Composing


@pytest.mark.parametrize(
    "weighting",
    [
        "dig",
        "dig:dig",
        {"name": "dig"},
        {"name": "dig:dig", "window": 11},
        {"window": 11},  # options for the recipe's choice
        None,
    ],
)
def test_a_component_by_name_or_table(weighting: Any) -> None:
    pipe = compose(weighting=weighting, **CPU)
    assert options_of(pipe, "weighting")["name"] == "dig:dig"
    assert options_of(pipe, "weighting")["window"] == 11
    assert pipe.parts["weighting"].provided is not None


def test_a_table_sets_options_with_either_hyphen() -> None:
    pipe = compose(weighting={"name": "dig", "window": 5, "loss": "l1"}, **CPU)
    table = options_of(pipe, "weighting")
    assert (table["window"], table["loss"], table["scale"]) == (5, "l1", 16.0)
    assert pipe.parts["weighting"].built.window == 5
    assert (
        compose(**CPU, start_sigma=3.4).settings
        == compose(  # the same setting, as recipes say it
            recipe={"start-sigma": 3.4}, **CPU
        ).settings
    )


def test_objects_in_the_place_of_names() -> None:
    estimator, weighting, objective = GaussianEstimator(), Fixed(), Mse(0.2)
    empty = Registry([], [])  # nothing is looked up
    pipe = compose(
        estimator=estimator,
        weighting=weighting,
        objective=objective,
        sampler=EulerSampler(),
        registry=empty,
        **CPU,
    )
    assert pipe.parts["estimator"].built is estimator
    assert pipe.parts["weighting"].built is weighting
    assert pipe.parts["objective"].built is objective
    assert pipe.parts["objective"].provided is None
    assert pipe.parts["objective"].label == "objective Mse"
    assert pipe(draw(2, 1, 1, 4, 4)).image.shape == (1, 1, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"weighting": "digg"}, "unknown weighting 'digg'. Did you mean"),
        ({"weighting": "dgi:dig"}, "unknown weighting 'dgi:dig'. Did you mean dig:dig"),
        ({"estimator": "gausian"}, "unknown noise estimator 'gausian'. Did you mean"),
        ({"objective": "dig"}, "unknown objective 'dig'."),
        ({"weighting": {"windw": 3}}, "weighting dig has no option 'windw'. Did you mean window?"),
        ({"weighting": {"name": "fixed", "window": 3}}, "weighting fixed has no option 'window'"),
        ({"weighting": {"window": 4}}, "weighting dig: window must be odd, not 4"),
        ({"weighting": {"window": "7"}}, "weighting dig: window expects a whole number, not '7'"),
        ({"weighting": {"name": 3}}, "[weighting] must name a weighting"),
        ({"objective": {"strength": -1}}, "objective increments: strength must be at least 0"),
        ({"stesp": 3}, "'stesp'. Did you mean steps"),
        ({"weightin": "dig"}, "'weightin'. Did you mean weighting"),
        ({"steps": 0}, "settings: steps must be at least 1, not 0"),
        ({"steps": 2.0}, "settings: steps expects a whole number"),
        ({"start_sigma": 0}, "settings: start-sigma must be above 0"),
        ({"spacing": "even"}, "settings: spacing must be one of ddpm, log-sigma, edm"),
        ({"init": "mean"}, "settings: init must be one of auto, noise, fusion"),
        ({"seed": -1}, "settings: seed must be at least 0"),
        ({"sigmas": [5, 7]}, "noise levels decrease strictly and are above 0, unlike 5, 7"),
        ({"sigmas": [5, 0]}, "settings: sigmas must be above 0"),
        ({"start_sigma": 200}, "--start-sigma 200 is more than DDPM's schedule has, 157.4"),
        ({"start_sigma": 0.01, "spacing": "edm"}, "--spacing edm ends at 0.01"),
        ({"sampler": "dim"}, "unknown sampler 'dim'. Did you mean"),
        ({"sampler": {"eat": 1}, "objective": LED}, "has no option 'eat'. Did you mean eta?"),
        ({"sampler": {"eta": 1.5}, "objective": LED}, "sampler ddim: eta must be at most 1"),
        ({"sampler": Fixed(), "objective": LED}, "fusionkit.Sampler says"),
        ({"device": "cqu"}, "unknown device 'cqu'"),
        ({"task": "generl"}, "unknown recipe 'generl'. Did you mean general"),
        ({"task": "general", "recipe": {}}, "give a task or a recipe, not both"),
        ({"recipe": {"weighting": 3}}, "weighting must be a name or a table, not 3"),
        ({"weighting": 3}, "weighting: 3 is neither a name, a table, nor an object"),
        ({"weighting": Fixed}, "weighting: "),  # the class instead of an object of it
        ({"estimator": Fixed()}, "does what fusionkit.NoiseEstimator says"),
    ],
)
def test_what_cannot_be_composed(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose(**{"device": "cpu", **arguments})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_task_composes() -> None:
    assert "general" in fusionkit.tasks()
    for task in fusionkit.tasks():
        try:
            compose(task=task, device="cpu")
        except PluginLoadError as error:  # pragma: no cover
            pytest.fail(f"{task}: {error}")


# Recipes


def test_naming_another_component_drops_the_options_of_the_recipes() -> None:
    recipe = {"weighting": {"name": "dig", "window": 5}, "objective": {"strength": 0.7}}
    assert options_of(compose(recipe=recipe, **CPU), "weighting")["window"] == 5
    fixed = compose(recipe=recipe, weighting="fixed", **CPU)
    assert options_of(fixed, "weighting") == {"name": "fixed:fixed", "weights": []}
    assert options_of(fixed, "objective")["strength"] == 0.7  # what was not named stays
    same = compose(recipe=recipe, weighting="dig", **CPU)
    assert options_of(same, "weighting")["window"] == 5
    more = compose(recipe=recipe, weighting={"scale": 2.0}, **CPU)
    assert (options_of(more, "weighting")["window"], options_of(more, "weighting")["scale"]) == (
        5,
        2.0,
    )


def test_a_record_that_names_providers_keeps_its_options_for_the_bare_name() -> None:
    recipe = {"weighting": {"name": "dig:dig", "window": 5}}
    assert options_of(compose(recipe=recipe, weighting="dig", **CPU), "weighting")["window"] == 5


def test_a_toml_recipe(tmp_path: Path) -> None:
    path = recipe_file(
        tmp_path,
        """
        steps = 4
        start-sigma = 6.1

        [weighting]
        name = "dig"
        window = 7

        [objective]
        name = "mse"
        strength = 0.3
        """,
    )
    for given in (path, str(path)):
        pipe = compose(recipe=given, device="cpu")
        assert (pipe.settings.steps, pipe.settings.start_sigma) == (4, 6.1)
        assert options_of(pipe, "weighting")["window"] == 7
        assert options_of(pipe, "objective") == {"name": "objectives:mse", "strength": 0.3}
        assert options_of(pipe, "estimator")["name"] == "diffusion:gaussian"  # the default's
    assert compose(recipe=path, device="cpu", steps=5).settings.steps == 5  # arguments win


def test_the_resolved_recipe_in_a_record_gives_the_same_pixels(tmp_path: Path) -> None:
    sources = draw(2, 1, 1, 9, 8)
    pipe = compose(
        weighting={"name": "dig", "window": 3},
        sampler={"eta": 0.5},
        start_sigma=3.4,
        seed=9,
        steps=2,
        device="cpu",
    )
    recipe = {
        **to_mapping(pipe.settings),
        **{group: dict(part.table) for group, part in pipe.parts.items()},
    }
    for content in (recipe, {"recipe": recipe, "nfe": 6, "outputs": ["fused.png"]}):
        path = recipe_file(tmp_path, json.dumps(content), "record.json")
        again = compose(recipe=path)
        assert again.settings == pipe.settings
        assert again.schedule == pipe.schedule
        assert torch.equal(again(sources).image, pipe(sources).image)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("broken.toml", "steps = = 3", "is not valid: "),
        ("broken.toml", "[weighting\nname = 3", "is not valid: "),
        ("broken.json", "{", "is not valid: "),
        ("list.json", "[1, 2]", "holds no recipe"),
        ("text.json", '{"recipe": "dig"}', "holds no recipe"),
        ("unknown.toml", "stesp = 3", "'stesp'. Did you mean steps"),
        ("table.toml", "weighting = 3", "weighting must be a name or a table"),
        ("binary.toml", "\udcff\udcfe", "cannot be read"),
    ],
)
def test_broken_recipes(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        compose(recipe=path, device="cpu")
    assert complaint in str(caught.value)
    if name != "table.toml":
        assert str(path) in str(caught.value)


def test_missing_recipes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe .*none.toml does not exist"):
        compose(recipe=tmp_path / "none.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        compose(recipe=tmp_path)


# Sources and seeds


class Colour(GaussianEstimator):
    """A prior of three channels."""

    channels = 3  # type: ignore[assignment]

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        assert x.device.type == "meta" or x.shape[1] == 3
        return super().denoise(x, sigma)


def test_grey_goes_through_three_channels_and_comes_back_as_their_mean() -> None:
    sources = draw(2, 2, 1, 8, 9)
    estimator = Colour()
    pipe = compose(estimator=estimator, weighting={"name": "dig", "window": 3}, **CPU)
    steps: list[fusionkit.SampledStep] = []
    fused = pipe(sources, seed=[1, 2], on_step=steps.append)
    assert fused.image.shape == (2, 1, 8, 9)
    assert fused.weights.shape == (2, 2, 1, 8, 9)
    colour = pipe(sources.expand(2, 2, 3, 8, 9), seed=[1, 2])
    assert colour.image.shape == (2, 3, 8, 9)
    assert (fused.image - colour.image.mean(1, keepdim=True)).abs().max() < 1e-6
    # The same noise in each channel would lie outside a colour prior's noise model.
    x = steps[0].step.x[0]
    assert (x[0] - x[1]).abs().max() > 0.1
    noise = steps[0].step.run.noise("fusionkit/sources")
    assert (noise[:, 0] - noise[:, 2]).abs().max() > 0.1
    assert fused.nfe == 2 * N + N  # an image of three channels is one evaluation


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ((2, 1, 8, 8), r"sources must be \(K, B, C, H, W\), not \(2, 1, 8, 8\)"),
        ((1, 1, 1, 8, 8), "one source only"),
        ((2, 1, 4, 8, 8), "sources have 4 channels, noise estimator Colour takes 3: "),
        ((2, 1, 2, 8, 8), "sources have 2 channels, noise estimator Colour takes 3: "),
    ],
)
def test_sources_of_the_wrong_shape(shape: tuple[int, ...], complaint: str) -> None:
    pipe = compose(estimator=Colour(), **CPU)
    with pytest.raises(UsageError, match=complaint):
        pipe(draw(*shape))
    with pytest.raises(UsageError, match=complaint):
        list(pipe.steps(draw(*shape)))


def test_sources_that_are_not_finite_are_not_blamed_on_a_plugin() -> None:
    sources = draw(2, 1, 1, 8, 8)
    sources[1, 0, 0, 3, 3] = torch.nan
    with pytest.raises(fusionkit.FusionkitError, match="source") as caught:
        compose(**CPU)(sources)
    assert not any(word in str(caught.value) for word in ("gaussian", "dig", "increments"))


def test_seeds() -> None:
    sources = draw(2, 1, 1, 8, 8).expand(2, 3, 1, 8, 8)
    pipe = compose(seed=4, **CPU)
    image = pipe(sources).image
    assert torch.equal(image, pipe(sources, seed=4).image)
    assert torch.equal(image, pipe(sources, seed=[4, 4, 4]).image)
    assert (image[0] - image[1]).abs().max() < 1e-5  # one seed for all: the same noise
    other = pipe(sources, seed=(4, 5, 4)).image
    assert (other[1] - other[0]).abs().max() > 1e-3
    for seeds in ([4, 4], [], range(4)):
        with pytest.raises(UsageError, match=f"{len(seeds)} seeds for a batch of 3"):
            pipe(sources, seed=seeds)


def test_the_averaged_weights_are_those_of_the_steps() -> None:
    steps: list[fusionkit.SampledStep] = []
    fused = compose(**CPU)(draw(2, 1, 1, 8, 8), on_step=steps.append)
    assert fused.steps == len(steps) == N
    mean = torch.stack([done.weights for done in steps]).mean(0)
    assert (fused.weights - mean).abs().max() < 1e-6
    assert torch.equal(fused.image, steps[-1].corrected)


# Bad components

BIG = 8


def _weigh(make: Callable[[Run, Step], Any]) -> Any:
    """A weighting that is right at the first step and returns ``make(run, step)`` at the next."""

    class Bad:
        uses_trajectory = False

        def start(self, run: Run) -> Any:
            good = Fixed().start(run)
            return lambda step: good(step) if step.index == 0 else make(run, step)

    return Bad()


def _even(run: Run) -> Tensor:
    K, B, _, H, W = run.sources.shape
    return torch.full((K, B, 1, H, W), 1 / K)


def _raise(error: Exception) -> Any:
    raise error


BAD_WEIGHTS: dict[str, tuple[Callable[[Run, Step], Any], str]] = {
    "nan": (lambda run, step: _even(run) * torch.nan, "returned weights that are not finite"),
    "infinite": (lambda run, step: _even(run) / 0, "returned weights that are not finite"),
    "negative": (
        lambda run, step: torch.stack([torch.full_like(w, 2.0 * k - 0.5) for k, w in _pairs(run)]),
        "returned negative weights",
    ),
    "off the simplex": (lambda run, step: 0.6 * _even(run), "do not sum to 1 over the sources"),
    "one channel too many": (
        lambda run, step: _even(run).expand(2, 1, 3, BIG, BIG),
        "returned weights of shape (2, 1, 3, 8, 8), expected (2, 1, 1, 8, 8)",
    ),
    "to be broadcast": (
        lambda run, step: torch.full((2, 1, 1, 1, 1), 0.5),
        "returned weights of shape (2, 1, 1, 1, 1)",
    ),
    "whole numbers": (lambda run, step: _even(run).long(), "weights of torch.int64, expected"),
    "no tensor": (lambda run, step: [0.5, 0.5], "returned list for weights, not a tensor"),
    "nothing": (lambda run, step: None, "returned NoneType for weights, not a tensor"),
    "raising": (
        lambda run, step: _raise(KeyError("over\nthe lines")),
        "failed at step 2 of 3",
    ),
}


def _pairs(run: Run) -> Iterator[tuple[int, Tensor]]:
    yield from enumerate(_even(run))


def _check_message(error: pytest.ExceptionInfo[PluginError], who: str, complaint: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(who)
    assert complaint in message


@pytest.mark.parametrize("bad", BAD_WEIGHTS)
def test_a_bad_weighting_is_named_with_step_and_level(bad: str) -> None:
    make, complaint = BAD_WEIGHTS[bad]
    pipe = compose(weighting=_weigh(make), objective=LED, **CPU)
    with pytest.raises(PluginError) as caught:
        pipe(draw(2, 1, 1, BIG, BIG))
    _check_message(caught, "weighting Bad", complaint)
    level = f"{pipe.schedule.sigma[1]:.4g}"
    assert f"at step 2 of 3 (noise level {level})" in str(caught.value)


BAD_ESTIMATES: dict[str, tuple[Callable[[Step], Any], str]] = {
    "nan": (lambda step: step.x0 * torch.nan, "returned an estimate that is not finite"),
    "wrong shape": (lambda step: step.x0[..., :-1], "of shape (1, 1, 8, 7), expected (1, 1, 8, 8)"),
    "no tensor": (lambda step: 0.0, "returned float for an estimate, not a tensor"),
    "whole numbers": (lambda step: step.x0.long(), "an estimate of torch.int64, expected"),
    "raising": (lambda step: 1 / 0, "failed at step 2 of 3"),
}


@pytest.mark.parametrize("bad", BAD_ESTIMATES)
def test_a_bad_objective_is_named_with_step_and_level(bad: str) -> None:
    make, complaint = BAD_ESTIMATES[bad]

    class Bad:
        def start(self, run: Run) -> Any:
            return SimpleNamespace(
                initial=lambda weights: run.sources[0],
                rectify=lambda step, weights: step.x0 if step.index != 1 else make(step),
            )

    pipe = compose(weighting="fixed", objective=Bad(), **CPU)
    with pytest.raises(PluginError) as caught:
        pipe(draw(2, 1, 1, BIG, BIG))
    _check_message(caught, "objective Bad", complaint)
    level = f"{pipe.schedule.sigma[1]:.4g}"
    assert f"at step 2 of 3 (noise level {level})" in str(caught.value)


@pytest.mark.parametrize(
    ("initial", "complaint"),
    [
        (lambda run: run.sources[0] * torch.nan, "an initial fusion that is not finite"),
        (lambda run: run.sources, "an initial fusion of shape (2, 1, 1, 8, 8)"),
        (lambda run: None, "returned NoneType for an initial fusion"),
        (lambda run: 1 / 0, "failed for the initial fusion: ZeroDivisionError"),
    ],
)
def test_a_bad_initial_fusion(initial: Callable[[Run], Any], complaint: str) -> None:
    class Bad:
        def start(self, run: Run) -> Any:
            return SimpleNamespace(
                initial=lambda weights: initial(run), rectify=lambda step, weights: step.x0
            )

    pipe = compose(weighting="fixed", objective=Bad(), start_sigma=3.4, **CPU)
    with pytest.raises(PluginError) as caught:
        pipe(draw(2, 1, 1, BIG, BIG))
    _check_message(caught, "objective Bad", complaint)


BAD_CLEAN: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "nan": (lambda x: x * torch.nan, "returned an estimate that is not finite"),
    "learned variance left on": (
        lambda x: torch.cat([x, x], 1),
        "returned an estimate of shape (1, 2, 8, 8), expected (1, 1, 8, 8)",
    ),
    "no tensor": (lambda x: x.numpy(), "returned ndarray for an estimate, not a tensor"),
    "raising": (lambda x: _raise(ValueError("no such level")), "failed at noise level"),
}


@pytest.mark.parametrize("bad", BAD_CLEAN)
def test_a_bad_estimator_is_named_with_the_noise_level(bad: str) -> None:
    make, complaint = BAD_CLEAN[bad]

    class Bad(GaussianEstimator):
        def denoise(self, x: Tensor, sigma: Tensor) -> Any:
            return make(x) if float(sigma[0]) < 79 else super().denoise(x, sigma)

    pipe = compose(estimator=Bad(), weighting="fixed", objective=LED, **CPU)
    with pytest.raises(PluginError) as caught:
        pipe(draw(2, 1, 1, BIG, BIG))
    _check_message(caught, "noise estimator Bad", complaint)
    assert f"at noise level {pipe.schedule.sigma[1]:.4g}" in str(caught.value)


def test_what_breaks_before_the_first_step() -> None:
    class Bad:
        def start(self, run: Run) -> Any:
            raise RuntimeError("not ready")

    with pytest.raises(PluginError, match=r"weighting Bad failed while starting: .*not ready"):
        compose(weighting=Bad(), **CPU)(draw(2, 1, 1, 8, 8))


def _guided(guide: Any, index: int, provisional: bool = False) -> Any:
    x = guide.start()
    return guide(index, x, x, provisional=provisional)


BAD_SAMPLERS: dict[str, tuple[Callable[[Any, Any], Iterator[Any]], str]] = {
    "raising": (lambda run, guide: iter([1 / 0]), "failed: ZeroDivisionError"),
    "raising later": (lambda run, guide: (_raise(KeyError(i)) for i in range(3)), "failed: KeyErr"),
    "no step": (lambda run, guide: iter([run.sources[0]]), "yielded Tensor, not a guided step"),
    "none": (lambda run, guide: iter([]), "yielded 0 of 3 steps"),
    "too few": (lambda run, guide: iter([_guided(guide, 0)]), "yielded 1 of 3 steps"),
    "one twice": (lambda run, guide: (_guided(guide, 0) for _ in run.sigma), "step 1 where step 2"),
    "one too many": (
        lambda run, guide: (_guided(guide, i % 3) for i in range(4)),
        "yielded step 1 where step 4 is due",
    ),
    "a look ahead": (
        lambda run, guide: (_guided(guide, i, provisional=True) for i in range(3)),
        "yielded a provisional step where step 1 is due",
    ),
}


@pytest.mark.parametrize("bad", BAD_SAMPLERS)
def test_a_bad_sampler_is_named(bad: str) -> None:
    make, complaint = BAD_SAMPLERS[bad]

    class Bad:
        trajectory = True

        def sample(self, run: Any, guide: Any) -> Iterator[Any]:
            return make(run, guide)

    pipe = compose(weighting="fixed", objective=LED, sampler=Bad(), **CPU)
    with pytest.raises(PluginError) as caught:
        pipe(draw(2, 1, 1, BIG, BIG))
    _check_message(caught, "sampler Bad", complaint)


def test_running_out_of_memory_is_nobodys_fault() -> None:
    pipe = compose(weighting=_weigh(lambda run, step: _raise(MemoryError())), **CPU)
    with pytest.raises(MemoryError):
        pipe(draw(2, 1, 1, 8, 8))


def test_weights_of_another_precision_do_not_change_that_of_the_run() -> None:
    # A table loaded in float64 is an easy slip; a network in float32 would choke on what follows.
    seen = set()

    class Watching(GaussianEstimator):
        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            seen.update({x.dtype, sigma.dtype})
            return super().denoise(x, sigma)

    weighting = _weigh(lambda run, step: _even(run).double())
    pipe = compose(estimator=Watching(), weighting=weighting, objective=LED, **CPU)
    try:
        images = [pipe(draw(2, 1, 1, 8, 8)).image]
    except PluginError:  # refusing them by name is as good as converting them
        images = []
    assert all(image.dtype == torch.float32 for image in images)
    assert seen == {torch.float32}


@pytest.mark.parametrize(
    ("levels", "complaint"),
    [
        ((1.0, 0.5), "its levels run from sigma_min 1 to sigma_max 0.5"),
        ((1.0, 1.0), "its levels run from sigma_min 1 to sigma_max 1"),
        ((-1.0, 2.0), "its levels run from sigma_min -1 to sigma_max 2"),
        ((0.0, torch.nan), "to sigma_max nan"),
        ((None, 2.0), "sigma_min and sigma_max: "),
        (("much", 2.0), "sigma_min and sigma_max: "),
    ],
)
def test_a_bad_range_of_levels_is_refused_before_any_run(levels: Any, complaint: str) -> None:
    class Bad(GaussianEstimator):
        sigma_min, sigma_max = levels

    with pytest.raises(PluginError) as caught:
        compose(estimator=Bad(), device="cpu", steps=1)
    _check_message(caught, "noise estimator Bad: ", complaint)


def test_a_run_does_not_start_beyond_what_the_prior_knows() -> None:
    class Latent(GaussianEstimator):
        sigma_max = 14.6

    for said, flag in (({}, "start-sigma 80"), ({"sigmas": [15.0, 1.0]}, "sigmas 15")):
        with pytest.raises(UsageError) as caught:
            compose(estimator=Latent(), **CPU, **said)
        assert str(caught.value) == (
            f"--{flag}: noise estimator Latent knows levels up to 14.6: start there, or below"
        )
    assert compose(estimator=Latent(), start_sigma=14.6, **CPU).schedule.sigma[0] <= 14.6 * (
        1 + 1e-6
    )
    # Where no level is visited, none is refused.
    compose(estimator=Latent(), weighting="fixed", objective={"name": "mse", "strength": 0}, **CPU)


def test_components_that_read_a_trajectory_refuse_a_sampler_without_one() -> None:
    with pytest.raises(UsageError) as caught:
        compose(weighting="fixed", objective=LED, sampler="direct", **CPU)
    assert str(caught.value) == (
        "objective mse (plugin objectives, fusionkit-imaging "
        f"{fusionkit.__version__}) reads the fused trajectory, which sampler direct (plugin "
        f"samplers, fusionkit-imaging {fusionkit.__version__}) does not make: choose another, "
        "for example --sampler ddim"
    )

    class Looking:
        def start(self, run: Run) -> Any:
            raise AssertionError("started")

    target = {"name": "mse", "strength": 0}
    with pytest.raises(UsageError, match="weighting Looking reads the fused trajectory"):
        compose(weighting=Looking(), objective=target, sampler="direct", **CPU)


def test_a_sampler_that_follows_gradients_refuses_a_prior_without_any() -> None:
    class Plain:
        channels, multiple_of, sigma_min, sigma_max = None, 1, 0.0, 100.0

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x

    by_numpy = fusionkit.from_denoiser(lambda image, sigma: image, numpy=True)
    for estimator in (Plain(), by_numpy):
        with pytest.raises(UsageError, match=r"sampler pigdm .* follows the prior's gradient"):
            compose(estimator=estimator, objective=LED, sampler="pigdm", **CPU)
        assert compose(estimator=estimator, objective=LED, **CPU)(draw(2, 1, 1, 4, 4)).nfe > 0


# What plugins build


@dataclass(frozen=True)
class _Options:
    size: int = option(3, "A size.", minimum=1)


def _registry(build: Callable[[Any, BuildContext], Any]) -> Registry:
    """The installed plugins, and one weighting ``toy:toy`` built as said."""
    installed = load_plugins()
    info = PluginInfo("toy", "loaded", "toy_module", "toy-dist", "0.9")
    toy: Component[Any] = Component("toy", "a toy", build, _Options)
    return Registry([*installed.plugins, info], [*installed.all(), Provided(WEIGHTING, toy, info)])


def test_build_gets_its_options_and_where_to_compute() -> None:
    given: list[Any] = []

    def build(options: Any, context: BuildContext) -> Fixed:
        given.extend([options, context])
        return Fixed()

    pipe = compose(
        weighting={"name": "toy", "size": 5}, registry=_registry(build), precision="float64", **CPU
    )
    assert given == [_Options(5), BuildContext("cpu", "float64")]
    assert options_of(pipe, "weighting") == {"name": "toy:toy", "size": 5}


def test_what_cannot_be_built_is_the_plugins_fault() -> None:
    def build(options: Any, context: BuildContext) -> Any:
        raise FileNotFoundError("weights.pt")

    label = r"weighting toy \(plugin toy, toy-dist 0.9\)"
    with pytest.raises(PluginError, match=f"{label} could not be built: .*weights.pt"):
        compose(weighting="toy", registry=_registry(build), **CPU)
    wrong = _registry(lambda options, context: object())
    with pytest.raises(PluginError, match=f"{label} built a object, which does not do what"):
        compose(weighting="toy", registry=wrong, **CPU)

    def refuse(options: Any, context: BuildContext) -> Any:
        raise UsageError("fetch the weights first")

    with pytest.raises(UsageError, match=r"^fetch the weights first$"):
        compose(weighting="toy", registry=_registry(refuse), **CPU)


def test_a_named_component_that_misbehaves_is_named_with_its_plugin() -> None:
    bad = _weigh(BAD_WEIGHTS["nan"][0])
    pipe = compose(weighting="toy", registry=_registry(lambda options, context: bad), **CPU)
    with pytest.raises(PluginError) as caught:
        pipe(draw(2, 1, 1, BIG, BIG))
    _check_message(caught, "weighting toy (plugin toy, toy-dist 0.9) returned", "not finite")


# The whole loop, everywhere


_REGISTRY = load_plugins()


def _first_party(kind: fusionkit.Kind) -> list[str]:
    return [
        p.qualified for p in _REGISTRY.all(kind) if p.plugin.distribution == "fusionkit-imaging"
    ]


WEIGHTINGS, OBJECTIVES = _first_party(WEIGHTING), _first_party(OBJECTIVE)
# Estimators that need weights are not here: they have tests of their own.
ESTIMATORS: list[Any] = [
    {"name": "gaussian", "border": "mirror"},
    Colour(border="periodic"),
]
# The meta device takes milliseconds an operation: two inner iterations show what twenty do.
FEWER: dict[str, Any] = {"objectives:condition-bank": {"iterations": 2}}
LOOPS = [
    pytest.param(
        estimator,
        weighting,
        # With a strength, so that there is a trajectory.
        {"name": objective, "strength": 0.1, **FEWER.get(objective, {})},
        id=f"{n}-{weighting}-{objective}",
    )
    for n, estimator in enumerate(ESTIMATORS)
    for weighting in WEIGHTINGS
    for objective in OBJECTIVES
]
SETTINGS: list[dict[str, Any]] = [{}, {"sampler": {"eta": 1.0}, "start_sigma": 6.1}]


def test_the_loops_are_those_of_the_plugins_that_come_along() -> None:
    assert "diffusion:gaussian" in _first_party(ESTIMATOR)
    assert {"dig:dig", "fixed:fixed"} <= set(_first_party(WEIGHTING))
    assert {"objectives:mse", "objectives:increments"} <= set(_first_party(OBJECTIVE))
    assert _first_party(SAMPLER) == [f"samplers:{name}" for name in SAMPLERS]


# Every weighting with every objective, and each of them with either prior, which has a start of its
# own; what reads a value back is found on a CPU with all of both, below.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "weighting", "objective", "settings"),
    [
        pytest.param(*loop.values, SETTINGS[ESTIMATORS.index(loop.values[0])], id=loop.id)
        for w in range(len(WEIGHTINGS))
        for o in range(len(OBJECTIVES))
        for loop in [LOOPS[((w + o) % 2 * len(WEIGHTINGS) + w) * len(OBJECTIVES) + o]]
    ],
)
def test_the_whole_loop_runs_on_the_meta_device(
    estimator: Any, weighting: str, objective: Any, settings: dict[str, Any]
) -> None:
    pipe = compose(
        estimator=estimator,
        weighting=weighting,
        objective=objective,
        device="meta",
        steps=N,
        registry=_REGISTRY,
        **settings,
    )
    fused = pipe(draw(3, 2, 1, 9, 7))
    assert fused.image.device.type == fused.weights.device.type == "meta"
    assert fused.image.shape == (2, 1, 9, 7)
    assert fused.weights.shape == (3, 2, 1, 9, 7)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=["from noise", "late start"])
@pytest.mark.parametrize(("estimator", "weighting", "objective"), LOOPS)
def test_the_whole_loop_runs_on_a_cpu_and_reads_nothing_back(
    estimator: Any, weighting: str, objective: Any, settings: dict[str, Any]
) -> None:
    how = {"estimator": estimator, "weighting": weighting, "objective": objective, **settings}
    pipe = compose(registry=_REGISTRY, **how, **CPU)
    sources = draw(3, 2, 1, 9, 7)
    plain = pipe(sources)
    assert torch.isfinite(plain.image).all()
    assert plain.image.abs().max() < 3
    steps = pipe.steps(sources)
    for _ in range(pipe.schedule.steps):
        with reading_back_refused():
            done = next(steps)
    assert next(steps, None) is None  # where Flags.verify reads its flags
    image = done.corrected.mean(1, keepdim=True)
    assert torch.equal(image, plain.image)


READS = ("item", "tolist", "cpu", "numpy", "nonzero")
READS += ("__bool__", "__float__", "__int__", "__index__", "__array__", "__iter__")


SAMPLERS = ("ddim", "direct", "heun", "pigdm")


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=["mirror", "colour"])
def test_every_sampler_runs_on_meta_and_reads_nothing_back(sampler: str, estimator: Any) -> None:
    how: dict[str, Any] = {
        "estimator": estimator,
        "weighting": {"name": "dig", "dynamic": True},
        "objective": {"name": "mse", "strength": 0.0 if sampler == "direct" else 0.1},
        "steps": N,
    }
    if sampler != "direct":  # which is taken where nothing reads a trajectory
        how["sampler"] = sampler
    meta = compose(**how, device="meta")(draw(2, 2, 1, 9, 7))
    assert meta.image.device.type == "meta"
    assert meta.image.shape == (2, 1, 9, 7)
    pipe = compose(**how, device="cpu")
    assert options_of(pipe, "sampler")["name"] == f"samplers:{sampler}"
    steps = pipe.steps(draw(2, 2, 1, 9, 7))
    for _ in range(N):
        with reading_back_refused():
            done = next(steps)
    assert next(steps, None) is None
    assert torch.isfinite(done.corrected).all()


@contextmanager
def reading_back_refused() -> Iterator[None]:
    """Refuse whatever takes a value out of a tensor, as if it lay on a slow device."""

    def refuse(name: str) -> Callable[..., Any]:
        def read(*arguments: Any, **keywords: Any) -> Any:
            raise RuntimeError(f"Tensor.{name} read a value back to the host")

        return read

    with pytest.MonkeyPatch.context() as patch:
        for name in READS:
            patch.setattr(torch.Tensor, name, refuse(name))
        yield


@pytest.mark.parametrize(
    "read",
    [
        lambda weights: weights.sum().item(),
        lambda weights: 1 if weights.sum() > 0 else 0,
        lambda weights: float(weights.sum()),
        lambda weights: weights.tolist(),
        lambda weights: weights.cpu(),
    ],
)
def test_a_weighting_that_reads_back_is_caught(read: Callable[[Tensor], Any]) -> None:
    def weights(run: Run, step: Step) -> Tensor:
        read(_even(run))
        return _even(run)

    steps = compose(weighting=_weigh(weights), **CPU).steps(draw(2, 1, 1, 8, 8))
    next(steps)
    with pytest.raises(PluginError, match="read a value back"), reading_back_refused():
        next(steps)


def test_a_pipeline_is_not_affected_by_the_runs_before() -> None:
    sources = draw(2, 1, 1, 9, 8)
    pipe = compose(**CPU)
    once = pipe(sources, seed=1)
    pipe(draw(3, 2, 1, 5, 12), seed=[8, 9])
    next(pipe.steps(sources, seed=3))  # left half-way
    with pytest.raises(UsageError):
        pipe(draw(1, 1, 1, 4, 4))
    again = pipe(sources, seed=1)
    assert torch.equal(once.image, again.image)
    assert torch.equal(once.weights, again.weights)
    assert (once.nfe, once.steps) == (again.nfe, again.steps)


def test_two_runs_of_one_pipeline_may_be_interleaved() -> None:
    pipe = compose(**CPU)
    first, second = draw(2, 1, 1, 9, 8), draw(2, 1, 1, 9, 8, seed=1)
    both = list(zip(pipe.steps(first), pipe.steps(second), strict=True))[-1]
    for done, sources in zip(both, (first, second), strict=True):
        assert torch.equal(done.corrected, pipe(sources).image)


# The package


def test_importing_and_listing_plugins_needs_no_torch() -> None:
    code = (
        "import sys, fusionkit\n"
        "registry = fusionkit.load_plugins(strict=True)\n"
        "for p in registry.all():\n"
        "    if isinstance(p.component, fusionkit.Component): p.make_options({})\n"
        "fusionkit.Step, fusionkit.Run, fusionkit.StartedTarget, fusionkit.Settings\n"
        "fusionkit.tasks()\n"
        "print(len(registry.all()), 'torch' in sys.modules, 'numpy' in sys.modules)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(out[0]) >= 5
    assert out[1:] == ["False", "False"]


@pytest.mark.parametrize("name", fusionkit.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(fusionkit, name) is not None
    assert name in dir(fusionkit)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'fuze'"):
        fusionkit.fuze  # noqa: B018


@pytest.mark.parametrize("group", ["weighting", "objective"])
def test_a_component_may_take_only_so_many_sources(group: str) -> None:
    class OnlyTwo:
        sources = 2

        def start(self, run: Any) -> Any:
            raise AssertionError("started")

    pipe = compose(**{group: OnlyTwo()})
    with pytest.raises(UsageError, match="takes 2 sources, not 3"):
        pipe(torch.zeros(3, 1, 1, 8, 8))
