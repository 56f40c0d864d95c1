"""The command's own first lines."""

from __future__ import annotations

import runpy
import subprocess
import sys
import tomllib

import pytest

import fusionkit_start
from tests.conftest import REPOSITORY


class _Interrupts:
    """A finder of modules, at whose work somebody presses Ctrl-C."""

    def find_spec(self, name, path=None, target=None):
        if name == "fusionkit.cli":
            raise KeyboardInterrupt


def test_an_interrupt_while_all_is_imported_is_one_line(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "fusionkit.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Interrupts(), *sys.meta_path])
    assert fusionkit_start.main() == 130
    assert capsys.readouterr().err == "fusionkit: error: interrupted\n"


def test_so_it_is_of_the_module(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "fusionkit.cli", raising=False)
    monkeypatch.delitem(sys.modules, "fusionkit.__main__", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Interrupts(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("fusionkit", run_name="__main__")
    assert ended.value.code == 130
    assert capsys.readouterr().err == "fusionkit: error: interrupted\n"


def test_it_goes_on_to_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fusionkit", "--no-such-command"])
    monkeypatch.setattr("fusionkit.cli._keep_stdout", lambda: None)  # pytest's, here
    monkeypatch.setattr("fusionkit.cli.spare_collecting", lambda: None)
    monkeypatch.setattr("fusionkit.cli.keep_freed_memory", lambda: None)
    assert fusionkit_start.main() == 2
    assert "unknown command" in capsys.readouterr().err


def test_the_command_begins_there_and_imports_nothing_before():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"fusionkit": "fusionkit_start:main"}
    code = "import sys, fusionkit_start; print('fusionkit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
