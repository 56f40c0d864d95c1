"""Typed options: one frozen dataclass is the flags, the TOML table and the record.

A component declares its options as a frozen dataclass whose every field has a
default and a help text (:func:`option`). The same names, written with hyphens,
are the command-line flags (``--weighting.window 7``), the recipe's keys
(``[weighting] window = 7``) and the keys of a run's record.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..errors import UsageError
from .optionspec import OptionSpec as OptionSpec  # who asks for specs, names them
from .optionspec import Scalar

T = TypeVar("T")

_NEAR = 0.6
"""How much of two words must agree for one to be a slip of the other, as difflib counts."""

_FARTHER = 0.1
"""By how much less another word may agree than the nearest, and still be named beside it."""

_SCALARS = (bool, int, float, str, Path)


def option(
    default: Any,
    help: str,
    *,
    choices: Iterable[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    only_with: Mapping[str, Iterable[Any]] | None = None,
    switch: Scalar | None = None,
    required: bool = False,
    gives_way_to: str = "",
) -> Any:
    """Declare one option: a dataclass field with its default, help and bounds.

    Parameters
    ----------
    default
        The value used when nothing is said. Its type is the field's annotation:
        ``bool``, ``int``, ``float``, ``str``, ``Literal[...]`` of strings, or
        ``tuple[T, ...]`` of one of the first four. ``Path | None``, with the default None, is
        a file or a folder, which is found again from other folders and by its hash
        (:mod:`fusionkit.contract.paths`); several are ``tuple[Path, ...]``.
    help
        One sentence, shown by ``--help`` and ``fusionkit plugins``.
    choices
        The values allowed. A ``Literal`` annotation implies them.
    minimum, maximum
        Inclusive bounds of a number, or of each number of a tuple.
    above
        An exclusive lower bound.
    only_with
        Other fields, and the values of each beside which this option matters. Beside any other
        value it changes nothing, and the person who gives it is told.
    switch
        Of a tuple: the element that the flag alone stands for, and yes, or True in Python;
        no, or False, is the empty tuple.
    required
        Nothing can be built with the default, which stands for nothing: whoever chooses the
        component has to say it, and reads the help text otherwise.
    gives_way_to
        A table of recipes, such as ``estimator``: what a task or recipe says of this option is
        left out where something that is said after it speaks of that component.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class ContrastOptions:
    ...     window: int = option(9, "Side in pixels of the window, odd.", minimum=1)
    >>> ContrastOptions(window=5)
    ContrastOptions(window=5)
    """
    metadata = {
        "help": help,
        "choices": None if choices is None else tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "switch": switch,
        "required": required,
        "gives_way_to": gives_way_to,
        "only_with": {name: tuple(values) for name, values in (only_with or {}).items()},
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NoOptions:
    """The options of a component that has none."""


def specs(options: type) -> tuple[OptionSpec, ...]:
    """Return the options that a dataclass declares, in order.

    Raises
    ------
    TypeError
        The class is not a frozen dataclass, or a field lacks a default or a
        help text, has a type that flags cannot carry, or a default that its
        own bounds refuse.
    """
    name = getattr(options, "__name__", repr(options))
    if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
        raise TypeError(f"{name} is not a dataclass")
    if not options.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise TypeError(f"{name} is not frozen: use @dataclass(frozen=True)")
    return _specs(options)


@cache
def _specs(options: type) -> tuple[OptionSpec, ...]:
    name = options.__name__
    hints = typing.get_type_hints(options)
    found = []
    for field in dataclasses.fields(options):
        where = f"{name}.{field.name}"
        if field.default is dataclasses.MISSING:
            raise TypeError(f"{where} has no default: declare it with option(default, help)")
        if not field.metadata.get("help"):
            raise TypeError(f"{where} has no help text: declare it with option(default, help)")
        if field.name == "name":
            raise TypeError(f"{where}: 'name' is taken, it names the component in recipes")
        found.append(_spec(field, hints[field.name], where))
    _check_conditions(found, name)
    return tuple(found)


def _check_conditions(found: list[OptionSpec], name: str) -> None:
    known = {spec.field: spec for spec in found}
    for spec in found:
        for other, values in spec.only_with.items():
            where = f"{name}.{spec.field}: only_with {other}"
            if other not in known or other == spec.field:
                raise TypeError(f"{where}, which is not another option")
            try:
                checked = [known[other].check(value) for value in values]
            except ValueError as error:
                raise TypeError(f"{where}: it {error}") from None
            if not checked:
                raise TypeError(f"{where} needs a value: with none, the option never matters")


def idle_options(options: Any) -> dict[str, str]:
    """Return the options that change nothing beside the values of the others, and why."""
    return {
        spec.name: f"{spec.name} matters with {spec.condition} only"
        for spec in specs(type(options))
        if any(getattr(options, other) not in values for other, values in spec.only_with.items())
    }


def _spec(field: dataclasses.Field[Any], annotation: Any, where: str) -> OptionSpec:
    choices = field.metadata.get("choices")
    many = typing.get_origin(annotation) is tuple
    if many:
        inner = typing.get_args(annotation)
        if len(inner) != 2 or inner[1] is not Ellipsis:
            raise TypeError(f"{where}: write tuple[T, ...], not {annotation}")
        annotation = inner[0]
    elif set(typing.get_args(annotation)) == {Path, types.NoneType}:
        annotation = Path
    elif annotation is Path:
        raise TypeError(f"{where}: write Path | None, with the default None")
    if typing.get_origin(annotation) is Literal:
        choices = typing.get_args(annotation)
        annotation = type(choices[0])
    if isinstance(annotation, types.UnionType) or annotation not in _SCALARS:
        raise TypeError(
            f"{where}: an option is a bool, int, float, str or a tuple of one of them, "
            "or a Path | None"
        )
    spec = OptionSpec(
        field=field.name,
        type=annotation,
        many=many,
        default=field.default,
        help=field.metadata["help"],
        choices=choices,
        minimum=field.metadata.get("minimum"),
        maximum=field.metadata.get("maximum"),
        above=field.metadata.get("above"),
        only_with=field.metadata.get("only_with", {}),
        switch=field.metadata.get("switch"),
        required=field.metadata.get("required", False),
        gives_way_to=field.metadata.get("gives_way_to", ""),
    )
    try:
        checked = spec.check(field.default)
    except ValueError as error:
        raise TypeError(f"{where}: its default {error}") from None
    if repr(checked) != repr(field.default):  # 1 for a float would be written to records as 1
        raise TypeError(f"{where}: write its default as {checked!r}, not {field.default!r}")
    if spec.parse(spec.as_text(checked)) != checked:
        raise TypeError(f"{where}: its default {field.default!r} cannot be given as a flag")
    return spec


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean X?"`` for the nearest known names, or ``""``."""
    return did_you_mean(nearest(name, known))


