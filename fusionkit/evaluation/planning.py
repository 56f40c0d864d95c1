"""Planning a study: the rows that its axes make, the baselines beside them, and their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.options import suggest
from ..contract.registry import Registry
from ..errors import UsageError
from ..recipes.finding import Layer, base_layers
from ..recipes.layers import Merged, merge, merged, resolve_settings
from .departures import RECIPES
from .folder import Known
from .origins import Origins, key_of
from .study import Study, cells_of
from .variants import Variant, at_same_cost, products, rungs

if TYPE_CHECKING:  # which imports torch
    from ..host.parts import Part

BASELINES = ("rungs", "fixed", "trivial")
"""What is added to the points of a study, unless somebody says otherwise."""


def bases_of(
    registry: Registry,
    task: str | Sequence[str] | None = None,
    recipe: str | Path | Layer | Sequence[str | Path] | None = None,
) -> dict[str, Merged]:
    """Return the recipes that the axes change, by what labels call them; ``""`` for a single one.

    Raises
    ------
    UsageError
        A recipe does not exist, a task is given beside one, or there are none in a list.
    """
    if task is not None and recipe is not None:
        raise UsageError("give a task or a recipe, not both")
    said = task if recipe is None else recipe
    if said is None or isinstance(said, (str, Path, Mapping)):
        return {"": merged(base_layers(task, recipe, registry), registry)}  # type: ignore[arg-type]
    names = list(dict.fromkeys(map(str, said)))
    if not names:
        flag = "task" if recipe is None else "recipe"
        raise UsageError(f"--{flag} is empty: is a variable of the shell unset?")
    found = {
        name: base_layers(name, None, registry)
        if recipe is None
        else base_layers(None, name, registry)
        for name in names
    }
    return {
        name if len(names) > 1 else "": merged(layers, registry) for name, layers in found.items()
    }


def metrics_of(bases: Mapping[str, Merged]) -> str | list[str]:
    """Return the preset or the metrics that all recipes name; ``""`` if they name others."""
    said = [base.metrics for base in bases.values()]
    return said[0] if all(each == said[0] for each in said) else ""


def plan(
    scenes: Mapping[str, Sequence[str]],
    bases: Mapping[str, Merged],
    axes: Mapping[str, Sequence[Any]],
    registry: Registry,
    *,
    metrics: Sequence[str],
    options: Mapping[str, Mapping[str, Any]] | None = None,
    said: Layer | None = None,
    baselines: Sequence[str] = BASELINES,
    seeds: Sequence[int] = (0,),
    match: bool = False,
    against: str | None = None,
    known: Known | None = None,
    built: dict[str, Part] | None = None,
) -> Study:
    """Return the study of every combination of axes, with its baselines.

    Parameters
    ----------
    scenes
        The paths of the sources of each scene.
    bases
        The recipes that the axes change, see :func:`bases_of`.
    axes, match
        See :func:`.variants.products`.
    registry
        Where components are found.
    metrics, options
        What is measured, and the options of metrics by their name.
    said
        What all rows have, over the recipes.
    baselines
        Of :data:`BASELINES`.
    seeds
        Of every row with a recipe.
    against
        The row that differences are taken from, by label; the first, if None.
    known, built
        What has been found out, and built, before; both are added to.

    Raises
    ------
    UsageError
        A component, an option, a baseline or a row does not exist, or two scenes would be kept
        in one file.
    """
    for name in baselines:
        if name not in BASELINES:
            hint = suggest(name, BASELINES) or f" There are {', '.join(BASELINES)}."
            raise UsageError(f"unknown baseline {name!r}.{hint}")
    known = Known() if known is None else known
    layers = {
        name: merge(base.recipe, said or {}, registry=registry) for name, base in bases.items()
    }
    variants = products(layers, axes, registry, match)
    counts = [len(sources) for sources in scenes.values()]
    origins = Origins(registry, known.files)
    rows = _with_baselines(variants, baselines, counts[0], origins, built, known)
    trivial = min(counts) if "trivial" in baselines else 0
    cells = cells_of(rows, seeds, origins, trivial)
    reference = against or variants[0].label
    if reference not in [cell.label for cell in cells]:
        labels = ", ".join(dict.fromkeys(cell.label for cell in cells))
        raise UsageError(f"--against {reference}: there are {labels}")
    paths = {  # the study keeps its images in one folder a cell
        name.replace("/", "-"): [str(path) for path in sources] for name, sources in scenes.items()
    }
    if len(paths) < len(scenes):
        raise UsageError("two scenes differ in / and - alone: rename one of them")
    settings = resolve_settings(variants[0].recipe)
    measuring = origins.of_measuring(metrics, options or {})
    return Study(
        scenes=paths,
        metrics=list(metrics),
        cells=cells,
        reference=reference,
        axes=[
            *([RECIPES] if len(bases) > 1 else []),
            *(axis for axis, values in axes.items() if len(values) > 1),
        ],
        options=options or {},
        ranges=list(settings.range),
        stretch=settings.stretch,
        hashes={name: origins.of_sources(sources) for name, sources in paths.items()},
        measured=key_of(measuring, list(settings.range), list(settings.stretch)),
    )


def _with_baselines(
    variants: list[Variant],
    wanted: Sequence[str],
    count: int,
    origins: Origins,
    built: dict[str, Part] | None,
    known: Known,
) -> list[Variant]:
    rows = {variant.key: variant for variant in variants}
    for variant in variants:
        added: list[Variant] = list(rungs(variant, origins.registry)) if "rungs" in wanted else []
        if "fixed" in wanted:
            steps = _steps_at_its_cost(variant, count, origins, built, known)
            same = at_same_cost(variant, steps, origins.registry) if steps else None
            added += [same] if same else []
        for row in added:
            rows.setdefault(row.key, row)
    return list(rows.values())


def _steps_at_its_cost(
    variant: Variant,
    count: int,
    origins: Origins,
    built: dict[str, Part] | None,
    known: Known,
) -> int | None:
    """Return in how many steps fixed weights cost what a variant costs, found out once."""
    key = key_of(dict(variant.recipe), origins.of_recipe(variant.recipe), count)
    if key not in known.steps:
        from .cost import nfe_of, steps_at_nfe  # which import torch

        target = nfe_of(variant.recipe, count, origins.registry, built)
        known.steps[key] = steps_at_nfe(variant, target, count, origins.registry, built)
    return known.steps[key]
