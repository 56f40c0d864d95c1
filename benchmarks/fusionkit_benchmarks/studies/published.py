"""Remake the tables of published methods.

``python -m fusionkit_benchmarks.studies.published DATA -o OUT``.

DATA holds ``sources/TASK/SET/SCENE_ROLE.ext``. The middle of the first pairs of every set, small,
is fused by the published recipes, by DDFM and CCF with DIG's weights in them, and by fixed weights
that cost the same. OUT gets the crops, a study for each set, and ``published.md``; a second call
goes on where the first was.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionkit import load_plugins
from fusionkit.cli import main as fusionkit
from fusionkit.evaluation.report.summary import Summary, summarise
from fusionkit.evaluation.report.texts import difference_words
from fusionkit.evaluation.statistics import paired_bootstrap
from fusionkit.recipes.finding import base_layers
from fusionkit.recipes.layers import merge
from fusionkit_benchmarks.quality.published import published_sets

SETS = ("tno", "roadscene", "lytro", "mefb", "ct-mri", "pet-mri")
METRICS = ("qabf", "ssim", "vif", "mi", "scd", "sd", "en")
RECIPES = ("ddfm", "ccf", "dig2dig", "dig2dig-scaled")
WEIGHTED = ("dig2dig", "dig2dig-scaled", "ddfm-dig", "ccf-dig")
GROUPS = {
    "TNO, RoadScene": ("tno", "roadscene"),
    "Lytro, MEFB": ("lytro", "mefb"),
    "medical": ("ct-mri", "pet-mri"),
}

INSIDE = {"ddfm": 8, "ccf": 16}
"""Published methods that get the weights of ``dig2dig-scaled``, and the stride with which these are
renewed as often as there."""


def crop(path: Path, side: int) -> Image.Image:
    """Return the middle of an image: the largest square up to twice the side, as side pixels."""
    with Image.open(path) as image:
        wide = min(*image.size, 2 * side)
        left, top = (image.width - wide) // 2, (image.height - wide) // 2
        middle = image.convert("L").crop((left, top, left + wide, top + wide))
        return middle.resize((side, side), Image.Resampling.BOX)


def crops(data: Path, name: str, count: int, side: int, out: Path) -> Path:
    """Make the small pairs of a set; return their manifest."""
    (found,) = published_sets(data, [name])
    small = out / "crops" / f"{name}-{side}"
    small.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}.csv"
    with open(file, "w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["scene", "first", "second"])
        for scene in sorted(found.scenes)[:count]:
            made = [small / f"{path.stem}.png" for path in found.scenes[scene]]
            for path, target in zip(found.scenes[scene], made, strict=True):
                if not target.exists():
                    crop(path, side).save(target)
            writer.writerow([scene, *(path.resolve() for path in made)])
    return file


def recipes(out: Path) -> list[str]:
    """Write the methods with DIG inside; return all recipes, by name or file."""
    registry = load_plugins()

    def recipe(name: str) -> dict[str, Any]:
        return merge(*base_layers(recipe=name, registry=registry), registry=registry)

    files = []
    for method, stride in INSIDE.items():
        weighting = {**recipe("dig2dig-scaled")["weighting"], "stride": stride}
        file = out / f"{method}-dig.json"
        file.write_text(json.dumps({"recipe": {**recipe(method), "weighting": weighting}}))
        files.append(str(file))
    return [*RECIPES, *files]


def means(summaries: Mapping[str, Summary]) -> list[str]:
    """Return the means of all rows, set by set, as Markdown."""
    lines = [f"| set | pairs | method | NFE | {' | '.join(METRICS)} |", "|---" * 11 + "|"]
    for name, summary in summaries.items():
        values, costs = summary.scores.mean(), summary.mean_costs()
        for place, row in enumerate(summary.rows):
            cells = " | ".join(f"{value:.3f}" for value in values[place])
            first = f"| {name} | {len(summary.scenes)} | {short(row.label)} "
            lines.append(f"{first}| {costs[place, 0]:.0f} | {cells} |")
    return [*lines, ""]


def differences(summaries: Mapping[str, Summary]) -> list[str]:
    """Return what DIG's weights add inside each method, at the same cost, as Markdown."""
    lines = [f"| method | sets | pairs | {' | '.join(METRICS)} |", "|---" * 10 + "|"]
    for method in WEIGHTED:
        for title, sets in GROUPS.items():
            found = [summaries[name] for name in sets if name in summaries]
            if not found:
                continue
            more = np.concatenate([_gain(summary, method) for summary in found])
            cells = [paired_bootstrap(column) for column in more.T]
            words = " | ".join("-" if each is None else difference_words(each) for each in cells)
            lines.append(f"| {method} | {title} | {len(more)} | {words} |")
    return [*lines, ""]


def short(label: str) -> str:
    """Return a row's label, of a recipe's file no more than what it is called."""
    return Path(label).name.replace(".json", "")


def _gain(summary: Summary, method: str) -> NDArray[np.float64]:
    """Return (scenes, metrics): a method less the same with fixed weights that cost as much."""
    rows = {short(row.label): place for place, row in enumerate(summary.rows)}
    with_dig, fixed = rows[method], rows[f"{method}, fixed at its NFE"]
    gain: NDArray[np.float64] = summary.scores.values[with_dig] - summary.scores.values[fixed]
    return gain


def main() -> None:
    """Run what is missing of every set, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS), help="only these")
    parser.add_argument("--pairs", type=int, default=4, help="of each set (default 4)")
    parser.add_argument("--side", type=int, default=96, help="of a crop (default 96)")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    summaries: dict[str, Summary] = {}
    for name in given.sets.split(","):
        scenes = crops(given.data, name, given.pairs, given.side, given.out)
        # Of other pairs, or other crops of them, it is another study.
        folder = given.out / f"{name}-{given.pairs}-of-{given.side}"
        command = ["ablate", str(scenes), "-o", str(folder), "--quiet"]
        words = ["--recipe", ",".join(recipes(given.out)), "--metric", ",".join(METRICS)]
        code = fusionkit([*command, *words, "--baseline", "fixed,trivial"])
        if code:
            raise SystemExit(code)
        summaries[name] = summarise(folder)
        lines = [*means(summaries), *differences(summaries)]
        (given.out / "published.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
