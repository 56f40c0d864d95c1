"""``fusionkit ablate``: run every combination of components and options, and report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.options import specs
from ..contract.registry import Registry
from ..errors import UsageError
from ..host.batch import find_scenes, holds_scenes
from ..host.listing import expanded
from ..recipes.finding import base_layers
from ..recipes.layers import Merged, merge, merged, resolve_settings
from ..recipes.settings import Settings
from . import complain, print_line, say
from .arguments import (
    Parser,
    add_cache_flag,
    add_plugin_flags,
    load_plugins_from,
    spelled_out,
)
from .jobs import check_apart
from .metrics import add_metric_flags, split_metric_options
from .preparations import taken_from_axes
from .progress import counted
from .stacking import add_stacking_flags, stacking

if TYPE_CHECKING:
    from ..evaluation.folder import Known
    from ..evaluation.origins import Origins
    from ..evaluation.study import Study
    from ..evaluation.variants import Variant
    from ..host.parts import Part

_EXAMPLES = """\
Any flag of "fusionkit run" that names a component, a setting or an option may be given several
values, separated by commas (lists by semicolons); every combination is run on every scene. One
value, as --weighting.window 9, goes to every component that has the option; --match gives a
component what the recipe's own has. A second call with the same folder goes on where the first
was interrupted, adds what is new, and runs again what comes of code, sources or weights that
have changed.

examples:
  fusionkit ablate ir/ vi/ -o study/ --weighting fixed,dig --weighting.window 5,15
  fusionkit ablate ir/ vi/ -o study/ --task infrared-visible --weighting dig,saliency --match
  fusionkit ablate ir/ vi/ -o study/ --recipe infrared-visible,mine.toml
  fusionkit ablate scenes.csv -o study/ --weighting.window 3,7,15 --seeds 0,1,2
  fusionkit ablate near/ far/ -o study/ --preset multi-focus --objective mse,increments
"""

BASELINES = ("rungs", "fixed", "trivial")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if a cell failed or could not be measured."""
    from ..evaluation.ablation import run_study
    from ..evaluation.folder import Known
    from ..evaluation.report import write_report
    from ..evaluation.study import Loading

    parser = _parser()
    options, words = split_metric_options(arguments)
    axes, rest = _split_axes(words, parser)
    given = parser.parse_args(rest)
    registry = load_plugins_from(words)
    folder = Path(given.output)
    known = Known.read(folder)
    built: dict[str, Part] = {}  # every component once, for counting costs and for running
    study, problems = _study(given, axes, options, registry, built, known)
    loading = Loading(tuple(given.no_plugin), tuple(given.plugin))
    with counted(len(study.cells) * len(study.scenes), "cell", quiet=given.quiet) as advance:
        problems += run_study(
            study,
            folder,
            registry,
            jobs=given.jobs,
            loading=loading,
            built=built,
            cache=given.cache,
            progress=advance,
        )
    known.write(folder)
    for problem in problems:
        complain(problem, 1)
    print(write_report(folder, registry=registry))
    beside = "or report.md and report.csv beside it."
    print_line(f"See {folder / 'report.html'}, {beside}", sys.stdout)
    return 1 if problems else 0


