"""Collecting a trace from the steps of a run, whatever weighting and objective it has."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UsageError
from ..sampling.guide import SampledStep
from ..sampling.run import Run
from . import diagnostics
from .maps import KeptMaps, Maps
from .summary import summarise

if TYPE_CHECKING:
    from ..host.pipeline import Pipeline


class Trace:
    """The diagnostics of one run, collected step by step.

    Give it as ``on_step`` to a pipeline or to :func:`fusionkit.fuse`, or call it with each
    step of ``pipeline.steps(...)``. It changes nothing of the run, neither result nor
    NFE, and reads nothing from the device before the run is over. Any weighting will do: the
    gain is the host's own, not that of the weighting.

    Parameters
    ----------
    pipeline
        The pipeline that runs, where known: its components are then named in the summary.
    names
        What pictures and summary call the sources. Default: source 1, source 2, ...

    Examples
    --------
    >>> import fusionkit
    >>> trace = fusionkit.Trace()
    >>> result = fusionkit.fuse(["ir.png", "vi.png"], estimator="gaussian", on_step=trace)
    >>> trace.summary()["totals"]["gain"] > 0
    True
    """

    def __init__(self, pipeline: Pipeline | None = None, names: Sequence[str] = ()) -> None:
        self.pipeline = pipeline
        self.names = tuple(names)
        self.run: Run | None = None
        self.target_only = False
        self.nfe = 0.0
        self.nfe_of_trace = 0.0
        self._numbers: dict[str, list[Tensor | None]] = {}
        self._kept = KeptMaps()
        self._weights: Tensor | None = None
        self._error: Tensor | None = None
        self._corrected: Tensor | None = None
        self._done = 0

    def __call__(self, done: SampledStep) -> None:
        """Take one step in; it must be the next of the run.

        Raises
        ------
        UsageError
            The step is of another run, or not the one after the step before.
        """
        step = done.step
        run = self._expected(done)
        with torch.no_grad():
            error, extra = diagnostics.source_error(run, step.index)
            self.nfe_of_trace += extra
            if self._error is not None:
                self._close(self._error - error)
            estimate = step.x0 if step.has_trajectory else self._corrected
            # In a tensor of its own: a weighting may write every step's weights into one.
            self._weights = diagnostics.pixel_centred(done.weights)
            self._note_step(done, self._weights, estimate)
            self._error = error
            self._corrected = done.corrected
            self._kept.take(done)
            self._done += 1
            if self._done == run.steps:
                self._close(error)  # level N is clean: nothing is left to gain
                self.nfe = run.nfe
                self._weights = self._error = self._corrected = None

    def numbers(self) -> dict[str, NDArray[np.float64]]:
        """Read every number, by name: arrays (N, K, B), NaN where there was no estimate.

        The names are ``weight``, ``gain``, ``residual``, ``contribution``, and
        ``covariance-gain`` and so on for the covariance of a quantity with the weights.

        Raises
        ------
        UsageError
            The run has not been traced to its end.
        """
        run = self.finished_run()
        missing = torch.full(run.sources.shape[:2], math.nan, dtype=torch.float64)
        return {
            name: torch.stack([missing if row is None else row.cpu().double() for row in rows])
            .numpy()
            .astype(np.float64)
            for name, rows in self._numbers.items()
        }

    def maps(self) -> Maps:
        """Read what the pictures show; raises as :meth:`numbers` does."""
        self.finished_run()
        return self._kept.read()

    def summary(self) -> dict[str, Any]:
        """Return the trace, JSON-ready; its keys are described in ``docs/trace.md``.

        Raises
        ------
        UsageError
            The run has not been traced to its end.
        """
        return summarise(self)

    def save(self, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write ``trace.json``, ``strip.png`` and ``curves.png`` into a folder, made if need be.

        Each file appears whole or not at all.

        Raises
        ------
        UsageError
            A file exists and ``overwrite`` is false, the folder cannot be made or written
            to, or the run has not been traced to its end.
        """
        from .save import save

        save(self, folder, overwrite)

    def source_names(self) -> tuple[str, ...]:
        """Return what the sources are called, one name each."""
        K = self.finished_run().sources.shape[0]
        return tuple(self.names[k] if k < len(self.names) else f"source {k + 1}" for k in range(K))

    def finished_run(self) -> Run:
        """Return the run; raise UsageError unless it has been traced to its end."""
        if self.run is None:
            raise UsageError("nothing has been traced: give the trace as on_step to a run")
        if self._done < self.run.steps:
            raise UsageError(
                f"the run was traced up to step {self._done} of {self.run.steps}: it must end first"
            )
        return self.run

    def _expected(self, done: SampledStep) -> Run:
        step = done.step
        if self.run is None:
            assert isinstance(step.run, Run)  # the sampler's own
            self.run = step.run
            self.target_only = not step.has_trajectory
        if step.run is not self.run or step.index != self._done:
            raise UsageError("a trace takes the steps of one run, in order: make one for each run")
        return self.run

    def _note_step(self, done: SampledStep, weights: Tensor, estimate: Tensor | None) -> None:
        """Note all but the gain; ``weights`` are centred, ``estimate`` what the step began with."""
        self._note("weight", diagnostics.pixel_mean(done.weights))
        residual = contribution = None
        if estimate is not None:
            lacking = done.step.run.sources - estimate
            residual = diagnostics.inner_product(lacking, lacking)
            contribution = diagnostics.inner_product(done.corrected - estimate, lacking)
        self._note_maps("residual", residual, weights)
        self._note_maps("contribution", contribution, weights)

    def _close(self, gain: Tensor) -> None:
        """Note the gain of the step before, which is known when the next level's error is.

        Only then have the run's components asked for all of that level that they need, so
        that no estimate is made twice.
        """
        assert self._weights is not None
        self._note_maps("gain", gain, self._weights)
        self._kept.take_gain(gain)

    def _note_maps(self, name: str, maps: Tensor | None, weights: Tensor) -> None:
        self._note(name, None if maps is None else diagnostics.pixel_mean(maps))
        covariance = None if maps is None else diagnostics.pixel_covariance(weights, maps)
        self._note(f"covariance-{name}", covariance)

    def _note(self, name: str, row: Tensor | None) -> None:
        self._numbers.setdefault(name, []).append(row)
