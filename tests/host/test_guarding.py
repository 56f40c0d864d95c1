"""What a plugin's code does while it is loaded is its own affair."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusionkit import FusionkitWarning, PluginLoadError, load_plugins
from fusionkit.cli import main
from fusionkit.cli.probing import ends_programs

ENDLESS = """
from fusionkit import Component, hookimpl

@hookimpl
def fusionkit_weightings():
    n = 0
    while True:
        n += 1
        yield Component(f"w{n}", "x", lambda options, context: None)
"""
RAISING = {
    "interrupts": "raise KeyboardInterrupt('no')",
    "generator": "raise GeneratorExit",
    "own": "class Own(BaseException): pass\nraise Own('gone')",
    "exits": "import sys; sys.exit(0)",
}


def plugin(folder: Path, name: str, text: str) -> str:
    file = folder / f"{name}.py"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("name", RAISING)
def test_nothing_that_it_raises_ends_a_command(name: str, tmp_path: Path) -> None:
    file = plugin(tmp_path, name, RAISING[name])
    with pytest.raises(PluginLoadError, match=rf"plugin {name} .* it raised "):
        load_plugins(inline=[file])


def test_a_hook_without_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(PluginLoadError, match="more than 1000 weightings"):
        load_plugins(inline=[plugin(tmp_path, "endless", ENDLESS)])


def test_paths_stay_those_of_the_person(tmp_path: Path) -> None:
    before = os.getcwd()
    file = plugin(tmp_path, "moves", f"import os; os.chdir({str(tmp_path)!r})")
    with pytest.warns(FusionkitWarning, match="plugin moves changed the working directory"):
        load_plugins(inline=[file])
    assert os.getcwd() == before


def test_a_name_that_is_not_there_to_disable_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONKIT_DISABLE_PLUGINS", "salency")
    with pytest.warns(FusionkitWarning, match="no plugin 'salency'. Did you mean saliency"):
        load_plugins()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal there")
def test_ctrl_c_of_a_person_is_theirs(tmp_path: Path) -> None:
    there = tmp_path / "there"
    slow = f"import time, pathlib; pathlib.Path({str(there)!r}).touch(); time.sleep(60)"
    file = plugin(tmp_path, "slow", slow)
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"from fusionkit.cli import main; sys.exit(main(['plugins', '--plugin', {file!r}]))"
    )
    begun = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while not there.exists() and begun.poll() is None:
        time.sleep(0.05)
    begun.send_signal(signal.SIGINT)
    said = begun.communicate(timeout=60)[1]
    assert (begun.returncode, said) == (130, "fusionkit: error: interrupted\n")


@pytest.mark.slow
def test_doctor_says_who_ends_the_program(tmp_path: Path) -> None:
    file = plugin(tmp_path, "ends", "import os; os._exit(7)")
    command = [sys.executable, "-m", "fusionkit", "doctor", "--quick", "--plugin", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ends.py) ends the program that loads it (exit code 7)" in done.stdout
    assert ends_programs() == []


def test_what_it_prints_spoils_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = plugin(tmp_path, "talks", "import sys; print('hello'); sys.stdout.close()")
    assert main(["plugins", "--json", "--plugin", file]) == 0
    shown = capsys.readouterr()
    json.loads(shown.out)
    assert "plugin talks: hello" in shown.err
