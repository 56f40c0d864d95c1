"""Composing a pipeline: components named or built, settings said or left to a recipe."""

from __future__ import annotations

import copyreg
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from ..contract.component import BuildContext
from ..contract.estimator import ESTIMATOR, NoiseEstimator
from ..contract.guiding import uses_trajectory
from ..contract.kind import Kind
from ..contract.objective import OBJECTIVE, Objective
from ..contract.options import from_mapping, specs, to_mapping
from ..contract.preparation import PREPARATION
from ..contract.registry import Registry
from ..contract.sampler import SAMPLER, Sampler
from ..contract.weighting import WEIGHTING, Weighting
from ..errors import FusionkitWarning, PluginError, UsageError
from ..recipes.finding import GIVEN, Layer, Said, base_layers
from ..recipes.layers import (
    WITHOUT_TRAJECTORY,
    Choice,
    choose,
    choose_preparations,
    merged,
    resolve_settings,
    stand_ins,
)
from ..recipes.preparing import with_preparations
from ..recipes.settings import Settings, SettingsDict, as_recipe_has_them
from ..sampling.cache import EstimateCache
from .asking import own_prior
from .hardware import check_compiler, fast_precision, usable_device
from .idle import complaints
from .parts import Part
from .pipeline import Pipeline
from .plugins import load_plugins
from .replaying import other_weights


def compose(
    *,
    task: str | None = None,
    recipe: str | Path | Layer | None = None,
    estimator: str | Mapping[str, Any] | NoiseEstimator | None = None,
    weighting: str | Mapping[str, Any] | Weighting | None = None,
    objective: str | Mapping[str, Any] | Objective | None = None,
    sampler: str | Mapping[str, Any] | Sampler | None = None,
    registry: Registry | None = None,
    built: dict[str, Part] | None = None,
    cache: str | os.PathLike[str] | None = None,
    **settings: Unpack[SettingsDict],
) -> Pipeline:
    """Compose a pipeline of components, each a name, a table or an object.

    Parameters
    ----------
    task
        The name of a recipe: one that comes with fusionkit (:func:`fusionkit.tasks`; default
        ``general``), or a plugin's. Not ``auto``, as there are no images to decide from.
    recipe
        Instead, such a name, a TOML file, the record of a run, or a mapping of either form.
    estimator, weighting, objective, sampler
        A name (``"dig"``, ``"dig:dig"``), a table (``{"name": "dig", "window": 7}``; without
        a name, options for the recipe's choice), or an object that does what
        the protocol says. Default: the recipe's choice. Where neither weighting nor objective
        reads the fused trajectory, none is made, whatever the sampler.
    registry
        Where names are looked up; default: all installed plugins.
    built
        A dictionary in which components that are built are kept and found again, so
        that several pipelines share one loaded model.
    cache
        A folder, made if it is not there, in which the clean estimates of sources are kept,
        and found again by any run that needs the same ones. It is no part of the recipe:
        without it, the same comes out later.
    **settings
        See :class:`fusionkit.Settings`, and preparations by name; they override the recipe's.

    Returns
    -------
    Pipeline

    Raises
    ------
    UsageError
        An unknown name, option or value, with a suggestion where one is near; a cache
        for an estimator that was given as an object.
    PluginError
        A component could not be built.

    Warns
    -----
    FusionkitWarning
        Of what is given and cannot change any result of this composition; of weights that are
        not those of the record.

    Examples
    --------
    >>> import torch
    >>> dig = {"name": "dig", "window": 15}
    >>> pipe = compose(estimator="gaussian", weighting=dig, start_sigma=1.2)
    >>> fused = pipe(torch.zeros(2, 1, 1, 32, 48), seed=0)
    >>> fused.image.shape
    torch.Size([1, 1, 32, 48])
    """
    said: dict[str, Any] = {
        "estimator": estimator,
        "weighting": weighting,
        "objective": objective,
        "sampler": sampler,
    }
    objects = {
        group: value
        for group, value in said.items()
        if value is not None and not isinstance(value, (str, Mapping))
    }
    named = {k: v for k, v in said.items() if v is not None and k not in objects}
    if registry is None:
        plain = {spec.field for spec in specs(Settings)}
        by_name = len(objects) < len(said) or not plain.issuperset(settings)
        registry = load_plugins() if by_name else Registry([], [])
    layers = base_layers(task, recipe, registry)
    given = with_preparations(as_recipe_has_them(settings), registry)
    layered = merged([*layers, Said({**named, **given}, GIVEN, objects=[*objects])], registry)
    resolved = resolve_settings(layered.recipe)
    shared = {} if built is None else built

    def part(kind: Kind, context: BuildContext) -> Part:
        if kind.group in objects:
            return _part_of_object(kind, objects[kind.group])
        choice = choose(kind, layered.recipe.get(kind.group, {}), registry)
        return _part_by_name(choice, context, shared)

    device = usable_device(resolved.device, resolved.precision)
    if compiling := resolved.compile == "on":
        check_compiler(device)
    context = BuildContext(device, _precision(resolved, device), compiling, registry)
    guiding = {kind.group: part(kind, context) for kind in (WEIGHTING, OBJECTIVE)}
    preparations = {
        called: _part_by_name(choice, context, shared)
        for called, choice in choose_preparations(layered.recipe, registry).items()
    }
    own = own_prior(partial(part, ESTIMATOR), context, guiding, preparations)
    parts = {ESTIMATOR.group: own, **guiding}
    # The record is to make the same image again, on another device too.
    resolved = from_mapping(
        Settings, {**to_mapping(resolved), "precision": context.precision}, "settings"
    )
    if not any(uses_trajectory(each.built) for each in guiding.values()):
        if SAMPLER.group not in objects:  # a slip in what is left out is a slip nevertheless
            choose(SAMPLER, layered.recipe.get(SAMPLER.group, {}), registry)
        objects.pop(SAMPLER.group, None)
        layered.recipe[SAMPLER.group] = {"name": WITHOUT_TRAJECTORY}
    parts[SAMPLER.group] = part(SAMPLER, context)
    kept = None if cache is None else _cache(cache, own)
    pipeline = Pipeline(parts, resolved, context, kept, preparations)
    pipeline.metrics = layered.metrics
    pipeline.left_out = frozenset(layered.left_out)
    for complaint in (
        *complaints(pipeline, layered.origins),
        *other_weights(pipeline, layered.weights),
    ):
        warnings.warn(complaint, FusionkitWarning, stacklevel=2)
    return pipeline


