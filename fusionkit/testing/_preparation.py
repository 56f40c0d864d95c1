"""Flags of preparations: that they keep the scene's form, its arrays, and their word."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fusionkit.contract.preparation import STAGES, Prepared, Sources
from fusionkit.errors import PluginError
from fusionkit.host.preparing import ScenePrior, check_prepared
from fusionkit.imaging.making import picture_from_array
from fusionkit.sampling.evaluator import Evaluator
from fusionkit.sampling.flags import Flags

from ._common import built_otherwise
from ._randomness import global_seed
from .checks import ConformanceError, Subject
from .doubles import WhiteGaussian

SIZE = (40, 56)
"""Of the scene that is prepared."""


_LUMA = np.array([0.299, 0.587, 0.114])


def scene_of(count: int = 2, in_colour: bool = False, masked: bool = False) -> Sources:
    """Return a noisy scene, the last source of which gives colour, or is fused in it."""
    random = np.random.default_rng(count)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    smooth = 0.5 + 0.3 * np.sin(columns / 7) * np.cos(rows / 5)
    grey = [smooth + 0.04 * random.standard_normal(SIZE) for _ in range(count - 1)]
    rgb = smooth[..., None] * [0.9, 0.7, 0.5] + 0.04 * random.standard_normal((*SIZE, 3))
    images = [(np.clip(image, 0, 1) * 255).astype(np.uint8) for image in [*grey, rgb]]
    pictures = tuple(picture_from_array(image, f"source {k + 1}") for k, image in enumerate(images))
    last = pictures[-1].unit()
    luma = np.stack([picture.unit() for picture in pictures[:-1]] + [last @ _LUMA])
    planes = luma[:, None].astype(np.float32)
    if in_colour:
        planes = np.repeat(planes, 3, 1)
        planes[-1] = np.moveaxis(last, -1, 0)
    shown = None
    if masked:
        shown = np.ones((count, *SIZE), np.bool_)
        shown[0, :10] = False
    return Sources(pictures, planes, {} if in_colour else {count - 1: last}, shown)


def scenes() -> dict[str, Sources]:
    """Return what preparations must be ready for."""
    return {
        "two sources, one in colour": scene_of(),
        "three sources": scene_of(3),
        "sources fused in colour": scene_of(in_colour=True),
        "a source that shows a part": scene_of(masked=True),
    }


def prior_at_hand(seed: int = 0) -> ScenePrior:
    """Return an exact prior, as preparations have it."""
    evaluator = Evaluator(WhiteGaussian(channels=None), "prior", Flags())
    return ScenePrior(evaluator, None, seed, torch.device("cpu"), torch.float64)


def has_a_stage(subject: Subject) -> None:
    """Check that it says when it is made."""
    stage = subject.build().stage
    subject.require(stage in STAGES, f"stage must be one of {', '.join(STAGES)}, not {stage!r}")


def keeps_the_form(subject: Subject) -> None:
    """Return Prepared: as many sources, of the same size and type, finite."""
    _keeps_the_form(subject, subject.build(), "")


def other_options_keep_it_too(subject: Subject) -> None:
    """Check the same with every other value of an option."""
    for built, how in built_otherwise(subject):
        _keeps_the_form(subject, built, f" {how}")


def changes_nothing_it_is_given(subject: Subject) -> None:
    """Check that the arrays that go in stay as they are."""
    sources = scene_of(masked=True)
    before = [array.copy() for array in _arrays(sources)]
    _prepared(subject, subject.build(), sources)
    same = all(map(np.array_equal, before, _arrays(sources)))
    subject.require(same, "the arrays that it is given must not be changed")


def the_same_again(subject: Subject) -> None:
    """Check that the same scene, options and seed give the same, whatever global generators say."""
    built, sources, results = subject.build(), scene_of(), []
    for seed in (1, 2):
        with global_seed(seed):
            results.append(_arrays(_prepared(subject, built, sources).sources))
    same = len(results[0]) == len(results[1]) and all(map(np.array_equal, *results))
    subject.require(same, "the same scene, options and seed must give the same result")


def expects_a_number(subject: Subject) -> None:
    """Check that ``evaluations``, if there is one, is a number of at least 0."""
    built, sources = subject.build(), scene_of()
    asks = getattr(built, "evaluations", None)
    if asks is not None:
        count = asks(sources)
        good = isinstance(count, (int, float)) and 0 <= count < 1e6
        subject.require(good, f"evaluations must be a number of at least 0, not {count!r}")


def _keeps_the_form(subject: Subject, built: Any, how: str) -> None:
    for what, sources in scenes().items():
        prepared = _prepared(subject, built, sources)
        try:
            check_prepared(prepared, sources, subject.name)
        except PluginError as error:
            raise ConformanceError(f"{error}{how} ({what})") from error


def _prepared(subject: Subject, built: Any, sources: Sources) -> Prepared:
    prepared = built.prepare(sources, prior_at_hand())
    subject.require(
        isinstance(prepared, Prepared),
        f"prepare must return fusionkit.Prepared, not {type(prepared).__name__}",
    )
    assert isinstance(prepared, Prepared)
    return prepared


def _arrays(sources: Sources) -> list[Any]:
    shown = [] if sources.shown is None else [sources.shown]
    return [sources.planes, *sources.colour.values(), *shown]


CHECKS = (
    has_a_stage,
    keeps_the_form,
    other_options_keep_it_too,
    changes_nothing_it_is_given,
    the_same_again,
    expects_a_number,
)
