"""The flags of ``fusionkit run``, for the command and for the processes that work for it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..contract.reading import written_extensions
from ..contract.registry import Registry
from ..errors import UsageError
from ..host.pool import cores
from ..host.ray_pool import LOCAL
from .arguments import Parser, add_cache_flag, add_plugin_flags, add_threads_flag
from .process_flags import add_process_flags, processes_of
from .selection import Selection, select
from .stacking import add_shard_flag, add_slices_flag, add_stacking_flags

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
  fusionkit run ir/ vi/ -o fused/ --jobs 4             four scenes at a time
  fusionkit run ct.nii.gz mr.nii.gz -o fused.nii.gz --slices all    volumes, slice by slice
  fusionkit run a.tif b.tif -o fused.tif --range 1:0,4095
  fusionkit run a.png b.png -o again.png --recipe fused.png.json
  fusionkit run a.png b.png -o fused.png --trace why   and pictures of how it came about
  fusionkit run --weighting fixed --help               the options of fixed too
"""

PROGRAM = "fusionkit run"
_FORMATS = ("jpg", "png", "tif")
_PATHS = ("output", "trace", "maps", "cache", "recipe")


def parsed(
    arguments: Sequence[str], registry: Registry | None = None
) -> tuple[Selection, argparse.Namespace]:
    """Return what a command line selects, and its flags.

    ``registry`` is that of the same command line, if its plugins have been loaded already.
    """
    selection = select(arguments, PROGRAM, may_decide=True, registry=registry, taken=own_flags())
    given = _parser(selection).parse_args(arguments)
    for name in _PATHS:
        if getattr(given, name) == "":
            raise UsageError(f"--{name} is empty: is a variable of the shell unset?")
    _check_processes(given)
    if given.slices and (given.trace or given.maps):
        raise UsageError("--trace and --maps are of one image: fuse the slice, FILE#z80")
    return selection, given


def _parser(selection: Selection) -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Fuse registered images of one scene, or folders of them paired by name.",
        epilog=_EXAMPLES,
        usage="fusionkit run SOURCE SOURCE [SOURCE ...] -o OUT [options]",
        taken=own_flags(),
    )
    of_plugins = (extension[1:] for extension in written_extensions())
    _add_own_flags(parser, (*_FORMATS, *of_plugins))
    selection.add_flags(parser)
    add_plugin_flags(parser)
    return parser


def own_flags() -> frozenset[str]:
    """Return the flags of the command itself, whatever is selected."""
    parser = Parser(add_help=False)
    _add_own_flags(parser)
    add_plugin_flags(parser)
    return parser.flags


def _add_own_flags(parser: Parser, formats: Sequence[str] = _FORMATS) -> None:
    """Add the flags that are there whatever is selected."""
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="two or more images of one size, a file that is a stack of them, folders, or a "
        "manifest; URLs such as s3:// too",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="the fused image, or a folder; a URL, too"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what exists")
    parser.add_argument(
        "--format",
        choices=formats,
        help="format of the images in a folder (default: lossless, of the sources' kind)",
    )
    add_stacking_flags(parser)
    add_slices_flag(parser)
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
    add_process_flags(
        parser,
        "fuse",
        "fuse N scenes at a time, each in a process that loads the models once and computes with "
        "its share of the cores; a process that is killed fails its scene alone",
    )
    add_cache_flag(parser)
    add_threads_flag(parser)
    parser.add_argument(
        "--progress",
        choices=("bar", "json"),
        default="bar",
        help="json: print a line of JSON on stdout for every scene that is done, instead of its "
        "result, with counts, megapixels a second and seconds to go (default: bar, at a terminal)",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print nothing but errors, and no progress bar"
    )


def _check_processes(given: argparse.Namespace) -> None:
    """Raise UsageError for more threads than cores: they would only be in each other's way."""
    if processes_of(given).ray not in (None, LOCAL):
        return
    wanted = (given.jobs or 1) * (given.threads or 1)
    if given.jobs is not None and wanted > cores():
        threads = f" times --threads {given.threads}" if given.threads else ""
        raise UsageError(
            f"--jobs {given.jobs}{threads}: this takes {wanted} cores, of {cores()} that this "
            "process may use: give fewer"
        )
