"""The training of the learned weighting: one step, and its whole state in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from fusionkit_learned.gains import parsed
from fusionkit_learned.network import MULTIPLE_OF, Network
from fusionkit_learned.weights_file import read_file, write_file
from torch import Tensor

from fusionkit.errors import UsageError

from .. import plan
from ..plan import Progress
from ..state import by_part, check_same, follow, training_state
from .crops import Photographs
from .gains import Gains
from .losses import training_loss
from .samples import Batch, draw_batch

EMA_DECAY = 0.998
"""Of the running average of the weights, which is what is exported."""


@dataclass(frozen=True)
class Plan(plan.Plan):
    """A plan whose crops have multiples of 32 pixels; a batch is counted in sources.

    Attributes
    ----------
    subject
        What the weights are for, of :data:`.degradations.SUBJECTS`.
    gains
        Noise levels such as ``2.03,0.719`` whose information gains the network is shown too.
    """

    peak: float = 1e-3
    warm_up: int = 50
    crop: int = 160
    batch: int = 18
    subject: str = "focus"
    gains: str = ""

    def __post_init__(self) -> None:
        if self.crop % MULTIPLE_OF:
            raise UsageError(f"--crop {self.crop}: must be a multiple of {MULTIPLE_OF}")
        try:
            parsed(self.gains)
        except ValueError as error:
            raise UsageError(f"--{error}") from None


class Trainer:
    """A network in training, with its average, its optimiser and its place in the plan.

    Attributes
    ----------
    progress
        Steps made, and minutes spent on them, over all rounds.
    """

    def __init__(
        self, plan: Plan, photographs: Photographs, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.plan = plan
        self.photographs = photographs
        self.seed = seed
        self.device = device
        self.progress = Progress()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            levels = parsed(plan.gains)
            self.network, self.average = Network(len(levels)), Network(len(levels))
        self.gains = Gains(levels, device) if levels else None
        for model in (self.network, self.average):
            model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        # Not fused: its state is laid out as a file can hold it.
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=plan.peak, betas=(0.9, 0.99), foreach=True
        )

    @property
    def done(self) -> float:
        """The share of the plan that is done."""
        return self.progress.of(self.plan)

    def draw(self) -> Batch:
        """Return this step's batch."""
        plan, step = self.plan, self.progress.step
        drawn = draw_batch(self.photographs, plan.batch, plan.crop, self.seed, step, plan.subject)
        return drawn.to(self.device)

    def learn(self, batch: Batch) -> float:
        """Make one step; return the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.done, self.progress.step)
        gains = self.gains and self.gains(batch, self.seed, self.progress.step)
        loss = training_loss(self.network(batch.sources, gains), batch).mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.progress.step += 1
        follow(self.average, self.network, self.progress.step, EMA_DECAY)
        return loss.item()

    def save(self, path: Path) -> None:
        """Write the whole state, atomically."""
        tensors: dict[str, Tensor] = {}
        moments = self.optimizer.state_dict()["state"]
        for n, (key, value) in enumerate(self.network.named_parameters()):
            tensors[f"weights/{key}"] = value
            for name, moment in moments.get(n, {}).items():
                tensors[f"{name}/{key}"] = moment
        for key, value in self.average.named_parameters():
            tensors[f"average/{key}"] = value
        state = {
            **asdict(self.progress),
            "plan": asdict(self.plan),
            "seed": self.seed,
            "photographs": self.photographs.sha256,
        }
        write_file(path, tensors, {"training": json.dumps(state)})

    def restore(self, path: Path) -> None:
        """Continue from a file that :meth:`save` wrote, under this trainer's own plan.

        Raises
        ------
        UsageError
            It is damaged, no checkpoint, or of other photographs or another seed.
        """
        tensors, state = read_checkpoint(path)
        check_same(state, path, seed=self.seed, photographs=self.photographs.sha256)
        parts = by_part(tensors)
        try:
            self.progress = Progress(int(state["step"]), float(state["minutes"]))
            planes = self.network.stem.in_channels
            for part in ("weights", "average", "exp_avg", "exp_avg_sq"):
                with_planes(parts[part], planes)
            self.network.load_state_dict(parts["weights"])
            self.average.load_state_dict(parts["average"])
            moments = {
                n: {
                    "step": parts["step"][key],
                    # In the weights' own memory layout.
                    "exp_avg": torch.empty_like(weights).copy_(parts["exp_avg"][key]),
                    "exp_avg_sq": torch.empty_like(weights).copy_(parts["exp_avg_sq"][key]),
                }
                for n, (key, weights) in enumerate(self.network.named_parameters())
            }
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"{path}: is no whole checkpoint: {str(error)[:120]!r}") from None

    def export(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the averaged weights in half precision, as ``learned`` loads them."""
        half = {key: value.half() for key, value in self.average.state_dict().items()}
        write_file(path, half, {"gains": self.plan.gains, **metadata})


def with_planes(tensors: dict[str, Tensor], planes: int) -> None:
    """Let a network without gains go on with them: what it knows nothing of counts nothing."""
    stem = tensors["stem.weight"]
    lacking = planes - stem.shape[1]
    if lacking > 0:
        tensors["stem.weight"] = torch.cat([stem, stem.new_zeros(len(stem), lacking, 3, 3)], 1)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a checkpoint's tensors, and what its metadata hold of its training."""
    tensors, metadata, _ = read_file(path)
    return tensors, training_state(metadata, path, Plan)
