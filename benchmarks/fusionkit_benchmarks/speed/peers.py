"""Whole commands of fusionkit and of peers on the same files, in turn: seconds and memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from fusionkit import number_of
from fusionkit.errors import FusionkitError, UsageError
from fusionkit.imaging import write_picture

from ..peers.installed import Installed, Way

TIMEOUT = 1800
"""Seconds after which a command is given up."""

OURS = "fusionkit"
"""The row of ``fusionkit run``."""

_CHILD = Path(__file__).with_name("child.py")
_BLUR = 3.0  # standard deviation of defocus, in pixels


@dataclass(frozen=True)
class Contender:
    """What is timed.

    Attributes
    ----------
    name
        Of its row.
    one
        The command line from the files of one scene to that of the result.
    many
        That from folders, one a scene, to the folder of the results; None if it has none.
    """

    name: str
    one: Callable[[Sequence[Path], Path], list[str]]
    many: Callable[[Sequence[Path], Path], list[str]] | None = None


def ours(flags: Sequence[str]) -> Contender:
    """Return ``fusionkit run`` with these flags."""
    begin = [sys.executable, "-m", "fusionkit", "run"]

    def one(sources: Sequence[Path], out: Path) -> list[str]:
        return [*begin, *map(str, sources), "-o", str(out), "--quiet", *flags]

    def many(folders: Sequence[Path], out: Path) -> list[str]:
        return [*begin, str(folders[0].parent), "-o", str(out), "--quiet", *flags]

    return Contender(OURS, one, many)


def theirs(found: Sequence[Installed], named: Sequence[str] | None) -> list[Contender]:
    """Return the ways to fuse focus stacks of the peers that are installed, or those named.

    Raises
    ------
    UsageError
        There is none of a name.
    """
    ways = {w.name: (p, w) for p in found for w in p.peer.ways if w.family == "focus"}
    for name in named or ():
        if name not in ways:
            raise UsageError(f"--rows {name}: there are {', '.join(ways) or 'none installed'}")
    return [_theirs(*ways[name]) for name in (ways if named is None else named)]


def _theirs(found: Installed, way: Way) -> Contender:
    def one(sources: Sequence[Path], out: Path) -> list[str]:
        return way.command(found.place, sources, out)

    def many(folders: Sequence[Path], out: Path) -> list[str]:
        return way.command_of_folders(found.place, folders, out)

    return Contender(way.name, one, many if way.of_folders else None)


def beside_peers(
    contenders: Sequence[Contender],
    sizes: Sequence[tuple[int, int]],
    count: int,
    scenes: int,
    repeats: int,
) -> dict[str, Any]:
    """Time whole commands in turn, and count their memory; JSON-ready.

    Parameters
    ----------
    contenders
        The first is compared with each of the others.
    sizes
        Width and height of the scenes that are fused one a command.
    count
        K, sources of a scene.
    scenes
        How many scenes of the first size one command fuses, besides; 0 for none.
    repeats
        Rounds; each runs every contender once, the next in the other order.

    Raises
    ------
    FusionkitError
        A command failed.
    """
    with tempfile.TemporaryDirectory(prefix="fusionkit-speed-") as place:
        root = Path(place)
        cases = [_one(contenders, root, size, count, repeats) for size in sizes]
        if scenes:
            cases.append(_many(contenders, root, sizes[0], count, scenes, repeats))
    return {"sources": count, "repeats": repeats, "cases": cases}


def _one(
    contenders: Sequence[Contender],
    root: Path,
    size: tuple[int, int],
    count: int,
    repeats: int,
) -> dict[str, Any]:
    folder = root / f"{size[0]}x{size[1]}"
    files = write_stack(folder / "sources", size, count, 0)
    out = folder / "fused.png"
    lines = {each.name: each.one(files, out) for each in contenders}
    return {"size": list(size), "scenes": 1, "rows": _in_turn(lines, out, repeats)}


def _many(
    contenders: Sequence[Contender],
    root: Path,
    size: tuple[int, int],
    count: int,
    scenes: int,
    repeats: int,
) -> dict[str, Any]:
    folders = [root / "scenes" / f"{n:04}" for n in range(scenes)]
    for seed, folder in enumerate(folders):
        write_stack(folder, size, count, seed)
    out = root / "fused"
    lines = {each.name: each.many(folders, out) for each in contenders if each.many is not None}
    rows = _in_turn(lines, out, repeats, scenes)
    return {"size": list(size), "scenes": scenes, "rows": rows}


def _in_turn(
    lines: dict[str, list[str]], out: Path, repeats: int, scenes: int = 1
) -> dict[str, Any]:
    """Run command lines in rounds; return of each seconds a scene, memory, and the ratios."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in lines}
    for n in range(repeats):
        for name in list(lines)[:: 1 if n % 2 == 0 else -1]:
            _clear(out)
            runs[name].append(_run(name, lines[name], out.parent))
            _check_made(name, out, scenes)
    (first, reference), *_ = runs.items()
    rows: dict[str, Any] = {}
    for name, measured in runs.items():
        rows[name] = {
            "seconds": [run["seconds"] / scenes for run in measured],
            "processor": [run["processor"] / scenes for run in measured],
            "peak": max(run["peak"] for run in measured),
        }
        if name != first:
            for what in ("seconds", "processor"):
                pairs = zip(reference, measured, strict=True)
                ratios = [our[what] / their[what] for our, their in pairs]
                rows[name][f"ratio of {what}"] = {
                    "median": statistics.median(ratios),
                    "least": min(ratios),
                    "most": max(ratios),
                }
    return rows


