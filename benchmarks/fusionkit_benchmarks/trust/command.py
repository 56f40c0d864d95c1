"""``fusionkit bench trust``: which metrics of fusion to believe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from fusionkit.cli import complain
from fusionkit.cli.arguments import Parser, add_plugin_flags, load_plugins_from
from fusionkit.cli.progress import counted
from fusionkit.errors import UsageError

from ..words import numbers, words

_FAMILIES = ("focus", "exposure", "lighting")
_EXAMPLES = """\
Writes trust.md, trust.json and every fused image into the folder. A second call goes on where the
first was interrupted.

examples:
  fusionkit bench trust -o trust/
  fusionkit bench trust -o trust/ --photos kodak/ --sigma 5,25 --jobs 2
  fusionkit bench trust -o trust/ --families focus --sigma none --metric qabf,mi,vif --limit 2
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if something could not be fused or measured."""
    given = _parser().parse_args(arguments)
    families, sigmas = words(given.families, "--families", _FAMILIES), _sigmas(given.sigma)
    if given.size < 176:
        raise UsageError(f"--size {given.size}: metrics of five scales need 176 pixels or more")
    if given.limit is not None and given.limit < 1:
        raise UsageError("--limit must be at least 1")
    if given.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    registry = load_plugins_from(arguments)
    from fusionkit.evaluation.measure import TRUTH
    from fusionkit.evaluation.presets import chosen_metrics
    from fusionkit.evaluation.study import Loading

    from ..photographs import bundled_photographs, middle_of, photographs_in
    from ..quality.parallel import Workers
    from ..quality.runner import Runner
    from ..quality.store import Store
    from ..quality.tables import Plan
    from ..truth import Noise
    from .agreement import Group, groups_of
    from .report import write
    from .tables import trust_tables

    names = chosen_metrics(given.metric, None, registry) if given.metric else ()
    photographs = photographs_in(given.photos) if given.photos else bundled_photographs()
    chosen = dict(list(photographs.items())[: given.limit])
    plan = Plan(
        kinds=("truth", "noise") if sigmas else ("truth",),
        photographs={name: partial(middle_of, read, given.size) for name, read in chosen.items()},
        families=families,
        counts=(2,),
        noises=[Noise(sigma) for sigma in sigmas],
        fitting=True,
    )
    folder = Path(given.output)
    runner = Runner(Store(folder))
    groups: list[Group] = []
    problems: list[str] = []
    tables = partial(trust_tables, plan, names)
    with ExitStack() as stack, counted(None, "result", quiet=given.quiet) as progress:
        workers = None
        if given.jobs > 1:
            loading = Loading(tuple(given.no_plugin), tuple(given.plugin))
            workers = Workers(tables, folder, False, loading, given.jobs)
            stack.enter_context(workers.pool)
        for place, table in enumerate(tables(registry)):
            family = next(name for name in families if name in table.title)
            work = partial(workers.scenes, place) if workers else None
            outcome = runner.run(table, work, progress)
            title = f"{family}, noise" if table.kind == "noise" else family
            # The brightness of an evenly lit bracket is a convention: see truth.exposure.
            column = "psnr-fit" if family == "exposure" else "psnr"
            groups += groups_of(outcome, title, TRUTH + column)
            problems += outcome.scores.problems
    print(write(folder, groups, {"photographs": len(chosen), "size": given.size}))
    for problem in problems:
        complain(problem, 1)
    return 1 if problems else 0


def _parser() -> Parser:
    parser = Parser(
        prog="fusionkit bench trust",
        description="Compare how metrics without a truth rank results with how the truth does.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="where results are kept")
    add("--metric", metavar="A,B", help="these metrics only (default: all that are installed)")
    add(
        "--photos",
        type=Path,
        metavar="DIR",
        help="photographs to make scenes of (default: those that scikit-image ships)",
    )
    add("--families", default=",".join(_FAMILIES), metavar="A,B", help="default: %(default)s")
    add(
        "--sigma",
        default="15",
        metavar="A,B",
        help="also with noise in all sources, of 255; or none (default: %(default)s)",
    )
    add("--size", type=int, default=256, metavar="N", help="side of the middle that is cut out")
    add("--limit", type=int, metavar="N", help="the first N photographs only")
    add(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes, each on one thread; results do not depend on N (default: 1)",
    )
    add("--quiet", action="store_true", help="no progress bar")
    add_plugin_flags(parser)
    return parser


def _sigmas(text: str) -> list[float]:
    if text == "none":
        return []
    found = numbers(text, "--sigma")
    if min(found) <= 0:
        raise UsageError(f"--sigma {text}: noise needs a sigma above 0")
    return found
