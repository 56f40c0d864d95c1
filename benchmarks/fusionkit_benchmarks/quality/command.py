"""``fusionkit bench quality``: remake the tables of docs/quality.md."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.cli.arguments import Parser, add_plugin_flags, load_plugins_from
from fusionkit.cli.progress import counted
from fusionkit.errors import UsageError
from fusionkit.recipes.finding import Layer, read_recipe, task_recipe, tasks

from ..words import numbers, words

if TYPE_CHECKING:
    from ..truth import Noise
    from .parallel import Workers
    from .tables import Plan

_KINDS = ("truth", "noise", "published")
_FAMILIES = ("focus", "exposure", "lighting", "moving")
_OF_FAMILIES = f"of {', '.join(_FAMILIES)} (default: %(default)s)"
_FITTING, _NONE = "fitting", "none"

_EXAMPLES = """\
Writes quality.md, quality.json and every fused image into the folder. A second call goes on
where the first was interrupted; what a recipe, its weights or the code have changed is done anew.

examples:
  fusionkit bench quality -o bench/ --data data/ --parts --cascades --jobs 4
  fusionkit bench quality -o bench/ --recipe mine.toml --photos kodak/ --only truth --counts 2
  fusionkit bench quality -o bench/ --task general --data data/ --only published --sets tno
  fusionkit bench quality -o bench/ --task general --only noise --sigma 25 --limit 4 --seeds 0,1
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if something could not be fused or measured."""
    given = _parser().parse_args(arguments)
    if importlib.util.find_spec("scipy") is None:
        raise UsageError("the benchmark needs scipy: pip install scipy")
    plan = _plan(given)
    registry = load_plugins_from(arguments)
    from .report import told, write
    from .runner import Runner
    from .store import Store
    from .tables import Tables

    folder = Path(given.output)
    runner = Runner(Store(folder), given.any_code)
    made = Tables(plan, registry)
    tables = list(made)
    settings = _settings(given, plan, {r.name: r.recipe for r in made.recipes.values()})
    outcomes = []
    with ExitStack() as stack:
        progress = stack.enter_context(counted(None, "result", quiet=given.quiet))
        workers = _workers(stack, given, plan) if tables else None
        for place, table in enumerate(tables):
            work = partial(workers.scenes, place) if workers else None
            outcomes.append(runner.run(table, work, progress))
            write(folder, outcomes, settings, given.against)  # so far: it takes long
    if not outcomes:
        raise UsageError("nothing to do: published sets need --data")
    return told(folder, outcomes)


def _parser() -> Parser:
    parser = Parser(
        prog="fusionkit bench quality",
        description="Measure recipes beside what people use, where the answer is known, under "
        "noise, and on published sets.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="where results are kept")
    add(
        "--task",
        action="append",
        default=[],
        metavar="NAME",
        help="a recipe of fusionkit's own, in all tables; or fitting: general, and in each table "
        "the one that suits it (the default without recipes); or none",
    )
    add(
        "--recipe",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a TOML file or a record; both flags may be repeated",
    )
    add("--only", metavar="A,B", help=f"of {', '.join(_KINDS)} (default: all that there is)")
    add(
        "--photos",
        type=Path,
        metavar="DIR",
        help="photographs to make scenes of (default: those that scikit-image ships)",
    )
    add("--families", default=",".join(_FAMILIES[:3]), metavar="A,B", help=_OF_FAMILIES)
    add(
        "--counts",
        default="2,3,4,5",
        metavar="A,B",
        help="numbers of sources (default %(default)s)",
    )
    add("--blur", type=float, default=3.0, metavar="S", help="sigma of defocus (default: 3 pixels)")
    add("--kernel", choices=("gaussian", "disc"), default="gaussian", help="shape of defocus")
    add("--sigma", default="5,10,25", metavar="A,B", help="noise, of 255 (default: %(default)s)")
    add("--noise", default="gaussian,poisson-gaussian", metavar="A,B", help="default: %(default)s")
    add("--noise-in", default="all,first", metavar="A,B", help="sources (default: %(default)s)")
    add(
        "--data",
        type=Path,
        metavar="ROOT",
        help="published sets: ROOT/sources/TASK/SET/SCENE_ROLE.*, ROOT/peers/METHOD/SET/SCENE.*",
    )
    add("--sets", metavar="A,B", help="of these sets only")
    add("--noisy-sets", default="tno", metavar="A,B", help="sets to add noise to (default: tno)")
    add(
        "--foreground",
        type=float,
        default=2.0,
        metavar="T",
        help="medical sets are also measured where a source exceeds T of 255 (default: 2)",
    )
    add(
        "--cascades",
        action="store_true",
        help="add recipes pair by pair where K > 2, in the given and the reverse order",
    )
    add(
        "--parts",
        action="store_true",
        help="after each table, what each part of its recipes buys: variants at the same NFE",
    )
    add("--seeds", default="0", metavar="A,B", help="of scenes and recipes (default: 0)")
    add("--limit", type=int, metavar="N", help="the first N scenes of every set only")
    add("--part", choices=("tuning", "checking"), help="even or odd scenes in sorted order only")
    add(
        "--against",
        default="laplacian-max",
        metavar="NAME",
        help="the row to take differences from (default: laplacian-max)",
    )
    add(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes, each on one thread; results do not depend on N (default: 1)",
    )
    add("--any-code", action="store_true", help="take results although the code has changed since")
    add("--quiet", action="store_true", help="no progress bar")
    add_plugin_flags(parser)
    return parser


def _plan(given: argparse.Namespace) -> Plan:
    from ..photographs import bundled_photographs, photographs_in
    from ..truth import Defocus
    from .tables import Plan

    default = _KINDS if given.data is not None else _KINDS[:2]
    kinds = words(given.only, "--only", _KINDS) if given.only else default
    counts = [int(n) for n in numbers(given.counts, "--counts")]
    if any(count < 2 for count in counts):
        raise UsageError(f"--counts {given.counts}: a scene has two sources or more")
    if given.limit is not None and given.limit < 1:
        raise UsageError("--limit must be at least 1")
    if given.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    photographs = {}
    if {"truth", "noise"} & set(kinds):
        photographs = photographs_in(given.photos) if given.photos else bundled_photographs()
    return Plan(
        kinds=kinds,
        photographs=photographs,
        families=words(given.families, "--families", _FAMILIES),
        counts=counts,
        defocus=Defocus(given.blur, given.kernel),
        noises=_noises(given),
        data=given.data,
        sets=given.sets.split(",") if given.sets else None,
        noisy_sets=given.noisy_sets.split(","),
        foreground=given.foreground,
        recipes=_recipes(given),
        fitting=_fitting(given),
        cascades=given.cascades,
        parts=given.parts,
        seeds=[int(seed) for seed in numbers(given.seeds, "--seeds")],
        limit=given.limit,
        part=given.part,
    )


def _noises(given: argparse.Namespace) -> list[Noise]:
    from ..truth import Noise

    kinds = words(given.noise, "--noise", ("gaussian", "poisson-gaussian"))
    places = words(given.noise_in, "--noise-in", ("all", "first"))
    sigmas = numbers(given.sigma, "--sigma")
    try:
        return [
            Noise(sigma, kind, where)  # type: ignore[arg-type]
            for kind in kinds
            for where in places
            for sigma in sigmas
        ]
    except ValueError as error:
        raise UsageError(f"--sigma {given.sigma}: {error}") from None


def _recipes(given: argparse.Namespace) -> dict[str, Layer]:
    recipes: dict[str, Layer] = {}
    if _NONE in given.task and len(given.task) > 1:
        raise UsageError(f"--task {_NONE} stands alone")
    for name in given.task:
        if name not in (_FITTING, _NONE):
            _add(recipes, name, task_recipe(name))
    for text in given.recipe:
        name, equals, path = text.partition("=")
        name = name if equals else Path(text).stem
        if _fitting(given) and name in tasks():
            raise UsageError(f"--recipe {text}: {name!r} is a recipe of fusionkit's own: NAME=FILE")
        _add(recipes, name, read_recipe(path if equals else text))
    return recipes


def _fitting(given: argparse.Namespace) -> bool:
    return _FITTING in given.task or not (given.task or given.recipe)


def _add(recipes: dict[str, Layer], name: str, layer: Layer) -> None:
    if name in recipes:
        raise UsageError(f"two recipes are called {name!r}: give one a name, --recipe NAME=FILE")
    recipes[name] = layer


def _settings(given: argparse.Namespace, plan: Plan, recipes: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked for as the report tells it; places on this machine are left out."""
    return {
        "recipes": recipes,
        "photographs": list(plan.photographs)[: plan.limit],
        "defocus": f"{given.kernel} of sigma {given.blur:g}",
        "seeds": list(plan.seeds),
        "limit": plan.limit,
        "part": plan.part,
    }


def _workers(stack: ExitStack, given: argparse.Namespace, plan: Plan) -> Workers | None:
    if given.jobs == 1:
        return None
    from fusionkit.evaluation.study import Loading

    from .parallel import Workers
    from .tables import Tables

    loading = Loading(tuple(given.no_plugin), tuple(given.plugin))
    tables = partial(Tables, plan)
    workers = Workers(tables, Path(given.output), given.any_code, loading, given.jobs)
    stack.enter_context(workers.pool)
    return workers
