"""``fusionkit bench peers``: fusions that a person can install, beside fusionkit's own."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.cli import say
from fusionkit.cli.arguments import Parser, add_plugin_flags, load_plugins_from
from fusionkit.cli.progress import counted
from fusionkit.errors import UsageError
from fusionkit.recipes.finding import Layer, read_recipe

if TYPE_CHECKING:
    from .tables import Asked

_FAMILIES = ("focus", "exposure", "lighting")
_KERNELS = ("gaussian", "disc")

_EXAMPLES = """\
Each peer and each recipe is run as a whole command in a process of its own; seconds are those of
the command. Writes peers.md, peers.json and every fused image into the folder. A second call goes
on where the first was interrupted.

peers: enfuse (a program); openfocus, focusweave, exposure-fusion, opencv (packages: PATH is the
Python that has it). One that is not installed is named, and its rows are left out.

examples:
  fusionkit bench peers -o bench/ --limit 2
  fusionkit bench peers -o bench/ --peer openfocus=of/bin/python --peer focusweave=fw/bin/python
  fusionkit bench peers -o bench/ --families focus --counts 2,5 --kernel gaussian,disc
  fusionkit bench peers -o bench/ --families none --data data/ --sets lytro,mefb --limit 3
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if something could not be fused or measured."""
    given = _parser().parse_args(arguments)
    if importlib.util.find_spec("scipy") is None:
        raise UsageError("the benchmark needs scipy: pip install scipy")
    asked = _asked(given)
    from .installed import found

    peers, absent = found(named(given.peer, "--peer"))
    for line in absent:
        say(line)
    registry = load_plugins_from(arguments)
    from ..quality.report import told, write
    from ..quality.runner import Runner
    from ..quality.store import Store
    from .tables import PeerTables

    folder = Path(given.output)
    runner = Runner(Store(folder))
    settings = {
        "peers": [peer.version for peer in peers],
        "left out": absent,
        "photographs": list(asked.photographs)[: asked.limit],
        "size": asked.size,
        "defocus": [f"{blur.kernel} of sigma {blur.sigma:g}" for blur in asked.blurs],
        "seed": asked.seed,
    }
    outcomes = []
    with counted(None, "result", quiet=given.quiet) as progress:
        for table in PeerTables(asked, peers, registry):
            outcomes.append(runner.run(table, None, progress))
            write(folder, outcomes, settings, given.against, "peers")  # so far: it takes long
    if not outcomes:
        raise UsageError("nothing to do: --families none needs --data with sets of these families")
    return told(folder, outcomes, "peers")


def _parser() -> Parser:
    parser = Parser(
        prog="fusionkit bench peers",
        description="Run fusions that a person can install side by side with fusionkit's recipes.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="DIR", help="where results are kept")
    add(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a peer is: its program, or the Python of the environment that has its package; "
        "may be repeated",
    )
    add(
        "--recipe",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a recipe in all tables, beside general and the one that suits it; may be repeated",
    )
    add("--families", default=",".join(_FAMILIES), metavar="A,B", help="or none (%(default)s)")
    add("--counts", default="2,3,5", metavar="A,B", help="numbers of sources (%(default)s)")
    add("--kernel", default="gaussian", metavar="A,B", help="shapes of defocus (%(default)s)")
    add("--blur", type=float, default=3.0, metavar="S", help="sigma of defocus (3 pixels)")
    add("--photos", type=Path, metavar="DIR", help="to make scenes of (those of scikit-image)")
    add("--size", type=int, metavar="N", help="take the middle N x N pixels of each photograph")
    add("--data", type=Path, metavar="ROOT", help="published sets: ROOT/sources/TASK/SET/...")
    add("--sets", metavar="A,B", help="of these sets only, of focus stacks or brackets")
    add("--limit", type=int, metavar="N", help="the first N scenes of every set only")
    add("--seed", type=int, default=0, metavar="N", help="of scenes and recipes (0)")
    add(
        "--against",
        default="mean",
        metavar="ROW",
        help="the row to take differences from (%(default)s)",
    )
    add("--quiet", action="store_true", help="no progress bar")
    add_plugin_flags(parser)
    return parser


def _asked(given: argparse.Namespace) -> Asked:
    from ..photographs import bundled_photographs, photographs_in
    from ..truth import Defocus
    from .tables import Asked

    families = [] if given.families == "none" else given.families.split(",")
    kernels = given.kernel.split(",")
    for flag, words, known in (
        ("--families", families, _FAMILIES),
        ("--kernel", kernels, _KERNELS),
    ):
        for word in words:
            if word not in known:
                raise UsageError(f"{flag}: unknown {word!r}; there are {', '.join(known)}")
    counts = [int(word) if word.isdecimal() else 0 for word in given.counts.split(",")]
    if min(counts) < 2:
        raise UsageError(f"--counts {given.counts}: expected numbers of sources, 2 or more")
    for flag in ("limit", "size"):
        if getattr(given, flag) is not None and getattr(given, flag) < 1:
            raise UsageError(f"--{flag} must be at least 1")
    photographs = {}
    if families:
        photographs = photographs_in(given.photos) if given.photos else bundled_photographs()
    recipes: dict[str, Layer] = {
        name: read_recipe(path) for name, path in named(given.recipe, "--recipe").items()
    }
    return Asked(
        families=families,
        counts=counts,
        photographs=photographs,
        size=given.size,
        blurs=[Defocus(given.blur, kernel) for kernel in kernels],
        data=given.data,
        sets=given.sets.split(",") if given.sets else None,
        recipes=recipes,
        seed=given.seed,
        limit=given.limit,
    )


def named(given: Sequence[str], flag: str) -> dict[str, str]:
    """Return NAME=PATH flags as a mapping."""
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError(f"{flag} {text}: expected NAME=PATH")
        if name in pairs:
            raise UsageError(f"{flag} {text}: {name} is given twice")
        pairs[name] = path
    return pairs
