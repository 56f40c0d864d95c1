"""``fusionkit evaluate``: measure fused images against their sources."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract.counting import number_of
from ..contract.paths import refuse_url, split_part
from ..contract.reading import stem_of
from ..contract.registry import Registry
from ..errors import UsageError
from ..host.batch import doubled_stem, find_scenes, holds_scenes, images_by_stem
from ..host.patterns import expanded
from ..imaging import is_written
from ..recipes.settings import check_device_name
from . import complain, say
from .arguments import (
    Parser,
    add_plugin_flags,
    add_range_flags,
    load_plugins_from,
)
from .metrics import add_metric_flags, split_metric_options
from .process_flags import add_process_flags, processes_of
from .progress import counted
from .rows import options_of
from .stacking import add_stacking_flags, stacking

if TYPE_CHECKING:
    from ..evaluation.scores import Scores

_EXAMPLES = """\
examples:
  fusionkit evaluate fused.png --sources ir.png vi.png
  fusionkit evaluate fused/ --sources ir/ vi/ --preset infrared-visible --baselines
  fusionkit evaluate --method ours=fused/ --method theirs=other/ --sources scenes.csv --markdown
  fusionkit evaluate fused/ --sources near/ far/ --preset multi-focus --reference truth/ --json
  fusionkit evaluate fused/ --sources ct/ mri/ --preset medical --foreground 2
  fusionkit evaluate fused.tif --sources a.tif b.tif --range 1:0,4095 --range fused:0,4095
  fusionkit evaluate fused.png --sources ir.png vi.png --metric +qcv --metric.stretch yes
  fusionkit evaluate fused.png --sources ir.png vi.png --convention evaluator
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if something could not be measured."""
    options, rest = split_metric_options(arguments)
    given = _parser().parse_args(rest)
    methods = _methods(given)
    scores = _scores(given, load_plugins_from(rest), methods, options)
    _print(given, scores)
    for note in scores.notes:
        say(f"warning: {note}")
    for problem in scores.problems:
        complain(problem, 1)
    return 1 if scores.problems else 0


def _scores(
    given: argparse.Namespace,
    registry: Registry,
    methods: dict[str, Path],
    options: dict[str, str],
) -> Scores:
    how = stacking(given)
    given.sources = expanded(given.sources)
    if how.said or holds_scenes(given.sources):
        listed = find_scenes(given.sources, how, options_of(registry)).of_files()
        scenes: dict[str, tuple[Path, ...]] = listed.found
        problems = [f"{name}: {why}" for name, why in listed.problems.items()]
        places = {_stem(listed.place_of(name)): name for name in scenes}
        fused = {name: _by_scene(folder, places, problems) for name, folder in methods.items()}
        truth = _by_scene(given.reference, places, problems) if given.reference else None
        problems += [
            f"{name}, {stem}: no sources of this name"
            for name, found in fused.items()
            for stem in found
            if stem not in scenes and stem not in listed.problems
        ]
    else:
        problems = []
        scenes = {"image": tuple(Path(source) for source in given.sources)}
        fused = {name: {"image": path} for name, path in methods.items()}
        truth = {"image": given.reference} if given.reference else None
        if len(given.sources) < 2:
            raise UsageError("one source only: say all that were fused: --sources A B [...]")
        _check_there([*methods.values(), *scenes["image"], *(truth or {}).values()])
    scores = _measure(given, registry, options, scenes, fused, truth)
    scores.problems[:0] = problems
    return scores


def _parser() -> Parser:
    parser = Parser(
        prog="fusionkit evaluate",
        description="Measure fused images against their sources, with stated conventions.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "fused", nargs="?", type=Path, metavar="FUSED", help="a fused image, or a folder of them"
    )
    parser.add_argument(
        "--sources",
        nargs="+",
        required=True,
        metavar="SOURCE",
        help="the sources: files, folders paired by stem, one folder of SCENE_ROLE, or a manifest",
    )
    add_stacking_flags(parser)
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a method and its fused image or folder; give several to compare them",
    )
    add_metric_flags(parser)
    parser.add_argument(
        "--reference", type=Path, metavar="PATH", help="a ground truth, or a folder of them"
    )
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="add mean, max and laplacian-max fusion, and each source by itself",
    )
    add_range_flags(
        parser,
        "value range of source K: 1:0,4095 for 12-bit data; of a result, by its method's name: "
        "fused:0,4095; of a ground truth: reference:0,4095; may be repeated",
    )
    parser.add_argument(
        "--foreground",
        type=_threshold,
        metavar="T",
        help="measure only where a source exceeds T (of 255), as for medical images on black; "
        "adds the mean of the ground",
    )
    parser.add_argument(
        "--against", metavar="NAME", help="the method to take differences from (default: the first)"
    )
    parser.add_argument(
        "--device", type=_device, default="cpu", help="where to compute (default: cpu)"
    )
    add_process_flags(
        parser,
        "measure",
        "measure N scenes at a time, each in a process on one thread; values do not depend on N "
        "(default: 1)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything, for programs")
    form.add_argument("--csv", action="store_true", help="print a line per image")
    form.add_argument("--markdown", action="store_true", help="print tables for a document")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_plugin_flags(parser)
    return parser


def _threshold(text: str) -> float:
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold < 255:
        raise argparse.ArgumentTypeError(f"expects a number from 0, below 255, not {text!r}")
    return threshold


def _device(text: str) -> str:
    try:
        return check_device_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _methods(given: argparse.Namespace) -> dict[str, Path]:
    methods = {} if given.fused is None else {"fused": given.fused}
    for text in given.method:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise UsageError(f"--method {text}: expected NAME=PATH")
        if name in methods:
            raise UsageError(f"--method {name} is given twice")
        methods[name] = Path(path)
    if not methods and not given.baselines:
        raise UsageError("say what to measure: a fused image or folder, or --method NAME=PATH")
    return methods


def _check_there(paths: Iterable[Path]) -> None:
    """Raise UsageError for a file that is missing: before torch is imported to measure it."""
    for path in paths:
        refuse_url(path)
        if not os.path.exists(split_part(path)[0]):
            raise UsageError(f"{path}: there is no such file: check the path")


def _stem(place: str) -> str:
    """Return where a result is, without the extension of an image."""
    folder, slash, name = place.rpartition("/")
    return folder + slash + stem_of(name) if is_written(name) else place


def _by_scene(folder: Path, places: Mapping[str, str], problems: list[str]) -> dict[str, Path]:
    """Return the images of a folder by scene, and of the folders in it that scenes are in.

    ``places`` says which scene an image is of, by its stem below the folder.
    """
    refuse_url(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder, as the sources are")
    found = {}
    below = {"", *(stem.rpartition("/")[0] for stem in places)}
    for place in sorted(place for place in below if (folder / place).is_dir()):
        for stem, paths in images_by_stem(folder / place).items():
            name = f"{place}/{stem}" if place else stem
            name = places.get(name, name)
            if len(paths) > 1:
                problems.append(f"{name}: {doubled_stem(paths)}")
            else:
                found[name] = paths[0]
    if not found:
        raise UsageError(f"{folder}: there are no images in it")
    return found


def _measure(
    given: argparse.Namespace,
    registry: Registry,
    options: dict[str, str],
    scenes: dict[str, tuple[Path, ...]],
    fused: dict[str, dict[str, Path]],
    truth: dict[str, Path] | None,
) -> Scores:
    from ..evaluation.conventions import in_convention
    from ..evaluation.presets import (
        chosen_metrics,
        metric_options,
        recorded_metrics,
        told,
        trivial_names,
    )
    from ..evaluation.ranges import REFERENCE, parse_ranges

    most = max(map(len, scenes.values()))
    rows = [*fused, *(trivial_names(most) if given.baselines else [])]
    for name in fused:
        if rows.count(name) > 1:
            raise UsageError(f"--method {name}: --baselines adds a row of this name")
    if given.against is not None and given.against not in rows:
        raise UsageError(f"--against {given.against}: there are {', '.join(rows)}")
    names = [*fused, *([REFERENCE] if truth else [])]
    ranges = parse_ranges(given.range, most, names)
    recorded = recorded_metrics(path for found in fused.values() for path in found.values())
    wanted = chosen_metrics(given.metric, given.preset, registry, recorded)
    note = told(recorded, given.metric, given.preset)
    if note and not given.quiet:
        say(note)
    said = metric_options(options, wanted, registry)
    of_metrics = in_convention(given.convention, wanted, registry, said)
    processes = processes_of(given, threads=1)
    # What is wrong with the words and the files has been said before torch is imported.
    from ..evaluation.sharing import Measurer, Measuring, in_processes
    from ..evaluation.study import Loading

    measuring = Measuring(
        wanted, of_metrics, given.device, ranges, given.stretch, given.baselines, given.foreground
    )
    with counted(len(scenes), "scene", quiet=given.quiet) as advance:
        if not processes.worth(len(scenes)):
            measurer = Measurer(measuring, registry, truth is not None)
            return measurer.scenes(fused, scenes, truth, advance)
        loading = Loading(tuple(given.no_plugin), tuple(given.plugin))
        return in_processes(measuring, loading, processes, fused, scenes, truth, advance)


def _print(given: argparse.Namespace, scores: Scores) -> None:
    from ..evaluation import tables

    against = given.against or scores.methods[0]
    if given.json:
        print(tables.as_json(scores, against))
    elif given.csv:
        print(tables.as_csv(scores), end="")
    elif given.markdown:
        print(tables.as_markdown(scores))
        if len(scores.methods) > 1:
            print(f"\n{tables.differences_as_markdown(scores, against)}")
    else:
        print(tables.as_text(scores, bold=sys.stdout.isatty()))
        mark = "bold" if sys.stdout.isatty() else "*"
        best = f"; {mark} is the best mean, by chance or not" if len(scores.methods) > 1 else ""
        scenes = number_of(len(scores.scenes), "scene")
        print(f"\n{scenes}; mean ± standard deviation{best}; conventions:")
        if given.foreground is not None:
            print(f"  measured where a source exceeds {given.foreground:g}; - is not defined there")
        each = scores.mean_per_source()
        for column in scores.columns:
            print(f"  {column.name}: {column.convention}")
            if column.name in each:
                pairs = zip(scores.methods, each[column.name], strict=True)
                per_source = ", ".join(f"{name} {tables.number(value)}" for name, value in pairs)
                print(f"    per source: {per_source}")