def with_preparation(pipeline: Pipeline, name: str) -> Pipeline:
    """Return a pipeline that also makes a preparation, with its defaults, if it does not yet."""
    made = [part.table["name"] for part in pipeline.preparations.values()]
    if name in made:
        return pipeline
    registry = pipeline.context.registry
    if registry is None or registry.named(PREPARATION, name) is None:  # one made by hand
        registry = load_plugins()
    choice = choose(PREPARATION, {"name": name}, registry)
    part = _part_by_name(choice, pipeline.context, {})
    preparations = {**pipeline.preparations, name.rpartition(":")[2]: part}
    more = Pipeline(
        pipeline.parts, pipeline.settings, pipeline.context, pipeline.cache, preparations
    )
    more.metrics = pipeline.metrics
    return more


def _part_by_name(choice: Choice, context: BuildContext, kept: dict[str, Part]) -> Part:
    group = choice.provided.kind.group
    key = f"{group} {json.dumps(choice.as_table())} {context}"
    if key not in kept:
        built = choice.provided.build(choice.options, context)
        if not isinstance(built, choice.provided.kind.protocol):
            raise PluginError(
                f"{choice.provided.label} built a {type(built).__name__}, which does not do what "
                f"fusionkit.{choice.provided.kind.protocol.__name__} says"
            )
        others = _stand_ins(choice, built, context.registry)
        kept[key] = Part(built, choice.provided.label, choice.as_table(), choice.provided, others)
    return kept[key]


def _stand_ins(choice: Choice, built: Any, registry: Registry | None) -> dict[str, Part]:
    """Return what options name in the place of parts of the run, as a component has built it."""
    if registry is None:
        return {}
    found = stand_ins(choice.provided, choice.as_table(), registry)
    made = getattr(built, "stand_ins", {})
    if not isinstance(made, Mapping):
        raise PluginError(
            f"{choice.provided.label}: stand_ins is a {type(made).__name__}, not a mapping of "
            "options to what was built of them"
        )
    return {
        option: Part(made.get(option), other.label, {"name": other.qualified}, other)
        for option, other in found.items()
    }


def _part_of_object(kind: Kind, built: Any) -> Part:
    if isinstance(built, type) or not isinstance(built, kind.protocol):
        raise UsageError(
            f"{kind.group}: {built!r} is neither a name, a table, nor an object that does what "
            f"fusionkit.{kind.protocol.__name__} says"
        )
    mistake = kind.misspelt(built)
    if mistake:
        raise UsageError(f"{kind.group}: {mistake}")
    name = f"{type(built).__module__}.{type(built).__qualname__}"
    return Part(built, f"{kind.title} {type(built).__name__}", {"name": f"<{name}>"})


def _cache(folder: str | os.PathLike[str], estimator: Part) -> EstimateCache:
    if estimator.provided is None:
        raise UsageError(
            f"cache: {estimator.label} was given as an object, which cannot be told from another "
            "that estimates differently: name the estimator, or leave the cache out"
        )
    return EstimateCache(folder)


def _precision(settings: Settings, device: str) -> str:
    return fast_precision(device) if settings.precision == "auto" else settings.precision


def _reduced(pipeline: Pipeline) -> tuple[Any, ...]:
    """Pickle the recipe: what is unpickled is composed anew, of what is installed there.

    Raises
    ------
    TypeError
        A component was given as an object, which no recipe names.
    """
    parts = [*pipeline.parts.values(), *pipeline.preparations.values()]
    given = [part.label for part in parts if part.provided is None]
    if given:
        raise TypeError(f"{given[0]} was given as an object: name it, to pickle the pipeline")
    plugins = [part.provided.plugin for part in parts if part.provided]
    others = [other.provided for part in parts for other in part.stand_ins.values()]
    plugins += [other.plugin for other in others if other]
    files = sorted({plugin.origin for plugin in plugins if plugin.distribution is None})
    folder = None if pipeline.cache is None else str(pipeline.cache.folder)
    return _recomposed, (pipeline.as_recipe(), pipeline.context.device, files, folder)


def _recomposed(
    recipe: Mapping[str, Any], device: str, files: Sequence[str], cache: str | None
) -> Pipeline:
    """Compose a pipeline that was pickled; on another device, if its own is not here."""
    registry = load_plugins(inline=files)
    return compose(recipe={**recipe, "device": device}, registry=registry, cache=cache)


copyreg.pickle(Pipeline, _reduced)  # here, since a pipeline cannot know who composed it
