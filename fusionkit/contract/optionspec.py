"""One typed option: its value as a flag, in TOML and JSON, and in help texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .paths import as_path

Scalar = bool | int | float | str
SWITCH = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}
"""What says yes or no to an option that is a bool."""


@dataclass(frozen=True)
class OptionSpec:
    """One option as flags, TOML and JSON see it."""

    field: str
    type: type
    many: bool
    default: Any
    help: str
    choices: tuple[Any, ...] | None
    minimum: float | None
    maximum: float | None
    above: float | None
    only_with: Mapping[str, tuple[Any, ...]]
    switch: Scalar | None = None
    required: bool = False
    gives_way_to: str = ""

    @property
    def name(self) -> str:
        """The name in flags, recipes and records: the field's, with hyphens."""
        return self.field.replace("_", "-")

    @property
    def is_switch(self) -> bool:
        """Whether its flag can stand alone, and has a ``--no-`` form."""
        return (self.type is bool and not self.many) or self.switch is not None

    @property
    def condition(self) -> str:
        """What it matters with only, for example ``granularity region``; empty if always."""
        return " and ".join(
            f"{other.replace('_', '-')} {' or '.join(map(_as_text, values))}"
            for other, values in self.only_with.items()
        )

    @property
    def described(self) -> str:
        """Its help, with the condition."""
        return f"{self.help} Matters with {self.condition} only." if self.only_with else self.help

    @property
    def kind(self) -> str:
        """What a value looks like, for help texts: ``INT``, ``yes|no``, ``l1|l2`` ..."""
        if self.choices is not None:
            return "|".join(str(choice) for choice in self.choices)
        words = {bool: "yes|no", int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH"}
        word = words[self.type]
        if self.switch is not None:
            return f"yes|no|{word},..."
        return f"{word}[,{word}...]" if self.many else word

    def as_text(self, value: Any) -> str:
        """Write a value as a flag takes it; what is empty as ``none``, for help texts."""
        if self.many:
            return ",".join(map(str, value)) or "none"
        return _as_text(value)

    def parse(self, text: str) -> Any:
        """Turn the text of a flag into a value; raise ValueError saying what is wrong."""
        if text.strip() == "none" and (self.many or self.type is Path):  # as help texts show it
            return () if self.many else None
        if self.switch is not None and text.strip() in ("yes", "no"):
            return self.check(text.strip() == "yes")
        if self.many:
            return self.check([self._parse_one(part) for part in text.split(",") if part.strip()])
        return self.check(self._parse_one(text))

    def accepts(self, text: str) -> bool:
        """Whether a text that is not empty is a value."""
        try:
            self.parse(text)
        except ValueError:
            return False
        return bool(text.strip())

    def check(self, value: Any) -> Any:
        """Validate a value from TOML, JSON or Python; raise ValueError saying what is wrong."""
        if not self.many:
            return self._check_one(value)
        if self.switch is not None and isinstance(value, bool):
            value = [self.switch] if value else []
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise ValueError(f"expects a list, not {value!r}")
        return tuple(self._check_one(item) for item in value)

    def _parse_one(self, text: str) -> Any:
        text = text.strip()
        if self.type is Path:
            return text
        if self.type is bool:
            try:
                return SWITCH[text.lower()]
            except KeyError:
                raise ValueError(f"expects yes or no, not {text!r}") from None
        try:
            return self.type(text)
        except ValueError:
            word = {int: "a whole number", float: "a number"}[self.type]
            if self.switch is not None:
                word = "yes, no, or whole numbers"
            raise ValueError(f"expects {word}, not {text!r}") from None

    def _check_one(self, value: Any) -> Any:
        if self.type is Path:
            return as_path(value)
        if self.type is float and type(value) is int:
            value = float(value) if abs(value) < 2**1023 else math.inf
        if type(value) is not self.type:
            word = {bool: "yes or no", int: "a whole number", float: "a number", str: "text"}
            raise ValueError(f"expects {word[self.type]}, not {value!r}")
        if self.choices is not None and value not in self.choices:
            listed = ", ".join(str(choice) for choice in self.choices)
            raise ValueError(f"must be one of {listed}, not {value!r}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._check_bounds(value)
        return value

    def _check_bounds(self, value: float) -> None:
        if isinstance(value, float) and not math.isfinite(value):  # an int may overflow a float
            raise ValueError(f"must be finite, not {value}")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"must be at least {self.minimum}, not {value}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"must be at most {self.maximum}, not {value}")
        if self.above is not None and value <= self.above:
            raise ValueError(f"must be above {self.above}, not {value}")


def _as_text(value: Scalar | Path | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
