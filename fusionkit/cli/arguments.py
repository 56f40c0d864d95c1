"""Options as flags: the dataclasses of settings and components, in argparse."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..contract.kind import Kind
from ..contract.options import OptionSpec, specs
from ..contract.parsing import CommandParser
from ..contract.paths import refuse_url
from ..contract.reading import use_readers
from ..contract.registry import Provided, Registry
from ..host.plugins import load_plugins
from ..recipes.layers import Merged
from ..recipes.settings import Settings
from .unknown import near_flags

# Settings whose flag may be given several times, adding up, and how each time.
_REPEATED = {"range": "K:LO,HI"}
_ADDED = ("stretch",)  # numbers, which add up too


class Parser(CommandParser):
    """The parser of our own commands, which spells out switches and knows what is near a flag.

    In ``registry`` are the components whose options an unknown flag may mean; ``taken`` are
    flags of the whole command, if this parser reads only some of them.
    """

    def __init__(self, taken: Collection[str] = (), **keywords: Any) -> None:
        super().__init__(**keywords)
        self.registry: Registry | None = None
        self._taken = taken

    @property
    def flags(self) -> frozenset[str]:
        """The flags that it reads."""
        return frozenset(self._option_string_actions)

    def knows(self, flag: str) -> bool:
        """Whether this is a flag already, so that no component may have it."""
        return flag in self._option_string_actions or flag in self._taken

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known; of options that can stand alone, ``--NAME``, ``--no-NAME`` too."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args(spelled_out(words, self._switches()), namespace)

    def _switches(self) -> dict[str, OptionSpec]:
        """Return the options that can stand alone, by flag."""
        kinds = {flag: action.type for flag, action in self._option_string_actions.items()}
        found = {flag: kind.spec for flag, kind in kinds.items() if isinstance(kind, _Value)}
        return {flag: spec for flag, spec in found.items() if spec.is_switch}

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and suggest the nearest flag for one that is unknown."""
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            if os.path.lexists(unknown[0]):
                self.error(f"{unknown[0]} looks like a flag: give the file as ./{unknown[0]}")
            flag = unknown[0].split("=")[0]
            near = near_flags(flag, self._option_string_actions, self.registry)
            self.error(f"unknown argument {unknown[0]!r}.{near}")
        return given


def spelled_out(arguments: Sequence[str], switches: Mapping[str, OptionSpec]) -> list[str]:
    """Write ``--NAME``, ``--no-NAME`` of what can be yes or no as ``--NAME=yes``, ``--NAME=no``.

    A value that follows, or several separated by commas, stays what it says.
    """
    words = []
    for word, after in zip(arguments, [*arguments, ""][1:], strict=True):
        positive = f"--{word.removeprefix('--no-')}"
        if word in switches and not all(map(switches[word].accepts, after.split(","))):
            words.append(f"{word}=yes")
        elif word.startswith("--no-") and positive in switches:
            words.append(f"{positive}=no")
        else:
            words.append(word)
    return words


class _Value:
    """Parses one flag's text by its option spec; argparse shows the ValueError's own words."""

    def __init__(self, spec: OptionSpec) -> None:
        self.spec = spec

    def __call__(self, text: str) -> Any:
        try:
            return self.spec.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None


class _Added(argparse.Action):
    """Adds up the numbers of a list that is given several times; "no" takes back all of them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest, ())
        setattr(namespace, self.dest, (*before, *values) if values else ())


def add_plugin_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which plugins are loaded."""
    group = parser.add_argument_group("plugins")
    group.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE.py",
        help="load this Python file as a plugin too",
    )
    group.add_argument(
        "--no-plugin",
        action="append",
        default=[],
        metavar="NAME",
        help="do not load this plugin, named by itself or its distribution",
    )


def add_cache_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says where source estimates are kept: a place, not a setting."""
    parser.add_argument(
        "--cache",
        type=_folder,
        metavar="DIR",
        help="keep the prior's estimates of sources there, and find them again; delete it any time",
    )


def add_threads_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says how many threads compute on a CPU: no setting either."""
    parser.add_argument(
        "--threads",
        type=_threads,
        metavar="N",
        help="threads of the CPU to compute with (default: OMP_NUM_THREADS, or one for each core)",
    )


def set_threads(count: int | None) -> None:
    """Compute with so many threads from now on; None leaves it to torch."""
    if count is not None:
        import torch

        torch.set_num_threads(count)


def _folder(text: str) -> str:
    refuse_url(text)
    if os.path.exists(text) and not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text} is a file: give a folder")
    return text


