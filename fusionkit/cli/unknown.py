"""What is said of a flag that fits nothing: which is near, and whose option it is."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from ..contract.options import did_you_mean, specs, suggest
from ..contract.registry import Provided, Registry
from ..errors import UsageError
from ..recipes.finding import flags_called

_NEAR = 0.75  # of 1, as difflib compares words


def near_flags(flag: str, known: Collection[str], registry: Registry | None = None) -> str:
    """Return ``" Did you mean --X?"`` for flags that are nearly this, or begin with it.

    First those of components' options whose group was left out: of what is selected, or else,
    with a registry, of any component.
    """
    word = flag.lstrip("-").lower()
    own = [other for other in known if other.endswith(f".{word}")]
    if not own and registry is not None:
        own = flags_called(word, registry)
    if own:
        return did_you_mean(own)
    words = {other.lstrip("-").lower(): other for other in known}
    near = difflib.get_close_matches(word, words, n=2, cutoff=_NEAR)
    near = near or [other for other in words if len(word) > 2 and other.startswith(word)]
    return did_you_mean([words[other] for other in near[:3]])


def refuse_unselected(
    arguments: Iterable[str], selected: dict[str, Provided], registry: Registry
) -> None:
    """Raise UsageError for an option of a component that is not selected, naming whose it is."""
    for argument in arguments:
        flag = argument.split("=", 1)[0]
        group, dot, name = flag.removeprefix("--").partition(".")
        if not flag.startswith("--") or not dot or group not in selected:
            continue
        chosen = selected[group]
        own = [spec.name for spec in specs(chosen.component.options)]
        if name in own:
            continue
        owners = [
            p.called
            for p in registry.all(chosen.kind)
            if name in [spec.name for spec in specs(p.component.options)]
        ]
        if owners:
            raise UsageError(
                f"{flag} is an option of {group} {' and '.join(owners)}, but {group} "
                f"{chosen.called} is selected: give --{group} {owners[0]}, or leave it out"
            )
        hint = suggest(name, own) or (f" It has {', '.join(own)}." if own else " It has none.")
        raise UsageError(f"{group} {chosen.called} has no option {name!r}.{hint}")
