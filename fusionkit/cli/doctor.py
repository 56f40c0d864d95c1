"""``fusionkit doctor``: whether this installation is in order."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .._version import __version__
from ..contract.counting import number_of
from ..contract.reader import READER
from ..contract.reading import need_of
from ..contract.registry import PluginInfo, Provided, Registry
from ..errors import FusionkitError
from ..imaging import SUPPORTED
from ..recipes.finding import GROUPS, table_of, task_recipe, tasks
from . import say
from .arguments import Parser, add_plugin_flags, load_plugins_from
from .plugins import Listed, chosen
from .probing import ends_programs
from .progress import bar

if TYPE_CHECKING:
    from ..testing import Outcome

_LIBRARIES = ("torch", "numpy", "pillow", "tifffile", "imagecodecs", "pluggy", "tqdm")
_EXAMPLES = """\
examples:
  fusionkit doctor
  fusionkit doctor mine --plugin ./mine.py  check a plugin that you are writing, and nothing else
  fusionkit doctor --quick                  leave the conformance checks out
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if something is wrong."""
    parser = Parser(
        prog="fusionkit doctor",
        description="Check versions, device, plugins, formats, and how components conform.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="check the conformance of this plugin or component"
    )
    parser.add_argument("--quick", action="store_true", help="do not run conformance checks")
    add_plugin_flags(parser)
    given = parser.parse_args(arguments)
    print(f"fusionkit {__version__}, Python {platform.python_version()}, {platform.platform()}")
    ending = ends_programs(given.no_plugin, given.plugin)
    if ending:
        print("plugins")
        for name, source, code in ending:
            _line(False, f"{name} ({source}) ends the program that loads it (exit code {code})")
        names = " ".join(f"--no-plugin {name}" for name, *_ in ending)
        print(f"{len(ending)} wrong, marked FAIL above: leave out what is installed by {names}")
        return 1
    registry = load_plugins_from(arguments)
    checks: list[Callable[[], int]] = [_libraries, _device, lambda: _plugins(registry)]
    checks += [lambda: _formats(registry), lambda: _tasks(registry)]
    if not given.quick:
        listed = chosen(given.name, registry)
        checks.append(lambda: _conformance(listed))
    wrong = sum(check() for check in checks)
    print("Everything is in order." if not wrong else f"{wrong} wrong, marked FAIL above.")
    return 1 if wrong else 0


def _line(good: bool, text: str) -> int:
    print(f"  {'ok  ' if good else 'FAIL'}  {text}")
    return 0 if good else 1


def _libraries() -> int:
    print("libraries")
    wrong = 0
    for name in _LIBRARIES:
        try:
            wrong += _line(True, f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            wrong += _line(False, f"{name} is not installed: pip install {name}")
    return wrong


def _device() -> int:
    print("device")
    try:
        import torch
    except (ImportError, OSError) as error:
        return _line(False, f"torch cannot be imported: {error}")
    from ..host.hardware import has_bfloat16_instructions

    found = [f"cpu, {number_of(torch.get_num_threads(), 'thread')}"]
    if has_bfloat16_instructions():
        found[0] += ", multiplies bfloat16 itself: --precision bfloat16 may take half the time"
    if torch.cuda.is_available():
        found += [
            f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count())
        ]
    if torch.backends.mps.is_available():
        found.append("mps")
    return sum(_line(True, text) for text in found)


def _plugins(registry: Registry) -> int:
    print("plugins")
    wrong = 0
    for plugin in registry.plugins:
        text = f"{plugin.name} ({plugin.source}) {plugin.status}"
        reason = f": {plugin.error}" if plugin.error else ""
        wrong += _line(plugin.status != "failed", text + reason)
    for kind, name, providers in registry.clashes():
        print(f"  note  {kind.title} {name!r} is provided by several: say {' or '.join(providers)}")
    return wrong


def _formats(registry: Registry) -> int:
    """List what is read and written, and what is missing for the rest, which is no fault."""
    print("formats")
    _line(True, f"{SUPPORTED}: read and written")
    for provided in registry.all(READER):
        reader = provided.component
        ends = " ".join(reader.extensions[:5]) + (" ..." if len(reader.extensions) > 5 else "")
        if not reader.there:
            print(f"  note  {ends}: {need_of(reader)}")
            continue
        does = "read and written" if reader.writer is not None else "read"
        whole = ", whole volumes too" if reader.read_volume is not None else ""
        _line(True, f"{ends}: {reader.summary}, {does}{whole} ({provided.qualified})")
    return 0


def _tasks(registry: Registry) -> int:
    """Look for what the tasks name: without it they fuse nothing unless all is chosen by hand."""
    print("tasks")
    whole = 0
    for task in tasks():
        recipe = task_recipe(task)
        try:
            for group, kind in GROUPS.items():
                if group in recipe:
                    registry.find(kind, str(table_of(group, recipe[group])["name"]))
        except FusionkitError as error:  # of a plugin that is disabled, or failed: told above
            print(f"  note  {task} lacks {error}")
        else:
            whole += 1
            _line(True, task)
    return 0 if whole else _line(False, "no task has all that it names: nothing can be fused")


def _name(subject: Provided | PluginInfo) -> str:
    if isinstance(subject, PluginInfo):
        return f"plugin {subject.name}"
    return f"{subject.kind.group} {subject.qualified}"


def _conformance(listed: Listed) -> int:
    import torch
    from tqdm import tqdm

    from ..testing import run_checks

    print("conformance", flush=True)
    wrong = 0
    torch.set_num_threads(1)  # the checks' images are tiny: more threads only wait for each other
    subjects: list[Provided | PluginInfo] = []
    for plugin, found in listed:
        subjects += [plugin, *found] if plugin.status == "loaded" else []
    say(f"{len(subjects)} plugins and components are checked; --quick leaves that out")
    with bar(len(subjects)) as shown:
        for subject in subjects:
            shown.set_description_str(_name(subject))
            outcomes = run_checks(subject)
            if not outcomes:  # of a kind whose records say all there is
                continue
            with tqdm.external_write_mode():
                wrong += _told(subject, outcomes)
            shown.update()
    return wrong


def _told(subject: Provided | PluginInfo, outcomes: Sequence[Outcome]) -> int:
    """Print what became of the checks of one plugin or component; return 1 if one failed."""
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    skipped = [outcome for outcome in outcomes if outcome.status == "skipped"]
    text = f"{_name(subject)}: {number_of(len(outcomes), 'check')}"
    if skipped:
        text += f", {len(skipped)} skipped ({skipped[0].reason})"
    wrong = _line(not failed, text)
    for outcome in failed:
        print(f"          {outcome.name}: {outcome.reason}")
    sys.stdout.flush()
    return wrong
