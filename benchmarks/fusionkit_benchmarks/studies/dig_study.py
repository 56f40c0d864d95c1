"""Remake the tables of docs/does-dig-help.md.

``python -m fusionkit_benchmarks.studies.dig_study DATA -o OUT``.

DATA holds ``sources/TASK/SET/SCENE_ROLE.ext``. Scenes are shrunk, so that the study takes minutes
on two cores. OUT gets ``results.jsonl``, a line per cell, and ``study.md``; what is in
``results.jsonl`` already is not computed again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one scene per process is faster than two threads

import numpy as np
import torch
from torch import Tensor

from fusionkit import Trace, compose, number_of
from fusionkit.evaluation.meter import Meter
from fusionkit.evaluation.statistics import paired_bootstrap
from fusionkit.host.plugins import load_plugins
from fusionkit.host.scene import Scene
from fusionkit.recipes.settings import Settings
from fusionkit_benchmarks.quality.published import published_sets

SETS = {"tno": 5, "lytro": 7, "mefb": 4, "ct-mri": 12, "lytro3": 2, "classic": 5}
"""Of each set every n-th scene, beginning with the second."""

SIDE = 192
METRICS = ("qabf", "vif", "ssim")
STEPS, START = 4, 1.234  # sigma 1.3, 0.64, 0.3, 0.13
SEEDS = (0, 1, 2)

REFERENCE = "dig"
DIG: dict[str, Any] = {
    "name": "dig", "loss": "l2", "window": 11, "activation": "power", "scale": 4.0,
    "stride": 1, "resolution": 1,
}  # fmt: skip
WEIGHTINGS: dict[str, dict[str, Any]] = {
    REFERENCE: DIG,
    "fixed": {"name": "fixed"},
    "saliency": {"name": "saliency"},
    "learned": {"name": "learned"},
    "static": {**DIG, "dynamic": False},
    "pixel": {**DIG, "granularity": "pixel"},
    "image": {**DIG, "granularity": "image"},
    "loss l1": {**DIG, "loss": "l1"},
    "loss gradient": {**DIG, "loss": "gradient"},
    "loss ssim": {**DIG, "loss": "ssim"},
    "softmax, scale 1 (literal)": {**DIG, "activation": "softmax", "scale": 1.0},
    "softmax, scale 100": {**DIG, "activation": "softmax", "scale": 100.0},
    "power 16": {**DIG, "scale": 16.0},
    "hard": {**DIG, "activation": "hard"},
    "gradient, power 16": {**DIG, "loss": "gradient", "scale": 16.0},
    "stride 2": {**DIG, "stride": 2},
    "stride 4": {**DIG, "stride": 4},
    "half resolution": {**DIG, "resolution": 2},
    "quarter resolution": {**DIG, "resolution": 4},
    "half resolution, stride 2": {**DIG, "resolution": 2, "stride": 2},
    "dig-residual, residual": {"name": "dig-residual"},
    "dig-residual, gain": {"name": "dig-residual", "mode": "gain"},
}
OBJECTIVES = ("mse", "ddfm-em", "increments", "gradients")
SAME_NFE = "fixed, same NFE"
COVARIANCES = ("gain", "residual", "contribution")


def scenes(data: Path, wanted: list[str]) -> Iterator[tuple[str, str, list[Path]]]:
    """Yield the set, the name and the files of every scene of the study."""
    for found in published_sets(data):
        if found.name in wanted:
            for name in sorted(found.scenes)[1 :: SETS[found.name]]:
                yield found.name, name, list(found.scenes[name])


def read(files: list[Path]) -> Tensor:
    """Return luma (K, 1, 1, H, W) in [-1, 1], the longer side at most SIDE."""
    luma = torch.from_numpy(np.asarray(Scene.load(files, Settings()).plan.luma))[:, None]
    factor = SIDE / max(luma.shape[-2:])
    if factor < 1:
        size = [round(n * factor) for n in luma.shape[-2:]]
        luma = torch.nn.functional.interpolate(luma, size, mode="area")
    return luma[:, None] * 2 - 1


def cells(K: int) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Yield objective, label, seed, and what to compose, for scenes of K sources."""
    common: dict[str, Any] = {"start_sigma": START, "device": "cpu", "precision": "float32"}
    for objective in OBJECTIVES:
        for label, weighting in WEIGHTINGS.items():
            seeds = SEEDS if objective == "mse" else SEEDS[:1]
            for seed in seeds:
                yield objective, label, seed, {**common, "weighting": weighting, "steps": STEPS}
        # Where dig costs nothing beside the objective, fixed weights have that NFE as they are.
        more = STEPS if objective == "increments" else STEPS * (1 + K)
        for seed in SEEDS[:1]:
            yield objective, SAME_NFE, seed, {**common, "weighting": "fixed", "steps": more}


