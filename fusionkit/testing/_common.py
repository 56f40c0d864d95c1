"""Flags of every component: its declaration, its options, and that it can be built."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Iterator
from typing import Any

from fusionkit.contract.options import OptionSpec, specs, to_mapping
from fusionkit.errors import UsageError

from .checks import CheckSkipped, Subject


def traits_apply(subject: Subject) -> None:
    """Check that a component declares only traits that mean something for its kind."""
    kind = subject.provided.kind
    odd = sorted(subject.traits - kind.traits)
    subject.require(not odd, f"the trait {', '.join(odd)} means nothing for a {kind.title}")


def options_frozen(subject: Subject) -> None:
    """Check that the options are a frozen dataclass that can be made without arguments."""
    made = subject.provided.component.options()
    for field in dataclasses.fields(made):
        try:
            setattr(made, field.name, getattr(made, field.name))
        except dataclasses.FrozenInstanceError:
            continue
        subject.require(False, f"options must be frozen, but {field.name} can be assigned to")


def options_round_trip(subject: Subject) -> None:
    """Options come back unchanged from flags, TOML and JSON."""
    options = subject.provided.component.options
    default = options()
    for spec in specs(options):
        for value in values(spec):
            back = spec.parse(_as_flag(value))
            subject.require(
                back == value and type(back) is type(value),
                f"option {spec.name} must survive a flag: {value!r} came back as {back!r}",
            )
    written = to_mapping(default)
    as_toml = "\n".join(f"{name} = {_as_toml(value)}" for name, value in written.items())
    for form, read in (
        ("TOML", tomllib.loads(as_toml)),
        ("JSON", json.loads(json.dumps(written))),
    ):
        back = subject.provided.make_options(read)
        subject.require(
            back == default, f"options must survive {form}: {default} came back as {back}"
        )


def builds(subject: Subject) -> None:
    """``build`` returns an object that does what the protocol of its kind says."""
    built = subject.build()
    protocol = subject.provided.kind.protocol
    members = {*vars(protocol), *getattr(protocol, "__annotations__", {})}
    public = {name for name in members if name == "__call__" or not name.startswith("_")}
    missing = sorted(name for name in public if not hasattr(built, name))
    subject.require(
        isinstance(built, protocol),
        f"build must return what fusionkit.{protocol.__name__} says, but its "
        f"{type(built).__name__} lacks {', '.join(missing)}",
    )


def variants(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield changes of one option each: every choice, yes and no, the least value allowed.

    Not the greatest: of an option such as ``iterations`` it may take minutes.
    """
    for spec in specs(subject.provided.component.options):
        if spec.many:
            continue
        for value in values(spec):
            if value != spec.default and value != spec.maximum:
                yield {spec.name: value}


def built_otherwise(subject: Subject) -> Iterator[tuple[Any, str]]:
    """Build the component with every other value of an option; yield it, and how it was built.

    Raises
    ------
    CheckSkipped
        It needs to be configured, or refuses every other value.
    """
    subject.build()
    changes, refused = list(variants(subject)), []
    for change in changes:
        name, value = next(iter(change.items()))
        try:
            built = subject.build(changes=change)
        except UsageError as error:  # options that do not go together
            refused.append(str(error))
        else:
            yield built, f"with {name} {value}"
    skip_if_all_refused(subject, len(changes), refused)


def skip_if_all_refused(subject: Subject, tried: int, refused: list[str]) -> None:
    """Say so if a component would not be built with any of the other option values."""
    if refused and len(refused) == tried:
        raise CheckSkipped(f"{subject.name} refuses every other value: {refused[0]}")


def values(spec: OptionSpec) -> Iterator[Any]:
    """Yield values that the option is bound to allow, its default first."""
    yield spec.default
    single: list[Any] = list(spec.choices or ())
    if spec.type is bool:
        single += [True, False]
    if spec.choices is None:
        single += [spec.type(b) for b in (spec.minimum, spec.maximum) if b is not None]
    for value in single:
        yield (value,) if spec.many else value


def _as_flag(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_as_flag(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _as_toml(value: Any) -> str:
    """JSON's notation of strings, numbers, booleans and flat lists is TOML's too."""
    return json.dumps(value, ensure_ascii=False)


CHECKS = (traits_apply, options_frozen, options_round_trip, builds)
