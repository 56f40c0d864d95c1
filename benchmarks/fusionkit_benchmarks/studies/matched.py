"""Remake the matched comparisons of weightings.

``python -m fusionkit_benchmarks.studies.matched DATA -o OUT``.

DATA holds ``sources/TASK/SET/SCENE_ROLE.ext``. For every set, weightings are exchanged in the
recipe of its task by ``fusionkit ablate --match-options``: each gets the options that it shares
with the recipe's DIG. Then the prior of that DIG is exchanged. OUT gets two studies for each set,
and ``matched.md``; a second call goes on where the first was.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

from fusionkit import number_of

os.environ.setdefault("OMP_NUM_THREADS", "1")

from fusionkit.cli import main as fusionkit
from fusionkit.evaluation.report.summary import Summary, summarise
from fusionkit.evaluation.report.texts import difference_words, test_words
from fusionkit.evaluation.statistics import Difference
from fusionkit_benchmarks.quality.published import published_sets

SETS = {
    "tno": ("infrared-visible", slice(1, None, 2)),
    "lytro": ("multi-focus", slice(1, None, 2)),
    "mefb": ("multi-exposure", slice(None)),
    "ct-mri": ("medical", slice(1, None, 2)),
}
"""The recipe of a set, and which of its scenes, in sorted order; odd places are not tuned on."""

STUDIES = {
    "weightings": (
        *("--weighting", "dig,saliency,learned,fixed", "--weighting.measure", "both,gradient"),
        *("--estimator", "compact", "--match-options"),
    ),
    "priors": ("--weighting", "dig", "--estimator", "compact,gaussian"),
}
MEASURED = ("--metric", "qabf,vif,ssim", "--baseline", "none", "--quiet")


def manifest(data: Path, name: str, chosen: slice, out: Path) -> Path:
    """Write the scenes of a set as a manifest."""
    (found,) = published_sets(data, [name])
    file = out / f"{name}.csv"
    with open(file, "w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["scene", "first", "second"])
        for scene in sorted(found.scenes)[chosen]:
            writer.writerow([scene, *(path.resolve() for path in found.scenes[scene])])
    return file


def table(title: str, summary: Summary) -> list[str]:
    """Return what the first row has more than each other, with intervals, as Markdown."""
    names = [measure.name for measure in summary.measures]
    means, costs = summary.scores.mean(), summary.mean_costs()
    first = ", ".join(f"{names[n]} {value:.3f}" for n, value in enumerate(means[summary.reference]))
    count = number_of(len(summary.scenes), "scene")
    lines = [
        f"**{title}**, {count}; {summary.study.reference}: {first}",
        "",
        f"| {summary.study.reference} minus | NFE | {' | '.join(names)} |",
        "|---" * (len(names) + 2) + "|",
    ]
    for place, row in enumerate(summary.rows):
        if place != summary.reference:
            cells = [_cell(each) for each in summary.differences[place]]
            lines.append(f"| {row.label} | {costs[place, 0]:g} | {' | '.join(cells)} |")
    return [*lines, "", test_words(summary, "Bold"), ""]


def _cell(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    text = difference_words(-difference)
    return f"**{text}**" if difference.stands_out else text


def main() -> None:
    """Run what is missing of every set, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS), help="only these")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in given.sets.split(","):
        task, chosen = SETS[name]
        scenes = manifest(given.data, name, chosen, given.out)
        for what, words in STUDIES.items():
            study = given.out / f"{name}-{what}"
            command = ["ablate", str(scenes), "-o", str(study), "--task", task]
            code = fusionkit([*command, *words, *MEASURED])
            if code:
                raise SystemExit(code)
            lines += table(f"{name}, {what}", summarise(study))
            (given.out / "matched.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