def study(job: tuple[str, str, list[Path], str, set[str], list[str]]) -> list[dict[str, Any]]:
    """Fuse one scene in every way that is not done, and measure."""
    set_name, name, files, cache, done, left_out = job
    torch.set_num_threads(1)
    sources = read(files)
    meter = Meter(METRICS, load_plugins())
    shown = (sources[:, 0, 0].double() + 1) * 127.5
    built: dict[str, Any] = {}
    rows = []
    for objective, label, seed, what in cells(len(sources)):
        key = f"{set_name}/{name} {objective} {label} {seed}"
        if key in done or label in left_out:
            continue
        pipe = compose(
            recipe={"estimator": {"name": "compact"}},
            objective={"name": objective},
            built=built,
            cache=cache,
            **what,
        )
        trace = Trace(pipe)
        fused = pipe(sources, seed, trace)
        image = ((fused.image[0, 0].double().clamp(-1, 1) + 1) * 127.5).round()
        values, _ = meter.measure(image, shown)
        totals = trace.summary()["totals"]
        rows.append(
            {
                "key": key,
                "set": set_name,
                "scene": f"{set_name}/{name}",
                "K": len(sources),
                "objective": objective,
                "label": label,
                "seed": seed,
                "steps": fused.steps,
                "values": {**values, **{f"cov-{c}": totals[c] for c in COVARIANCES}},
            }
        )
    return rows


def table(rows: list[dict[str, Any]], objective: str) -> list[str]:
    """Return a Markdown table: means, and differences from the reference with 95% intervals."""
    names = [*METRICS, *(f"cov-{c}" for c in COVARIANCES)]
    found: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in rows:
        if row["objective"] == objective:
            for name in names:
                value = row["values"].get(name)
                found[row["label"]][row["scene"]][name].append(math.nan if value is None else value)
    lines = [
        f"| {objective} | " + " | ".join(names) + " | seeds |",
        "|---" * (len(names) + 2) + "|",
    ]
    reference = found[REFERENCE]
    for label in [*WEIGHTINGS, SAME_NFE]:
        scores = found.get(label)
        if not scores:
            continue
        cells_, spreads = [], []
        for name in names:
            mine = {scene: float(np.mean(by[name])) for scene, by in scores.items()}
            mean = np.nanmean(list(mine.values()))
            if label == REFERENCE:
                cells_.append(f"{mean:.4g}")
            else:
                both = [s for s in mine if s in reference]
                pairs = [mine[s] - float(np.mean(reference[s][name])) for s in both]
                change = paired_bootstrap(np.array(pairs))
                text = (
                    "-"
                    if change is None
                    else f"{change.mean:+.3g} [{change.low:+.2g}, {change.high:+.2g}]"
                )
                clear = change is not None and change.clear
                cells_.append(f"**{text}**" if clear else text)
            if name == "qabf":
                spreads = [float(np.std(by[name])) for by in scores.values() if len(by[name]) > 1]
        spread = f"{np.mean(spreads):.4f}" if spreads else "one"
        lines.append(f"| {label} | " + " | ".join(cells_) + f" | {spread} |")
    return lines


def report(rows: list[dict[str, Any]]) -> str:
    """Return the study as Markdown."""
    lines = []
    by_count = defaultdict(set)
    for row in rows:
        by_count[row["K"]].add(row["scene"])
    counts = ", ".join(f"K = {K}: {len(names)}" for K, names in sorted(by_count.items()))
    lines += [f"Scenes: {counts}.", ""]
    for objective in OBJECTIVES:
        lines += [f"All scenes, `{objective}`:", "", *table(rows, objective), ""]
    for K in sorted(by_count):
        part = [row for row in rows if row["K"] == K]
        lines += [f"K = {K}, `mse`:", "", *table(part, "mse"), ""]
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sets", default=",".join(SETS), help="only these")
    parser.add_argument("--leave-out", default="", help="weightings, by their label in the table")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "results.jsonl"
    rows = [json.loads(line) for line in file.open()] if file.exists() else []
    done = {row["key"] for row in rows}
    left_out = args.leave_out.split(",")
    jobs = [
        (*scene, str(args.out / "cache"), done, left_out)
        for scene in scenes(args.data, args.sets.split(","))
    ]
    with ProcessPoolExecutor(args.jobs) as pool, file.open("a") as log:
        for future in as_completed([pool.submit(study, job) for job in jobs]):
            new = future.result()
            rows += new
            log.writelines(json.dumps(row) + "\n" for row in new)
            log.flush()
            print(number_of(len(rows), "cell"), flush=True)
    (args.out / "study.md").write_text(report(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
