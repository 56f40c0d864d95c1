"""``fusionkit run``: fuse the files of one scene, or many scenes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..batch import find_scenes, holds_scenes
from ..errors import FusionkitError, UsageError
from ..recipe import resolve_settings
from . import complain, explain
from .arguments import Parser, add_cache_flag, add_plugin_flags, add_threads_flag, set_threads
from .selection import Selection, select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..fusion import Scene
    from ..pipeline import Pipeline
    from ..sampler import SampledStep
    from ..settings import Settings

    OnStep = Callable[[SampledStep], None]

_EXAMPLES = """\
examples:
  fusionkit run ir.png vi.png -o fused.png
  fusionkit run near.jpg mid.jpg far.jpg -o fused.png --weighting dig --weighting.window 15
  fusionkit run ir/ vi/ -o fused/                      images paired by name
  fusionkit run scenes.csv -o fused/                   scenes listed in a manifest
  fusionkit run a.tif b.tif -o fused.tif --range 1:0,4095
  fusionkit run a.png b.png -o again.png --recipe fused.png.json
  fusionkit run a.png b.png -o fused.png --trace why   and pictures of how it came about
  fusionkit run --weighting fixed --help               the options of fixed too
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    selection = select(arguments, "fusionkit run")
    given = _parser(selection).parse_args(arguments)
    if given.output is None:
        raise UsageError("say where the fused image goes: -o OUT")
    if not given.sources:
        raise UsageError("say what to fuse: two images or more, folders, or a manifest")
    set_threads(given.threads)
    run = _run_scenes if holds_scenes(given.sources) else _run_files
    return run(given, selection)


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
        help="two or more images of one size, or folders of them",
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="the fused image, or a folder")
    parser.add_argument("--overwrite", action="store_true", help="replace what exists")
    parser.add_argument(
        "--trace",
        metavar="DIR",
        help="write there what guided the fusion, step by step: trace.json, strip.png and "
        "curves.png; for many scenes, in a folder for each",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse an option that cannot change the result of this composition",
    )
    add_cache_flag(parser)
    add_threads_flag(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no warnings")
    selection.add_flags(parser)
    add_plugin_flags(parser)
    return parser


def _run_files(given: argparse.Namespace, selection: Selection) -> int:
    from ..imaging import check_destination

    check_destination(given.output, overwrite=given.overwrite)
    settings, load = resolve_settings(selection.recipe), _loader(given, selection)
    _fuse_one(given.sources, given.output, given, settings, load, given.trace)
    return 0


def _run_scenes(given: argparse.Namespace, selection: Selection) -> int:
    scenes = find_scenes(given.sources)
    output = _made(given.output)
    traces = _made(given.trace) if given.trace is not None else None
    settings, load = resolve_settings(selection.recipe), _loader(given, selection)
    problems = 0
    for name, why in scenes.problems.items():
        problems += complain(f"{name}: {why}", 1)
    for name, sources in scenes.found.items():
        paths = [str(source) for source in sources]
        try:
            trace = None if traces is None else str(traces / name)
            _fuse_one(paths, str(output / name), given, settings, load, trace, name_by_content=True)
        except (FusionkitError, MemoryError, RuntimeError) as error:
            explained = explain(error)
            if explained is None:
                raise
            problems += complain(f"{name}: {explained}", 1)
    total = len(scenes.found) + len(scenes.problems)
    if problems:
        print(f"fusionkit: {total - problems} of {total} fused, {problems} failed", file=sys.stderr)
    return 1 if problems else 0


def _made(folder: str) -> Path:
    """Make a folder of results, if it is not there."""
    path = Path(folder)
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: this folder cannot be made: {error.strerror}") from None
    return path


def _extension(sources: Sequence[str], scene: Scene) -> str:
    """Return a lossless format of the sources' kind that holds the result's depth."""
    kinds = {Path(source).suffix.lower() for source in sources}
    if kinds == {".npy"}:
        return ".npy"
    return ".tif" if kinds & {".tif", ".tiff"} or scene.format.dtype.kind == "f" else ".png"


def _loader(given: argparse.Namespace, selection: Selection) -> Callable[[], Pipeline]:
    """Return a function that composes the pipeline when first called, and keeps it.

    What is wrong with the images shows without waiting for a model to load.
    """
    held: list[Pipeline] = []

    def load() -> Pipeline:
        if not held:
            from ..composing import compose

            pipeline = compose(
                recipe=selection.recipe, registry=selection.registry, cache=given.cache
            )
            selection.report_idle(pipeline, strict=given.strict, quiet=given.quiet)
            held.append(pipeline)
        return held[0]

    return load


def _fuse_one(
    sources: Sequence[str],
    output: str,
    given: argparse.Namespace,
    settings: Settings,
    load: Callable[[], Pipeline],
    trace_folder: str | None,
    name_by_content: bool = False,
) -> None:
    from ..fusion import Scene
    from ..tracing import Trace, check_folder, source_names

    scene = Scene.load(sources, settings)
    if name_by_content:
        output += _extension(sources, scene)
    scene.check_output(output, overwrite=given.overwrite)
    if trace_folder is not None:
        check_folder(trace_folder, overwrite=given.overwrite, beside=output)
    if not given.quiet:
        for note in (*scene.notes, *scene.notes_on(output)):
            print(f"fusionkit: warning: {note}", file=sys.stderr)
    pipeline = load()
    trace = None if trace_folder is None else Trace(pipeline, source_names(sources))
    with _progress(pipeline.schedule.steps, output, given.quiet) as advance:
        result = scene.fuse(pipeline, on_step=_both(trace, advance))
    result.save(output, overwrite=given.overwrite)
    if trace is not None and trace_folder is not None:
        trace.save(trace_folder, overwrite=given.overwrite)


def _both(first: OnStep | None, second: OnStep | None) -> OnStep | None:
    """Return one function in the place of two, of which either may be missing."""
    if first is None or second is None:
        return first or second

    def both(step: SampledStep) -> None:
        first(step)
        second(step)

    return both


@contextmanager
def _progress(steps: int, output: str, quiet: bool) -> Iterator[OnStep | None]:
    """Show a bar on stderr, at a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=steps, desc=Path(output).name, unit="step", leave=False) as bar:

        def advance(step: SampledStep) -> None:
            bar.update()

        yield advance
