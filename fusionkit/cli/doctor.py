"""``fusionkit doctor``: whether this installation is in order."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Sequence

from .._version import __version__
from ..contract.registry import PluginInfo, Provided, Registry
from .arguments import Parser, add_plugin_flags, load_plugins_from

_LIBRARIES = ("torch", "numpy", "pillow", "tifffile", "imagecodecs", "pluggy", "tqdm")
_EXAMPLES = """\
examples:
  fusionkit doctor
  fusionkit doctor --plugin ./mine.py      check a plugin that you are writing
  fusionkit doctor --quick                 leave the conformance checks out
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if something is wrong."""
    parser = Parser(
        prog="fusionkit doctor",
        description="Check versions, device, plugins, and the conformance of every component.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--quick", action="store_true", help="do not run conformance checks")
    add_plugin_flags(parser)
    given = parser.parse_args(arguments)
    print(f"fusionkit {__version__}, Python {platform.python_version()}, {platform.platform()}")
    registry = load_plugins_from(arguments)
    checks: list[Callable[[], int]] = [_libraries, _device, lambda: _plugins(registry)]
    if not given.quick:
        checks.append(lambda: _conformance(registry))
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

    found = [f"cpu, {torch.get_num_threads()} threads"]
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


def _name(subject: Provided | PluginInfo) -> str:
    if isinstance(subject, PluginInfo):
        return f"plugin {subject.name}"
    return f"{subject.kind.group} {subject.qualified}"


def _conformance(registry: Registry) -> int:
    import torch

    from ..testing import run_checks

    print("conformance")
    wrong = 0
    torch.set_num_threads(1)  # the checks' images are tiny: more threads only wait for each other
    loaded = [plugin for plugin in registry.plugins if plugin.status == "loaded"]
    subjects: list[Provided | PluginInfo] = [*loaded, *registry.all()]
    for subject in subjects:
        outcomes = run_checks(subject)
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        skipped = [outcome for outcome in outcomes if outcome.status == "skipped"]
        text = f"{_name(subject)}: {len(outcomes)} checks"
        if skipped:
            text += f", {len(skipped)} skipped ({skipped[0].reason})"
        wrong += _line(not failed, text)
        for outcome in failed:
            print(f"          {outcome.name}: {outcome.reason}")
    return wrong
