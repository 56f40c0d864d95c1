"""Quality against evaluations, of docs/performance.md.

``python -m fusionkit_benchmarks.studies.knee DATA -o OUT``.

DATA holds ``sources/TASK/SET/SCENE_ROLE.ext`` and ``peers/METHOD/SET/SCENE.ext``. Settings differ
from the recipe that fits a set in one lever each. OUT gets ``results.jsonl``, a line per cell, and
``knee.md``; what is in ``results.jsonl`` already is not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # seconds are those of one thread

import numpy as np
import torch

from fusionkit.contract.registry import Registry
from fusionkit.evaluation.meter import Meter
from fusionkit.evaluation.presets import PRESETS
from fusionkit.evaluation.statistics import paired_bootstrap
from fusionkit.host.parts import Part
from fusionkit.host.plugins import load_plugins
from fusionkit.recipes.finding import task_recipe
from fusionkit_benchmarks.photographs import Pixels, bundled_photographs, grey, read_pixels
from fusionkit_benchmarks.quality.published import PublishedSet, published_sets
from fusionkit_benchmarks.quality.recipes import Recipe
from fusionkit_benchmarks.quality.scenes import BenchScene, Made, truth_scenes
from fusionkit_benchmarks.truth import Defocus

SCENES = {
    "tno": ("03", "10", "20", "36"),
    "roadscene": ("FLIR_00977", "FLIR_05005", "FLIR_07206"),
    "lytro": ("lytro_02", "lytro_08", "lytro_14"),
    "mefb": ("ICCV_02", "ICCV_07", "Tree"),
}
TRUTH, TRUTH_RECIPE, PHOTOGRAPHS = "focus", "multi-focus", ("astronaut", "camera", "coffee")
SIDE, SMALL_SIDE = 288, 160  # at most, of the part from the middle; the small ones are for LONG
METRICS = ("qabf", "vif", "ssim")

ESTIMATOR = {"name": "diffusion:compact"}
"""The prior that is asked for everything, gains too: how its evaluations pay is the question."""

DEFAULT, PEER = "default", "peer: "
LEVERS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    **{f"start-sigma {s:g}": {"start-sigma": s} for s in (0.16, 0.34, 0.72, 6.1, 25.5)},
    **{f"resolution {n}": {"weighting": {"resolution": n}} for n in (1, 4, 8)},
    **{
        f"dynamic, {n} steps": {"steps": n, "weighting": {"dynamic": True, "stride": 1}}
        for n in (2, 4)
    },
    **{f"trajectory, {n} steps": {"steps": n, "objective": {"strength": 0.02}} for n in (2, 4, 10)},
    "saliency (no prior)": {"weighting": "saliency"},
    "saliency of gradients (no prior)": {"weighting": {"name": "saliency", "measure": "gradient"}},
    "fixed (no prior)": {"weighting": "fixed"},
}
SAME_WINDOWS = "saliency of gradients (no prior)"
"""Gets the recipe's window and consistency, so that only the measure is another."""

FULL = {"steps": 100, "precision": "float32", "objective": {"strength": 0.02}}
STATIC = {**FULL, "weighting": {"resolution": 1}}
DYNAMIC = {**FULL, "weighting": {"resolution": 1, "dynamic": True}}
LONG: dict[str, dict[str, Any]] = {
    "100 steps, dynamic": DYNAMIC,
    "100 steps, as the recipe": STATIC,
}
"""At full size, with the trajectory, untiled: what 200 and 102 evaluations make of it."""


