"""``fusionkit plugins``: what is installed, what it provides, and with which options."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from ..contract.component import Component
from ..contract.options import specs, suggest
from ..contract.preparation import PREPARATION
from ..contract.reader import Reader
from ..contract.reading import need_of
from ..contract.registry import PluginInfo, Provided, Registry
from ..errors import UsageError
from ..recipes.preparing import flag_of
from .arguments import Parser, add_plugin_flags, load_plugins_from

_EXAMPLES = """\
examples:
  fusionkit plugins            all plugins and their components
  fusionkit plugins dig        one plugin, with the options of its components
  fusionkit plugins gradients  one component, with its options
  fusionkit plugins --json     the same for programs
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="fusionkit plugins",
        description="List plugins and their components.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="one plugin or component, in full")
    parser.add_argument("--json", action="store_true", help="print JSON, options included")
    add_plugin_flags(parser)
    given = parser.parse_args(arguments)
    registry = load_plugins_from(arguments)
    listed = chosen(given.name, registry)
    if given.json:
        print(json.dumps([_as_json(plugin, found) for plugin, found in listed], indent=2))
    else:
        for plugin, found in listed:
            print(_as_text(plugin, found, with_options=given.name is not None))
    return 0


Listed = list[tuple[PluginInfo, list[Provided]]]
"""Plugins, each with the components to show."""


def chosen(name: str | None, registry: Registry) -> Listed:
    """Return the plugin of a name, or else the components of it; without a name, everything.

    Raises
    ------
    UsageError
        Nothing has this name.
    """
    listed = [
        (plugin, [provided for provided in registry.all() if provided.plugin == plugin])
        for plugin in registry.plugins
    ]
    if name is None:
        return listed
    named = [(plugin, found) for plugin, found in listed if plugin.name == name]
    if named:
        return named
    alike = [
        (plugin, [p for p in found if name in (p.component.name, p.qualified)])
        for plugin, found in listed
    ]
    components = [(plugin, found) for plugin, found in alike if found]
    if components:
        return components
    known = [plugin.name for plugin in registry.plugins]
    hint = suggest(name, [*known, *(p.component.name for p in registry.all())])
    raise UsageError(
        f"no plugin and no component is called {name!r}."
        + (hint or f" There are the plugins {', '.join(known)}.")
    )


def _as_text(plugin: PluginInfo, found: list[Provided], with_options: bool) -> str:
    lines = [f"{plugin.name}  {plugin.source}  {plugin.status}"]
    if plugin.error:
        lines += textwrap.wrap(plugin.error, 96, initial_indent="    ", subsequent_indent="    ")
    for provided in found:
        component = provided.component
        lines.append(f"    {provided.kind.group:<9}  {component.name:<12}  {component.summary}")
        if not with_options:
            continue
        if isinstance(component, Reader):
            also = "" if component.writer is None else " (written, too)"
            lines.append(f"        files: {', '.join(component.extensions)}{also}")
            lines += [] if component.there else [f"        {need_of(component)}"]
        if not isinstance(component, Component):
            continue
        for spec in specs(component.options):
            called = _flag(provided, spec.name)
            flag = f"{called} {spec.kind}"
            default = spec.as_text(spec.default)
            if provided.kind == PREPARATION and called == f"--{component.name}":
                default = "none"  # without the flag nothing is prepared
            lines += [f"        {flag}", f"            {spec.described} (default: {default})"]
        if component.traits:
            lines.append(f"        traits: {', '.join(sorted(component.traits))}")
    return "\n".join(lines)


def _flag(provided: Provided, option: str) -> str:
    """Return the flag of an option; preparations go by their own names."""
    if provided.kind != PREPARATION:
        return f"--{provided.kind.group}.{option}"
    return f"--{flag_of(provided.component.name, option, provided)}"


def _as_json(plugin: PluginInfo, found: list[Provided]) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "origin": plugin.origin,
        "status": plugin.status,
        "error": plugin.error,
        "components": [_component_as_json(provided) for provided in found],
    }


def _component_as_json(provided: Provided) -> dict[str, Any]:
    component = provided.component
    said: dict[str, Any] = {
        "kind": provided.kind.group,
        "name": component.name,
        "summary": component.summary,
    }
    if isinstance(component, Reader):
        said["extensions"] = list(component.extensions)
        said["written"] = component.writer is not None
    if not isinstance(component, Component):
        return said
    return {
        **said,
        "traits": sorted(component.traits),
        "options": [
            {
                "name": spec.name,
                "type": f"list of {spec.type.__name__}" if spec.many else spec.type.__name__,
                "default": list(spec.default) if spec.many else spec.default,
                "choices": spec.choices,
                "minimum": spec.minimum,
                "maximum": spec.maximum,
                "above": spec.above,
                "help": spec.described,
            }
            for spec in specs(component.options)
        ],
    }
