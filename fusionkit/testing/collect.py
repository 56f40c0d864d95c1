"""The kit as pytest sees it: one test function, one case per promise and component."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fusionkit.contract.registry import PluginInfo, Registry
from fusionkit.errors import FusionkitError
from fusionkit.host.plugins import load_plugins

from .checks import Check, CheckSkipped, ConformanceError
from .running import checks_for, names_of_checks


def conformance(
    plugin: str | os.PathLike[str],
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    waive: Collection[str] = (),
    registry: Registry | None = None,
) -> Callable[..., None]:
    """Make the pytest function that holds a plugin to the contract.

    Parameters
    ----------
    plugin
        The plugin's name, which is that of its entry point; or the path of an
        inline plugin file (``.py``).
    options
        By component name, the options to build it with instead of its
        defaults: ``{"my-prior": {"checkpoint": "tiny.pt"}}``. Without them, a
        component that cannot be built from its defaults has its cases skipped.
    waive
        Names of checks whose promise cannot hold, such as ``denoises_a_smooth_image`` of
        weights that nobody has trained. Their cases are skipped, as "waived".
    registry
        Where the plugin is looked up; default: all installed plugins.

    Returns
    -------
    callable
        To be bound to a name that begins with ``test``. A plugin that fails to
        load gives one failing case, which names the error.

    Examples
    --------
    >>> test_conformance = conformance("fixed")
    """
    import pytest

    cases = list(_cases(plugin, options or {}, waive, registry))

    @pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in cases])
    def test_conformance(check: Check) -> None:
        __tracebackhide__ = True
        try:
            check.run()
        except CheckSkipped as skipped:
            pytest.skip(str(skipped))

    return test_conformance


def _cases(
    plugin: str | os.PathLike[str],
    options: Mapping[str, Mapping[str, Any]],
    waive: Collection[str],
    registry: Registry | None,
) -> Iterator[tuple[str, Check]]:
    try:
        info, registry = _find(plugin, registry)
    except FusionkitError as error:
        yield _failing(Path(plugin).stem, str(error))
        return
    for check in checks_for(info):
        yield f"plugin-{info.name}-{check.name}", check
    if info.status != "loaded":
        return
    provided = [p for p in registry.all() if p.plugin.name == info.name]
    unknown = sorted(set(options) - {p.component.name for p in provided})
    if unknown or not provided:
        missing = f"component {unknown[0]!r}" if unknown else "components at all"
        yield _failing(info.name, f"plugin {info.name} provides no {missing}")
    strange = set(waive).difference(*(names_of_checks(one.kind) for one in provided))
    for name in sorted(strange):
        yield _failing(info.name, f"waive: plugin {info.name} gets no check {name!r}")
    for one in provided:
        name = one.component.name
        excused = set(waive) & set(names_of_checks(one.kind))
        for check in checks_for(one, options.get(name), excused):
            yield f"{one.kind.group}-{name}-{check.name}", check


def _find(plugin: str | os.PathLike[str], registry: Registry | None) -> tuple[PluginInfo, Registry]:
    path = Path(plugin)
    if registry is not None:
        pass
    elif path.suffix == ".py":
        registry = load_plugins(inline=[str(path)], entry_points=())
    else:
        # Other people's broken plugins are none of this one's business.
        registry = load_plugins(strict=False)
    name = path.stem if path.suffix == ".py" else str(plugin)
    return registry.plugin(name), registry


def _failing(plugin: str, message: str) -> tuple[str, Check]:
    def run() -> None:
        raise ConformanceError(message)

    return f"plugin-{plugin}-provides", Check("provides", run)
