"""The training of the learned weighting: one step, and its whole state in one file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionkit.errors import UsageError

from .losses import training_loss
from .network import Network
from .photographs import Photographs
from .samples import Batch, draw_batch
from .weights_file import read_file, write_file

EMA_DECAY = 0.998
"""Of the running average of the weights, which is what is exported."""


@dataclass(frozen=True)
class Plan:
    """How much training there is to be in all, in minutes of one machine or in steps.

    Attributes
    ----------
    total
        The whole plan, over all rounds.
    unit
        ``minutes``: robust where a machine is shared; ``steps``: the same on every machine.
    peak, warm_up
        The highest learning rate, and the steps until it is reached.
    crop, batch
        Side of a crop, and crops of a step.
    """

    total: float
    unit: str = "minutes"
    peak: float = 3e-3
    warm_up: int = 100
    crop: int = 96
    batch: int = 12

    def rate(self, progress: float, step: int) -> float:
        """Return the learning rate: a warm-up, and a cosine to zero over the whole plan."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.peak * min(1.0, (step + 1) / self.warm_up) * cosine


class Trainer:
    """A network in training, with its average, its optimiser and its place in the plan.

    Attributes
    ----------
    step, minutes
        Made, and spent on them, over all rounds.
    """

    def __init__(self, plan: Plan, photographs: Photographs, seed: int = 0) -> None:
        self.plan = plan
        self.photographs = photographs
        self.seed = seed
        self.step = 0
        self.minutes = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network, self.average = Network(), Network()
        for model in (self.network, self.average):
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        # Not fused: its state is laid out as a file can hold it.
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=plan.peak, foreach=True)

    @property
    def done(self) -> float:
        """The share of the plan that is done."""
        return (self.step if self.plan.unit == "steps" else self.minutes) / self.plan.total

    def draw(self) -> Batch:
        """Return this step's batch."""
        return draw_batch(self.photographs, self.plan.batch, self.plan.crop, self.seed, self.step)

    def learn(self, batch: Batch) -> float:
        """Make one step; return the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.done, self.step)
        loss = training_loss(self.network(batch.sources, batch.x0, batch.sigma), batch).mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._follow()
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
            "step": self.step,
            "minutes": self.minutes,
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
        for name, mine in (("seed", self.seed), ("photographs", self.photographs.sha256)):
            if state.get(name) != mine:
                raise UsageError(
                    f"{path}: was trained with other {name} than are given now: give the same, "
                    "or another folder to start anew"
                )
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            part, _, rest = key.partition("/")
            parts.setdefault(part, {})[rest] = value
        try:
            self.step, self.minutes = int(state["step"]), float(state["minutes"])
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

    def export(self, path: Path, notes: dict[str, Any]) -> None:
        """Write the averaged weights in half precision, as ``learned`` loads them."""
        half = {key: value.half() for key, value in self.average.state_dict().items()}
        write_file(path, half, {key: json.dumps(value) for key, value in notes.items()})

    @torch.no_grad()
    def _follow(self) -> None:
        # A short memory at first, so that the average does not drag the beginning along.
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for mean, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(current, 1 - decay)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a checkpoint's tensors, and what its metadata hold of its training."""
    tensors, metadata, _ = read_file(path)
    try:
        state = json.loads(metadata["training"])
        Plan(**state["plan"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{path}: is no checkpoint of a training") from None
    return tensors, state
