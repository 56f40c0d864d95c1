"""Options that break a promise: some are refused with the component, the kit finds the rest."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fusionkit import WEIGHTING, Component, option
from fusionkit.testing import ConstantWeights

Failures = Callable[..., dict[str, str]]


def options_class(annotation: Any, field: Any, *, frozen: bool = True) -> type:
    return dataclasses.make_dataclass("Options", [("value", annotation, field)], frozen=frozen)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (options_class(int, option(1, "Help."), frozen=False), "not frozen"),
        (options_class(int, dataclasses.field()), "no default"),
        (options_class(int, dataclasses.field(default=1)), "no help text"),
        (options_class(list, option([1].count, "Help.")), "an option is a bool"),
        (options_class(int, option(0, "Help.", minimum=1)), "must be at least 1"),
        (options_class(float, option(1, "Help.")), "write its default as 1.0"),
        (options_class(str, option(" a", "Help.")), "cannot be given as a flag"),
        (options_class(tuple[str, ...], option(("a,b",), "Help.")), "cannot be given as a flag"),
        (object, "not a dataclass"),
    ],
)
def test_a_component_is_not_made_with_such_options(options: type, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Component("broken", "breaks a promise", lambda o, c: ConstantWeights(), options)


@dataclass(frozen=True)
class RefusesItsDefault:
    window: int = option(8, "Side of the window, odd.")

    def __post_init__(self) -> None:
        if self.window % 2 == 0:
            raise ValueError("window must be odd")


def test_a_component_is_not_made_with_defaults_that_are_refused() -> None:
    with pytest.raises(TypeError, match="window must be odd"):
        Component("broken", "breaks a promise", lambda o, c: ConstantWeights(), RefusesItsDefault)


@dataclass(frozen=True)
class NotReallyFrozen:
    window: int = option(7, "Side of the window.")


# A dataclass refuses to be frozen with a __setattr__ of its own, but not to be given one.
NotReallyFrozen.__setattr__ = object.__setattr__  # type: ignore[method-assign,assignment]


def test_options_that_only_claim_to_be_frozen(failures: Failures) -> None:
    failed = failures(WEIGHTING, ConstantWeights, options=NotReallyFrozen)
    assert list(failed) == ["options_frozen"]
    assert "window can be assigned to" in failed["options_frozen"]


@dataclass(frozen=True)
class Changing:
    window: int = option(7, "Changed when it is given.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", self.window + 2)


def test_options_that_do_not_come_back(failures: Failures) -> None:
    failed = failures(WEIGHTING, ConstantWeights, options=Changing)
    assert list(failed) == ["options_round_trip"]
    assert "options must survive TOML" in failed["options_round_trip"]
