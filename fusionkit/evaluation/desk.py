"""Studies from Python: ``fusionkit.study``, which does what ``fusionkit ablate`` does."""

from __future__ import annotations

import io
import operator
import os
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..contract.metric import METRIC
from ..contract.reading import reading_with
from ..contract.registry import Registry
from ..errors import FusionkitWarning, UsageError
from ..host.batch import find_scenes, holds_scenes
from ..host.plugins import load_plugins
from ..host.processes import Processes
from ..imaging.files import atomic_write, explained
from ..imaging.sources import Source, source_picture
from ..recipes.finding import GIVEN, GROUPS, Layer, Said
from ..recipes.layers import merged
from ..recipes.preparing import with_preparations
from ..recipes.settings import as_recipe_has_them
from .ablation import run_study
from .conventions import OURS, in_convention
from .folder import Known
from .given import GivenObjects
from .planning import BASELINES, bases_of, metrics_of, plan
from .presets import DEFAULT_PRESET, metric_names
from .study_table import StudyTable

Scenes: TypeAlias = (
    "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Sequence[Source]]"
)
"""Folders, a manifest, or the sources of each scene by its name."""


def study(
    scenes: Scenes,
    axes: Mapping[str, Sequence[Any]],
    *,
    baselines: Sequence[str] = BASELINES,
    seeds: Sequence[int] = (0,),
    metrics: str | Sequence[Any] | None = None,
    metric_options: Mapping[str, Mapping[str, Any]] | None = None,
    convention: str = OURS,
    task: str | Sequence[str] | None = None,
    recipe: str | Path | Layer | Sequence[str | Path] | None = None,
    match_options: bool = False,
    against: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    cache: str | os.PathLike[str] | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> StudyTable:
    """Run every combination of components and options on every scene.

    Parameters
    ----------
    scenes
        Folders whose images are paired by name, one folder of ``SCENE_ROLE`` images, a manifest
        (as for ``fusionkit ablate``), or a mapping of a name to the sources of a scene, each as
        :func:`fusionkit.fuse` takes it: a path, or an image in memory, which the study keeps.
    axes
        Values by flag, without its hyphens: ``weighting``, ``steps``, ``weighting.window``. A
        component is a name, a table (``{"name": "dig", "window": 7}``), or an object of yours.
    baselines
        What is added, of ``rungs``, ``fixed`` and ``trivial``; see docs/ablation.md.
    seeds
        Every row with a recipe is run with each.
    metrics
        Names, or objects of yours, or the name of a preset; by default those of the recipe.
    metric_options
        Options by metric.
    convention
        The toolbox whose conventions the metrics follow: ``ours``, ``evaluator`` or ``vifb``.
    task, recipe
        What the axes change: a recipe's name, file or content. Several are an axis, too.
    match_options
        Give a component of an axis the options that it shares with the recipe's own.
    against
        The row that differences are taken from, by its label; by default the first.
    folder
        Where the study is kept, and goes on if it is there. By default it is gone with the
        table that is returned.
    jobs
        Processes; 1 where there are objects of yours, which have no name in another process.
    cache
        A folder of source estimates, shared by rows and studies.
    registry
        Where names are looked up; by default all installed plugins.
    **settings
        What all rows have, as :func:`fusionkit.compose` takes it: settings, preparations,
        components.

    Returns
    -------
    StudyTable

    Raises
    ------
    UsageError
        A name, a value, or the folder is wrong.

    Warns
    -----
    FusionkitWarning
        For every cell that failed, and every value that could not be measured.

    Examples
    --------
    >>> import numpy as np
    >>> scene = np.random.default_rng(0).random((48, 64))
    >>> near, far = scene.copy(), scene.copy()
    >>> near[:, 32:] = far[:, :32] = 0.5
    >>> table = study(
    ...     {"one": [near, far], "two": [far[::-1], near[::-1]]},
    ...     {"weighting": ["fixed", {"name": "saliency", "window": 5}]},
    ...     metrics=["qabf", "mi"], baselines=["trivial"], objective="mse", estimator="gaussian",
    ... )
    >>> table.best("qabf")
    'saliency window 5'
    """
    if not isinstance(jobs, int) or jobs < 1:
        raise UsageError(f"jobs is a whole number from 1, not {jobs!r}")
    seeds = _seeds(seeds)
    loaded = load_plugins() if registry is None else registry
    given = GivenObjects(loaded)
    named = {
        str(axis).replace("_", "-"): [_value(axis, value, given) for value in _listed(axis, values)]
        for axis, values in axes.items()
    }
    said = {
        name: given.name(GROUPS[name], value) if name in GROUPS else value
        for name, value in settings.items()
    }
    bases = bases_of(loaded, task, recipe)
    measured = _metrics(metrics, metrics_of(bases), given, loaded)
    if jobs > 1 and (len(given) or registry is not None):
        raise UsageError("jobs: objects and a registry of yours are in this process alone")
    for metric in metric_options or {}:
        if metric not in measured:
            raise UsageError(f"metric_options: {metric!r} is not among {', '.join(measured)}")
    room = tempfile.TemporaryDirectory(prefix="fusionkit-study-") if folder is None else None
    place = Path(room.name if room is not None else os.fspath(folder or ""))
    known, everything = Known.read(place), given.registry
    with reading_with(everything):
        found, problems = _scenes(scenes, place)
        planned = plan(
            found,
            bases,
            named,
            everything,
            metrics=measured,
            options=in_convention(convention, measured, everything, metric_options),
            said=_layer(said, everything),
            baselines=baselines,
            seeds=seeds,
            match=match_options,
            against=against,
            known=known,
        )
        problems += run_study(
            planned,
            place,
            everything,
            processes=Processes(jobs),
            cache=None if cache is None else str(cache),
        )
    known.write(place)
    for problem in problems:
        warnings.warn(problem, FusionkitWarning, stacklevel=2)
    return StudyTable.read(place, registry=everything, room=room)


def _listed(axis: str, values: Any) -> list[Any]:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, (str, Mapping)) or not isinstance(values, Sequence) or not values:
        raise UsageError(f"axis {axis}: give a list of values, not {values!r}")
    return list(values)


