"""How sources were measured, as text: ``1:downsample,noise=3``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..contract.observation import OBSERVATION
from ..contract.options import OptionSpec, specs, suggest
from ..contract.registry import Registry
from ..errors import UsageError
from .layers import Choice, choose

_FORM = "K:NAME[=VALUE][,NAME...], for example 1:downsample,noise=3"


@dataclass(frozen=True)
class Observed:
    """How one source was measured: observations from the scene to the sensor.

    Attributes
    ----------
    source
        From 0.
    chain
        The observations, with their options.
    text
        What was said, for messages.
    """

    source: int
    chain: tuple[Choice, ...]
    text: str

    def as_tables(self) -> list[dict[str, Any]]:
        """Return what a record says of it."""
        return [choice.as_table() for choice in self.chain]


def parse_observations(
    texts: Sequence[str], count: int, registry: Registry
) -> tuple[Observed, ...]:
    """Read ``observe`` settings.

    Parameters
    ----------
    texts
        ``K:CHAIN``, K from 1; the parts of a chain are separated by commas, in the order from
        the scene to the sensor. ``NAME`` is an observation, ``NAME=VALUE`` sets its
        first option, or, if the value is a word or a file, the first that takes it,
        ``NAME.OPTION=VALUE`` that option, of the same observation if it was named just before.
    count
        How many sources there are.
    registry
        Where observations are looked up.

    Returns
    -------
    tuple of Observed
        In the order of the sources; those that no text names are not in it.

    Raises
    ------
    UsageError
        A text is not of that form, or names an observation, option, value or source that there
        is not, or a source twice. The message begins with the text.

    Examples
    --------
    >>> import fusionkit
    >>> registry = fusionkit.load_plugins()
    >>> parse_observations(["2:blur=1.6,noise=3"], 2, registry)[0].as_tables()[1]
    {'name': 'observations:noise', 'sigma': '3', 'gain': 0.0}
    """
    found: dict[int, Observed] = {}
    for text in texts:
        try:
            source, tables = _read(text, registry)
            if not 1 <= source <= count:
                raise UsageError(f"there is no source {source}; K goes from 1 to {count}")
            if source - 1 in found:
                raise UsageError(f"source {source} is given twice: one chain says all")
            chain = tuple(choose(OBSERVATION, table, registry) for table in tables)
        except (UsageError, ValueError) as error:
            raise UsageError(f"--observe {text}: {error}") from None
        found[source - 1] = Observed(source - 1, chain, text)
    return tuple(found[source] for source in sorted(found))


def _read(text: str, registry: Registry) -> tuple[int, list[Mapping[str, Any]]]:
    """Return the source, from 1, and the tables of its chain."""
    number, colon, chain = text.partition(":")
    if not colon or not number.strip().isdecimal() or not chain.strip():
        raise UsageError(f"expected {_FORM}")
    tables: list[dict[str, Any]] = []
    for part in chain.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        name, dot, option = key.partition(".")
        if not name or (dot and not (option and equals)) or (equals and not value):
            raise UsageError(f"{part.strip() or 'an empty part'}: expected {_FORM}")
        if not (dot and tables and tables[-1]["name"] == name):
            tables.append({"name": name})
        if equals:
            tables[-1].update(_set(name, option, value, registry))
    return int(number), list(tables)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _set(name: str, option: str, text: str, registry: Registry) -> dict[str, Any]:
    """Return the option that a value is of, and the value."""
    known = specs(registry.find(OBSERVATION, name).component.options)
    if not option:
        could = known[:1] if _is_number(text) else known
        taking = next((spec for spec in could if spec.accepts(text)), None)
        if taking is None and _is_number(text) and known and known[0].type in (int, float):
            taking = known[0]  # which says within what bounds a number is to be
        if taking is None:
            what = f": {known[0].name} is {known[0].kind}" if known else ""
            raise UsageError(f"{name} takes no {text!r}{what}")
        return {taking.name: _parsed(taking, name, text)}
    for spec in known:
        if spec.name == option:
            return {spec.name: _parsed(spec, name, text)}
    names = [spec.name for spec in known]
    raise UsageError(f"{name} has no option {option!r}.{suggest(option, names)}")


def _parsed(spec: OptionSpec, name: str, text: str) -> Any:
    """Return the value of an option of an observation; raise UsageError if it refuses the text."""
    try:
        return spec.parse(text)
    except ValueError as error:
        raise UsageError(f"{name}.{spec.name} {error}") from None
