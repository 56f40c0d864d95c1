"""``fusionkit ablate``: run every combination of components and options, and report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.options import specs
from ..contract.registry import Registry
from ..errors import UsageError
from ..host.batch import find_scenes, holds_scenes
from ..host.patterns import expanded
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
from .process_flags import add_process_flags, processes_of
from .progress import counted
from .rows import options_of
from .stacking import add_stacking_flags, stacking

if TYPE_CHECKING:
    from ..evaluation.folder import Known
    from ..evaluation.study import Study
    from ..host.parts import Part

_EXAMPLES = """\
Any flag of "fusionkit run" that names a component, a setting or an option may be given several
values, separated by commas (lists by semicolons); every combination is run on every scene. One
value, as --weighting.window 9, goes to every component that has the option; --match-options
gives a component what the recipe's own has. A second call with the same folder goes on where the
first was interrupted, adds what is new, and runs again what comes of code, sources or weights
that have changed.

examples:
  fusionkit ablate ir/ vi/ -o study/ --weighting fixed,dig --weighting.window 5,15
  fusionkit ablate ir/ vi/ -o study/ --task medical --weighting dig,saliency --match-options
  fusionkit ablate ir/ vi/ -o study/ --recipe infrared-visible,mine.toml
  fusionkit ablate scenes.csv -o study/ --weighting.window 3,7,15 --seeds 0,1,2
  fusionkit ablate near/ far/ -o study/ --preset multi-focus --objective mse,increments
"""


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
            processes=processes_of(given),
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
    from ..evaluation.planning import BASELINES

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
        "--match-options",
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
    add_process_flags(parser, "run cells", "run N cells at a time, in processes (default: 1)")
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
    from ..evaluation.conventions import in_convention
    from ..evaluation.planning import BASELINES, bases_of, metrics_of, plan
    from ..evaluation.presets import chosen_metrics, metric_options, told

    processes_of(given)  # what is wrong with them is said before anything is read
    how = stacking(given)
    given.sources = expanded(given.sources)
    if not how.said and not holds_scenes(given.sources):
        raise UsageError("sources are folders or a manifest here, not the files of one scene")
    scenes = find_scenes(given.sources, how, options_of(registry)).of_files()
    if row := next((row for row in scenes.rows.values() if row.options), None):
        column = next(iter(row.options))
        raise UsageError(f"{row.where}, column {column}: options by scene are for run: here, axes")
    check_apart(given.output, given.sources, scenes.sources)
    wanted = _words(given.baseline, "baseline", (*BASELINES, "none"))
    bases = bases_of(registry, _names(given.task), _names(given.recipe))
    of_recipe = metrics_of(bases)
    metrics = chosen_metrics(given.metric, given.preset, registry, of_recipe)
    note = told(of_recipe, given.metric, given.preset)
    if note and not given.quiet:
        say(note)
    # Neither is an axis: a range has commas of its own.
    said: dict[str, Any] = {"range": given.range} if given.range else {}
    said |= taken_from_axes(axes, registry)
    study = plan(
        {name: [str(path) for path in sources] for name, sources in scenes.found.items()},
        bases,
        axes,
        registry,
        metrics=metrics,
        options=in_convention(
            given.convention, metrics, registry, metric_options(options, metrics, registry)
        ),
        said=said,
        baselines=[word for word in wanted if word != "none"],
        seeds=_seeds(given.seeds),
        match=given.match_options,
        against=given.against,
        known=known,
        built=built,
    )
    return study, [f"{name}: {why}" for name, why in scenes.problems.items()]


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


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
