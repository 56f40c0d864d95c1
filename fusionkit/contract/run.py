"""A run, and one of its steps: what the host tells weightings and objectives.

Notation: K sources, B images in the batch, C channels of the noise estimator,
H x W pixels; values in [-1, 1]; steps i = 0 ... N-1, levels i = 0 ... N, of which
level N is clean. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from .estimator import NoiseEstimator
    from .observation import StartedObservation


class Run(Protocol):
    """One run over one batch: what a weighting or objective may ask the host for.

    Attributes
    ----------
    sources : Tensor
        (K, B, C, H, W) in [-1, 1]; do not write to it. Grey sources are one channel, expanded
        to C (see :func:`fusionkit.distinct`).
    seeds : tuple of int
        (B,), one per image.
    steps : int
        N.
    sigma : tuple of float
        (N + 1,): level i is x_i = x0 + sigma[i] n; the last is 0. Plain floats, so that the loop
        reads nothing from a device.
    observations : tuple of StartedObservation
        (K,), how each source was measured.
    least : Tensor
        (K, B, C, 1, 1), the least value of each source and channel; of the whole image, where the
        run is over a patch of it (:class:`fusionkit.BaseWeighting`, ``reach``).
    """

    sources: Tensor
    seeds: tuple[int, ...]
    steps: int
    sigma: tuple[float, ...]
    observations: tuple[StartedObservation, ...]

    @property
    def least(self) -> Tensor:  # noqa: D102 - above
        ...

    @property
    def nfe(self) -> float:
        """Images passed through the noise estimator so far, everybody's included.

        One of another size than the sources counts by its area.
        """
        ...

    @property
    def announced(self) -> frozenset[int]:
        """The levels whose source estimates somebody has announced, and that lie ahead.

        These will be made in any case. The objective starts before the weighting,
        which can so build on what the objective needs: at those levels, the sources'
        estimates cost a weighting nothing.
        """
        ...

    def noise(self, purpose: str, index: int = 0) -> Tensor:
        """Return standard normal noise (B, C, H, W), the same for the same key.

        The key is (the image's seed, ``purpose``, ``index``), so no component
        can disturb another's draws. Begin ``purpose`` with your plugin's name.
        Drawn on the CPU in float32: every device and batch gets the same numbers.
        """
        ...

    def clean_estimate(self, x: Tensor, level: int) -> Tensor:
        """Return the clean estimate of noisy images x0 + sigma n at one level (Tweedie).

        ``x`` is (M, C, h, w) for any M and any size; the result has its shape. M h w / (H W)
        is added to ``nfe``: M, for images of the sources' size. At level N, which
        is clean, it returns ``x`` and counts nothing. No gradient passes through
        the estimator: a tensor that requires one is refused.
        """
        ...

    def gradient(self, x: Tensor, level: int, cotangent: Tensor) -> Tensor:
        """Return J^T cotangent, J the Jacobian of :meth:`clean_estimate` of ``x`` (B, C, H, W).

        Counted as an evaluation of every image. The prior must have ``vjp``.
        """
        ...

    def announce(self, levels: Iterable[int], singly: bool = False) -> None:
        """Say which levels' source estimates will be asked for, so that they are batched.

        ``singly`` says that each source's will be asked for by its number, and once: large
        ones are then made one after another, and not kept.
        """
        ...

    def source_estimate(self, level: int, source: int | None = None) -> Tensor:
        """Return the clean estimate of every source noised to a level, (K, B, C, H, W).

        One noise field per image serves all levels and sources, so the order of
        the sources cannot matter. Computed once for all components, together
        with announced later levels as far as memory allows, and released when
        the sampler has passed the level: at step i, ask for levels >= i only
        (an earlier one is computed anew, and counted). Level N returns the
        sources. Do not write to it.

        With a number, from 0, that source's alone, (B, C, H, W). Images that fill a pass of the
        estimator are then made for this source only, and nothing is kept, which takes a
        K-th of the memory: ask once, and let go of one before asking for the next.
        Where the level has been announced to be needed whole, it is part of that.
        """
        ...

    def reduced(self, factor: int) -> Run:
        """Return this run at a lower resolution: the same levels and seeds, smaller sources.

        Its ``sources`` are (K, B, C, ceil(H / factor), ceil(W / factor)), averages over blocks
        of factor x factor pixels (mirrored past the border): pixel (y, x) is that of the
        block that begins at (factor y, factor x). Its ``noise``, announced levels and source
        estimates are of that size, and its own; its evaluations are counted with
        this run's, by their area, and levels that the sampler has passed are
        released in it too. The same factor gives the same object; 1 gives this run.
        """
        ...

    def with_prior(self, prior: NoiseEstimator, name: str = "noise estimator") -> Run:
        """Return this run with estimates by another prior than the one that is sampled from.

        For one that is cheaper, or better, for what a component asks. Levels and seeds are the
        same. Grey sources have as many channels there as that prior takes, one if it takes any
        number: its ``noise`` and estimates have, too. Its evaluations count in ``nfe`` like all
        others, and are in no cache. ``name`` is what messages call the prior; the same object
        gives the same run.

        Raises
        ------
        UsageError
            The prior takes another number of channels, or begins below this run's levels.
        """
        ...


class Step:
    """What a weighting and an objective see of one sampling step.

    Attributes
    ----------
    run
        The run: sources, levels, noise, source estimates.
    index
        i, from 0 to ``run.steps - 1``.
    provisional
        True for calls that are no step of their own: the one before sampling, when a run starts
        from a noised initial fusion (``x`` and ``x0`` are then the plain mean of the sources,
        the only estimate there is), and those of a sampler that looks ahead. Do not store
        state from them.
    """

    __slots__ = ("_previous", "_x", "_x0", "index", "provisional", "run")

    def __init__(
        self,
        run: Run,
        index: int,
        x: Tensor | None,
        x0: Tensor | None,
        previous: Tensor | None = None,
        provisional: bool = False,
    ) -> None:
        self.run = run
        self.index = index
        self._x = x
        self._x0 = x0
        self._previous = previous
        self.provisional = provisional

    @property
    def x(self) -> Tensor:
        """The noisy fused image at level ``index``, (B, C, H, W)."""
        return self._of_trajectory(self._x, "x")

    @property
    def x0(self) -> Tensor:
        """Its clean estimate before correction, (B, C, H, W), in about [-1, 1]."""
        return self._of_trajectory(self._x0, "x0")

    @property
    def previous(self) -> Tensor | None:
        """The corrected clean estimate of the step before, (B, C, H, W); None at the first."""
        self._of_trajectory(self._x0, "previous")
        return self._previous

    @property
    def has_trajectory(self) -> bool:
        """Whether ``x``, ``x0`` and ``previous`` exist: not in a target-only run."""
        return self._x0 is not None

    @property
    def sigma(self) -> float:
        """The noise level of this step."""
        return self.run.sigma[self.index]

    def _of_trajectory(self, tensor: Tensor | None, name: str) -> Tensor:
        if tensor is None:
            raise RuntimeError(
                f"step.{name} was read, but the component declares uses_trajectory = False"
            )
        return tensor