def _threads(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"expects a number from 1 to 1024, not {text!r}")
    return int(text)


def load_plugins_from(arguments: Sequence[str]) -> Registry:
    """Load plugins as the flags among the arguments say, before anything else is parsed."""
    parser = Parser(add_help=False)
    add_plugin_flags(parser)
    known, _ = parser.parse_known_args(arguments)
    registry = load_plugins(disabled=known.no_plugin, inline=known.plugin)
    use_readers(registry)
    return registry


def add_range_flags(parser: argparse.ArgumentParser, help: str) -> None:
    """Add the flags that say what stored values span, for commands that look at results."""
    parser.add_argument(
        "--range",
        action="append",
        default=[],
        metavar=_REPEATED["range"],
        help=f"{help}. What the record of a run beside a file tells need not be said",
    )
    (spec,) = (spec for spec in specs(Settings) if spec.name == "stretch")
    parser.add_argument(
        "--stretch",
        action=_Added,
        nargs="?",
        const=(spec.switch,),
        type=_Value(spec),
        default=(),
        metavar="K",
        help=spec.help,
    )


def add_setting_flags(parser: argparse.ArgumentParser, chosen: Merged) -> None:
    """Add a flag for every setting; what is not given is absent from the namespace."""
    group = parser.add_argument_group(
        "settings", "what is yes or no, here and above, is said by --NAME and --no-NAME too"
    )
    for spec in specs(Settings):
        flag = f"--{spec.name}"
        if spec.name in _REPEATED:
            group.add_argument(
                flag,
                action="append",
                default=argparse.SUPPRESS,
                metavar=_REPEATED[spec.name],
                help=_help(spec, spec.name, chosen, spec.name),
            )
        else:
            _add_value(group, flag, spec, chosen)


def add_component_flags(
    parser: argparse.ArgumentParser, provided: Provided, chosen: Merged
) -> None:
    """Add the flags of a selected component's own options: ``--weighting.window`` and so on."""
    found = specs(provided.component.options)
    if not found:
        return
    group = parser.add_argument_group(f"options of {provided.kind.title} {provided.qualified}")
    for spec in found:
        _add_value(group, f"--{provided.kind.group}.{spec.name}", spec, chosen)


def given_settings(namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as flags, by name."""
    names = {spec.field: spec.name for spec in specs(Settings)}
    return {names[field]: value for field, value in vars(namespace).items() if field in names}


def given_options(namespace: argparse.Namespace, kind: Kind) -> dict[str, Any]:
    """Return the options of a component of this kind that were given as flags, by name."""
    prefix = f"{kind.group}."
    return {
        key.removeprefix(prefix): value
        for key, value in vars(namespace).items()
        if key.startswith(prefix)
    }


def add_value(
    group: Any,
    flag: str,
    spec: OptionSpec,
    chosen: Merged,
    dest: str,
    adds: bool = False,
    default: str | None = None,
) -> None:
    """Add the flag of one option; one that ``adds`` may be given several times.

    ``default`` is what help says of a flag that is not given, by default the option's own.
    """
    group.add_argument(
        flag,
        action=_Added if adds else "store",
        type=_Value(spec),
        default=argparse.SUPPRESS,
        dest=dest,
        metavar=spec.kind,
        help=_help(spec, flag.removeprefix("--"), chosen, dest, default),
    )


def _add_value(group: Any, flag: str, spec: OptionSpec, chosen: Merged) -> None:
    dest = flag.removeprefix("--") if "." in flag else spec.field
    add_value(group, flag, spec, chosen, dest, adds=spec.name in _ADDED)


def _help(
    spec: OptionSpec, flag: str, chosen: Merged, place: str, default: str | None = None
) -> str:
    """Return the help of an option, with the value that it has here and where that comes from.

    ``place`` says where the recipe has it: keys with dots between.
    """
    origin = chosen.origins.get(flag)
    value: Any = chosen.recipe
    for key in place.split(".") if "." in place else (flag,):
        value = value.get(key) if isinstance(value, Mapping) else None
    if origin is None or value is None:
        unsaid = spec.as_text(spec.default) if default is None else default
        here = "required" if spec.required else f"default: {unsaid}"
    else:
        here = f"{_shown(spec, value)}, {origin.text}"
    return f"{spec.described} ({here})".replace("%", "%%")


def _shown(spec: OptionSpec, value: Any) -> str:
    """Write a value as a flag takes it; one that will be refused, as it is."""
    try:
        return spec.as_text(spec.check(value))
    except ValueError:
        return str(value)
