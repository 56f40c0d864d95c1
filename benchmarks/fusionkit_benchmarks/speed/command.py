"""``fusionkit bench speed``: where the time of a fusion goes, or one setting against another."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.cli import say
from fusionkit.cli.arguments import Parser, add_plugin_flags, add_threads_flag, set_threads
from fusionkit.cli.selection import Selection, select
from fusionkit.errors import UsageError

if TYPE_CHECKING:
    from .measure import Subject

_PROG = "fusionkit bench speed"
_EXAMPLES = """\
Fuses synthetic sources of the given size: one grey, the others in colour.

examples:
  fusionkit bench speed
  fusionkit bench speed --size 1024x768 --weighting fixed --json speed.json
  fusionkit bench speed --compare weighting=fixed
  fusionkit bench speed --compare precision=bfloat16 --compare threads=4 --repeats 10
  fusionkit bench speed --recipe a.toml --compare b.toml
  fusionkit bench speed --scaling
  fusionkit bench speed --overhead --repeats 10
  fusionkit bench speed --peers --peer openfocus=of/bin/python --size 640x480,6000x4000 --scenes 50
"""

_SIZE = "640x480"
_SMALLEST = "80x64"
"""Of ``--scaling``, which multiplies it by up to eight each way."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    selection = select(arguments, _PROG)
    given = _parser(selection).parse_args(arguments)
    if sum(map(bool, (given.scaling, given.overhead, given.compare, given.peers))) > 1:
        raise UsageError("--scaling, --overhead, --compare and --peers are one measurement each")
    if given.peers:
        return _beside_peers(arguments, given)
    if given.scenes or given.peer or given.rows:
        raise UsageError("--scenes, --peer and --rows go with --peers")
    size = _size(given.size or (_SMALLEST if given.scaling else _SIZE))
    others = _compared(arguments, given.compare) if given.compare else None
    began = time.perf_counter()
    from fusionkit.host.composing import compose

    from .measure import compare, measure
    from .overhead import overhead
    from .scaling import scaling
    from .text import as_text, comparison_as_text, overhead_as_text, scaling_as_text

    imported = time.perf_counter() - began
    set_threads(given.threads)
    subject = _subject(selection, given)
    if given.scaling:
        measured = scaling(subject.recipe, subject.registry, size, given.sources, given.repeats)
        text = scaling_as_text(measured)
    elif given.overhead:
        pipeline = compose(recipe=subject.recipe, registry=subject.registry)
        measured = overhead(pipeline, size, given.sources, given.repeats)
        text = overhead_as_text(measured)
    elif others is None:
        measured = measure(subject, size, given.sources, given.repeats, imported)
        text = as_text(measured)
    else:
        other_selection = select(others, _PROG)
        other = _subject(other_selection, _parser(other_selection).parse_args(others))
        measured = compare(subject, other, size, given.sources, given.repeats)
        text = comparison_as_text(measured, ("as given", ", ".join(given.compare)))
    return _told(text, measured, given.json)


def _told(text: str, measured: dict[str, Any], file: str | None) -> int:
    print(text)
    if file:
        from fusionkit.imaging import write_text

        write_text(file, json.dumps(measured, indent=2) + "\n", overwrite=True)
    return 0


def _beside_peers(arguments: Sequence[str], given: argparse.Namespace) -> int:
    """Time ``fusionkit run`` in turn with peers."""
    if importlib.util.find_spec("scipy") is None:
        raise UsageError("the benchmark needs scipy: pip install scipy")
    sizes = [_size(text) for text in (given.size or _SIZE).split(",")]
    from ..peers.command import named
    from ..peers.installed import found
    from .peers import beside_peers, ours, theirs
    from .text import peers_as_text

    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_own_flags(own)
    flags = own.parse_known_args(arguments)[1]  # those of ``fusionkit run``
    if given.task is None and given.recipe is None:
        flags += ["--task", "multi-focus"]
    peers, absent = found(named(given.peer, "--peer"))
    for line in absent:
        say(line)
    rows = theirs(peers, given.rows.split(",") if given.rows else None)
    measured = beside_peers([ours(flags), *rows], sizes, given.sources, given.scenes, given.repeats)
    measured |= {"flags": flags, "peers": [peer.version for peer in peers]}
    return _told(peers_as_text(measured), measured, given.json)


def _parser(selection: Selection) -> Parser:
    parser = Parser(
        prog=_PROG,
        description="Measure where the time of a fusion goes, and how near it is to the hardware.",
        epilog=_EXAMPLES,
    )
    _add_own_flags(parser)
    add_threads_flag(parser)
    selection.add_flags(parser)
    add_plugin_flags(parser)
    return parser


def _add_own_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--size",
        metavar="WxH",
        help=f"in pixels (default: {_SIZE}; of the smallest under --scaling: {_SMALLEST}; several, "
        "with commas, under --peers)",
    )
    add("--sources", type=_number(2), default=2, metavar="K", help="how many (default: 2)")
    add("--repeats", type=_number(1), default=3, metavar="N", help="fusions timed (default: 3)")
    add(
        "--compare",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="time the same with this flag too, or another recipe's FILE, in turn with it as given",
    )
    add(
        "--scaling",
        action="store_true",
        help="time 1 to 64 times the pixels, 1 to 8 steps, and 2 to 6 sources for the weighting "
        "alone, against linear growth",
    )
    add(
        "--overhead",
        action="store_true",
        help="time the framework's loop in turn with one by hand, of the same components",
    )
    add(
        "--peers",
        action="store_true",
        help="time whole commands on focus stacks in files, in turn with fusions that a person can "
        "install; the recipe is multi-focus unless another is named",
    )
    add(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="as of fusionkit bench peers; may be repeated",
    )
    add("--rows", metavar="A,B", help="these of the peers' ways only, such as openfocus dct")
    add(
        "--scenes",
        type=_number(1),
        default=0,
        metavar="N",
        help="under --peers, fuse N scenes of the first size by one command, too",
    )
    add("--json", metavar="FILE", help="write what was measured there")


def _subject(selection: Selection, given: argparse.Namespace) -> Subject:
    from .measure import Subject

    return Subject(selection.recipe, selection.registry, given.threads)


def _compared(arguments: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Return the command line of the setting to compare with: the same, and its changes last."""
    line = list(arguments)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            line = [*_without(line, ("--task", "--recipe")), "--recipe", change]
        elif key in ("size", "sources", "repeats", "json", "compare"):
            raise UsageError(f"--compare {change}: {key} is the same for both")
        else:
            line.append(f"--{key}={value}")
    return line


def _without(arguments: Sequence[str], flags: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if not skip and argument.split("=", 1)[0] not in flags:
            kept.append(argument)
        skip = not skip and argument in flags
    return kept


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if not match:
        raise UsageError(f"--size {text}: expected WIDTHxHEIGHT, such as 640x480")
    return int(match[1]), int(match[2])


def _number(least: int) -> Any:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expects a whole number from {least}, not {text!r}")
        return int(text)

    return parse
