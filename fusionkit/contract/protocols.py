"""What the objects that plugins build must do. Structural: nothing needs to be inherited.

Notation: K sources, B images in the batch, C channels of the noise estimator,
H x W pixels; values in [-1, 1]; steps i = 0 ... N-1, levels i = 0 ... N, of which
level N is clean. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class NoiseEstimator(Protocol):
    """A diffusion prior: the denoiser of white noise that a pretrained model is at every level.

    Whatever its own parametrisation, it sees x = x0 + sigma n, with x0 in [-1, 1] and n standard
    normal, and estimates x0; the noise of the papers follows, eps = (x - x0) / sigma. Equal
    inputs give equal outputs; images of a batch do not interact. :class:`fusionkit.Prior` is a
    base; :func:`fusionkit.from_epsilon`, :func:`fusionkit.from_velocity`,
    :func:`fusionkit.from_denoiser`, :func:`fusionkit.from_azula` and
    :func:`fusionkit.from_deepinv` make priors of what there is.
    """

    @property
    def channels(self) -> int | None:
        """C; None for any number.

        Of one: each channel of an image is estimated by itself. Of three: grey sources are
        replicated, and averaged back.
        """

    multiple_of: int
    """Height and width must be multiples of this; the host pads by mirroring, and crops back."""

    sigma_min: float
    """The least level that it knows: 0 if any."""

    sigma_max: float
    """The greatest: a run that starts beyond it is refused. Infinite if any."""

    # Optional: ``vjp(x, sigma, cotangent) -> (x0, gradient)``, the estimate and J^T cotangent, for
    # samplers that follow gradients; ``weights_sha256``, the hash of the weights, for the record;
    # ``pixels_per_pass``, how many pixels at most it wants in one call (the host
    # splits batches); ``pixels_per_tile``, how many of one image (the host splits a
    # larger one into tiles, which overlap by 64 pixels); ``flops(height, width)``, its operations
    # for one image, for benchmarks; ``compiled``, true if it was asked to compile its network,
    # and did.

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate x0.

        ``x`` is (B, C, H, W), ``sigma`` (B,) > 0, on the same device and of the same dtype. The
        result has the shape of ``x``; a network that computes in a lower precision casts inside.
        """
        ...


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
    observations : tuple of Observation
        (K,), how each source was measured.
    """

    sources: Tensor
    seeds: tuple[int, ...]
    steps: int
    sigma: tuple[float, ...]
    observations: tuple[Observation, ...]

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


@runtime_checkable
class StartedWeighting(Protocol):
    """A weighting in one run; a plain function will do. All state of the run lives here."""

    def __call__(self, step: Step) -> Tensor:
        """Return the weights of this step: (K, B, 1, H, W), >= 0, summing to 1 over K.

        Their dtype is that of ``run.sources``, as with all that components return.
        """
        ...


@runtime_checkable
class Weighting(Protocol):
    """How much each source guides each pixel, step by step. Immutable and reusable.

    Four members are optional. ``uses_trajectory`` (default True): False promises
    that ``step.x``, ``step.x0`` and ``step.previous`` are never read. ``levels`` (default
    ``"all"``): ``"first"`` promises, beside that, that what it returns is the same at every step,
    and depends on the sources and on what the run says of level 0 alone (its constants, noise
    and estimates); ``"none"``, on the sources alone. Nothing more is then run than that takes, and
    the person is told of settings that change nothing. ``sources`` (default ``"any"``): the only
    K that it can take. ``weighs_by``: what a trace measures that these weights are made from.
    """

    def start(self, run: Run) -> StartedWeighting:
        """Begin a run, after the objective has: do here what is done once."""
        ...


@runtime_checkable
class StartedObjective(Protocol):
    """An objective in one run. All state of the run lives here."""

    def initial(self, weights: Tensor) -> Tensor:
        """Return a first fusion from weights alone: (B, C, H, W) in about [-1, 1].

        Called at most once, before the first ``rectify``, when the run starts
        from a noised initial fusion.
        """
        ...

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return ``step.x0`` corrected towards the sources, (B, C, H, W)."""
        ...


