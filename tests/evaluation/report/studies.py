"""Study folders made by hand: what an ablation leaves, without running one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fusionkit.contract.hashes import hash_of_file
from fusionkit.evaluation.folder import sealed
from fusionkit.evaluation.study import Cell, Study

METRICS = ("en", "sd", "sf", "ag", "mi", "scd", "vif", "qabf", "ssim", "nabf")
HOSTILE = "</script><script>document.title='broken'</script> \"quoted\" & 'so' <img src=x>"

ROWS = {  # label: role, how much better than the first, NFE, seconds
    "dig, window 7": ("variant", 0.0, 10.0, 1.2),
    "dig, window 15": ("variant", 0.08, 14.0, 3.1),
    "dig, window 7, target only": ("target only", -0.2, 10.0, 0.9),
    "dig, window 7, gaussian": ("gaussian prior", -0.4, 10.0, 0.2),
    "dig, window 7, fixed at its NFE": ("fixed at the same NFE", -0.1, 10.0, 1.1),
    "mean": ("no denoiser", -0.9, 0.0, 0.01),
}


def cell(label: str, role: str, seed: int = 0) -> Cell:
    if role == "no denoiser":
        return Cell(label, label, label, role, 0, {})
    place = "".join(ch for ch in label if ch.isalnum()).lower()
    recipe = {"steps": 6, "seed": seed, "weighting": {"name": "dig:dig", "label": label}}
    return Cell(f"{place[:24]}{seed:02d}", place, label, role, seed, recipe)


def change_lines(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the lines of results as if they had been written so."""
    lines = [json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines()]
    for line in lines:
        del line["check"]
        change(line)
    (folder / "results.jsonl").write_text("".join(map(sealed, lines)))


def write_study(
    folder: Path,
    *,
    rows: dict[str, tuple[str, float, float, float]] | None = None,
    scenes: tuple[str, ...] = ("alley", "bridge", "canal"),
    seeds: tuple[int, ...] = (0,),
    metrics: tuple[str, ...] = METRICS,
    size: tuple[int, int] = (96, 72),
    steps: int = 5,
    skip: frozenset[tuple[str, str]] = frozenset(),
) -> Study:
    """Write a whole study folder; `skip` leaves out (label, scene) pairs, as if killed."""
    rows = ROWS if rows is None else rows
    for name in ("cells", "images", "weights", "sources"):
        (folder / name).mkdir(parents=True)
    cells = []
    for label, (role, *_) in rows.items():
        cells += [cell(label, role, seed) for seed in seeds[: 1 if role == "no denoiser" else None]]
    sources = {
        scene: [str(folder / "sources" / f"{scene}_{role}.png") for role in ("ir", "vi")]
        for scene in scenes
    }
    study = Study(sources, list(metrics), cells, next(iter(rows)), ["weighting.window"])
    (folder / "study.json").write_text(json.dumps(asdict(study)), "utf-8")
    with open(folder / "results.jsonl", "w", encoding="utf-8") as results:
        for number, scene in enumerate(scenes):
            first, second = _sources(size, number)
            for path, image in zip(sources[scene], (first, second), strict=True):
                Image.fromarray(image).save(path)
            for each in cells:
                if (each.label, scene) not in skip:
                    line = _line(folder, each, scene, number, (first, second), rows, metrics, steps)
                    line["key"] = study.key(each, scene)
                    results.write(sealed(line))
    return study


def value(label: str, metric: int, scene: int, seed: int, rows: dict = ROWS) -> float:
    """The score that is written: better rows by a little more on every further scene."""
    better = rows[label][1]
    return round(1.0 + metric + better * (1 + 0.1 * scene) + 0.3 * scene + 0.01 * seed, 6)


def _line(folder, each, scene, number, sources, rows, metrics, steps):
    share = np.clip(0.5 + rows[each.label][1] / 2, 0, 1)
    fused = (share * sources[0] + (1 - share) * sources[1].mean(-1)).astype(np.uint8)
    place = folder / "images" / each.key
    place.mkdir(exist_ok=True)
    file = place / f"{scene}.png"
    Image.fromarray(fused).save(file)
    line = {
        "cell": each.key,
        "scene": scene,
        "nfe": rows[each.label][2],
        "seconds": rows[each.label][3],
        "peak_mb": 500.0 + 10 * each.seed,
        "image": f"images/{each.key}/{scene}.png",
        "sha256": hash_of_file(file),
        "bytes": file.stat().st_size,
        "values": {
            metric: value(each.label, n, number, each.seed, rows)
            for n, metric in enumerate(metrics)
        },
        "problems": {},
    }
    if each.recipe:
        (folder / "cells" / f"{each.key}.json").write_text(json.dumps({"recipe": each.recipe}))
        maps = [_map(fused.shape, step / max(1, steps - 1)) for step in range(steps)]
        (folder / "weights" / each.key).mkdir(exist_ok=True)
        Image.fromarray(np.vstack(maps)).save(folder / "weights" / each.key / f"{scene}.png")
        line["steps"] = steps
    return line


def _sources(size, number):
    """A warm blob on a dark ground, grey, and a street with stripes, colour."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    x, y = columns / width, rows / height
    blob = np.exp(-(((x - 0.3 - 0.1 * number) / 0.12) ** 2) - ((y - 0.5) / 0.25) ** 2)
    first = (30 + 200 * blob + 15 * np.sin(40 * x)).clip(0, 255).astype(np.uint8)
    stripes = 0.5 + 0.5 * np.sign(np.sin(60 * (x + 0.3 * y)))
    tint = np.stack([0.9 - 0.3 * y, 0.7 + 0 * x, 0.5 + 0.4 * y], -1)
    return first, (255 * tint * (0.35 + 0.6 * stripes[..., None])).clip(0, 255).astype(np.uint8)


def _map(shape, progress):
    """Weights of two sources: even at the first step, split down the middle at the last."""
    height, width = shape[0] // 2, shape[1] // 2
    ramp = np.linspace(-1, 1, width)[None].repeat(height, 0) * progress
    left = np.clip(0.5 - ramp / 2, 0, 1)
    return (np.hstack([left, 1 - left]) * 255).astype(np.uint8)
