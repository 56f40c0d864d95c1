"""Which checks a plugin or component gets, and running them.

Nothing in here needs pytest, so that ``fusionkit doctor`` runs the same checks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..contract.estimator import ESTIMATOR
from ..contract.metric import METRIC
from ..contract.objective import OBJECTIVE
from ..contract.recipe import RECIPE
from ..contract.registry import PluginInfo, Provided
from ..contract.weighting import WEIGHTING
from . import _plugin
from .checks import Check, CheckSkipped, ConformanceError, Outcome, Subject

# Modules, in the order in which their CHECKS are run, for each kind of component.
_MODULES = {
    ESTIMATOR: ("_common", "_estimator"),
    WEIGHTING: ("_common", "_guiding", "_levels", "_weighting"),
    OBJECTIVE: ("_common", "_guiding", "_levels", "_objective"),
    METRIC: ("_common", "_metric"),
    RECIPE: ("_recipe",),
}


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
        for plugin_check in _plugin.CHECKS:
            yield Check(plugin_check.__name__, _one_line(plugin_check, subject, subject.name))
        return
    component = Subject(subject, options or {})
    for module in _MODULES.get(subject.kind, ()):
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
