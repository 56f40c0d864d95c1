"""What a conformance check is, what it is put to, and what may become of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from fusionkit.contract.registry import Provided
from fusionkit.errors import UsageError


class ConformanceError(AssertionError):
    """A plugin breaks the contract; one line says what the contract is and what was seen."""


class CheckSkipped(Exception):  # noqa: N818 - it is no error
    """The check cannot be made, and why: for example a component that needs a checkpoint."""


@dataclass(frozen=True)
class Check:
    """One promise of the contract, put to one component or plugin.

    Attributes
    ----------
    name
        What is promised, in snake case: ``on_the_simplex``.
    run
        Makes the check: returns None, or raises :class:`ConformanceError` or
        :class:`CheckSkipped`.
    """

    name: str
    run: Callable[[], None]


class Outcome(NamedTuple):
    """What became of one check; ``reason`` is None if it passed."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    reason: str | None


@dataclass(frozen=True)
class Subject:
    """The component under test, and the options to build it with.

    ``values`` are those that the author gave for what has no usable default.
    """

    provided: Provided
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What messages call it: ``weighting sharpest``."""
        return f"{self.provided.kind.title} {self.provided.component.name}"

    @property
    def traits(self) -> frozenset[str]:
        """What the component declares."""
        traits: frozenset[str] = self.provided.component.traits
        return traits

    def build(
        self,
        *,
        device: str = "cpu",
        precision: str = "float64",
        changes: Mapping[str, Any] | None = None,
    ) -> Any:
        """Build a new one, by default in float64, where rounding hides nothing.

        Raises
        ------
        CheckSkipped
            It refuses its default options, by UsageError: it must be told something.
        UsageError
            It refuses the ``changes`` to them.
        """
        from fusionkit.contract.component import BuildContext

        options = self.provided.make_options({**self.values, **(changes or {})})
        try:
            return self.provided.build(options, BuildContext(device, precision))
        except UsageError as error:
            if changes:
                raise
            raise CheckSkipped(f"{self.name} needs to be configured: {error}") from error

    def require(self, holds: bool, message: str) -> None:
        """Raise ConformanceError, in the component's name, unless the contract holds."""
        __tracebackhide__ = True
        if not holds:
            raise ConformanceError(f"{self.name}: {message}")
