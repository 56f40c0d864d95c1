"""Which slices of a volume are fused, as people say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SLICES = re.compile(r"(?:([xyz])=?)?(?:(all)|(\d{1,6})(?::(\d{1,6}))?)?")


@dataclass(frozen=True)
class Slices:
    """Which slices are fused: ``all``, ``20:60``, ``y``, ``y20:60``, as ``text`` says."""

    text: str
    axis: str | None = None
    first: int = 0
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> Slices:
        """Read what is said; raise ValueError."""
        found = _SLICES.fullmatch(text)
        if found is None or not text:
            raise ValueError(
                f"expects all, 20:60 (slices 20 to 60, both of them), or these along an axis, "
                f"y or y20:60, not {text!r}"
            )
        axis, _, first, last = found.groups()
        if first is None:
            return cls(text, axis)
        ends = int(first), int(last or first)
        if ends[0] > ends[1]:
            raise ValueError(f"expects A:B with A not above B, not {text!r}")
        return cls(text, axis, *ends)
