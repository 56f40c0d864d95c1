"""Examples in the docstrings of the public interface are run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import shutil

import pytest

from tests.conftest import REPOSITORY

MODULES = re.findall(r"reference/([\w.]+)\.md", (REPOSITORY / "mkdocs.yml").read_text("utf-8"))


def examples() -> dict[str, doctest.DocTest]:
    """Return the examples of every public name of the documented modules."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isroutine(thing) or inspect.isclass(thing):
                tests = finder.find(thing, name, inspect.getmodule(thing))
                found |= {test.name: test for test in tests if test.examples}
    return found


EXAMPLES = examples()


def test_there_are_examples():
    assert {"fuse", "option", "deprecated"} <= EXAMPLES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_gives_what_it_shows(name, pair, tmp_path, monkeypatch):
    for path, called in zip(pair, ("ir.png", "vi.png"), strict=True):
        shutil.copy(path, tmp_path / called)
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    failed, tried = runner.run(EXAMPLES[name], out=said.append)
    assert tried
    assert not failed, "".join(said)
