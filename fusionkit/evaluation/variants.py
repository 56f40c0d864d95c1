"""What an ablation study runs: the cartesian product of its axes, and the honest baselines."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..contract.estimator import ESTIMATOR
from ..contract.options import OptionSpec, did_you_mean, specs, suggest, to_mapping
from ..contract.registry import Provided, Registry
from ..errors import UsageError
from ..recipes.finding import RECIPE_KINDS, Layer, flags_called
from ..recipes.layers import choose, merge, resolve_preparations, resolve_settings
from ..recipes.settings import Settings
from .departures import RECIPES, shown

_GROUPS = {kind.group: kind for kind in RECIPE_KINDS}
_SETTINGS = {spec.name: spec for spec in specs(Settings)}


@dataclass(frozen=True)
class Variant:
    """One row of the study: a recipe without its seed.

    ``role`` is ``variant`` for a point of the product, else the baseline that it is. ``levels``
    are the values of the axes at that point, as texts; a baseline has none.
    """

    label: str
    recipe: Mapping[str, Any]
    role: str = "variant"
    levels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A short hash of the resolved recipe."""
        return recipe_key(self.recipe)

    def seeded(self, seed: int) -> dict[str, Any]:
        """Return the recipe of one cell."""
        return {**self.recipe, "seed": seed}


