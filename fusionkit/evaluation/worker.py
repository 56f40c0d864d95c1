"""Running one cell of a study on one scene: fuse, keep the image and weight maps, measure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contract.hashes import hash_of_file
from ..contract.reading import use_readers
from ..contract.registry import Registry
from ..errors import FusionkitError
from ..host.composing import compose
from ..host.parts import Part
from ..host.pipeline import Pipeline
from ..host.plugins import load_plugins
from ..host.spectral import load_scene
from ..imaging import from_unit, write_picture
from ..ops.threads import one_thread
from ..recipes.layers import resolve_settings
from ..sampling.guide import SampledStep
from .baselines import trivial_fusion
from .measure import same_size
from .meter import Meter, luma_of_picture
from .ranges import Ranges, parse_ranges
from .study import MAP_SIDE, Cell, Loading, Study
from .window import shared_window


class Worker:
    """Runs cells one after another; components are built once, and shared between pipelines."""

    def __init__(
        self,
        study: Study,
        folder: Path,
        registry: Registry,
        built: dict[str, Part] | None = None,
        cache: str | None = None,
    ) -> None:
        self.study = study
        self.folder = folder
        self.registry = registry
        self.meter = Meter(study.metrics, registry, options=study.options)
        self._built: dict[str, Part] = {} if built is None else built
        self._cache = cache
        self._pipelines: dict[str, Pipeline] = {}

    def attempt(self, cell: Cell, scene: str) -> dict[str, Any]:
        """Run one cell on one scene; a failure is a line too, to be reported and not kept."""
        try:
            return self.run(cell, scene)
        except FusionkitError as error:
            return {"cell": cell.key, "scene": scene, "error": str(error)}
        except OSError as error:  # something stands where the folder keeps its images
            where = f"{error.filename}: " if error.filename else ""
            return {"cell": cell.key, "scene": scene, "error": f"{where}{error.strerror}"}

    def run(self, cell: Cell, scene: str) -> dict[str, Any]:
        """Run one cell on one scene, and return its line of results."""
        _restart_peak_memory()
        began = time.perf_counter()
        key = self.study.key(cell, scene)
        line: dict[str, Any] = {"cell": cell.key, "scene": scene, "key": key, "nfe": 0.0}
        sources = self.study.scenes[scene]
        if cell.recipe:
            path = self._fuse(cell, scene, sources, line)
        else:
            path = self._trivial(cell, scene, sources)
        line.setdefault("seconds", round(time.perf_counter() - began, 4))
        line["peak_mb"] = _peak_memory()
        line["image"] = path.relative_to(self.folder).as_posix()
        line["sha256"], line["bytes"] = hash_of_file(path), path.stat().st_size
        ranges = self._ranges(cell, len(sources))
        pictures = ranges.sources(sources, [path])
        window, _ = shared_window(same_size(pictures))
        inside = [window.cut(picture) for picture in pictures]
        luma = torch.stack([luma_of_picture(picture) for picture in inside])
        fused = window.cut(ranges.result("fused", path, pictures))
        with one_thread():
            line["values"], line["problems"] = self.meter.measure(
                luma_of_picture(fused), luma, colours=self.meter.colours(fused, inside)
            )
        return line

    def _fuse(self, cell: Cell, scene: str, sources: Sequence[str], line: dict[str, Any]) -> Path:
        pipeline = self._pipeline(cell)
        loaded = load_scene(sources, resolve_settings(cell.recipe))
        maps: list[NDArray[np.uint8]] = []
        result = loaded.fuse(pipeline, on_step=lambda done: maps.append(_weight_map(done)))
        suffix = ".png" if loaded.format.dtype.kind == "u" else ".tif"
        path = self._place("images", cell, scene, suffix)
        result.save(path, overwrite=True)
        write_picture(self._place("weights", cell, scene, ".png"), np.vstack(maps), overwrite=True)
        # What it takes by itself: which variant comes first, and fills a cache, is no merit.
        line["nfe"] = result.record["run"]["nfe"] + result.record["run"]["cached"]
        line["seconds"] = result.record["run"]["seconds"]
        line["steps"] = len(maps)
        return path

    def _trivial(self, cell: Cell, scene: str, sources: Sequence[str]) -> Path:
        pictures = self._ranges(cell, len(sources)).sources(sources)
        luma = torch.stack([luma_of_picture(picture) for picture in pictures])
        fused = trivial_fusion(cell.label, luma)
        if fused is None:
            raise FusionkitError(f"there is no {cell.label}: the scene has {len(sources)} sources")
        path = self._place("images", cell, scene, ".png")
        unit = fused.numpy() / 255
        write_picture(path, from_unit(unit, np.uint8, 0, 255), overwrite=True)
        return path

    def _ranges(self, cell: Cell, count: int) -> Ranges:
        """Return the ranges that the sources of a cell are fused and measured in."""
        if not cell.recipe:
            return Ranges(parse_ranges(self.study.ranges, count), self.study.stretch)
        settings = resolve_settings(cell.recipe)
        return Ranges(parse_ranges(settings.range, count), settings.stretch)

    def _pipeline(self, cell: Cell) -> Pipeline:
        if cell.key not in self._pipelines:
            self._pipelines = {  # one at a time: what is heavy is shared through _built
                cell.key: compose(
                    recipe=cell.recipe,
                    registry=self.registry,
                    built=self._built,
                    cache=self._cache,
                )
            }
        return self._pipelines[cell.key]

    def _place(self, kind: str, cell: Cell, scene: str, suffix: str) -> Path:
        place = self.folder / kind / cell.key
        place.mkdir(exist_ok=True)
        return place / f"{scene}{suffix}"


_worker: Worker | None = None


def start_worker(study: Study, folder: Path, loading: Loading, cache: str | None) -> None:
    """Prepare a worker process: its plugins."""
    global _worker
    registry = load_plugins(disabled=loading.disabled, inline=loading.inline)
    use_readers(registry)
    _worker = Worker(study, folder, registry, cache=cache)


def work_in_process(cell: Cell, scene: str) -> dict[str, Any]:
    """Run one cell on one scene in a worker process."""
    assert _worker is not None
    return _worker.attempt(cell, scene)


def _weight_map(done: SampledStep) -> NDArray[np.uint8]:
    """Return the weights of one step, reduced, the sources side by side: (h, K w)."""
    weights = done.weights[:, 0]
    scale = min(1.0, MAP_SIDE / max(weights.shape[-2:]))
    height, width = weights.shape[-2:]
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    reduced = torch.nn.functional.adaptive_avg_pool2d(weights.float(), size)
    strip = torch.cat(list(reduced[:, 0]), -1)
    pixels: NDArray[np.uint8] = (strip * 255).round().to(torch.uint8).cpu().numpy()
    return pixels


def _restart_peak_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts anew


def _peak_memory() -> float | None:
    """Return the peak memory in MB since the last restart: the GPU's, or the process's."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), None)
    return None if line is None else round(int(line.split()[1]) / 1024, 1)
