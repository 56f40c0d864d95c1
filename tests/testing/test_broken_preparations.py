"""Preparations that break one promise each: the kit names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fusionkit import PREPARATION, BasePreparation, Prepared, PriorAtHand, Sources

Failures = Callable[..., dict[str, str]]


class Softened(BasePreparation):
    """The sound one: noise is drawn, and the prior asked."""

    stage = "restoration"

    def evaluations(self, sources: Sources) -> float:
        return float(len(sources.planes))

    def prepare(self, sources: Sources, prior: PriorAtHand) -> Prepared:
        import torch

        x = torch.from_numpy(sources.planes).to(prior.device, prior.dtype)
        noisy = x + 0.1 * prior.noise(x.shape, "test/soft")
        planes = prior.denoise(noisy, [0.1] * len(x)).float().numpy()
        return Prepared(replace(sources, planes=planes), {"noise": 0.1})


def broken(**methods: Any) -> Any:
    """Return the sound preparation, but for these members."""
    return type("Broken", (Softened,), methods)()


def returning(change: Callable[[Sources], Any]) -> Any:
    return broken(prepare=lambda self, sources, prior: change(sources))


def darkened(sources: Sources) -> Prepared:
    sources.planes[0] /= 2
    return Prepared(sources)


def drawn(sources: Sources) -> Prepared:
    planes = sources.planes + np.random.normal(size=sources.planes.shape)  # noqa: NPY002
    return Prepared(replace(sources, planes=planes.astype(np.float32)))


def with_planes(change: Callable[[Any], Any]) -> Any:
    return returning(lambda sources: Prepared(replace(sources, planes=change(sources.planes))))


BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "another stage": (lambda: broken(stage="last"), "has_a_stage", "not 'last'"),
    "the scene itself": (
        lambda: returning(lambda sources: sources),
        "keeps_the_form",
        "must return fusionkit.Prepared",
    ),
    "half the size": (
        lambda: with_planes(lambda planes: planes[..., ::2, ::2].copy()),
        "keeps_the_form",
        "returned planes that are not",
    ),
    "float64": (
        lambda: with_planes(lambda planes: planes.astype(float)),
        "keeps_the_form",
        "of float32",
    ),
    "one source": (
        lambda: with_planes(lambda planes: planes[:1]),
        "keeps_the_form",
        "returned planes that are not",
    ),
    "not finite": (
        lambda: with_planes(lambda planes: np.log(planes - 0.5)),
        "keeps_the_form",
        "not finite",
    ),
    "colour left out": (
        lambda: returning(lambda sources: Prepared(replace(sources, colour={}))),
        "keeps_the_form",
        "colour of other sources",
    ),
    "grey mask": (
        lambda: returning(lambda sources: Prepared(replace(sources, shown=sources.planes[:, 0]))),
        "keeps_the_form",
        "(K, H, W) of bool",
    ),
    "in place": (
        lambda: returning(darkened),
        "changes_nothing_it_is_given",
        "must not be changed",
    ),
    "numpy's generator": (lambda: returning(drawn), "the_same_again", "must give the same"),
    "evaluations of each": (
        lambda: broken(evaluations=lambda self, sources: [2, 2]),
        "expects_a_number",
        "at least 0, not [2, 2]",
    ),
}


def test_the_sound_one_passes(failures: Failures) -> None:
    assert failures(PREPARATION, Softened) == {}


@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*divide by zero:RuntimeWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_named(name: str, failures: Failures) -> None:
    factory, check, words = BROKEN[name]
    found = failures(PREPARATION, factory)
    assert check in found
    assert words in found[check]


def test_a_mistyped_member_is_refused(failures: Failures) -> None:
    found = failures(PREPARATION, lambda: broken(uses_seeds=False))
    assert "uses_seed" in next(iter(found.values()))
