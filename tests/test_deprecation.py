"""What is deprecated works as before, and names what to use instead where it is called."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import pytest

import fusionkit

MESSAGE = "old is deprecated since 0.2 and will be removed in 0.4: use new"


def test_a_function_works_and_warns_its_caller():
    def old(a: int, *, b: int = 2) -> int:
        """Add."""
        return a + b

    wrapped = fusionkit.deprecated("new", since="0.2", until="0.4")(old)
    with pytest.warns(DeprecationWarning, match=f"{MESSAGE}$") as caught:
        assert wrapped(1, b=3) == 4
    assert [warning.filename for warning in caught] == [__file__]
    assert (wrapped.__name__, wrapped.__doc__) == ("old", "Add.")


def test_a_class_stays_a_class():
    @dataclass(frozen=True)
    class Old:
        side: int = 1

    class Child(Old):
        pass

    assert fusionkit.deprecated("New", since="0.2", until="0.4")(Old) is Old
    for kind in (Old, Child):
        with pytest.warns(DeprecationWarning, match=r"Old is deprecated.* use New$") as caught:
            made = kind(side=3)
        assert [warning.filename for warning in caught] == [__file__]
        assert isinstance(made, Old)
        assert made.side == 3


def test_naming_it_is_no_call():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fusionkit.deprecated("new", since="0.2", until="0.4")(lambda: None)
