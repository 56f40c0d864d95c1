"""Option dataclasses as flags, TOML and JSON."""

from __future__ import annotations

import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Optional

import pytest

import fusionkit
from fusionkit.contract.options import (
    NoOptions,
    OptionSpec,
    from_mapping,
    option,
    specs,
    to_mapping,
)
from fusionkit.recipes.settings import Settings, SettingsDict


@dataclass(frozen=True)
class Every:
    """One field of every kind that flags can carry."""

    flag: bool = option(False, "A switch.")
    count: int = option(3, "A number of things.", minimum=1, maximum=10)
    ratio: float = option(0.5, "A ratio.", above=0, maximum=2)
    word: str = option("here", "A word.")
    colour: Literal["red", "dark-blue"] = option("red", "A colour.")
    channels: int = option(1, "Channels.", choices=(1, 3))
    flags: tuple[bool, ...] = option((), "Switches.")
    counts: tuple[int, ...] = option((1, 2), "Numbers.", minimum=0)
    ratios: tuple[float, ...] = option((), "Ratios.", above=0)
    words: tuple[str, ...] = option((), "Words.")
    two_words: int = option(0, "A field with an underscore.")


SPECS = {spec.name: spec for spec in specs(Every)}


def make(**values: object) -> Every:
    return from_mapping(Every, values, "toy every")


def test_specs_are_the_fields_in_order_under_hyphenated_names() -> None:
    assert list(SPECS) == [
        *("flag", "count", "ratio", "word", "colour", "channels"),
        *("flags", "counts", "ratios", "words", "two-words"),
    ]
    assert SPECS["two-words"].field == "two_words"
    assert SPECS["counts"].many
    assert SPECS["counts"].type is int
    assert SPECS["colour"].choices == ("red", "dark-blue")
    assert SPECS["ratio"].help == "A ratio."


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flag", "yes|no"),
        ("count", "INT"),
        ("ratio", "NUMBER"),
        ("word", "TEXT"),
        ("colour", "red|dark-blue"),
        ("channels", "1|3"),
        ("counts", "INT[,INT...]"),
    ],
)
def test_kind_says_what_a_value_looks_like(name: str, kind: str) -> None:
    assert SPECS[name].kind == kind


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("flag", "yes", True),
        ("flag", "OFF", False),
        ("flag", "1", True),
        ("flag", "false", False),
        ("count", "7", 7),
        ("count", " 7 ", 7),
        ("ratio", "2", 2.0),
        ("ratio", "1e-3", 0.001),
        ("word", "there", "there"),
        ("colour", "dark-blue", "dark-blue"),
        ("channels", "3", 3),
        ("flags", "yes,no", (True, False)),
        ("counts", "4, 5,6", (4, 5, 6)),
        ("counts", "4", (4,)),
        ("counts", "", ()),
        ("ratios", "1,2.5", (1.0, 2.5)),
    ],
)
def test_parse(name: str, text: str, value: object) -> None:
    parsed = SPECS[name].parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("flag", "maybe", "expects yes or no, not 'maybe'"),
        ("count", "2.5", "expects a whole number, not '2.5'"),
        ("count", "", "expects a whole number, not ''"),
        ("count", "0", "must be at least 1, not 0"),
        ("count", "11", "must be at most 10, not 11"),
        ("ratio", "much", "expects a number, not 'much'"),
        ("ratio", "0", "must be above 0, not 0.0"),
        ("ratio", "nan", "must be finite, not nan"),
        ("ratio", "inf", "must be finite, not inf"),
        ("colour", "Red", "must be one of red, dark-blue, not 'Red'"),
        ("channels", "2", "must be one of 1, 3, not 2"),
        ("counts", "1,-2", "must be at least 0, not -2"),
        ("counts", "1,b", "expects a whole number, not 'b'"),
    ],
)
def test_parse_refuses(name: str, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SPECS[name].parse(text)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("count", True, "expects a whole number, not True"),
        ("count", 2.0, "expects a whole number, not 2.0"),
        ("count", "2", "expects a whole number, not '2'"),
        ("flag", 1, "expects yes or no, not 1"),
        ("flag", "yes", "expects yes or no, not 'yes'"),
        ("ratio", True, "expects a number, not True"),
        ("ratio", None, "expects a number, not None"),
        ("ratio", math.nan, "must be finite, not nan"),
        ("ratio", math.inf, "must be finite, not inf"),
        ("word", 3, "expects text, not 3"),
        ("colour", 1, "expects text, not 1"),
        ("channels", 2, "must be one of 1, 3, not 2"),
        ("counts", "12", "expects a list, not '12'"),
        ("counts", 3, "expects a list, not 3"),
        ("counts", {"a": 1}, "expects a list"),
        ("counts", [1, "2"], "expects a whole number, not '2'"),
        ("counts", [1, True], "expects a whole number, not True"),
        ("words", "word", "expects a list, not 'word'"),
        ("ratios", [1.0, math.nan], "must be finite, not nan"),
        ("ratios", [1.0, 0], "must be above 0, not 0.0"),
    ],
)
def test_from_mapping_refuses_a_wrong_value_by_name(
    name: str, value: object, complaint: str
) -> None:
    with pytest.raises(fusionkit.UsageError) as caught:
        make(**{name: value})
    assert str(caught.value).startswith(f"toy every: {name} ")
    assert complaint in str(caught.value)


