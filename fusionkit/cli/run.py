"""``fusionkit run``: fuse the files of one scene, or many scenes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..host.listing import expanded
from ..imaging import FORMATS
from ..recipes.finding import GIVEN
from .arguments import Parser, add_cache_flag, add_plugin_flags, add_threads_flag
from .jobs import Order, order_of
from .running import Runner
from .selection import Selection, select
from .stacking import add_shard_flag, add_stacking_flags, stacking

_EXAMPLES = """\
examples:
  fusionkit run ir.png vi.png -o fused.png
  fusionkit run near.jpg mid.jpg far.jpg -o fused.png --weighting dig --weighting.window 15
  fusionkit run stack.tif -o fused.tif                 the pages of one file
  fusionkit run ir/ vi/ -o fused/                      images paired by name
  fusionkit run stacks/ -o fused/                      a folder for each stack
  fusionkit run card/ -o fused/ --stack-by 3           three in a row are one scene
  fusionkit run scenes.csv -o fused/                   scenes listed in a manifest
  fusionkit run scenes.csv -o fused/ --shard 3/8       the third of eight shares of them
  fusionkit run a.tif b.tif -o fused.tif --range 1:0,4095
  fusionkit run a.png b.png -o again.png --recipe fused.png.json
  fusionkit run a.png b.png -o fused.png --trace why   and pictures of how it came about
  fusionkit run --weighting fixed --help               the options of fixed too
"""

_FORMATS = ("jpg", "png", "tif")
_PATHS = ("output", "trace", "maps", "cache", "recipe")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    selection = select(arguments, "fusionkit run", may_decide=True)
    given = _parser(selection).parse_args(arguments)
    _check_paths(given)
    sources = expanded(given.sources)
    if not sources:
        raise UsageError("say what to fuse: two images or more, folders, or a manifest")
    runner = Runner(selection, given)
    order = order_of(
        sources,
        given.output,
        stacking(given),
        form=given.format,
        trace=given.trace,
        maps=given.maps,
        overwrite=given.overwrite,
    )
    _check_quality(selection, order)
    return runner.run(order if given.shard is None else order.share(given.shard))


def _parser(selection: Selection) -> Parser:
    parser = Parser(
        prog="fusionkit run",
        description="Fuse registered images of one scene, or folders of them paired by name.",
        epilog=_EXAMPLES,
        usage="fusionkit run SOURCE SOURCE [SOURCE ...] -o OUT [options]",
    )
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="two or more images of one size, a file that is a stack of them, folders, or a "
        "manifest",
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="the fused image, or a folder")
    parser.add_argument("--overwrite", action="store_true", help="replace what exists")
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        help="format of the images in a folder (default: lossless, of the sources' kind)",
    )
    add_stacking_flags(parser)
    add_shard_flag(parser)
    parser.add_argument(
        "--trace",
        metavar="DIR",
        help="write there what guided the fusion, step by step: trace.json, strip.png and "
        "curves.png; for many scenes, in a folder for each",
    )
    parser.add_argument(
        "--maps",
        metavar="DIR",
        help="write there what each source counts (weight-K.png), which counts most (index.png) "
        "and, of focus stacks, depth.png; for many scenes, in a folder for each",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse an option that cannot change the result of this composition",
    )
    add_cache_flag(parser)
    add_threads_flag(parser)
    parser.add_argument(
        "--quiet", action="store_true", help="print nothing but errors, and no progress bar"
    )
    selection.add_flags(parser)
    add_plugin_flags(parser)
    return parser


def _check_paths(given: argparse.Namespace) -> None:
    for name in _PATHS:
        if getattr(given, name) == "":
            raise UsageError(f"--{name} is empty: is a variable of the shell unset?")


def _check_quality(selection: Selection, order: Order) -> None:
    """Refuse a quality that was asked for by hand where no JPEG is written."""
    job = order.jobs[0]
    extensions = job.extensions or (Path(job.output).suffix.lower(),)
    jpeg = all(FORMATS[each].name == "JPEG" for each in extensions if each in FORMATS)
    if selection.merged.origins.get("quality") == GIVEN and not jpeg:
        remedy = "--format jpg" if job.extensions else "a name that ends in .jpg"
        raise UsageError(f"--quality is that of a JPEG: give {remedy}, or leave it out")
