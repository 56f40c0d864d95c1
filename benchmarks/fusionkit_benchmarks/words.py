"""Flags that are lists separated by commas."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkit.errors import UsageError


def words(text: str, flag: str, known: Sequence[str]) -> list[str]:
    """Return the words of a flag; raise UsageError for one that is not known."""
    found = [word.strip() for word in text.split(",") if word.strip()]
    for word in found:
        if word not in known:
            raise UsageError(f"{flag}: unknown {word!r}; there are {', '.join(known)}")
    return found


def numbers(text: str, flag: str) -> list[float]:
    """Return the numbers of a flag; raise UsageError for what is none."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"{flag} {text}: expected numbers separated by commas") from None
