"""Patterns of sources: what no shell has expanded, and ``**`` among links."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from fusionkit import UsageError
from fusionkit.host import patterns
from fusionkit.host.patterns import expanded

from .test_batch import put, put_diamond, put_result

TREE = ("a.png", "b_2.png", "b_10.png", "in/a.png", "in/in/a.png", "in/x[1]/c.png", "out/in/d.png",
        ".hidden/a.png", "in/.hidden.png")  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(put(tmp_path, *TREE))
    return tmp_path


def test_patterns_that_no_shell_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "p_10.png", "p_9.png", "[x].png")
    put_result(tmp_path, "p_fused.png")
    monkeypatch.chdir(tmp_path)
    assert expanded(["p_*.png", "a.png", "[x].png"]) == ["p_9.png", "p_10.png", "a.png", "[x].png"]
    assert expanded(["**/p_*.png"]) == ["p_9.png", "p_10.png"]
    with pytest.raises(UsageError, match=r"q\*: no file fits"):
        expanded(["q*"])
    with pytest.raises(UsageError, match=r"q/\*\*/p: no file fits"):
        expanded(["q/**/p"])
    with pytest.raises(UsageError, match="empty name"):
        expanded(["p_9.png", ""])


PATTERNS = [
    "*", "*/", "**", "**/", "**/*", "**/*.png", "in/**", "in/**/a.png", "**/in/**/*.png",
    "i*/**/*.png", "**/**/a.png", "**/x[[]1]/*", "**/.hidden*", ".hid*/**/a.png", "?*/in/**/",
    "**//*.png", "in/**/**", "**/**/**/in/", "in//**//in/*.png",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("absolute", [False, True])
def test_without_links_it_is_as_in_python(tree: Path, pattern: str, absolute: bool) -> None:
    asked = f"{glob.escape(str(tree))}/{pattern}" if absolute else pattern
    found = expanded([asked])
    assert len(found) == len(set(found))
    assert set(found) == {str(Path(match)) for match in glob.glob(asked, recursive=True)}


def test_any_depth_said_again_is_walked_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked, walk = [], patterns._walked
    monkeypatch.setattr(patterns, "_walked", lambda folder: walked.append(folder) or walk(folder))
    assert len(expanded(["/".join(["**"] * 30 + ["a.png"])])) == 3
    assert walked == [""]


def test_folders_that_hold_links_to_one_another_end(tree: Path) -> None:
    for folder, other in (("in", "out"), ("out", "in")):
        for name in ("to", "two"):
            (tree / folder / name).symlink_to(tree / other)
    (tree / "in" / "up").symlink_to(tree)
    assert expanded(["**/a.png"]) == ["a.png", "in/a.png", "in/in/a.png"]
    assert expanded(["in/**/*.png"]) == [
        "in/a.png", "in/in/a.png", "in/to/in/d.png", "in/up/a.png", "in/up/b_2.png",
        "in/up/b_10.png", "in/x[1]/c.png",
    ]  # fmt: skip


def test_a_folder_that_links_lead_to_is_found_once(tmp_path: Path) -> None:
    first, last = put_diamond(tmp_path / "of", 24)
    put(last, "a.png")
    # By no link, if there is a way without.
    assert expanded([f"{tmp_path}/**/a.png"]) == [str(last / "a.png")]
    assert expanded([f"{tmp_path}/**/*/a.png"]) == [str(last / "a.png")]
    (one,) = expanded([f"{first}/**/a.png"])
    assert os.path.samefile(one, last / "a.png")
    # What names a link follows it.
    (tmp_path / "of" / "again").symlink_to(last)
    assert expanded([f"{tmp_path}/of/a*/*.png"]) == [str(tmp_path / "of" / "again" / "a.png")]


def test_links_to_files_are_names_of_their_own(tree: Path) -> None:
    (tree / "z.png").symlink_to(tree / "a.png")
    (tree / "lost").symlink_to(tree / "nowhere")
    assert {"a.png", "z.png"} < set(expanded(["**/*.png"]))
