"""Options in the rows of a manifest: as if they stood at the end of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ..contract.options import OptionSpec, specs
from ..contract.registry import Registry
from ..errors import UsageError
from ..host.manifest import Row
from ..imaging.values import value_ranges
from ..recipes.finding import RECIPE_KINDS
from ..recipes.preparing import flag_of
from ..recipes.settings import Settings
from .fusing import Fuser
from .jobs import Order
from .preparations import by_flag

_SWITCH = {"yes": "", "no": "no-"}


@lru_cache
def options_of(registry: Registry) -> Mapping[str, tuple[OptionSpec, ...]]:
    """Return what may be said of one scene, by name, and how it is written.

    Names of recipes and components are written anyhow, and so have no spec; an option that
    several components have, has several.
    """
    found: dict[str, tuple[OptionSpec, ...]] = {"task": (), "recipe": ()}
    found |= {spec.name: (spec,) for spec in specs(Settings)}
    for kind in RECIPE_KINDS:
        found[kind.group] = ()
        for provided in registry.all(kind):
            for spec in specs(provided.component.options):
                name = f"{kind.group}.{spec.name}"
                found[name] = (*found.get(name, ()), spec)
    for called, provided in by_flag(registry).items():
        found.setdefault(called, ())
        for spec in specs(provided.component.options):
            name = flag_of(called, spec.name, provided)
            found[name] = (*found[name], spec) if name in found else (spec,)
    return found


def with_words(order: Order, fuser: Fuser) -> Order:
    """Return an order whose jobs know what their rows add to the command line, all of it checked.

    Raises
    ------
    UsageError
        Some of it is wrong; the message names file, line and column.
    """
    return replace(order, jobs=tuple(
        job if job.row is None or not job.row.options
        else replace(job, words=_words(job.row, job.count, fuser)) for job in order.jobs
    ))  # fmt: skip


def _words(row: Row, count: int, fuser: Fuser) -> tuple[str, ...]:
    """Return what a row of so many sources adds to the command line."""
    words: list[str] = []
    for name, text in row.options.items():
        words += _words_of(name, text, row, options_of(fuser.registry)[name])
    try:
        fuser.recipes(tuple(words)).default.check_for(count)
        value_ranges(row.options.get("range", "").split(), (), count)
    except UsageError as error:
        said = str(error).partition(" (see ")[0]
        raise UsageError(f"{row.where}{_column(said, row)}: {said}") from None
    return tuple(words)


def _words_of(name: str, text: str, row: Row, found: tuple[OptionSpec, ...]) -> list[str]:
    if name == "range":  # several are several flags
        return [f"--range={each}" for each in text.split()]
    where = f"{row.where}, column {name}"
    refused = None
    for spec in found:
        try:
            spec.parse(text)
        except ValueError as error:
            refused = error
        else:
            break
    else:
        if refused is not None:
            raise UsageError(f"{where} {refused}")
    if not found and "." not in name and name not in _NAMED:  # a preparation without options
        if text not in _SWITCH:
            raise UsageError(f"{where}: expected yes or no, not {text!r}")
        return [f"--{_SWITCH[text]}{name}"]
    if name == "recipe" or any(spec.type is Path for spec in found):
        text = _beside(text, row)
    return [f"--{name}={text}"]


_NAMED = {"task", "recipe", *(kind.group for kind in RECIPE_KINDS)}


def _beside(text: str, row: Row) -> str:
    """Return a path that is relative to the manifest; a name alone may be that of a recipe."""
    path = row.folder / text
    return str(path.absolute()) if path.exists() else text


def _column(said: str, row: Row) -> str:
    """Return which column an error is about, if it says so."""
    flag = re.match(r"(?:argument )?--([\w.-]+)", said)
    near = [flag[1]] if flag and flag[1] in row.options else []
    near += [name for name in row.options if re.search(rf"(^|\W){re.escape(name)}(\W|$)", said)]
    near = near or (list(row.options) if len(row.options) == 1 else [])
    return f", column {near[0]}" if near else ""
