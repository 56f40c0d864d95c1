"""``fusionkit ablate``: run every combination of components and options, and report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..batch import find_scenes, holds_scenes
from ..components import Registry
from ..errors import UsageError
from ..recipe import base_layers, merge
from . import complain
from .arguments import (
    Parser,
    add_cache_flag,
    add_metric_flags,
    add_plugin_flags,
    load_plugins_from,
)

if TYPE_CHECKING:
    from ..evaluation.plan import Variant
    from ..evaluation.study import Cell, Study
    from ..pipeline import Part

_EXAMPLES = """\
Any flag of "fusionkit run" that names a component, a setting or an option may be given several
values, separated by commas; every combination is run on every scene. A second call with the same
folder goes on where the first was interrupted, and adds what is new.

examples:
  fusionkit ablate ir/ vi/ -o study/ --weighting fixed,dig --steps 6,10
  fusionkit ablate scenes.csv -o study/ --weighting.window 3,7,15 --seeds 0,1,2
  fusionkit ablate near/ far/ -o study/ --preset multi-focus --objective mse,increments
"""

BASELINES = ("rungs", "fixed", "trivial")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if a cell failed or could not be measured."""
    parser = _parser()
    axes, rest = _split_axes(arguments, parser)
    given = parser.parse_args(rest)
    registry = load_plugins_from(arguments)
    built: dict[str, Part] = {}  # every component once, for counting costs and for running
    study, problems = _study(given, axes, registry, built)
    from ..evaluation.ablation import run_study
    from ..evaluation.report import write_report
    from ..evaluation.study import Loading

    folder = Path(given.output)
    loading = Loading(tuple(given.no_plugin), tuple(given.plugin))
    with _progress(len(study.cells) * len(study.scenes), given.quiet) as advance:
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
    for problem in problems:
        complain(problem, 1)
    print(write_report(folder, registry=registry))
    print(f"See {folder / 'report.html'}, or report.md and report.csv beside it.")
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
    base = parser.add_mutually_exclusive_group()
    base.add_argument("--task", metavar="NAME", help="the recipe that the axes change")
    base.add_argument("--recipe", metavar="FILE", help="in its place, a TOML file or a record")
    parser.add_argument("--seeds", default="0", metavar="A,B", help="seeds (default: 0)")
    add_metric_flags(parser)
    parser.add_argument(
        "--baseline",
        default=",".join(BASELINES),
        metavar="A,B",
        help="what is added: rungs (target only, the closed-form prior), fixed (weights, at the "
        "same NFE), trivial (mean, max, laplacian-max), or none (default: all three)",
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
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if not flag.startswith("--") or parser.knows(flag):
            rest.append(word)
            continue
        text = value if equals else next(words, "")
        values = [part.strip() for part in text.split(",") if part.strip()]
        if not values or text.startswith("--"):
            raise UsageError(f"{flag} needs a value, or several separated by commas")
        axes[flag.removeprefix("--")] = values
    if "seed" in axes:
        raise UsageError("seeds are given as --seeds 0,1,2")
    return axes, rest


def _study(
    given: argparse.Namespace,
    axes: dict[str, list[str]],
    registry: Registry,
    built: dict[str, Part],
) -> tuple[Study, list[str]]:
    from ..evaluation.plan import product
    from ..evaluation.presets import chosen_metrics
    from ..evaluation.study import Study, cells_of

    if given.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    if not holds_scenes(given.sources):
        raise UsageError("sources are folders or a manifest here, not the files of one scene")
    scenes = find_scenes(given.sources)
    wanted = _words(given.baseline, "baseline", (*BASELINES, "none"))
    seeds = _seeds(given.seeds)
    base = merge(*base_layers(given.task, given.recipe), registry=registry)
    variants = product(base, axes, registry)
    count = len(next(iter(scenes.found.values())))
    rows = _with_baselines(variants, wanted, count, registry, built)
    cells: list[Cell] = cells_of(rows, seeds, "trivial" in wanted)
    reference = given.against or variants[0].label
    if reference not in [cell.label for cell in cells]:
        labels = ", ".join(dict.fromkeys(cell.label for cell in cells))
        raise UsageError(f"--against {reference}: there are {labels}")
    metrics = chosen_metrics(given.metric, given.preset, registry)
    paths = {name: [str(path) for path in sources] for name, sources in scenes.found.items()}
    problems = [f"{name}: {why}" for name, why in scenes.problems.items()]
    return Study(paths, list(metrics), cells, reference), problems


def _words(text: str, what: str, known: Sequence[str]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise UsageError(f"unknown {what} {word!r}: there are {', '.join(known)}")
    return words


def _seeds(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: expected whole numbers separated by commas") from None


def _with_baselines(
    variants: list[Variant],
    wanted: Sequence[str],
    count: int,
    registry: Registry,
    built: dict[str, Part],
) -> list[Variant]:
    from ..evaluation.cost import nfe_of, steps_at_nfe
    from ..evaluation.plan import at_same_cost, rungs

    rows = {variant.key: variant for variant in variants}
    for variant in variants:
        added: list[Variant] = list(rungs(variant, registry)) if "rungs" in wanted else []
        if "fixed" in wanted:
            target = nfe_of(variant.recipe, count, registry, built)
            steps = steps_at_nfe(variant, target, count, registry, built)
            same = at_same_cost(variant, steps, registry) if steps else None
            added += [same] if same else []
        for row in added:
            rows.setdefault(row.key, row)
    return list(rows.values())


class _progress:  # noqa: N801 - used as a function: with _progress(...) as advance
    """A bar over cells and scenes on stderr, at a terminal only."""

    def __init__(self, total: int, quiet: bool) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(
            total=total, unit="cell", leave=False, disable=quiet or not sys.stderr.isatty()
        )

    def __enter__(self) -> Any:
        return lambda done: self._bar.update()

    def __exit__(self, *error: object) -> None:
        self._bar.close()
