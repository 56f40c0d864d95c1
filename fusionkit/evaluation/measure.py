"""Measuring: metrics built once, applied to the luma of files, scene by scene."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import FusionkitError, ImageError
from ..imaging import Picture
from .baselines import trivial_fusion
from .meter import Colours, Meter, ground_column, luma_of_picture
from .presets import trivial_names
from .ranges import REFERENCE, Ranges
from .scores import Column, Scores
from .window import Window, shared_window

TRUTH = "truth-"
"""What the names of columns begin with that compare with a ground truth, not the sources."""

Progress = Callable[[str], None]


def read_luma(path: str | os.PathLike[str]) -> Tensor:
    """Read an image by itself, as :func:`luma_of_picture`; raise ImageError if that fails."""
    return luma_of_picture(Ranges().result("fused", path))


def evaluate(
    methods: Mapping[str, Mapping[str, Path]],
    scenes: Mapping[str, Sequence[Path]],
    meter: Meter,
    *,
    ranges: Ranges | None = None,
    baselines: bool = False,
    foreground: float | None = None,
    truth: Mapping[str, Path] | None = None,
    truth_meter: Meter | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Measure every method's fused image of every scene.

    Parameters
    ----------
    methods
        Method to scene to fused image.
    scenes
        Scene to its sources.
    meter
        What is measured against the sources.
    ranges
        Reads the images, a result by its method's name; by default without being told anything.
    baselines
        Add the trivial fusions mean, max and laplacian-max, and every source by itself.
    foreground
        Measure, with the metrics that can, only where a source exceeds this grey level, and
        add the mean of the fused image on the rest, the ground.
    truth, truth_meter
        Scene to ground truth, and what is measured against it.
    progress
        Called with the name of every scene before it is measured.

    Returns
    -------
    Scores
        What could not be read or measured is in ``problems``, and NaN.
    """
    columns = meter.columns
    if foreground is not None:
        columns.append(ground_column(foreground))
    if truth_meter is not None:
        columns += [
            Column(TRUTH + column.name, column.higher_is_better, column.convention)
            for column in truth_meter.columns
        ]
    most = max(map(len, scenes.values()), default=0)
    names = [*methods, *(trivial_names(most) if baselines else ())]
    scores = Scores.empty(names, list(scenes), columns)
    scores.counts = {scene: len(paths) for scene, paths in scenes.items()}
    ranges = Ranges() if ranges is None else ranges
    for scene, paths in scenes.items():
        if progress is not None:
            progress(scene)
        results = {m: of_scene[scene] for m, of_scene in methods.items() if scene in of_scene}
        try:
            pictures = ranges.sources(paths, list(results.values()))
            window, note = shared_window(same_size(pictures))
            ranges.notes |= {note: None} if note else {}
            inside = [window.cut(one) for one in pictures]
            sources = torch.stack([luma_of_picture(one) for one in inside])
            reference = None
            if truth is not None and scene in truth:
                told = ranges.result(REFERENCE, truth[scene], pictures)
                same = told.shape == pictures[0].shape  # or every method is told that it is not
                reference = window.cut(told) if same else told
        except FusionkitError as error:
            scores.problems.append(f"{scene}: {error}")
            continue
        if truth is not None and reference is None:
            scores.problems.append(f"{scene}: no ground truth of this name")
        for method in names:
            try:
                if method in methods:
                    if method not in results:
                        raise ImageError("no fused image of this name")
                    shown = _shown(method, results[method], pictures, ranges, window)
                    fused = luma_of_picture(shown)
                elif (made := trivial_fusion(method, sources)) is not None:
                    shown, fused = None, made
                else:
                    continue  # a scene of fewer sources
            except FusionkitError as error:
                scores.problems.append(f"{method}, {scene}: {error}")
                continue
            colours = meter.colours(shown, inside)
            if foreground is None:
                found, failed = meter.measure(fused, sources, colours=colours)
            else:
                found, failed = meter.measure_foreground(fused, sources, foreground, colours)
            if truth_meter is not None and reference is not None:
                colours = truth_meter.colours(shown, [reference])
                against, failed_truth = _against_truth(
                    fused, luma_of_picture(reference), truth_meter, colours
                )
                found.update(against)
                failed.update(failed_truth)
            scores.set(method, scene, found)
            scores.problems += [f"{method}, {scene}: {key}: {why}" for key, why in failed.items()]
    scores.notes += ranges.notes
    return scores


def same_size(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """Return the sources of a scene; raise ImageError unless they are of one size."""
    first = pictures[0]
    for picture in pictures:
        if picture.shape != first.shape:
            raise ImageError(
                f"{picture.name} is {_size(picture.shape)}, {first.name} {_size(first.shape)}: "
                "the sources of a scene have one size"
            )
    return pictures


def _shown(
    method: str, path: Path, sources: Sequence[Picture], ranges: Ranges, window: Window
) -> Picture:
    """Return a fused image inside the window."""
    picture = ranges.result(method, path, sources)
    if picture.shape != sources[0].shape:
        raise ImageError(
            f"{path} is {_size(picture.shape)}, its sources are {_size(sources[0].shape)}"
        )
    return window.cut(picture)


def _against_truth(
    fused: Tensor, reference: Tensor, meter: Meter, colours: Colours
) -> tuple[dict[str, float], dict[str, str]]:
    if fused.shape != reference.shape:
        sizes = _size(reference.shape), _size(fused.shape)
        return {}, {TRUTH[:-1]: f"it is {sizes[0]}, the fused image {sizes[1]}"}
    values, problems = meter.measure(fused, reference[None], colours=colours)
    return (
        {TRUTH + name: value for name, value in values.items()},
        {TRUTH + name: why for name, why in problems.items()},
    )


def _size(shape: Sequence[int]) -> str:
    return f"{shape[-1]}x{shape[-2]}"
