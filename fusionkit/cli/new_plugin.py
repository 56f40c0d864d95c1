"""``fusionkit new-plugin``: the files of a package with one component, to begin with."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

from ..contract.command import BUILT_IN
from ..contract.kinds import KINDS
from ..contract.options import suggest
from ..contract.paths import refuse_url
from ..errors import UsageError, visible
from ..host.plugins import installed_plugins, load_plugins
from ..recipes.finding import AUTO
from .arguments import Parser
from .rows import options_of
from .run_flags import parsed

_EXAMPLES = """\
examples:
  fusionkit new-plugin my-weights --kind weighting
  fusionkit new-plugin edge-score --kind metric -o ~/edge-score
"""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 50

USE = {
    "metric": "fusionkit evaluate fused.png --sources a.png b.png --metric $name",
    "recipe": "fusionkit run a.png b.png -o fused.png --task $name",
    "reader": "fusionkit run a.$module b.$module -o fused.png",
    "command": "fusionkit $name a.png",
    "preparation": "fusionkit run a.png b.png -o fused.png --$name 3",
    "observation": "fusionkit run a.png b.png -o fused.png --observe 1:$name",
}
"""How a component is used; of other kinds, as one of a run."""

_OF_A_RUN = "fusionkit run a.png b.png -o fused.png --$kind $name"

FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "$module.py": "$kind.py.txt",
    "tests/test_conformance.py": "test_conformance.py.txt",
    ".github/workflows/test.yml": "test.yml.txt",
}
"""What is written, and the template that it is made of."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="fusionkit new-plugin",
        description="Write a small package with a component that works, to change into your own.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("name", metavar="NAME", help="of the plugin and its component: my-weights")
    kinds = [kind.group for kind in KINDS]
    parser.add_argument("--kind", required=True, metavar="KIND", help=f"one of {', '.join(kinds)}")
    parser.add_argument("-o", "--output", metavar="DIR", help="where (default: fusionkit-NAME)")
    given = parser.parse_args(arguments)
    if given.kind not in kinds:
        hint = suggest(given.kind, kinds) or f" There are {', '.join(kinds)}."
        raise UsageError(f"unknown kind {given.kind!r}.{hint}")
    check_name(given.name, given.kind)
    refuse_url(given.output or "")
    folder = Path(given.output or f"fusionkit-{given.name}")
    write_package(given.name, given.kind, folder)
    print(f"{visible(str(folder))}: the {given.kind} {given.name}. Install it, and run its test:")
    print(f"    cd {visible(shlex.quote(str(folder)))} && pip install -e '.[test]' && pytest")
    return 0


def check_name(name: str, kind: str) -> None:
    """Raise UsageError if a plugin cannot be called so, or one that is installed is."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"name {name[:80]!r}: use lower-case letters, digits and hyphens between them, "
            f"{_LONGEST} at most: my-{kind}"
        )
    modules = {point.value.partition(":")[0] for point in installed_plugins()}
    taken = {point.name for point in installed_plugins()}
    if name in taken or module_of(name) in modules:
        raise UsageError(f"name {name!r}: a plugin that is installed has it: choose another")
    if kind == "command" and name in BUILT_IN:
        raise UsageError(f"name {name!r}: fusionkit has a command of this name itself")
    registry = load_plugins()
    whole = next(each for each in KINDS if each.group == kind)
    if name in {provided.component.name for provided in registry.all(whole)}:
        raise UsageError(f"name {name!r}: a {kind} that is installed has it: choose another")
    flags = {flag.replace("_", "-") for flag in vars(parsed([], registry)[1])}
    if kind == "preparation" and name in {*flags, *options_of(registry)}:
        raise UsageError(f"name {name!r}: fusionkit run has a flag --{name} already")
    if kind == "recipe" and name == AUTO:
        raise UsageError(f"name {name!r}: it means that the task is decided from the images")


def module_of(name: str) -> str:
    """Return the name of a plugin's module, which can be taken for no other library's."""
    return f"fusionkit_{name.replace('-', '_')}"


def write_package(name: str, kind: str, folder: Path) -> None:
    """Write the files of a package into a new folder, all of them or none.

    Raises
    ------
    UsageError
        Something is there already, or the folder cannot be made.
    """
    if os.path.lexists(folder) and not _is_empty(folder):
        raise UsageError(f"{folder} is there already: nothing is overwritten, choose another -o")
    words = {
        "name": name,
        "kind": kind,
        "module": module_of(name),
        "Class": "".join(part.capitalize() for part in name.split("-")),
        "title": f"my {kind}",
    }
    words["use"] = Template(USE.get(kind, _OF_A_RUN)).substitute(words)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UsageError(f"{folder}: it cannot be made: {error.strerror}") from None
    try:
        for file, template in FILES.items():
            path = room / Template(file).substitute(words)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_template(Template(template).substitute(words)).substitute(words))
        room.chmod(0o755)  # a temporary folder is its owner's alone
        os.rename(room, folder)  # replaces an empty folder, and nothing else
    except OSError as error:
        raise UsageError(f"{folder}: it cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _template(name: str) -> Template:
    return Template((resources.files(__package__) / "templates" / name).read_text("utf-8"))


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