@runtime_checkable
class Objective(Protocol):
    """How weighted sources correct the clean estimate. Immutable and reusable.

    ``uses_trajectory``, ``levels`` and ``sources`` are optional, as for :class:`Weighting`;
    ``levels`` speaks of what comes of equal weights at every step. Where neither
    component uses the trajectory, the noise estimator is not evaluated on it,
    and the record calls the run "target only".
    """

    def start(self, run: Run) -> StartedObjective:
        """Begin a run: do here what is done once."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """How a run goes from its levels to an image. Immutable and reusable.

    One member is optional. ``needs_gradient`` (default False): it asks for ``run.gradient``, so
    that the prior must have ``vjp``.
    """

    trajectory: bool
    """Whether it makes one. Without, components that read ``step.x`` and so on are refused."""

    def sample(self, run: Run, guide: Guide) -> Iterator[Any]:
        """Yield what ``guide`` returns for every step of the run; of the last, the result.

        ``guide.start()`` is the image at level 0, (B, C, H, W). ``guide(i, x, x0)`` asks the
        components, and returns a record with the ``corrected`` clean estimate.
        ``guide(i, x, x0, provisional=True)`` does so for a look ahead, which is not yielded.
        """
        ...


class Guide(Protocol):
    """What a sampler is guided by."""

    def start(self) -> Tensor:
        """Return the image at level 0, (B, C, H, W): noise, or the noised initial fusion."""
        ...

    def __call__(
        self,
        index: int,
        x: Tensor | None = None,
        x0: Tensor | None = None,
        provisional: bool = False,
    ) -> Any:
        """Weigh the sources at a level, and correct the clean estimate towards them."""
        ...


class Observation(Protocol):
    """How one source was measured: y = A c + n, with A linear, n white of ``sigma``, where known.

    :class:`fusionkit.BaseObservation` is a base, whose ``prox`` is by conjugate gradients.
    """

    sigma: float
    """Standard deviation of n, in units of images in [-1, 1]; 0 for none."""

    mask: Tensor | None
    """(B or 1, 1, h, w) of y's own grid, in [0, 1]: where it says something; None for all over."""

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return what would be measured of images (B, C, H, W), without noise: (B, C, h, w)."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y: <A c, y> = <c, adjoint(y)> for all c and y."""
        ...

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Return argmin_c of the sum of mask (A c - y)² / 2 and rho (c - z)² / 2; rho > 0."""
        ...


@runtime_checkable
class Metric(Protocol):
    """A measure of a fused image against its sources.

    Four members are optional: ``bounds``, the least and greatest value that it can
    take (a pair of floats, infinite where there is none); ``reference``, the paper that
    it comes from; ``summed``, True if it is a sum over the sources, which grows with
    their number, so that the value per source is reported beside it; and
    ``within(fused, sources, where)``, the same measure where ``where`` (B, 1, H, W), bool and
    true somewhere in every image, is true: a map averaged over those places, or the values of
    those pixels alone. With ``where`` true everywhere it gives what the call gives.
    """

    higher_is_better: bool
    convention: str
    """The definition in one line, since toolkits disagree: units, window, base of the logarithm."""

    sources: str | int
    """``"any"``, or the only number of sources that it is defined for."""

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Measure ``fused`` (B, 1, H, W) against ``sources`` (K, B, 1, H, W); return (B,).

        Both are float64 BT.601 luma in [0, 255], not rounded.
        """
        ...


def uses_trajectory(component: Any) -> bool:
    """Whether a weighting or objective reads the fused trajectory (True unless it says no)."""
    return bool(getattr(component, "uses_trajectory", True))


LEVELS = ("none", "first", "all")
"""What ``levels`` can be, from the least that a component may depend on to the most."""


def levels(component: Any) -> str:
    """Return which levels a weighting or objective depends on, one of :data:`LEVELS`.

    Raises
    ------
    ValueError
        It says something else, or that it depends on fewer than all and uses the trajectory.
    """
    said: str = getattr(component, "levels", "all")
    if said not in LEVELS:
        raise ValueError(f"levels is one of {', '.join(LEVELS)}, not {said!r}")
    if said != "all" and uses_trajectory(component):
        raise ValueError(f"levels is {said!r}, and so uses_trajectory must be False")
    return said