@pytest.mark.parametrize("name", ["count", "ratio", "two-words"])
def test_a_number_beyond_all_floats_is_refused_like_any_other(name: str) -> None:
    # TOML and JSON integers are unbounded here: int is exact, float(int) overflows.
    unbounded = name == "two-words"
    if unbounded:
        assert from_mapping(Every, {name: 10**400}, "toy every").two_words == 10**400
    else:
        with pytest.raises(fusionkit.UsageError, match=f"toy every: {name} must be"):
            make(**{name: 10**400})


def test_whole_numbers_are_numbers_and_lists_become_tuples() -> None:
    made = make(ratio=1, ratios=[1, 2.5], counts=[7])
    assert made.ratio == 1.0
    assert type(made.ratio) is float
    assert made.ratios == (1.0, 2.5)
    assert [type(value) for value in made.ratios] == [float, float]
    assert made.counts == (7,)


def test_what_is_absent_keeps_its_default_and_keys_may_use_either_hyphen() -> None:
    assert make() == Every()
    assert from_mapping(Every, {"two-words": 1}, "x") == from_mapping(Every, {"two_words": 1}, "x")
    assert from_mapping(Every, {"two-words": 1}, "x").two_words == 1


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(fusionkit.UsageError) as caught:
        make(chanels=3)
    assert "toy every has no option 'chanels'. Did you mean channels?" in str(caught.value)


def test_an_unknown_key_with_nothing_near_lists_what_there_is() -> None:
    with pytest.raises(fusionkit.UsageError, match="It has flag, count, ratio"):
        make(zzz=3)
    with pytest.raises(fusionkit.UsageError, match=r"no option 'zzz'\. It has none\."):
        from_mapping(NoOptions, {"zzz": 1}, "toy none")


def test_what_post_init_refuses_is_a_usage_error() -> None:
    @dataclass(frozen=True)
    class Odd:
        window: int = option(3, "A window.")

        def __post_init__(self) -> None:
            if self.window % 2 == 0:
                raise ValueError(f"window must be odd, not {self.window}")

    assert from_mapping(Odd, {"window": 5}, "toy odd") == Odd(5)
    with pytest.raises(fusionkit.UsageError, match="toy odd: window must be odd, not 4"):
        from_mapping(Odd, {"window": 4}, "toy odd")


def _class(annotation: object, default: object, **bounds: object) -> type:
    """A frozen options class of one field called ``value``, annotated as said."""
    return types.new_class(
        "Made",
        exec_body=lambda space: space.update(
            __annotations__={"value": annotation},
            value=option(default, "A value.", **bounds),  # type: ignore[arg-type]
        ),
    )


@pytest.mark.parametrize(
    ("annotation", "default", "bounds", "complaint"),
    [
        (int | None, None, {}, "an option is a bool, int, float, str or a tuple"),
        (Optional[int], None, {}, "an option is a bool, int, float, str or a tuple"),  # noqa: UP045
        (dict[str, int], None, {}, "an option is a bool, int, float, str or a tuple"),
        (list[int], (), {}, "an option is a bool, int, float, str or a tuple"),
        (Sequence[int], (), {}, "an option is a bool, int, float, str or a tuple"),
        (object, 1, {}, "an option is a bool, int, float, str or a tuple"),
        (tuple[int, int], (1, 2), {}, "write tuple\\[T, ...\\]"),
        (tuple[tuple[int, ...], ...], (), {}, "an option is a bool, int, float, str or a tuple"),
        (int, 0, {"minimum": 1}, "its default must be at least 1, not 0"),
        (int, 9, {"maximum": 8}, "its default must be at most 8, not 9"),
        (float, 0.0, {"above": 0}, "its default must be above 0"),
        (float, math.nan, {}, "its default must be finite"),
        (int, 2, {"choices": (1, 3)}, "its default must be one of 1, 3"),
        (Literal["a", "b"], "c", {}, "its default must be one of a, b"),
        (int, 1.5, {}, "its default expects a whole number"),
        (int, True, {}, "its default expects a whole number"),
        (str, None, {}, "its default expects text"),
        (tuple[str, ...], "ab", {}, "its default expects a list"),
    ],
)
def test_refused_fields(
    annotation: object, default: object, bounds: dict[str, object], complaint: str
) -> None:
    refused = dataclass(frozen=True)(_class(annotation, default, **bounds))
    with pytest.raises(TypeError, match=f"Made.value: {complaint}"):
        specs(refused)