def middle(image: Pixels, side: int) -> Pixels:
    """Return the luma of the middle, 8 bits, neither side longer than ``side``: detail as it is."""
    top, left = (max(0, n - side) // 2 for n in image.shape[:2])
    return grey(image)[top : top + side, left : left + side]


def real_scene(found: PublishedSet, name: str, side: int) -> BenchScene:
    """Return a scene of a published set, in grey, its middle."""

    def make() -> Made:
        sources = tuple(middle(read_pixels(path), side) for path in found.scenes[name])
        return Made(sources, None, None, (0.0,) * len(sources))

    return BenchScene(name, 0, "", {"sources": [str(p) for p in found.scenes[name]]}, make)


def made_scenes(side: int) -> list[BenchScene]:
    """Return the scenes whose truth is known."""
    bundled = bundled_photographs()
    photographs = {name: lambda n=name: middle(bundled[n](), side) for name in PHOTOGRAPHS}
    return truth_scenes(photographs, TRUTH, 2, (0,), defocus=Defocus(), in_grey=True)


class Study:
    """What is done, and how the rest is."""

    def __init__(self, file: Path, registry: Registry) -> None:
        self.rows = [json.loads(line) for line in file.open()] if file.exists() else []
        self._done = {row["key"] for row in self.rows}
        self._file, self._registry = file, registry
        self._built: dict[str, Part] = {}

    def scene(
        self,
        group: str,
        recipe: str,
        scene: BenchScene,
        levers: dict[str, dict[str, Any]],
        metrics: tuple[str, ...],
        peers: dict[str, Pixels],
    ) -> None:
        """Fuse one scene in every way that is not done, and measure."""
        shipped = Recipe(recipe, task_recipe(recipe), self._registry, self._built)
        default = shipped.changed(recipe, {"estimator": ESTIMATOR})
        meter, truth_meter = Meter(metrics, self._registry), Meter(("psnr",), self._registry)
        sources = torch.from_numpy(np.stack(scene.made.sources)).double()
        truth = scene.made.truth
        for label, change in [*levers.items(), *((PEER + name, {}) for name in peers)]:
            key = f"{group}/{scene.name} {sources.shape[-1]}x{sources.shape[-2]} {label}"
            if key in self._done:
                continue
            if label.startswith(PEER):
                pixels, seconds, nfe = peers[label.removeprefix(PEER)], None, None
            else:
                if label == SAME_WINDOWS:
                    own = default.recipe["weighting"]
                    windows = {name: own[name] for name in ("window", "consistency")}
                    change = {"weighting": {**change["weighting"], **windows}}
                fusion = default.changed(label, change).fuse(scene, scene.made)
                pixels, seconds, nfe = fusion.pixels, fusion.seconds, fusion.nfe
            fused = torch.from_numpy(pixels).double()
            values, _ = meter.measure(fused, sources)
            if truth is not None:
                values |= truth_meter.measure(fused, torch.from_numpy(truth)[None])[0]
            values |= {} if nfe is None or seconds is None else {"NFE": nfe, "seconds": seconds}
            row = {"key": key, "set": group, "scene": scene.name, "label": label, "values": values}
            self.rows.append(row)
            self._done.add(key)
            with self._file.open("a") as log:
                log.write(json.dumps(row) + "\n")
        scene.forget()


Found = dict[str, dict[tuple[str, str], float]]
"""Label to scene to value."""


def column(rows: list[dict[str, Any]], name: str) -> Found:
    """Return the values of one column."""
    found: Found = defaultdict(dict)
    for row in rows:
        if name in row["values"]:
            found[row["label"]][row["set"], row["scene"]] = row["values"][name]
    return found


def lever_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a Markdown table: means, and differences from the default with 95% intervals."""
    columns = {n: c for n in ("NFE", "seconds", *METRICS, "psnr") if (c := column(rows, n))}
    yield "| | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for label in [name for name in (*LEVERS, *LONG) if name in columns["NFE"]]:
        cells = []
        for name, values in columns.items():
            base, mine = values[DEFAULT], values[label]
            change = paired_bootstrap(np.array([mine[s] - base[s] for s in mine if s in base]))
            if name in ("NFE", "seconds") or label == DEFAULT or change is None:
                cells.append(f"{np.mean(list(mine.values())):.3g}")
                continue
            text = f"{change.mean:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"
            cells.append(f"**{text}**" if change.clear else text)
        yield f"| {label} | " + " | ".join(cells) + " |"


def spread_table(
    rows: list[dict[str, Any]], metrics: tuple[str, ...], long: str, registry: Registry
) -> Iterator[str]:
    """Yield what the default loses against a long run, in parts of the spread of peers' means."""
    yield f"| | default | {long} | peers | loss, of their spread |"
    yield "|---" * 5 + "|"
    for of in Meter(metrics, registry).columns:
        values = column(rows, of.name)
        scenes = set(values[long])
        means = {
            label: float(np.mean([value for scene, value in found.items() if scene in scenes]))
            for label, found in values.items()
            if scenes and scenes <= set(found)
        }
        peers = [mean for label, mean in means.items() if label.startswith(PEER)]
        if len(peers) > 1 and long in means:
            loss = (means[long] - means[DEFAULT]) * (1 if of.higher_is_better else -1)
            yield (
                f"| {of.name} | {means[DEFAULT]:.4g} | {means[long]:.4g} | {min(peers):.4g} to "
                f"{max(peers):.4g} | {100 * loss / (max(peers) - min(peers)):+.0f}% |"
            )


def report(rows: list[dict[str, Any]], registry: Registry, recipes: dict[str, str]) -> str:
    """Return the study as Markdown."""
    small = [row for row in rows if row["set"].endswith(" small")]
    tables = {"All": [row for row in rows if row not in small], "All small": small}
    for row in rows:
        tables.setdefault(row["set"], []).append(row)
    lines = []
    for title, own in tables.items():
        lines += [f"{title}:", "", *lever_table(own), ""]
        for long in LONG if title in (f"{name} small" for name in recipes) else ():
            metrics = PRESETS[recipes[title.removesuffix(" small")]]
            lines += [*spread_table(own, metrics, long, registry), ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--long", type=int, default=2, help="scenes of a set for the long runs")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    registry = load_plugins()
    study = Study(args.out / "results.jsonl", registry)
    sets = {found.name: found for found in published_sets(args.data, list(SCENES))}
    recipes = {name: found.recipe or "general" for name, found in sets.items()}
    for name, found in sets.items():
        for scene in SCENES[name]:
            scene_ = real_scene(found, scene, SIDE)
            study.scene(name, recipes[name], scene_, LEVERS, METRICS, {})
    for scene_ in made_scenes(SIDE):
        study.scene(TRUTH, TRUTH_RECIPE, scene_, LEVERS, METRICS, {})
    for long in LONG:
        for name, found in sets.items():
            for scene in SCENES[name][: args.long]:
                peers = {
                    peer: middle(read_pixels(files[scene]), SMALL_SIDE)
                    for peer, files in found.peers.items()
                    if scene in files
                }
                levers = {DEFAULT: {}, long: LONG[long]}
                scene_ = real_scene(found, scene, SMALL_SIDE)
                metrics = PRESETS[recipes[name]]
                study.scene(f"{name} small", recipes[name], scene_, levers, metrics, peers)
    (args.out / "knee.md").write_text(report(study.rows, registry, recipes), encoding="utf-8")


if __name__ == "__main__":
    main()
