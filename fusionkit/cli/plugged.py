"""The commands that plugins bring: listed in the help, found by name, run in the plugin's name."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..contract.command import BUILT_IN, COMMAND, SEPARATE
from ..contract.options import suggest
from ..contract.registry import Provided, Registry
from ..errors import FusionkitError, PluginError, UsageError
from . import complain, say
from .arguments import Parser, add_plugin_flags, load_plugins_from


def listed(arguments: Sequence[str]) -> dict[str, str]:
    """Return what the commands of plugins do, and whose they are, by name."""
    try:
        registry = load_plugins_from(arguments)
    except FusionkitError as error:  # a help is due all the same
        say(f"warning: the commands of plugins are not listed: {error}")
        return {}
    found = registry.all(COMMAND)
    return {
        registry.short_name(COMMAND, each.qualified): f"{each.component.summary} "
        f"(plugin {each.plugin.name})"
        for each in found
    }


def run(command: str, arguments: Sequence[str]) -> int:
    """Run a plugin's command; return its exit code.

    ``--plugin`` and ``--no-plugin`` are taken out, unless the command asks for them: they say where
    it comes from.

    Raises
    ------
    UsageError
        There is no such command, or several plugins have one.
    PluginError
        It raised something that is no message to a person, or returned no exit code.
    """
    provided = _found(command, load_plugins_from(arguments))
    component = provided.component
    try:
        code = component.main(list(arguments) if component.plugin_flags else _own(arguments))
    except FusionkitError:
        raise
    except SystemExit as ended:
        if isinstance(ended.code, str):
            return complain(f"{provided.label}: {ended.code}", 1)
        code = ended.code
    except Exception as error:
        if os.environ.get("FUSIONKIT_DEBUG") == "1" or isinstance(error, BrokenPipeError):
            raise
        raise PluginError(f"{provided.label}: {type(error).__name__}: {error}") from error
    if not isinstance(code, int | None):
        raise PluginError(f"{provided.label} returned {code!r}, which is no exit code")
    return code or 0


def _found(command: str, registry: Registry) -> Provided:
    commands = registry.all(COMMAND)
    if any(command in (each.component.name, each.qualified) for each in commands):
        return registry.find(COMMAND, command)
    if command in SEPARATE and not any(p.name == SEPARATE[command] for p in registry.plugins):
        raise UsageError(
            f"{command} is not installed: it is a package of its own, in a checkout "
            f"pip install ./{SEPARATE[command]}"
        )
    known = [*BUILT_IN, *(each.component.name for each in commands)]
    hint = suggest(command, known) or f" There are {', '.join(known)}."
    raise UsageError(f"unknown command {command!r}.{hint}{registry.failures()}")


def _own(arguments: Sequence[str]) -> list[str]:
    """Return the words that are meant for the command itself."""
    flags = ("--plugin", "--no-plugin")
    if not any(word.partition("=")[0] in flags for word in arguments):
        return list(arguments)
    parser = Parser(add_help=False)
    add_plugin_flags(parser)
    _, rest = parser.parse_known_args(arguments)
    own: list[str] = rest
    return own
