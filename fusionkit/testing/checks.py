"""What a conformance check is, which ones a plugin or component gets, and running them.

Nothing in here needs pytest, so that ``fusionkit doctor`` runs the same checks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from fusionkit.components import ESTIMATOR, METRIC, OBJECTIVE, WEIGHTING, PluginInfo, Provided
from fusionkit.errors import UsageError

# Modules, in the order in which their CHECKS are run, for each kind of component.
_MODULES = {
    ESTIMATOR: ("_common", "_estimator"),
    WEIGHTING: ("_common", "_guiding", "_levels", "_weighting"),
    OBJECTIVE: ("_common", "_guiding", "_levels", "_objective"),
    METRIC: ("_common", "_metric"),
}


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
        return self.provided.component.traits

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
        from fusionkit.components import BuildContext

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


def checks_for(
    subject: Provided | PluginInfo, options: Mapping[str, Any] | None = None
) -> Iterator[Check]:
    """Yield the checks of a component, or those of a plugin as a whole.

    Parameters
    ----------
    subject
        A component of a registry (``registry.all()``), or a plugin (``registry.plugins``).
    options
        Options to build the component with, where its defaults do not suffice.
    """
    if isinstance(subject, PluginInfo):
        from ._plugin import CHECKS

        for plugin_check in CHECKS:
            yield Check(plugin_check.__name__, _one_line(plugin_check, subject, subject.name))
        return
    component = Subject(subject, options or {})
    for module in _MODULES[subject.kind]:
        for check in importlib.import_module(f".{module}", __package__).CHECKS:
            yield Check(check.__name__, _one_line(check, component, component.name))


def run_checks(
    subject: Provided | PluginInfo, options: Mapping[str, Any] | None = None
) -> list[Outcome]:
    """Make all checks of a component or plugin; parameters as for :func:`checks_for`."""
    outcomes = []
    for check in checks_for(subject, options):
        try:
            check.run()
        except CheckSkipped as skipped:
            outcomes.append(Outcome(check.name, "skipped", str(skipped)))
        except ConformanceError as error:
            outcomes.append(Outcome(check.name, "failed", str(error)))
        else:
            outcomes.append(Outcome(check.name, "passed", None))
    return outcomes


def _one_line(check: Callable[[Any], None], subject: Any, name: str) -> Callable[[], None]:
    """Let a check raise nothing but its two exceptions, whatever the plugin raises."""

    def run() -> None:
        __tracebackhide__ = True  # pytest: show the plugin's frames, not the kit's
        try:
            check(subject)
        except (CheckSkipped, ConformanceError):
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConformanceError(f"{name}: it failed: {reason}") from error

    return run
