"""The table for a paper."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fusionkit.evaluation.report import write_report
from fusionkit.evaluation.report.latex import escaped

from .studies import METRICS, ROWS, change_lines, write_study
from .test_report import metrics, no_plugins

__all__ = ["metrics"]

MANY = tuple(f"scene{n:02d}" for n in range(12))


def table(folder: Path) -> str:
    return (folder / "report.tex").read_text("utf-8")


def cells(folder: Path, label: str) -> list[str]:
    (line,) = [line for line in table(folder).splitlines() if line.startswith(f"{label} &")]
    return line.removesuffix(r" \\").split(" & ")


def test_the_best_is_bold_and_the_second_underlined(tmp_path, metrics):
    write_study(tmp_path / "s", scenes=MANY, size=(24, 18))
    write_report(tmp_path / "s", registry=metrics)
    order = sorted(ROWS, key=lambda label: ROWS[label][1])
    assert cells(tmp_path / "s", order[-1])[1].startswith(r"\textbf{")
    assert cells(tmp_path / "s", order[-2])[1].startswith(r"\underline{")
    assert not re.search(r"text|line", "".join(cells(tmp_path / "s", order[0])[1:2]))
    # What is better when it is lower: sd, nabf.
    place = 1 + METRICS.index("sd")
    assert cells(tmp_path / "s", order[0])[place].startswith(r"\textbf{")
    assert r"sd $\downarrow$" in table(tmp_path / "s")
    assert r"en $\uparrow$" in table(tmp_path / "s")


def test_without_a_direction_nothing_is_best(tmp_path):
    write_study(tmp_path / "s", scenes=MANY, size=(24, 18))
    write_report(tmp_path / "s", registry=no_plugins())
    assert "textbf" not in table(tmp_path / "s")


def test_a_source_is_not_ranked(tmp_path, metrics):
    rows = {**ROWS, "source 1": ("no denoiser", 9.0, 0.0, 0.0)}
    write_study(tmp_path / "s", rows=rows, scenes=MANY, size=(24, 18))
    write_report(tmp_path / "s", registry=metrics)
    assert "text" not in cells(tmp_path / "s", "source 1")[1]
    assert cells(tmp_path / "s", "dig, window 15")[1].startswith(r"\textbf{")


def test_what_is_told_apart_has_a_dagger_and_the_caption_says_when(tmp_path, metrics):
    folder = tmp_path / "s"
    write_study(folder, metrics=("en", "sd"), scenes=MANY, size=(24, 18), seeds=(0, 3))
    swing = dict(zip(MANY, (5.0, -5.0) * 6, strict=True))

    def swings(line):
        if line["cell"].startswith("digwindow15"):
            line["values"]["sd"] += swing[line["scene"]]

    change_lines(folder, swings)
    write_report(folder, registry=metrics)
    _, en, sd, nfe = cells(folder, "dig, window 15")
    assert en.endswith(r"$^\dagger$")
    assert "dagger" not in sd
    assert nfe == "14"
    (caption,) = re.findall(r"\\caption\{(.*)\}", table(folder))
    assert caption.startswith("Means over 12 scenes, 2 seeds (0, 3).")
    assert r"$^\dagger$ differs from dig, window 7: p < 0.05" in caption
    assert "corrected for 10 comparisons (Holm)" in caption


def test_labels_may_hold_anything(tmp_path):
    hostile = r"50% of $x_1$ & {y} \input{z} ~^#"
    rows = {"mean": ROWS["mean"], hostile: ("variant", 0.0, 10.0, 1.0)}
    write_study(tmp_path / "s", rows=rows, scenes=("one",))
    write_report(tmp_path / "s", registry=no_plugins())
    assert escaped(hostile) in table(tmp_path / "s")
    assert escaped("a_b&c") == r"a\_b\&c"
    assert r"\input{" not in table(tmp_path / "s")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_takes_it(tmp_path, metrics):
    write_study(tmp_path / "s", scenes=MANY, size=(24, 18))
    write_report(tmp_path / "s", registry=metrics)
    (tmp_path / "s" / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{report.tex}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    subprocess.run(command, cwd=tmp_path / "s", check=True, capture_output=True)
