"""Commands of plugins: in the help, by name, and in the plugin's name when they fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusionkit import Command, PluginLoadError, load_plugins
from fusionkit.cli import main
from fusionkit.contract.command import BUILT_IN, SEPARATE
from fusionkit.contract.registry import Registry

PLUGIN = """
import sys
from fusionkit import Command, UsageError, hookimpl

def echo(arguments):
    print(*arguments)
    return len(arguments)

def usage(arguments):
    raise UsageError("say what to do")

def ends(arguments):
    sys.exit("no licence")

@hookimpl
def fusionkit_commands():
    yield Command("echo", "say it again", echo)
    yield Command("usage", "want more", usage)
    yield Command("ends", "exit with a text", ends)
    yield Command("leaves", "exit with a number", lambda arguments: sys.exit(7))
    yield Command("breaks", "divide by nothing", lambda arguments: 1 / 0)
    yield Command("odd", "return what is no code", lambda arguments: "done")
    yield Command("silent", "return nothing", lambda arguments: None)
    yield Command("loads", "load plugins", echo, plugin_flags=True)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return str(path)


def test_help_lists_them_with_their_provider(
    plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help", "--plugin", plugin]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["echo", "say", "it", "again", "(plugin", "mine)"] in lines
    assert main(["--help"]) == 0
    assert "(plugin mine)" not in capsys.readouterr().out


@pytest.mark.slow
def test_help_and_a_command_import_no_torch(plugin: str) -> None:
    code = (
        "import sys; from fusionkit.cli import main\n"
        "assert main(['--help', '--plugin', {0!r}]) == 0\n"
        "assert main(['echo', 'a', '--plugin', {0!r}]) == 1\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.format(plugin)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_gets_its_own_words_and_returns_its_code(
    plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["echo", "-x", "3", "--plugin", plugin, "--long=4"]) == 3
    assert capsys.readouterr().out == "-x 3 --long=4\n"
    assert main(["mine:echo", "--plugin", plugin]) == 0
    assert main(["loads", "-x", "--plugin", plugin]) == 3
    assert capsys.readouterr().out == f"\n-x --plugin {plugin}\n"
    assert main(["silent", "--plugin", plugin]) == 0
    assert main(["leaves", "--plugin", plugin]) == 7


@pytest.mark.parametrize(
    ("command", "code", "expected"),
    [
        ("usage", 2, "error: say what to do"),
        ("ends", 1, "no licence"),
        ("breaks", 1, "ZeroDivisionError: division by zero"),
        ("odd", 1, "returned 'done', which is no exit code"),
        ("ecoh", 2, "unknown command 'ecoh'. Did you mean echo"),
        ("rnu", 2, "unknown command 'rnu'. Did you mean run"),
        ("xyzzy", 2, "There are run, "),
    ],
)
def test_what_goes_wrong_is_one_line(
    plugin: str, command: str, code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--plugin", plugin]) == code
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    if command in ("ends", "breaks", "odd"):
        assert f"command {command} (plugin mine, {plugin})" in said


@pytest.mark.parametrize(("command", "folder"), SEPARATE.items())
def test_a_command_of_another_package_says_how_to_get_it(
    command: str, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = load_plugins()
    others = [plugin for plugin in registry.plugins if plugin.name != folder]
    provided = [each for each in registry.all() if each.plugin.name != folder]
    without = Registry(others, provided)
    monkeypatch.setattr("fusionkit.cli.plugged.load_plugins_from", lambda arguments: without)
    assert main([command, "--help"]) == 2
    said = capsys.readouterr().err
    assert f"{command} is not installed" in said
    assert f"pip install ./{folder}" in said


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_name_of_a_command_of_ours_is_taken(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"command {name}: fusionkit has a command of this name"):
        Command(name, "mine is better", lambda arguments: 0)
    if name == "run":  # and the plugin that tries is named
        path = tmp_path / "grabs.py"
        path.write_text(PLUGIN.replace('"echo"', '"run"'))
        with pytest.raises(PluginLoadError, match=r"plugin grabs \(.*\) failed .* command run:"):
            load_plugins(inline=[str(path)])


def test_two_plugins_of_one_command(
    plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.py"
    other.write_text(PLUGIN)
    both = ["--plugin", plugin, "--plugin", str(other)]
    assert main(["echo", *both]) == 2
    assert "by several plugins: say mine:echo or other:echo" in capsys.readouterr().err
    assert main(["other:echo", "a", *both]) == 1
    assert main(["--help", *both]) == 0
    assert "  other:echo " in capsys.readouterr().out


def test_plugins_lists_every_kind(plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "mine", "--plugin", plugin]) == 0
    assert "command    echo          say it again" in capsys.readouterr().out
    assert main(["plugins", "tasks"]) == 0
    assert "recipe     medical" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "code"), [(("echo",), 1), (("echo", "a", "b"), 1)])
def test_what_fails_at_the_end_of_the_process_is_a_line_and_a_code(
    words: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    path = tmp_path / "parting.py"
    path.write_text(
        PLUGIN.replace("import sys\n", "import atexit, sys\natexit.register(lambda: 1 / 0)\n")
    )
    begin = "import sys; from fusionkit_start import main; sys.exit(main())"
    command = [sys.executable, "-c", begin, *words, "--plugin", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stdout.split() == list(words[1:])
    (line,) = done.stderr.splitlines()
    assert "parting" in line
    assert "ZeroDivisionError: division by zero" in line