def _value(axis: str, value: Any, given: GivenObjects) -> Any:
    if axis in GROUPS:
        return given.name(GROUPS[axis], value)
    return value.item() if isinstance(value, np.generic) else value


def _seeds(seeds: Sequence[int]) -> list[int]:
    """Return each seed once, as a study keeps them."""
    try:
        found = list(dict.fromkeys(operator.index(seed) for seed in seeds))
    except TypeError:
        found = []
    if not found or min(found) < 0:
        raise UsageError(f"seeds are a list of whole numbers from 0, not {seeds!r}")
    return found


def _metrics(
    metrics: str | Sequence[Any] | None,
    of_recipe: str | Sequence[str],
    given: GivenObjects,
    registry: Registry,
) -> list[str]:
    said = metrics or of_recipe or DEFAULT_PRESET
    if isinstance(said, str):
        return list(metric_names(said, registry))
    names = [given.name(METRIC, metric) for metric in said]
    for name in names:
        given.registry.find(METRIC, name)
    return list(dict.fromkeys(names))


def _layer(said: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """Return what all rows have, as a recipe has it."""
    layer = Said(with_preparations(as_recipe_has_them(said), registry), GIVEN)
    return merged([layer], registry).recipe


def _scenes(scenes: Scenes, folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the paths of the sources of each scene, and what is wrong with others."""
    if isinstance(scenes, Mapping):
        if not scenes:
            raise UsageError("there are no scenes")
        named = {str(name): sources for name, sources in scenes.items()}
        if len(named) < len(scenes):
            raise UsageError("two scenes have one name as text: rename one of them")
        for name, sources in named.items():
            if isinstance(sources, (str, os.PathLike)) or len(_each(sources)) < 2:
                raise UsageError(f"scene {name}: give a list of two sources or more")
        return {
            name: [
                _path(source, folder / "sources" / f"{_file_name(name)}_{k}")
                for k, source in enumerate(sources, 1)
            ]
            for name, sources in named.items()
        }, []
    paths = [scenes] if isinstance(scenes, (str, os.PathLike)) else list(_each(scenes))
    if not all(isinstance(path, (str, os.PathLike)) for path in paths):
        raise UsageError("scenes in memory are a mapping of names to sources: {'one': [a, b]}")
    if not holds_scenes([Path(path) for path in paths]):
        raise UsageError(
            "scenes are folders, a manifest, or a mapping of names to sources: "
            f"{', '.join(map(str, paths))} is neither"
        )
    found = find_scenes([Path(path) for path in paths]).of_files()
    return (
        {name: [str(path) for path in sources] for name, sources in found.found.items()},
        [f"{name}: {why}" for name, why in found.problems.items()],
    )


def _each(found: Any) -> Any:
    """Return what can be gone through; nothing where it cannot."""
    return found if hasattr(found, "__len__") and hasattr(found, "__iter__") else (None,)


def _file_name(name: object) -> str:
    text = str(name)
    if not text or text.startswith(".") or re.search(r"[\\/\x00-\x1f\x7f]", text):
        raise UsageError(f"scene {text!r} cannot name a file")
    return text


def _path(source: Source, place: Path) -> str:
    """Return the path of a source; an image in memory is written first, unless it is there."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    picture = source_picture(source, 0, name=place.name)
    buffer = io.BytesIO()
    np.save(buffer, picture.pixels)
    target = place.parent / f"{place.name}.npy"
    with explained(str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != buffer.getvalue():
            with atomic_write(target, overwrite=True) as file:
                file.write(buffer.getvalue())
    return str(target)