def did_you_mean(names: Sequence[str]) -> str:
    """Return ``" Did you mean X or Y?"``, or ``""`` if there are none."""
    return f" Did you mean {' or '.join(names)}?" if names else ""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that this may be a slip of, the nearest first, and none much farther.

    Examples
    --------
    >>> nearest("salency", ["saliency", "fixed", "dig"])
    ['saliency']
    """
    near = difflib.get_close_matches(name, dict.fromkeys(known), n=3, cutoff=_NEAR)
    shares = [difflib.SequenceMatcher(None, word, name).ratio() for word in near]
    return [word for word, share in zip(near, shares, strict=True) if share > shares[0] - _FARTHER]


def from_mapping(options: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build an options object from the values of a TOML table, JSON object or dict.

    Parameters
    ----------
    options
        The frozen dataclass.
    values
        Keys with hyphens or underscores; what is absent keeps its default.
    where
        What messages call it, for example ``weighting dig``.

    Raises
    ------
    UsageError
        An unknown key (with a suggestion), or a value of the wrong type or out
        of bounds, or refused by the dataclass's own ``__post_init__``.
    """
    known = {spec.name: spec for spec in specs(options)}
    checked = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        if name not in known:
            listed = f" It has {', '.join(known)}." if known else " It has none."
            raise UsageError(f"{where} has no option {name!r}.{suggest(name, known) or listed}")
        try:
            checked[known[name].field] = known[name].check(value)
        except ValueError as error:
            raise UsageError(f"{where}: {name} {error}") from None
    try:
        return options(**checked)
    except ValueError as error:  # a dataclass's own check of how its fields go together
        raise UsageError(f"{where}: {error}") from None


def to_mapping(options: Any) -> dict[str, Any]:
    """Return every option of an options object by its hyphenated name, JSON-ready."""
    return {spec.name: _plain(getattr(options, spec.field)) for spec in specs(type(options))}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if value is None:  # which TOML does not have
        return ""
    return str(value) if isinstance(value, Path) else value
