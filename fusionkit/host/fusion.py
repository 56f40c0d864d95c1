"""Fusing real images: paths, arrays or tensors in, an image of their kind and a record out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ..contract.counting import number_of
from ..contract.registry import Registry
from ..errors import FusionkitWarning, UsageError
from ..imaging.sources import Source
from ..recipes.finding import Layer
from ..recipes.settings import SettingsDict
from .choosing import Choosing
from .result import Result

# Sources are read, and what is wrong with them is said, before torch takes seconds to import.
if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ..contract.estimator import NoiseEstimator
    from ..contract.objective import Objective
    from ..contract.weighting import Weighting
    from ..sampling.guide import SampledStep
    from .pipeline import Pipeline


def fuse(
    sources: Sequence[Source],
    *more: object,
    task: str | None = None,
    recipe: str | Path | Layer | None = None,
    estimator: str | Mapping[str, Any] | NoiseEstimator | None = None,
    weighting: str | Mapping[str, Any] | Weighting | None = None,
    objective: str | Mapping[str, Any] | Objective | None = None,
    registry: Registry | None = None,
    pipeline: Pipeline | None = None,
    on_step: Callable[[SampledStep], None] | None = None,
    cache: str | os.PathLike[str] | None = None,
    maps: bool = False,
    **settings: Unpack[SettingsDict],
) -> Result:
    """Fuse registered images of one scene.

    Parameters
    ----------
    sources
        At least two, of one size, or of fewer pixels but the same aspect ratio: paths; bytes of
        image files, or files open for reading; PIL images; arrays (H, W) or (H, W, C); tensors
        (H, W) or (C, H, W). C is
        1 to 4: grey, grey + alpha, RGB, RGBA. Integers span their dtype's range,
        floats [0, 1]; ``range`` says otherwise. Or one path, of a file that is a stack:
        a TIFF with pages, an NPY array (K, H, W) or (K, H, W, C). For a batch of scenes
        see :func:`fusionkit.fuse_batch`.
    more
        None: sources that are not in one list are an error that says so.
    task, recipe, estimator, weighting, objective, registry, cache, **settings
        See :func:`fusionkit.compose` and :class:`fusionkit.Settings`. Without a task (or with
        ``"auto"``), recipe, weighting and objective, the task is decided from the images
        (:mod:`fusionkit.recipes.deciding`), and the record says which and why, under ``task``.
    pipeline
        A composed pipeline instead of these, to fuse many scenes with one set of
        loaded models; only ``seed`` may then be given beside it. No task is decided.
    on_step
        Called with every finished step.
    maps
        Whether the result's ``weight_maps`` are made: what each source counts, which counts
        most, and depth.

    Returns
    -------
    Result
        ``image`` in the sources' own dtype and layout, ``record``, ``save(path)``.

    Raises
    ------
    ImageError
        A source cannot be read, or the sources do not go together.
    UsageError
        An unknown name, option or value.
    PluginError
        A component failed or broke its contract during the run.

    Warns
    -----
    FusionkitWarning
        For what the person should know of a source, such as a range hardly used.

    Examples
    --------
    Two focus settings as arrays; what comes out is of their kind:

    >>> import numpy as np
    >>> scene = np.tile(np.array([40, 200], np.uint8), (48, 24))
    >>> near, far = scene.copy(), scene.copy()
    >>> near[:, 24:] = far[:, :24] = 120
    >>> result = fuse([near, far], weighting={"name": "saliency", "window": 5})
    >>> result.image.shape, result.image.dtype
    ((48, 48), dtype('uint8'))
    >>> bool(np.abs(result.image.astype(int) - scene)[:, :20].max() < 30)
    True
    """
    if more:
        raise UsageError("give the sources in one list: fuse([a, b]), not fuse(a, b)")
    if pipeline is not None and (
        set(settings) - {"seed"} or any((task, recipe, estimator, weighting, objective, cache))
    ):
        raise UsageError("a pipeline is already composed: only seed may be given beside it")
    how = {
        "task": task,
        "recipe": recipe,
        "estimator": estimator,
        "weighting": weighting,
        "objective": objective,
        "registry": registry,
        "cache": cache,
        **settings,
    }
    return _fuse(sources, Choosing(pipeline, how), settings.get("seed"), on_step, maps)


def fuse_batch(
    sources: Sequence[NDArray[Any] | Tensor],
    *,
    pipeline: Pipeline | None = None,
    seeds: Sequence[int] | None = None,
    **how: Any,
) -> list[Result]:
    """Fuse several scenes of one size with one pipeline.

    Parameters
    ----------
    sources
        K >= 2 arrays (B, H, W) or (B, H, W, C), or tensors (B, C, H, W): image b of each is a
        scene.
    pipeline
        A composed pipeline. Without one, each scene's task is decided as by ``fuse``.
    seeds
        (B,), one per scene; by default all have the pipeline's. A scene comes out as it does
        alone.
    **how
        In the place of ``pipeline``: see :func:`fusionkit.compose`.

    Returns
    -------
    list of Result
        B of them, as :func:`fusionkit.fuse` returns each.

    Raises
    ------
    UsageError
        The sources are not of one batch size, or seeds not one for each scene.

    Examples
    --------
    >>> import numpy as np
    >>> near, far = np.zeros((3, 32, 32), np.uint8), np.full((3, 32, 32), 200, np.uint8)
    >>> [result.image.shape for result in fuse_batch([near, far], weighting="saliency")]
    [(32, 32), (32, 32), (32, 32)]
    """
    counts = {len(source) for source in sources}
    if len(counts) != 1 or any(source.ndim not in (3, 4) for source in sources):
        shapes = ", ".join(str(tuple(source.shape)) for source in sources)
        raise UsageError(
            f"a batch is arrays (B, H, W) or (B, H, W, C), or tensors (B, C, H, W), of one B: "
            f"not {shapes}"
        )
    if seeds is not None and len(seeds) != counts.pop():
        raise UsageError(f"{number_of(len(seeds), 'seed')} for a batch of {len(sources[0])}")
    if pipeline is not None and how:
        raise UsageError("a pipeline is already composed: only seeds may be given beside it")
    choosing = Choosing(pipeline, how)
    scenes = [list(scene) for scene in zip(*sources, strict=True)]
    each = [None] * len(scenes) if seeds is None else seeds
    return [_fuse(scene, choosing, seed) for scene, seed in zip(scenes, each, strict=True)]


def _fuse(
    sources: Sequence[Source],
    choosing: Choosing,
    seed: int | None,
    on_step: Callable[[SampledStep], None] | None = None,
    maps: bool = False,
) -> Result:
    scene, pipeline = choosing.read(sources)

    def tell(note: str) -> None:
        warnings.warn(note, FusionkitWarning, stacklevel=5)

    for note in scene.notes:
        warnings.warn(note, FusionkitWarning, stacklevel=3)
    return scene.fuse(pipeline, seed, on_step, on_note=tell, maps=maps)
