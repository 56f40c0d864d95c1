"""``fusionkit train``: its subcommands, and what the documentation says of them."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys

import pytest
from fusionkit_training.command import EXAMPLES, SUBCOMMANDS

from fusionkit.cli import main
from tests.conftest import REPOSITORY

PAGES = ("training.md", "learned.md", "model-card.md")


def documented() -> list[str]:
    texts = [(REPOSITORY / "docs" / page).read_text("utf-8") for page in PAGES]
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("fusionkit train ")]


def test_every_subcommand_is_documented() -> None:
    shown = {line.split()[2] for line in documented()}
    assert set(SUBCOMMANDS) <= shown


@pytest.mark.parametrize("line", [*EXAMPLES, *documented()])
def test_documented_commands_are_understood(line) -> None:
    _, _, name, *arguments = shlex.split(re.sub("#.*", "", line))
    if "--help" in (name, *arguments):
        return
    module = importlib.import_module(SUBCOMMANDS[name][0])
    module.parser().parse_args(arguments)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help(name, capsys) -> None:
    assert main(["train", name, "--help"]) == 0
    assert f"usage: fusionkit train {name}" in capsys.readouterr().out


def test_an_unknown_subcommand_is_named(capsys) -> None:
    assert main(["train", "compakt"]) == 2
    error = capsys.readouterr().err
    assert "unknown subcommand 'compakt' of train" in error
    assert "compact" in error


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "fusionkit_training", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "usage: fusionkit train SUBCOMMAND" in done.stdout
    assert all(name in done.stdout for name in SUBCOMMANDS)
