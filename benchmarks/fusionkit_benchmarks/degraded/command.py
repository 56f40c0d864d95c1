"""``fusionkit bench degraded``: restore what was degraded by known operators."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from fusionkit.cli.arguments import Parser, add_plugin_flags, load_plugins_from
from fusionkit.cli.progress import counted
from fusionkit.errors import UsageError

_EXAMPLES = """\
Writes degraded.md and degraded.json into the folder.

examples:
  fusionkit bench degraded -o bench/
  fusionkit bench degraded -o bench/ --data data/ --limit 2 --kinds x4,mask
  fusionkit bench degraded -o bench/ --photos kodak/ --estimator compact --size 256
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = _parser().parse_args(arguments)
    for package in ("scipy", "skimage"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"the benchmark needs {package}: pip install scipy scikit-image")
    if given.size < 32 or given.size % 4:
        raise UsageError(f"--size {given.size}: crops have 32 pixels or more, a multiple of 4")
    if given.limit < 1:
        raise UsageError("--limit must be at least 1")
    registry = load_plugins_from(arguments)
    from fusionkit.recipes.finding import task_recipe

    from ..photographs import bundled_photographs, photographs_in
    from . import classical
    from .measure import measure
    from .priors import Fuser
    from .report import as_markdown, write
    from .scenes import DEGRADATIONS, pairs

    kinds = given.kinds.split(",") if given.kinds else list(DEGRADATIONS)
    for kind in kinds:
        if kind not in DEGRADATIONS:
            raise UsageError(f"--kinds {kind}: choose from {', '.join(DEGRADATIONS)}")
    estimators = given.estimator.split(",")
    photographs = photographs_in(given.photos) if given.photos else bundled_photographs()
    scenes = list(pairs(photographs, given.data, given.limit, given.size))
    rows = [2 + len(classical.methods(kind)) + len(estimators) for kind in kinds]
    folder = Path(given.output)
    folder.mkdir(parents=True, exist_ok=True)
    fuser = Fuser(task_recipe(given.task), registry)
    with counted(len(scenes) * sum(rows), "row", quiet=given.quiet) as progress:
        outcomes = measure(
            scenes, kinds, estimators, given.levels, fuser, folder, registry, progress
        )
    settings = {
        "size": f"{given.size} x {given.size}",
        "task": given.task,
        "levels": given.levels,
        "estimators": estimators,
    }
    write(folder, outcomes, settings)
    print(as_markdown(outcomes, settings))
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="fusionkit bench degraded",
        description="Degrade clean sources by known operators, restore them, and fuse.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="where results are written")
    add("--kinds", metavar="A,B", help="degradations (default: all)")
    add("--estimator", default="compact,gaussian", metavar="A,B", help="default: %(default)s")
    add("--levels", type=int, default=10, metavar="N", help="evaluations (default: 10)")
    add("--task", default="general", metavar="NAME", help="what fuses (default: %(default)s)")
    add("--photos", type=Path, metavar="DIR", help="to make focus pairs of (default: bundled)")
    add("--data", type=Path, metavar="ROOT", help="published sets: ROOT/sources/TASK/SET/...")
    add("--limit", type=int, default=2, metavar="N", help="pairs of each set (default: 2)")
    add("--size", type=int, default=128, metavar="N", help="side of crops (default: 128)")
    add("--quiet", action="store_true", help="no progress bar")
    add_plugin_flags(parser)
    return parser