def _parser() -> Parser:
    parser = Parser(
        prog="fusionkit ablate",
        description="Run every combination of components and options on every scene, and report.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="folders paired by stem, or a manifest"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="where it is kept")
    add_stacking_flags(parser)
    base = parser.add_mutually_exclusive_group()
    base.add_argument(
        "--task",
        metavar="A,B",
        help="the recipe that the axes change, by name; several are an axis, too",
    )
    base.add_argument(
        "--recipe", metavar="A,B", help="instead, TOML files, records, or recipes by name"
    )
    parser.add_argument(
        "--match",
        action="store_true",
        help="give every component of an axis the options that it shares with the recipe's own, "
        "as they are there; an axis of its own still says otherwise",
    )
    parser.add_argument(
        "--range", action="append", default=[], metavar="K:LO,HI", help="as for run; no axis"
    )
    parser.add_argument("--seeds", default="0", metavar="A,B", help="seeds (default: 0)")
    add_metric_flags(parser)
    parser.add_argument(
        "--baseline",
        default=",".join(BASELINES),
        metavar="A,B",
        help="what is added: rungs (target only, the closed-form prior), fixed (weights, at the "
        "same NFE), trivial (mean, max, laplacian-max, each source by itself), or none (default: "
        "all three)",
    )
    parser.add_argument(
        "--against", metavar="LABEL", help="the row to take differences from (default: the first)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: 1)")
    add_cache_flag(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_plugin_flags(parser)
    return parser


def _split_axes(arguments: Sequence[str], parser: Parser) -> tuple[dict[str, list[str]], list[str]]:
    """Take out what is no flag of ours, as axes: ``--NAME A,B`` or ``--NAME=A,B``."""
    axes: dict[str, list[str]] = {}
    rest: list[str] = []
    switches = {f"--{spec.name}": spec for spec in specs(Settings) if spec.is_switch}
    words = iter(spelled_out(arguments, switches))
    for word in words:
        flag, equals, value = word.partition("=")
        if not flag.startswith("--") or parser.knows(flag):
            rest.append(word)
            continue
        text = value if equals else next(words, "")
        values = [part.strip() for part in text.split(",") if part.strip()]
        if not values or text.startswith("--"):
            raise UsageError(f"{flag} needs a value, or several separated by commas")
        axes.setdefault(flag.removeprefix("--"), []).extend(values)
    if "seed" in axes:
        raise UsageError("seeds are given as --seeds 0,1,2")
    return axes, rest


def _study(
    given: argparse.Namespace,
    axes: dict[str, list[str]],
    options: dict[str, str],
    registry: Registry,
    built: dict[str, Part],
    known: Known,
) -> tuple[Study, list[str]]:
    from ..evaluation.departures import RECIPES
    from ..evaluation.origins import Origins, key_of
    from ..evaluation.presets import chosen_metrics, metric_options, told
    from ..evaluation.study import Study, cells_of
    from ..evaluation.variants import products

    if given.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    how = stacking(given)
    given.sources = expanded(given.sources)
    if not how.said and not holds_scenes(given.sources):
        raise UsageError("sources are folders or a manifest here, not the files of one scene")
    scenes = find_scenes(given.sources, how).of_files()
    check_apart(given.output, given.sources, scenes.sources)
    wanted = _words(given.baseline, "baseline", (*BASELINES, "none"))
    seeds = _seeds(given.seeds)
    bases = _bases(given, registry)
    of_recipes = {json.dumps(base.metrics) for base in bases.values()}
    of_recipe = json.loads(of_recipes.pop()) if len(of_recipes) == 1 else ""
    metrics = chosen_metrics(given.metric, given.preset, registry, of_recipe)
    note = told(of_recipe, given.metric, given.preset)
    if note and not given.quiet:
        say(note)
    of_metrics = metric_options(options, metrics, registry)
    # Neither is an axis: a range has commas of its own.
    said: dict[str, Any] = {"range": given.range} if given.range else {}
    said |= taken_from_axes(axes, registry)
    layers = {name: merge(base.recipe, said, registry=registry) for name, base in bases.items()}
    variants = products(layers, axes, registry, given.match)
    counts = [len(sources) for sources in scenes.found.values()]
    origins = Origins(registry, known.files)
    rows = _with_baselines(variants, wanted, counts[0], origins, built, known)
    trivial = min(counts) if "trivial" in wanted else 0
    cells = cells_of(rows, seeds, origins, trivial)
    reference = given.against or variants[0].label
    if reference not in [cell.label for cell in cells]:
        labels = ", ".join(dict.fromkeys(cell.label for cell in cells))
        raise UsageError(f"--against {reference}: there are {labels}")
    paths = {  # the study keeps its images in one folder a cell
        name.replace("/", "-"): [str(path) for path in sources]
        for name, sources in scenes.found.items()
    }
    if len(paths) < len(scenes.found):
        raise UsageError("two scenes differ in / and - alone: rename one of them")
    settings = resolve_settings(variants[0].recipe)
    study = Study(
        scenes=paths,
        metrics=list(metrics),
        cells=cells,
        reference=reference,
        axes=[
            *([RECIPES] if len(bases) > 1 else []),
            *(axis for axis, values in axes.items() if len(values) > 1),
        ],
        options=of_metrics,
        ranges=list(settings.range),
        stretch=settings.stretch,
        hashes={name: origins.of_sources(sources) for name, sources in paths.items()},
        measured=key_of(
            origins.of_measuring(metrics, of_metrics), list(settings.range), list(settings.stretch)
        ),
    )
    return study, [f"{name}: {why}" for name, why in scenes.problems.items()]


def _bases(given: argparse.Namespace, registry: Registry) -> dict[str, Merged]:
    """Return the recipes that the axes change, by name; none for the only one."""
    flag = "task" if given.recipe is None else "recipe"
    text: str | None = getattr(given, flag)
    if text is None:
        return {"": merged(base_layers(), registry)}
    names = [word.strip() for word in text.split(",") if word.strip()]
    if not names:
        raise UsageError(f"--{flag} is empty: is a variable of the shell unset?")
    several = len(set(names)) > 1
    return {
        name if several else "": merged(base_layers(registry=registry, **{flag: name}), registry)
        for name in names
    }


def _words(text: str, what: str, known: Sequence[str]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise UsageError(f"unknown {what} {word!r}: there are {', '.join(known)}")
    return words


def _seeds(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"--seeds {text}: expected whole numbers from 0, separated by commas")
    return list(dict.fromkeys(map(int, words)))


def _with_baselines(
    variants: list[Variant],
    wanted: Sequence[str],
    count: int,
    origins: Origins,
    built: dict[str, Part],
    known: Known,
) -> list[Variant]:
    from ..evaluation.variants import at_same_cost, rungs

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
    variant: Variant, count: int, origins: Origins, built: dict[str, Part], known: Known
) -> int | None:
    """Return in how many steps fixed weights cost what a variant costs, found out once."""
    from ..evaluation.origins import key_of

    key = key_of(dict(variant.recipe), origins.of_recipe(variant.recipe), count)
    if key not in known.steps:
        from ..evaluation.cost import nfe_of, steps_at_nfe

        target = nfe_of(variant.recipe, count, origins.registry, built)
        known.steps[key] = steps_at_nfe(variant, target, count, origins.registry, built)
    return known.steps[key]
