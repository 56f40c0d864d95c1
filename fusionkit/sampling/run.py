"""One run over one batch: the sources, their noise, and what is estimated of them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..contract.estimator import NoiseEstimator
from ..contract.observation import Identity, StartedObservation
from ..errors import PluginError, UsageError
from ..ops.borders import mirrored_index
from ..ops.channels import distinct
from ..ops.sending import sent
from .cache import RunCache
from .evaluator import Evaluator
from .flags import Flags, check_shape, version_of
from .levels import Schedule, check_start, most_known


class Run:
    """The host's ``Run``: estimates are made, counted and kept here.

    Parameters
    ----------
    sources
        (K, B, C, H, W) in [-1, 1], C the estimator's channels.
    seeds
        (B,).
    estimator, estimator_name
        The noise estimator, and what messages call it.
    schedule
        The levels.
    memory_budget
        Bytes of source estimates to hold at most (one level always is).
    flags
        Where the flags of what the estimator returns are gathered.
    cache
        Where source estimates are looked for before they are made, and left afterwards.
    tile
        The side of the tiles that images are evaluated in; see ``Evaluator``.
    evaluator
        The estimator with what it has cost already, instead of a new one.
    detach
        Whether images to estimate may require a gradient, which ends there.
    least
        Of the whole image, (K, B, C, 1, 1), where these sources are a patch of it.
    """

    def __init__(
        self,
        sources: Tensor,
        seeds: Sequence[int],
        estimator: NoiseEstimator,
        schedule: Schedule,
        *,
        memory_budget: int = 2**28,
        flags: Flags | None = None,
        estimator_name: str = "noise estimator",
        cache: RunCache | None = None,
        tile: int = 0,
        evaluator: Evaluator | None = None,
        detach: bool = False,
        least: Tensor | None = None,
    ) -> None:
        self.seeds = tuple(seeds)
        self.flags = flags if flags is not None else Flags()
        # What derived runs, shorter or smaller, share with this one:
        self._evaluator = evaluator or Evaluator(estimator, estimator_name, self.flags, tile)
        self._evaluators = [self._evaluator]  # and those of other priors
        self._unit = sources.shape[-2] * sources.shape[-1]
        self._budget = memory_budget
        self._detach = detach
        self._cache = cache
        self._begin(sources, schedule, 1, least)

    def _begin(
        self, sources: Tensor, schedule: Schedule, factor: int, least: Tensor | None = None
    ) -> None:
        self.sources = sources
        self.schedule = schedule
        self.steps = schedule.steps
        self.sigma = schedule.sigma
        self.observations: tuple[StartedObservation, ...] = (Identity(),) * len(sources)
        self._factor = factor
        self._held: dict[int, Tensor] = {}  # by level
        self._lent = [(sources, version_of(sources))]  # what components may read and not write to
        self._announced: set[int] = set()
        self._source_noise: Tensor | None = None
        self._made: dict[int, Run] = {}  # by factor, or by the identity of another prior
        self._least = least

    def _derived(self, sources: Tensor, schedule: Schedule, factor: int) -> Run:
        run = copy.copy(self)
        run._begin(sources, schedule, factor)
        return run

    @property
    def least(self) -> Tensor:
        """The least value of each source and channel, (K, B, C, 1, 1)."""
        if self._least is None:
            least = distinct(self.sources).amin((-2, -1), keepdim=True)
            self._least = least.expand(*self.sources.shape[:3], 1, 1)
        return self._least

    @property
    def nfe(self) -> float:
        """Images evaluated so far, each counted by its share of the sources' full area."""
        return sum(evaluator.pixels for evaluator in self._evaluators) / self._unit

    @property
    def cached(self) -> float:
        """Images that were found in the cache instead of being evaluated, counted alike."""
        return 0.0 if self._cache is None else self._cache.pixels / self._unit

    @property
    def tiled(self) -> int:
        """The side of the smallest tiles that images were evaluated in; 0 if all went whole."""
        return min((each.tiled for each in self._evaluators if each.tiled), default=0)

    @property
    def retries(self) -> int:
        """How often memory ran out, so that the estimator was asked for less at once."""
        return sum(evaluator.retries for evaluator in self._evaluators)

    @property
    def announced(self) -> frozenset[int]:
        """The levels that have been announced and not been passed."""
        return frozenset(self._announced)

    def noise(self, purpose: str, index: int = 0) -> Tensor:
        """Return standard normal noise (B, C, H, W), keyed by (seed, purpose, index)."""
        if self._factor > 1:  # not the first numbers of the full size's field
            purpose = f"{purpose}\n1/{self._factor}"
        drawn = standard_normal(self.sources.shape[2:], self.seeds, purpose, index)
        return sent(drawn, self.sources.device, self.sources.dtype)

    def clean_estimate(self, x: Tensor, level: int) -> Tensor:
        """Return the clean estimates of noisy images (M, C, h, w) at one level, and count them."""
        if level == self.steps:
            return x
        channels, *size = self.sources.shape[2:]
        size = list(x.shape[2:]) if x.ndim == 4 else size  # any size will do
        check_shape(x, (len(x), channels, *size), "a component", "images to estimate")
        if self._detach:
            x = x.detach()
        elif x.requires_grad:
            raise RuntimeError("no gradient passes through the estimator: detach the image first")
        return self._evaluator.clean(x, [self.sigma[level]] * len(x))

    def gradient(self, x: Tensor, level: int, cotangent: Tensor) -> Tensor:
        """Return J^T cotangent, J the Jacobian of the clean estimate of (B, C, H, W); counted."""
        if level == self.steps:
            return cotangent
        return self._evaluator.vjp(x, self.sigma[level], cotangent)

    def announce(self, levels: Iterable[int], singly: bool = False) -> None:
        """Note levels to be batched with earlier ones, but those made source by source."""
        if not (singly and self._large):
            self._announced.update(i for i in levels if i < self.steps)

    def source_estimate(self, level: int, source: int | None = None) -> Tensor:
        """Return the clean estimate of every source noised to a level, (K, B, C, H, W), or of one.

        Those of one source, (B, C, H, W), are not kept if they fill a pass of
        the estimator and nobody wants the others too.
        """
        if not 0 <= level <= self.steps:
            raise ValueError(f"there are levels 0 to {self.steps}, not {level}")
        if level == self.steps:
            return self.sources if source is None else self.sources[source]
        if source is not None:
            if self._large and level not in self._announced and level not in self._held:
                return self._estimates([level], source)[0, 0]
            return self.source_estimate(level)[source]
        if level not in self._held:
            levels = [level, *self._ahead(level)]
            estimates = self._estimates(levels)
            # Copies: a view would keep the whole batch alive until its last level is released.
            for n, i in enumerate(levels):
                self._held[i] = estimates[n].clone() if len(levels) > 1 else estimates[n]
            self._lent += [(self._held[i], version_of(self._held[i])) for i in levels]
        return self._held[level]

    def refuse_writing(self, who: str, where: str = "") -> None:
        """Raise PluginError if the sources or their estimates have been written to."""
        if any(version_of(tensor) != version for tensor, version in self._lent):
            raise PluginError(
                f"{who} wrote to the sources or their estimates {where}".rstrip()
                + ": they are everybody's; it must work on a copy"
            )
        for other in self._made.values():
            other.refuse_writing(who, where)

    def look_at(self, level: int) -> tuple[Tensor, float]:
        """Return what :meth:`source_estimate` does for a level below N, for those who only watch.

        The run goes on as if nobody had looked: estimates that are held are handed out, others
        are made beside them, neither kept nor counted, so that what components get, in
        which batches, and the run's own count stay what they were. The second value is
        the evaluations that this took, in images.
        """
        held = self._held.get(level)
        if held is not None:
            return held, 0.0
        before = self._evaluator.pixels
        estimates = self._evaluated([level])[0]
        spent, self._evaluator.pixels = self._evaluator.pixels - before, before
        return estimates, spent / self._unit

    def reduced(self, factor: int) -> Run:
        """Return this run with every source shrunk, and with all else that follows from it."""
        if factor < 1:
            raise ValueError(f"sources are shrunk by a factor of 1 or more, not {factor}")
        if factor == 1:
            return self
        if factor not in self._made:
            C = self.sources.shape[2]
            small = shrunk(distinct(self.sources), factor).expand(-1, -1, C, -1, -1)
            self._made[factor] = self._derived(small, self.schedule, self._factor * factor)
        return self._made[factor]

    def with_prior(self, prior: NoiseEstimator, name: str = "noise estimator") -> Run:
        """Return this run with the estimates of another prior, and channels as that takes them."""
        key = -id(prior)  # factors are above 0
        if key not in self._made:
            check_start(self.sigma[0], most_known(prior, name), name)
            sources, takes = distinct(self.sources), prior.channels
            if takes not in (None, 1, sources.shape[2]):
                if (count := sources.shape[2]) != 1:
                    raise UsageError(f"{name} takes {takes} channels, and sources have {count}")
                sources = sources.expand(-1, -1, takes, -1, -1)
            run = self._derived(sources, self.schedule, self._factor)
            run._evaluator = self._evaluator.beside(prior, name)
            run._evaluators.append(run._evaluator)
            run._cache = None  # which keeps estimates by this run's prior
            self._made[key] = run
        return self._made[key]

    def release_before(self, level: int) -> None:
        """Forget the source estimates of the levels before this one; the sampler calls it."""
        self._held = {i: held for i, held in self._held.items() if i >= level}
        kept = {id(held) for held in (self.sources, *self._held.values())}
        self._lent = [lent for lent in self._lent if id(lent[0]) in kept]
        self._announced = {i for i in self._announced if i >= level}
        if self._large:  # drawn anew if need be, for less than a hundredth of a pass
            self._source_noise = None
        for other in self._made.values():
            other.release_before(level)

    def _ahead(self, level: int) -> list[int]:
        """Announced later levels that fit into the memory budget together with this one."""
        later = [
            i for i in range(level + 1, self.steps) if i in self._announced and i not in self._held
        ]
        size = self.sources.numel() * self.sources.element_size()
        room = self._budget // size - len(self._held) - 1
        return later[: max(0, room)]

    @property
    def _large(self) -> bool:
        """Whether the images of one source fill a pass: batches of several would save nothing."""
        return self.sources[0, :, 0].numel() >= self._evaluator.pixels_per_pass

    def _estimates(self, levels: Sequence[int], source: int | None = None) -> Tensor:
        """Return the estimates of all sources, or one, at some levels, (L, K, B, C, H, W)."""
        if self._cache is None:
            return self._evaluated(levels, source)
        return self._found_or_evaluated(levels, source, self._cache)

    def _evaluated(self, levels: Sequence[int], source: int | None = None) -> Tensor:
        noisy = self._noisy_sources(levels, source)
        of_each = [i for i in levels for _ in range(noisy[0, :, :, 0, 0, 0].numel())]
        sigmas = [self.sigma[i] for i in of_each]
        return self._evaluator.clean(noisy.flatten(0, 2), sigmas).view_as(noisy)

    def _found_or_evaluated(
        self, levels: Sequence[int], source: int | None, cache: RunCache
    ) -> Tensor:
        """Return the same, evaluating only what is not in the cache."""
        K, B = self.sources.shape[:2]
        like = self.sources[0, 0]
        numbers = range(K) if source is None else (source,)
        keys = [
            cache.key(k, b, factor=self._factor, sigma=self.sigma[i].hex())
            for i in levels
            for k in numbers
            for b in range(B)
        ]
        found = [cache.get(key, like) for key in keys]
        missing = [n for n, estimate in enumerate(found) if estimate is None]
        if missing:
            noisy = self._noisy_sources(levels, source).flatten(0, 2)[missing]
            of_each = [self.sigma[levels[n // (len(numbers) * B)]] for n in missing]
            made = self._evaluator.clean(noisy, of_each)
            for n, estimate in zip(missing, made.unbind(), strict=True):
                found[n] = estimate
                cache.put(keys[n], estimate)
        together = torch.stack([estimate for estimate in found if estimate is not None])
        return together.view(len(levels), len(numbers), *self.sources.shape[1:])

    def _noisy_sources(self, levels: Sequence[int], source: int | None = None) -> Tensor:
        """Return c + sigma n, (L, K, B, C, H, W), with K = 1 where one source is named."""
        if self._source_noise is None:
            self._source_noise = self.noise("fusionkit/sources")
        sources = self.sources if source is None else self.sources[source : source + 1]
        noisy = sources.new_empty(len(levels), *sources.shape)
        for n, i in enumerate(levels):
            torch.mul(self._source_noise, self.sigma[i], out=noisy[n, 0])
            noisy[n, 1:] = noisy[n, 0]
            noisy[n].add_(distinct(sources))
        return noisy


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Average over blocks of factor x factor pixels: (..., H, W) to ceil(H / factor) and so on.

    A block that reaches past the border averages what is mirrored there.
    """
    height, width = images.shape[-2:]
    rows, columns = (
        mirrored_index(0, -(-size // factor) * factor, size, images.device)
        for size in (height, width)
    )
    whole = images[..., rows, :][..., columns]
    small: Tensor = avg_pool2d(whole.reshape(-1, 1, *whole.shape[-2:]), factor)
    return small.view(*images.shape[:-2], *small.shape[-2:])


def standard_normal(
    shape: Sequence[int], seeds: Sequence[int], purpose: str, index: int = 0
) -> Tensor:
    """Draw standard normal noise (B, ...) on the CPU in float32, keyed by seed, purpose, index."""
    drawn = torch.empty(len(seeds), *shape, device="cpu")
    for field, seed in zip(drawn.unbind(), seeds, strict=True):
        torch.randn(*shape, generator=_generator(seed, purpose, index), out=field)
    return drawn


def _generator(seed: int, purpose: str, index: int) -> torch.Generator:
    key = f"{seed}\n{purpose}\n{index}".encode()
    digest = hashlib.sha256(key).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
