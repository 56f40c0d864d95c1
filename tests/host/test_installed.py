"""Packages whose metadata are damaged: theirs is left out, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionkit import FusionkitWarning
from fusionkit.cli import main
from fusionkit.host.plugins import installed_plugins

METADATA = b"Metadata-Version: 2.1\nName: harmed\nVersion: 1.0\n"
DAMAGED = {
    "a line without =": b"[fusionkit]\nnothing\n",
    "no UTF-8": b"[fusionkit]\nx = \xff\xfe\n",
    "any bytes": bytes(range(256)),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a package with these files in the way of all others."""

    def put(entry_points: bytes, metadata: bytes = METADATA) -> None:
        folder = tmp_path / "harmed-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_bytes(metadata)
        (folder / "entry_points.txt").write_bytes(entry_points)
        monkeypatch.syspath_prepend(tmp_path)

    return put


@pytest.mark.parametrize("damage", DAMAGED)
def test_entry_points_that_cannot_be_read_are_left_out(install, damage: str) -> None:
    before = installed_plugins()
    install(DAMAGED[damage])
    with pytest.warns(FusionkitWarning, match=r"package harmed in .*entry_points.txt is damaged"):
        assert sorted(installed_plugins()) == sorted(before)


def test_metadata_that_cannot_be_read_either(install, tmp_path: Path) -> None:
    install(b"[fusionkit]\nnothing\n", b"\xff")
    with pytest.warns(FusionkitWarning, match=f"package without a name in {tmp_path}"):
        assert installed_plugins()


def test_a_plugin_of_a_package_that_does_not_say_its_name(install, capsys) -> None:
    install(b"[fusionkit]\nharmed = no_such_module\n", b"\xff")
    assert main(["plugins", "harmed"]) == 0
    assert "ModuleNotFoundError" in capsys.readouterr().out


def test_commands_go_on(install, capsys) -> None:
    install(DAMAGED["any bytes"])
    assert main(["plugins", "saliency"]) == 0
    shown = capsys.readouterr()
    assert "saliency" in shown.out
    (line,) = shown.err.splitlines()
    assert line.startswith("fusionkit: warning: package harmed in")
