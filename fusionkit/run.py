"""One run over one batch: the sources, their noise, and all evaluations of the estimator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .checks import Checks, blame, check_shape
from .mirror import mirrored_index
from .protocols import NoiseEstimator
from .schedule import Schedule

PIXELS_PER_PASS = 2**20
"""How many pixels go through an estimator at once that does not say: at least one image does."""


class Run:
    """The host's :class:`fusionkit.protocols.Run`: estimates are made, counted and kept here.

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
    checks
        Where the flags of what the estimator returns are gathered.
    """

    def __init__(
        self,
        sources: Tensor,
        seeds: Sequence[int],
        estimator: NoiseEstimator,
        schedule: Schedule,
        *,
        memory_budget: int = 2**28,
        checks: Checks | None = None,
        estimator_name: str = "noise estimator",
    ) -> None:
        self.sources = sources
        self.seeds = tuple(seeds)
        self.schedule = schedule
        self.steps = schedule.steps
        self.a, self.s, self.sigma = schedule.a, schedule.s, schedule.sigma
        self.timesteps = schedule.timesteps
        self.nfe = 0
        self.checks = checks if checks is not None else Checks()
        self._estimator = estimator
        self._estimator_name = estimator_name
        self._budget = memory_budget
        self._held: dict[int, Tensor] = {}  # by time step, so that a plan's subset keeps them
        self._announced: set[int] = set()
        self._source_noise: Tensor | None = None
        height, width = sources.shape[-2:]
        multiple = estimator.multiple_of
        self._rows = _mirrored(height, multiple, sources.device)
        self._columns = _mirrored(width, multiple, sources.device)

    def noise(self, purpose: str, index: int = 0) -> Tensor:
        """Return standard normal noise (B, C, H, W), keyed by (seed, purpose, index)."""
        shape = self.sources.shape[2:]
        drawn = [
            torch.randn(shape, generator=_generator(seed, purpose, index)) for seed in self.seeds
        ]
        return torch.stack(drawn).to(self.sources.device, self.sources.dtype)

    def clean_estimate(self, x: Tensor, level: int) -> Tensor:
        """Return the clean estimates of noisy images (M, C, H, W) at one level, and count them."""
        if level == self.steps:
            return x
        if x.requires_grad:
            raise RuntimeError("no gradient passes through the estimator: detach the image first")
        return self._clean_estimates(x, [level] * len(x))

    def announce(self, levels: Iterable[int]) -> None:
        """Note levels to be batched with earlier ones."""
        self._announced.update(self.timesteps[i] for i in levels if i < self.steps)

    def source_estimate(self, level: int) -> Tensor:
        """Return the clean estimate of every source noised to a level, (K, B, C, H, W)."""
        if not 0 <= level <= self.steps:
            raise ValueError(f"there are levels 0 to {self.steps}, not {level}")
        if level == self.steps:
            return self.sources
        wanted = self.timesteps[level]
        if wanted not in self._held:
            levels = [level, *self._ahead(level)]
            sources, noise = self.sources, self._noise_of_sources()
            noisy = torch.stack([self.a[i] * sources + self.s[i] * noise for i in levels])
            per_level = noisy[0, :, :, 0, 0, 0].numel()
            estimates = self._clean_estimates(
                noisy.flatten(0, 2), [i for i in levels for _ in range(per_level)]
            ).view_as(noisy)
            # Copies: a view would keep the whole batch alive until its last level is released.
            self._held.update(
                {
                    self.timesteps[i]: estimates[n].clone() if len(levels) > 1 else estimates[n]
                    for n, i in enumerate(levels)
                }
            )
        return self._held[wanted]

    def subset(self, keep: Sequence[int]) -> Run:
        """Return this run with only some of its steps; estimates made so far are kept."""
        run = Run(
            self.sources,
            self.seeds,
            self._estimator,
            self.schedule.subset(keep),
            memory_budget=self._budget,
            checks=self.checks,
            estimator_name=self._estimator_name,
        )
        run.nfe = self.nfe
        run._source_noise = self._source_noise
        run._held = {t: held for t, held in self._held.items() if t in run.timesteps}
        self._held.clear()  # they are the subset's to release
        return run

    def release_before(self, level: int) -> None:
        """Forget the source estimates of the levels before this one; the sampler calls it."""
        kept = set(self.timesteps[level:])
        self._held = {t: held for t, held in self._held.items() if t in kept}
        self._announced &= kept

    def _ahead(self, level: int) -> list[int]:
        """Announced later levels that fit into the memory budget together with this one."""
        later = [
            i
            for i in range(level + 1, self.steps)
            if self.timesteps[i] in self._announced and self.timesteps[i] not in self._held
        ]
        size = self.sources.numel() * self.sources.element_size()
        room = self._budget // size - len(self._held) - 1
        return later[: max(0, room)]

    def _noise_of_sources(self) -> Tensor:
        if self._source_noise is None:
            self._source_noise = self.noise("fusionkit/sources")
        return self._source_noise

    def _clean_estimates(self, x: Tensor, levels: Sequence[int]) -> Tensor:
        """Clean estimates of (M, C, H, W), image m at ``levels[m]``: the one place that counts."""
        check_shape(x, (len(levels), *self.sources.shape[2:]), "a component", "images to estimate")
        self.nfe += len(levels)
        most = getattr(self._estimator, "pixels_per_pass", PIXELS_PER_PASS)
        size = max(1, most // (len(self._rows) * len(self._columns)))
        parts = [
            self._one_pass(x[n : n + size], levels[n : n + size]) for n in range(0, len(x), size)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _one_pass(self, x: Tensor, levels: Sequence[int]) -> Tensor:
        height, width = x.shape[-2:]
        t = torch.tensor([self.timesteps[i] for i in levels], device=x.device)
        padded = x
        if (len(self._rows), len(self._columns)) != (height, width):
            padded = x[..., self._rows, :][..., self._columns]
        where = f"at noise level {' '.join(f'{self.sigma[i]:.4g}' for i in sorted(set(levels)))}"
        with torch.no_grad(), blame(self._estimator_name, where):
            eps = self._estimator(padded, t)
        check_shape(eps, padded.shape, self._estimator_name, "noise", where)
        self.checks.finite(eps, f"{self._estimator_name} returned noise that is not finite {where}")
        eps = eps[..., :height, :width].to(x.dtype)
        if len(set(levels)) == 1:
            return (x - self.s[levels[0]] * eps) / self.a[levels[0]]
        shape = (len(levels), 1, 1, 1)
        a = torch.tensor([self.a[i] for i in levels], device=x.device, dtype=x.dtype).view(shape)
        s = torch.tensor([self.s[i] for i in levels], device=x.device, dtype=x.dtype).view(shape)
        return (x - s * eps) / a


def _generator(seed: int, purpose: str, index: int) -> torch.Generator:
    key = f"{seed}\n{purpose}\n{index}".encode()
    digest = hashlib.sha256(key).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _mirrored(size: int, multiple: int, device: torch.device) -> Tensor:
    """Return indices that pad up to a multiple, mirrored at the far edge."""
    return mirrored_index(0, -(-size // multiple) * multiple, size, device)