def _run(name: str, line: Sequence[str], folder: Path) -> dict[str, float]:
    log = folder / "log.txt"
    start = [sys.executable, "-I", "-S", str(_CHILD), str(log), *line]
    try:
        done = subprocess.run(
            start, cwd=folder, stdout=subprocess.PIPE, text=True, check=False, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise FusionkitError(f"{name} did not end within {TIMEOUT} seconds") from None
    if done.returncode:
        said = log.read_text(errors="replace").strip().splitlines() or ["no message"]
        raise FusionkitError(f"{name} failed: {said[-1]}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _check_made(name: str, out: Path, scenes: int) -> None:
    made = [out] if out.is_file() else [*out.glob("*.png")] if out.is_dir() else []
    if len(made) != scenes:
        raise FusionkitError(f"{name} made {len(made)} of {number_of(scenes, 'image')}")


def _clear(out: Path) -> None:
    """Take away what was made: a folder of files, or a file and its record."""
    for path in [*out.iterdir()] if out.is_dir() else [out, out.with_name(f"{out.name}.json")]:
        path.unlink(missing_ok=True)


def write_stack(folder: Path, size: tuple[int, int], count: int, seed: int) -> list[Path]:
    """Write a focus stack in colour, each source sharp in its band of columns; return its files."""
    folder.mkdir(parents=True)
    scene = _scene(size, seed)
    blurred = np.stack([gaussian_filter(plane, _BLUR) for plane in scene])
    files = [folder / f"{k:03}.png" for k in range(count)]
    at = np.arange(size[0], dtype=np.float32) / size[0] * count
    for k, file in enumerate(files):
        sharp = np.clip(1.5 - 2 * abs(at - k - 0.5), 0, 1)
        planes = blurred + sharp * (scene - blurred)
        write_picture(file, np.moveaxis(np.rint(planes * 255), 0, -1).astype(np.uint8))
    return files


def _scene(size: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Return noise that has structure of every size, as photographs have; (3, H, W) in [0, 1]."""
    width, height = size
    rng = np.random.default_rng(seed)
    scene = np.full((3, height, width), 0.5, np.float32)
    grey, tint = np.float32(0.08), np.float32(0.02)
    coarse = 1
    while coarse < min(size):
        shape = (-(-height // coarse), -(-width // coarse))
        for plane in (*(scene[c : c + 1] for c in range(3)), scene):
            strength = grey if len(plane) == 3 else tint
            drawn = rng.uniform(-1, 1, shape).astype(np.float32)
            large = drawn if coarse == 1 else zoom(drawn, coarse, order=1)
            plane += strength * (0.25 if coarse == 1 else 1) * large[:height, :width]
        coarse *= 4
    return np.clip(scene, 0, 1, out=scene)
