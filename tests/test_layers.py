"""The house: which package may import which. Arrows lead downwards only, and in no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fusionkit

ROOT = Path(fusionkit.__file__).parent

# From the top to the bottom; packages of one floor do not know one another.
FLOORS = (
    ("cli",),
    ("testing", "tracing", "evaluation"),
    ("host",),
    ("sampling",),
    ("imaging", "recipes"),
    ("contract",),
    ("ops",),
    ("deprecation", "errors", "_version"),
)
LONGEST = 350


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(name: str, path: Path) -> set[str]:
    """Return the modules of fusionkit that one imports, wherever it does; not for types alone."""
    package = ["fusionkit", *name.split(".")][: -1 if path.name != "__init__.py" else None]
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    known = dict(modules())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            full = ".".join([*base, *filter(None, [node.module])])
            if full != "fusionkit" and not full.startswith("fusionkit."):
                continue
            for alias in node.names:
                deeper = f"{full}.{alias.name}".removeprefix("fusionkit.")
                found.add(deeper if deeper in known else full.removeprefix("fusionkit."))
    return found


def floor(module: str) -> int:
    first = module.partition(".")[0]
    return next(n for n, packages in enumerate(FLOORS) if first in packages)


@pytest.mark.parametrize(("name", "path"), [m for m in modules() if "." in m[0]], ids=lambda v: v)
def test_arrows_lead_downwards(name: str, path: Path) -> None:
    own = name.partition(".")[0]
    upwards = [
        other
        for other in imports(name, path)
        if other.partition(".")[0] != own and floor(other) <= floor(name)
    ]
    assert not upwards


def test_there_is_no_circle() -> None:
    graph = {name: imports(name, path) for name, path in modules()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_files_are_read_in_one_sitting() -> None:
    packages = ROOT.parent.glob("*/fusionkit_*/**/*.py")  # plugins, benchmarks, training
    files = [*(path for _, path in modules()), *packages]
    lengths = {str(path): len(path.read_text("utf-8").splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


PUBLIC = {"fusionkit", "fusionkit.imaging", "fusionkit.ops", "fusionkit.testing"}
"""What plugins may import: the modules of the reference."""


PLUGINS = ROOT.parent / "plugins"


def imports_of_plugins() -> Iterator[tuple[Path, str]]:
    """Yield each module of a plugin, below ``plugins``, with each name that it imports from."""
    for path in sorted(PLUGINS.rglob("*.py")):
        if "tests" in path.parts:  # which try the command line
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            yield from ((path.relative_to(PLUGINS), name) for name in names)


def test_plugins_import_what_is_public():
    assert [
        (str(path), name)
        for path, name in imports_of_plugins()
        if name.split(".")[0] == "fusionkit" and name not in PUBLIC
    ] == []
    nav = (ROOT.parent / "mkdocs.yml").read_text("utf-8")
    assert all(f"reference/{name}.md" in nav for name in PUBLIC)


def test_plugins_import_no_other_plugin():
    """What one needs of another it finds by name, in ``context.registry``."""
    owners = {}  # of what is imported first, a package or a module
    for folder in PLUGINS.iterdir():
        packaged = (folder / "__init__.py").exists()
        names = [folder.name] if packaged else [path.stem for path in folder.glob("*.py")]
        owners |= dict.fromkeys(names, folder.name)
    assert {"fusionkit_dig", "fusionkit_example"} <= owners.keys()
    strangers = {"fusionkit_benchmarks", "fusionkit_training"}
    assert [
        (str(path), name)
        for path, name in imports_of_plugins()
        if owners.get(name.split(".")[0], path.parts[0]) != path.parts[0]
        or name.split(".")[0] in strangers
    ] == []
