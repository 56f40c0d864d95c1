"""The training of the compact prior: one step, and its whole state in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from fusionkit_diffusion.compact_file import architecture_of, describe, read_file
from fusionkit_diffusion.compact_network import PIXELWISE, Architecture, Denoiser, column, rotation
from torch import Tensor

from fusionkit.errors import UsageError
from fusionkit.host.weights_file import write_safetensors

from .. import plan
from ..state import by_part, check_same, follow, generator_for, training_state
from .crops import Photographs, vary
from .muon import Muon
from .plan import LevelWeights, Plan, draw_levels
from .psnr import denoised_psnr

EMA_DECAY = 0.999
"""Of the running average of the weights, which is what is exported."""

OUTLIER = 1.5
"""Norms of gradients are at most this, in units of their running mean."""

VALIDATION_SIGMAS = (15.0, 25.0, 50.0)


@dataclass
class Progress(plan.Progress):
    """How far a training has come, with the crops seen, whose number changes."""

    crops: int = 0


@dataclass
class Trainer:
    """A denoiser in training, with its average, its optimiser and its place in the plan.

    Attributes
    ----------
    low_precision
        The dtype that convolutions are cast to, or None.
    """

    arch: Architecture
    plan: Plan
    photographs: Photographs
    seed: int = 0
    device: str = "cpu"
    low_precision: torch.dtype | None = None
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.denoiser = Denoiser(self.arch)
            self.average = Denoiser(self.arch)
        for model in (self.denoiser, self.average):
            model.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average.load_state_dict(self.denoiser.state_dict())
        self.average.requires_grad_(False)
        self.optimizer = Muon(self.denoiser.network, PIXELWISE)
        self.levels = LevelWeights(self.device)
        self.usual_norm = torch.zeros((), device=self.device)

    @property
    def done(self) -> float:
        """The share of the plan that is done."""
        return self.progress.of(self.plan)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return this step's clean crops in [-1, 1], noise, and noise levels."""
        generator = generator_for(self.seed, self.progress.step, device=self.device)
        count, size = self.plan.crops(self.done, self.arch.multiple_of)
        clean = 2 * vary(self.photographs.crops(count, size, generator), generator) - 1
        noise = torch.randn(clean.shape, generator=generator, device=self.device)
        return clean, noise, draw_levels(count, generator)

    def learn(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Make one step on crops (B, 3, S, S); return their losses (B,), not weighted."""
        sin, cos = (column(part) for part in rotation(sigma, self.arch.sigma_data))
        image = clean / self.arch.sigma_data
        enabled = self.low_precision is not None
        with torch.autocast(torch.device(self.device).type, self.low_precision, enabled=enabled):
            v = self.denoiser.velocity(cos * image + sin * noise, sigma)
        losses = (v - (sin * image - cos * noise)).square().mean((1, 2, 3))
        weights = self.levels(sigma, losses.detach())
        self.optimizer.zero_grad()
        torch.autograd.backward((weights * losses).mean())
        self._bound_gradients()
        self.optimizer.step(self.plan.rate(self.done, self.progress.step))
        follow(self.average, self.denoiser, self.progress.step, EMA_DECAY)
        self.progress.step += 1
        self.progress.crops += len(clean)
        return losses.detach()

    @torch.no_grad()
    def validate(self, images: list[Tensor]) -> dict[float, float]:
        """Return the average's mean PSNR, by sigma of 255, over images (1, 3, H, W) in [0, 1].

        Height and width are multiples of what the network needs.
        """

        def denoise(y: Tensor, sigma: float) -> Tensor:
            level = torch.full((len(y),), sigma, device=y.device)
            enabled = self.low_precision is not None
            kind = torch.device(self.device).type
            with torch.autocast(kind, self.low_precision, enabled=enabled):
                estimate: Tensor = self.average(y, level)
            return estimate

        return {
            sigma: sum(denoised_psnr(denoise, image, sigma) for image in images) / len(images)
            for sigma in VALIDATION_SIGMAS
        }

    def save(self, path: Path) -> None:
        """Write the whole state, atomically."""
        tensors = {
            "levels": self.levels.mean,
            "usual_norm": self.usual_norm,
            **self.optimizer.state(),
        }
        for key, value in self.denoiser.network.state_dict().items():
            tensors[f"weights/{key}"] = value
        for key, value in self.average.network.state_dict().items():
            tensors[f"average/{key}"] = value
        state = {
            "progress": asdict(self.progress),
            "plan": asdict(self.plan),
            "seed": self.seed,
            "photographs": self.photographs.sha256,
        }
        write_safetensors(path, tensors, {**describe(self.arch), "training": json.dumps(state)})

    def begin_with(self, path: Path) -> None:
        """Take the weights of a file that :meth:`export` wrote, and nothing else of its training.

        Raises
        ------
        UsageError
            It is damaged, or of another architecture.
        """
        tensors, metadata = read_file(path)
        if architecture_of(metadata, path) != self.arch:
            raise UsageError(f"{path}: is of another architecture than is to be trained")
        whole = {key: value.float() for key, value in tensors.items()}
        try:
            for model in (self.denoiser, self.average):
                model.network.load_state_dict(whole)
        except RuntimeError as error:
            raise UsageError(f"{path}: does not hold all weights: {str(error)[:120]!r}") from None

    def restore(self, path: Path) -> None:
        """Continue from a file that :meth:`save` wrote, under this trainer's own plan.

        Raises
        ------
        UsageError
            It is damaged, or of another architecture, other photographs or another seed.
        """
        tensors, metadata = read_file(path)
        if architecture_of(metadata, path) != self.arch:
            raise UsageError(f"{path}: is of another architecture than is to be trained")
        state = training_state(metadata, path, Plan)
        check_same(state, path, seed=self.seed, photographs=self.photographs.sha256)
        parts = by_part(tensors)
        try:
            self.progress = Progress(**state["progress"])
            self.denoiser.network.load_state_dict(parts["weights"])
            self.average.network.load_state_dict(parts["average"])
            self.levels.mean.copy_(tensors["levels"])
            self.usual_norm.copy_(tensors["usual_norm"])
            self.optimizer.load(tensors)
        except (KeyError, TypeError, RuntimeError) as error:
            raise UsageError(f"{path}: is no whole checkpoint: {str(error)[:120]!r}") from None

    def export(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the averaged weights in half precision, as ``compact`` loads them."""
        half = {key: value.half() for key, value in self.average.network.state_dict().items()}
        write_safetensors(path, half, {**describe(self.arch), **metadata})

    @torch.no_grad()
    def _bound_gradients(self) -> None:
        """Scale gradients down to OUTLIER times their usual norm.

        Muon moves by the direction alone: one outlier, not bounded, would be what
        the momentum points at for twenty steps.
        """
        gradients = [p.grad for p in self.denoiser.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        usual = torch.where(self.usual_norm > 0, self.usual_norm, norm)
        bounded = norm.clamp(max=OUTLIER * usual)
        torch._foreach_mul_(gradients, bounded / norm.clamp(min=1e-12))
        self.usual_norm = usual.lerp(bounded, 0.05)
