"""The notebook of a study runs cell by cell, and says what it finds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs/study_notebook.py"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    monkeypatch.chdir(tmp_path)
    cells = re.split(r"^# %%", NOTEBOOK.read_text("utf-8"), flags=re.MULTILINE)[1:]
    code = [cell for cell in cells if not cell.startswith(" [markdown]")]
    assert len(code) >= 6
    names: dict[str, Any] = {}
    for cell in code:
        exec(compile("#" + cell, str(NOTEBOOK), "exec"), names)
    table = (tmp_path / "study-notebook/table.tex").read_text("utf-8")
    assert all(word in table for word in (r"\toprule", r"\textbf", "14 scenes", "saliency, mse"))
    assert (tmp_path / "study-notebook/differences.svg").stat().st_size > 1000


def test_what_is_no_code_is_a_comment() -> None:
    cells = re.split(r"^# %%", NOTEBOOK.read_text("utf-8"), flags=re.MULTILINE)[1:]
    for cell in cells:
        if cell.startswith(" [markdown]"):
            assert all(line.startswith("#") for line in cell.splitlines()[1:] if line), cell