def recipe_key(recipe: Mapping[str, Any]) -> str:
    """Return a short hash of a recipe; the order of its keys does not matter."""
    text = json.dumps(recipe, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def product(
    base: Layer, axes: Mapping[str, Sequence[Any]], registry: Registry, match: bool = False
) -> list[Variant]:
    """Return a variant of one recipe for every combination of the axes' values."""
    return products({"": base}, axes, registry, match)


def products(
    bases: Mapping[str, Layer],
    axes: Mapping[str, Sequence[Any]],
    registry: Registry,
    match: bool = False,
) -> list[Variant]:
    """Return a variant for every combination of recipes and of the axes' values.

    Parameters
    ----------
    bases
        The recipes that the axes change, by what labels call them.
    axes
        By flag name without hyphens in front: ``weighting``, ``steps``,
        ``weighting.window``; the values as a command line has them, or as a recipe does: a
        component's table, a number. An option concerns only the components that have it:
        ``weighting.window`` makes no second variant of ``fixed``. On a command line, values of
        an option that is a list are separated by semicolons.
    registry
        Where components are found.
    match
        Give a component that takes the place of the recipe's the options which both have, as
        the recipe's component has them. Otherwise, and where an axis says so, they are its own.

    Raises
    ------
    UsageError
        An unknown component, setting or option, or a value that it refuses.
    """
    names = {axis: values for axis, values in axes.items() if axis in _GROUPS}
    settings = {
        axis: values for axis, values in axes.items() if "." not in axis and axis not in names
    }
    options = {axis: values for axis, values in axes.items() if "." in axis}
    used: set[str] = set()
    found: dict[str, Variant] = {}
    for (called, base), chosen in itertools.product(bases.items(), _combinations(names)):
        layer = merge(base, chosen, registry=registry)
        if match:
            layer = matched(layer, base, registry)
        selected = {group: _find(group, layer, registry) for group in _GROUPS}
        own = {axis: v for axis, v in options.items() if _spec(axis, selected) is not None}
        used |= set(own)
        several = {axis: _values(axis, v, selected) for axis, v in {**settings, **own}.items()}
        for point in _combinations(several):
            told = {axis for axis, values in several.items() if len(values) > 1}
            parts = {RECIPES: called} if called else {}
            parts |= {group: _named(chosen[group], selected[group]) for group in chosen}
            variant = _variant(parts, layer, point, selected, registry, told)
            found.setdefault(variant.key, variant)
    for axis in options:
        if axis not in used:
            raise UsageError(_unused(axis, names, registry))
    return list(found.values())


def resolve(layer: Layer, registry: Registry) -> dict[str, Any]:
    """Return a recipe with every setting and option spelled out, its seed left out."""
    tables = {
        group: choose(kind, layer.get(group, {}), registry).as_table()
        for group, kind in _GROUPS.items()
    }
    settings = to_mapping(resolve_settings(layer))
    del settings["seed"]
    return {**settings, **tables, **resolve_preparations(layer, registry)}


def matched(layer: Layer, base: Layer, registry: Registry) -> dict[str, Any]:
    """Give components that are not the base's the options that they share with the base's.

    Options are shared by name, if the component takes the base's value.
    """
    layer = merge(layer, registry=registry)
    for group, kind in _GROUPS.items():
        theirs = choose(kind, merge(base, registry=registry)[group], registry)
        mine = _find(group, layer, registry)
        if mine.qualified == theirs.provided.qualified:
            continue
        shared = {}
        table = theirs.as_table()
        for spec in specs(mine.component.options):
            if spec.name in table:
                try:
                    spec.check(table[spec.name])
                except ValueError:  # of one name, but another option
                    continue
                shared[spec.name] = table[spec.name]
        layer = merge(layer, {group: shared}, registry=registry)
    return layer


_GAUSSIAN = "diffusion:gaussian"


def rungs(variant: Variant, registry: Registry) -> Iterator[Variant]:
    """Yield the rungs under a variant: without a fused trajectory, and with the closed-form prior.

    The third, no denoiser at all, are the trivial fusions, which need no recipe.
    A rung that does not apply, or is the variant itself, is left out.
    """
    changes: dict[str, dict[str, Any]] = {
        "target only": {"objective": {"strength": 0.0}},
        "gaussian prior": {"estimator": _GAUSSIAN},
    }
    weighting, objective = (variant.recipe[group] for group in ("weighting", "objective"))
    by_gaussian = registry.full_name(ESTIMATOR, weighting.get("prior")) == _GAUSSIAN
    if by_gaussian and objective.get("strength") == 0:  # nothing asks another
        del changes["gaussian prior"]
    for role, change in changes.items():
        try:
            recipe = resolve(merge(variant.recipe, change, registry=registry), registry)
        except UsageError:  # an objective without a strength, or a toolbox without that prior
            continue
        if recipe != variant.recipe:
            yield Variant(f"{variant.label}, {role}", recipe, role)


def at_same_cost(variant: Variant, steps: int, registry: Registry) -> Variant | None:
    """Return the variant with ``fixed`` weights in so many steps, or None if that is it already."""
    layer = merge(variant.recipe, {"weighting": "fixed:fixed", "steps": steps}, registry=registry)
    try:
        recipe = resolve(layer, registry)
    except UsageError:
        return None
    if recipe == variant.recipe:
        return None
    return Variant(f"{variant.label}, fixed at its NFE", recipe, "fixed at the same NFE")


def _combinations(axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _find(group: str, layer: Layer, registry: Registry) -> Provided:
    return registry.find(_GROUPS[group], str(layer.get(group, {}).get("name")))


def _spec(axis: str, selected: Mapping[str, Provided]) -> OptionSpec | None:
    group, _, name = axis.partition(".")
    if group not in selected:
        raise UsageError(f"--{axis}: there is no {group!r}.{suggest(group, selected)}")
    known = {spec.name: spec for spec in specs(selected[group].component.options)}
    return known.get(name)


def _values(axis: str, values: Sequence[Any], selected: Mapping[str, Provided]) -> Sequence[Any]:
    """Return the values of an axis, which a comma separates; of a list, a semicolon."""
    spec = _spec(axis, selected) if "." in axis else _SETTINGS.get(axis)
    texts = all(isinstance(value, str) for value in values)
    return ",".join(values).split(";") if spec is not None and spec.many and texts else values


def _named(said: Any, chosen: Provided) -> str:
    """Return what labels call a component: its name, with the options that an axis says."""
    options = {} if isinstance(said, str) else {k: v for k, v in said.items() if k != "name"}
    words = [f"{key.replace('_', '-')} {shown(value)}" for key, value in options.items()]
    return " ".join([str(chosen.component.name), *words])


def _variant(
    parts: Mapping[str, str],
    layer: Layer,
    point: Mapping[str, Any],
    selected: Mapping[str, Provided],
    registry: Registry,
    told: set[str],
) -> Variant:
    levels = dict(parts)
    for axis, said in point.items():
        spec = _SETTINGS.get(axis) if "." not in axis else _spec(axis, selected)
        if spec is None:
            own = did_you_mean(flags_called(axis, registry))
            hint = own or suggest(axis, [*_SETTINGS, *_GROUPS])
            raise UsageError(f"unknown setting --{axis}.{hint}")
        try:
            value = spec.parse(said) if isinstance(said, str) else spec.check(said)
        except ValueError as error:
            raise UsageError(f"--{axis} {said}: {error}") from None
        group, dot, name = axis.partition(".")
        layer = merge(layer, {group: {name: value}} if dot else {axis: value}, registry=registry)
        levels[axis] = said if isinstance(said, str) else spec.as_text(value)
    words = [levels[axis] for axis in (RECIPES, *_GROUPS) if axis in parts]
    words += [f"{axis.rpartition('.')[2]} {levels[axis]}" for axis in point if axis in told]
    label = ", ".join(words) or str(selected["weighting"].component.name)
    return Variant(label, resolve(layer, registry), levels=levels)


def _unused(axis: str, names: Mapping[str, Any], registry: Registry) -> str:
    group, _, name = axis.partition(".")
    owners = [
        provided.component.name
        for provided in registry.all(_GROUPS[group])
        if name in [spec.name for spec in specs(provided.component.options)]
    ]
    if owners:
        return f"--{axis} is an option of {' and '.join(owners)}, which the study does not use"
    known = {spec.name for p in registry.all(_GROUPS[group]) for spec in specs(p.component.options)}
    return f"no {group} has an option {name!r}.{suggest(name, known)}"