def test_refused_classes() -> None:
    class Plain:
        value: int = 1

    @dataclass
    class Thawed:
        value: int = option(1, "A value.")

    @dataclass(frozen=True)
    class NoDefault:
        value: int

    @dataclass(frozen=True)
    class NoHelp:
        value: int = 1

    @dataclass(frozen=True)
    class EmptyHelp:
        value: int = option(1, "")

    @dataclass(frozen=True)
    class Named:
        name: str = option("x", "Taken: recipes name the component so.")

    for refused, complaint in [
        (Plain, "Plain is not a dataclass"),
        (Every(), "is not a dataclass"),  # an instance is not a class
        (Thawed, "Thawed is not frozen"),
        (NoDefault, "NoDefault.value has no default"),
        (NoHelp, "NoHelp.value has no help"),
        (EmptyHelp, "EmptyHelp.value has no help"),
        (Named, "Named.name: 'name' is taken"),
    ]:
        with pytest.raises(TypeError, match=complaint):
            specs(refused)  # type: ignore[arg-type]


def test_a_field_made_without_option_is_refused_or_understood() -> None:
    # A plain dataclasses.field with a help text lacks the keys that option() sets.
    @dataclass(frozen=True)
    class ByHand:
        value: int = field(default=1, metadata={"help": "A value."})

    (spec,) = specs(ByHand)
    assert (spec.default, spec.choices, spec.minimum) == (1, None, None)


def test_a_component_with_refused_options_cannot_be_made() -> None:
    @dataclass
    class Thawed:
        value: int = option(1, "A value.")

    with pytest.raises(TypeError, match="Thawed is not frozen"):
        fusionkit.Component("toy", "a toy", lambda options, context: None, Thawed)


# Round trips: what can be said one way can be said every way.

FIRST_PARTY = {
    f"{p.kind.group} {p.component.name}": p.component.options
    for p in fusionkit.load_plugins().all()
    if p.plugin.distribution == "fusionkit-imaging" and isinstance(p.component, fusionkit.Component)
}


def _samples(spec: OptionSpec) -> list[object]:
    """Values of one option, its default among them, that its own bounds allow."""
    if spec.choices is not None:
        ones: list[object] = list(spec.choices)
    elif spec.type is bool:
        ones = [True, False]
    elif spec.type is int:
        ones = [spec.minimum, 2, 5, 9]
    elif spec.type is float:
        ones = [spec.minimum, spec.maximum, 0.1, 1e-7, 0.30000000000000004]
    else:
        ones = ["cuda:1", "two words", 'a"quote\\']
    allowed = []
    for one in ones:
        try:
            allowed.append(spec.check([one])[0] if spec.many else spec.check(spec.type(one)))
        except (TypeError, ValueError):
            continue
    assert allowed
    if spec.many:
        return [spec.default, (), tuple(allowed[:1]), *[(one,) for one in allowed]]
    return [spec.default, *allowed]


@pytest.mark.parametrize(
    "options", [Every, Settings, *FIRST_PARTY.values()], ids=["every", "settings", *FIRST_PARTY]
)
def test_round_trips(options: type) -> None:
    assert from_mapping(options, to_mapping(options()), "x") == options()
    for spec in specs(options):
        for value in _samples(spec):
            try:
                made = from_mapping(options, {spec.name: value}, "x")
            except fusionkit.UsageError:
                assert hasattr(options, "__post_init__")  # its own rule, such as an odd window
                continue
            mapping = to_mapping(made)
            json_back = from_mapping(options, json.loads(json.dumps(mapping)), "x")
            assert json_back == made
            toml = "\n".join(f"{name} = {json.dumps(item)}" for name, item in mapping.items())
            assert from_mapping(options, tomllib.loads(toml), "x") == made
            text = spec.as_text(value) if value != () else ""
            assert spec.parse(text) == value, spec.name


def test_first_party_components_were_found_for_the_round_trips() -> None:
    assert {"estimator gaussian", "weighting dig", "objective increments"} <= set(FIRST_PARTY)


def test_settings_keywords_are_exactly_the_settings() -> None:
    settings = typing.get_type_hints(Settings)
    keywords = typing.get_type_hints(SettingsDict)
    # And one preparation that comes with fusionkit: a text, several, levels by source, or none.
    assert keywords.pop("noise") == str | Sequence[str] | Mapping[int, float] | bool
    assert list(keywords) == list(settings)
    for name, annotation in settings.items():
        if typing.get_origin(annotation) is tuple:  # callers may pass lists too
            annotation = Sequence[typing.get_args(annotation)[0]]  # type: ignore[misc]
            if name == "stretch":  # which True and False stand for too
                annotation = bool | annotation
            if name == "range":  # or ends by source
                annotation = annotation | Mapping[int, tuple[float, float]]
        assert keywords[name] == annotation, name
    assert not SettingsDict.__required_keys__


def test_a_switch_is_a_list_that_can_be_said_in_one_word() -> None:
    (spec,) = (spec for spec in specs(Settings) if spec.name == "stretch")
    assert spec.default == ()
    assert spec.parse("yes") == spec.check(True) == (0,)
    assert spec.parse("no") == spec.parse("none") == spec.check(False) == ()
    assert spec.parse("1,2") == spec.check([1, 2]) == (1, 2)
    assert spec.parse("1") == (1,)
    for wrong in (1, -1, ["a"], [True], "1"):
        with pytest.raises(ValueError, match=r"expects|must be"):
            spec.check(wrong)
