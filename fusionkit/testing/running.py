"""Which checks a plugin or component gets, and running them.

Nothing in here needs pytest, so that ``fusionkit doctor`` runs the same checks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ..contract.estimator import ESTIMATOR
from ..contract.kind import Kind
from ..contract.metric import METRIC
from ..contract.objective import OBJECTIVE
from ..contract.observation import OBSERVATION
from ..contract.options import suggest
from ..contract.preparation import PREPARATION
from ..contract.recipe import RECIPE
from ..contract.registry import PluginInfo, Provided
from ..contract.sampler import SAMPLER
from ..contract.weighting import WEIGHTING
from ..errors import UsageError
from . import _plugin
from .checks import Check, CheckSkipped, ConformanceError, Outcome, Subject

# Modules, in the order in which their CHECKS are run, for each kind of component.
_MODULES = {
    ESTIMATOR: ("_common", "_estimator"),
    WEIGHTING: ("_common", "_guiding", "_levels", "_weighting"),
    OBJECTIVE: ("_common", "_guiding", "_levels", "_objective"),
    SAMPLER: ("_common", "_sampler"),
    OBSERVATION: ("_common", "_observation"),
    PREPARATION: ("_common", "_preparation"),
    METRIC: ("_common", "_metric"),
    RECIPE: ("_recipe",),
}


def checks_for(
    subject: Provided | PluginInfo,
    options: Mapping[str, Any] | None = None,
    waive: Collection[str] = (),
) -> Iterator[Check]:
    """Yield the checks of a component, or those of a plugin as a whole.

    Parameters
    ----------
    subject
        A component of a registry (``registry.all()``), or a plugin (``registry.plugins``).
    options
        Options to build the component with, where its defaults do not suffice.
    waive
        Names of checks that cannot hold, such as ``denoises_a_smooth_image`` of
        weights that nobody has trained; they are skipped, as "waived".

    Raises
    ------
    UsageError
        No check has the name that is to be waived.
    """
    modules = [_plugin] if isinstance(subject, PluginInfo) else _modules(subject.kind)
    checks = [check for module in modules for check in module.CHECKS]
    names = [check.__name__ for check in checks]
    put_to = subject if isinstance(subject, PluginInfo) else Subject(subject, options or {})
    for name in sorted(set(waive) - set(names)):
        raise UsageError(f"waive: {put_to.name} has no check {name!r}.{suggest(name, names)}")
    for check, name in zip(checks, names, strict=True):
        yield Check(name, _waived if name in waive else _one_line(check, put_to, put_to.name))


def names_of_checks(kind: Kind) -> list[str]:
    """Return what the checks of a kind of component are called, in their order."""
    return [check.__name__ for module in _modules(kind) for check in module.CHECKS]


def run_checks(
    subject: Provided | PluginInfo,
    options: Mapping[str, Any] | None = None,
    waive: Collection[str] = (),
) -> list[Outcome]:
    """Make all checks of a component or plugin; parameters as for :func:`checks_for`."""
    outcomes = []
    for check in checks_for(subject, options, waive):
        try:
            check.run()
        except CheckSkipped as skipped:
            outcomes.append(Outcome(check.name, "skipped", str(skipped)))
        except ConformanceError as error:
            outcomes.append(Outcome(check.name, "failed", str(error)))
        else:
            outcomes.append(Outcome(check.name, "passed", None))
    return outcomes


def _modules(kind: Kind) -> list[Any]:
    return [importlib.import_module(f".{name}", __package__) for name in _MODULES.get(kind, ())]


def _waived() -> None:
    raise CheckSkipped("waived")


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
