"""Flags of what components say that they do not depend on: levels, and idle options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fusionkit.contract.guiding import levels
from fusionkit.contract.options import OptionSpec, specs
from fusionkit.errors import UsageError

from ._common import values, variants
from ._drive import STEPS, Outputs, drive, scene
from .checks import Subject
from .doubles import WhiteGaussian


def levels_kept(subject: Subject) -> None:
    """Check that it depends on no more than ``levels`` says, with every choice of its options."""
    sources = scene()
    subject.build()  # one that needs to be configured is skipped here
    for change in ({}, *variants(subject)):
        try:
            component = subject.build(changes=change)
        except UsageError:  # options that do not go together
            continue
        try:
            said = levels(component)
        except ValueError as error:
            subject.require(False, str(error))
        if said == "all":
            continue
        usual = drive(subject, component, sources, from_noise=False)
        first = Outputs(usual.steps[:1], usual.batch_axis)
        who = f"it declares levels = {said!r}{''.join(f' with {n} {v}' for n, v in change.items())}"
        _require_same(
            subject, usual, Outputs(first.steps * STEPS, first.batch_axis), who, "at another step"
        )
        alone = drive(subject, component, sources, from_noise=False, steps=1)
        _require_same(subject, alone, first, who, "where its first step is the only one")
        if said == "none":
            other = WhiteGaussian(0.1, channels=sources.shape[2])
            how: dict[str, Any] = {"start_sigma": 0.7, "seeds": (3, 4), "estimator": other}
            elsewhere = drive(subject, component, sources, from_noise=False, **how)
            _require_same(subject, elsewhere, usual, who, "with another level, seed and prior")


def conditions_kept(subject: Subject) -> None:
    """Check that an option changes nothing where ``only_with`` says that it does not matter."""
    sources = scene()
    subject.build()  # one that needs to be configured is skipped here
    for spec in specs(subject.provided.component.options):
        for change in _breaking(subject, spec):
            try:
                built = [
                    subject.build(changes={**change, spec.name: value})
                    for value in values(spec)
                    if value != spec.maximum
                ]
            except UsageError:  # options that do not go together
                continue
            usual, *others = [drive(subject, each, sources) for each in built]
            for other in others:
                _require_same(
                    subject,
                    other,
                    usual,
                    f"{spec.name} matters with {spec.condition} only",
                    f"with {', '.join(f'{n} {v}' for n, v in change.items())} and another value",
                )


def _breaking(subject: Subject, spec: OptionSpec) -> Iterator[dict[str, Any]]:
    """Yield options beside which one does not matter."""
    known = {each.field: each for each in specs(subject.provided.component.options)}
    for other, wanted in spec.only_with.items():
        for value in values(known[other]):
            if value not in wanted:
                yield {known[other].name: value}


def _require_same(
    subject: Subject, got: Outputs, expected: Outputs, promise: str, where: str
) -> None:
    difference = got.difference(expected)
    subject.require(difference == 0, f"{promise}, but {where} it differs by {difference:.3g}")


CHECKS = (levels_kept, conditions_kept)
