"""How fast a GPU fuses, by size, sources, batch, precision and compilation; and how fast it trains.

The most telling cases come first: time may be over before the last.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from fusionkit_benchmarks.speed.timing import Stopwatch, TimedPipeline
from fusionkit_diffusion import adm_network
from fusionkit_diffusion.compact_network import Architecture, forward_flops
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fusionkit import compose
from fusionkit.contract.registry import Registry
from fusionkit.errors import FusionkitError, one_line
from fusionkit.host.hardware import convolution_rate, synchronize
from fusionkit.host.parts import Part
from fusionkit.host.record import environment
from fusionkit.ops.borders import mirrored_index
from fusionkit.recipes.finding import task_recipe
from fusionkit.testing.doubles import synthetic_sources

from ..compact.crops import Photographs
from ..compact.plan import Plan
from ..compact.trainer import Trainer
from .checkout import first_party
from .meters import peak, reset_peak, timed
from .stage import Stage

SMALL, MEDIUM, LARGE, TINY = (480, 640), (1200, 1664), (4000, 6000), (32, 48)
"""Heights and widths: 0.3, 2 and 24 megapixels; and those of toys."""

SAMPLED = {
    "steps": 4,
    "start-sigma": 2.03,
    "estimator": {"name": "diffusion:compact"},
    "weighting": {"name": "dig:dig"},
    "objective": {"name": "objectives:gradients"},
    "sampler": {"name": "samplers:ddim"},
}
"""A recipe with a fused trajectory, where nearly all is the estimator's."""

_GENERAL = task_recipe("general")
_BY_NETWORK = {"weighting": {**_GENERAL["weighting"], "prior": ""}}
RECIPES = {"sampled": SAMPLED, "general": {**_GENERAL, **_BY_NETWORK}}
"""By what cases call them. The estimator is asked for gains, too: it is what is timed."""

CROP, STEPS = 64, 10
"""Side of a crop, and steps of training that are timed."""


@dataclass(frozen=True)
class Case:
    """A fusion to be timed.

    Attributes
    ----------
    size
        Height and width.
    recipe
        One of :data:`RECIPES`.
    sources, batch
        K, and images that are fused at once.
    precision
        That of the host, or ``tf32``: float32 with convolutions that round their inputs to it.
    compiled
        Whether the network is compiled, on CUDA with CUDA graphs.
    """

    size: tuple[int, int]
    recipe: str = "sampled"
    sources: int = 2
    batch: int = 1
    precision: str = "bfloat16"
    compiled: bool = False


@dataclass(frozen=True)
class Steps:
    """Steps of training the compact prior to be timed, in bfloat16.

    Attributes
    ----------
    batch
        Crops of a step.
    compiled
        Whether the network is compiled.
    """

    batch: int
    compiled: bool = False


@dataclass(frozen=True)
class Published:
    """Evaluations of the ADM network for 256 x 256 pixels to be timed, with weights of noise.

    Attributes
    ----------
    batch
        Images of an evaluation.
    """

    batch: int


CASES: tuple[Case | Steps | Published, ...] = (
    *(Case(size) for size in (SMALL, MEDIUM, LARGE)),
    *(Case(SMALL, precision=precision) for precision in ("float32", "tf32", "float16")),
    Case(SMALL, batch=32),
    Steps(256),
    Steps(1024),
    Published(1),
    *(Case(size, "general") for size in (SMALL, MEDIUM, LARGE)),
    *(Case(size, sources=5) for size in (SMALL, MEDIUM)),
    *(Case(MEDIUM, precision=precision) for precision in ("float32", "tf32", "float16")),
    # Compiling may take a minute.
    Case(SMALL, compiled=True),
    Steps(256, compiled=True),
    Case(MEDIUM, compiled=True),
    Case(SMALL, batch=32, compiled=True),
    Case(MEDIUM, batch=32),
    *(Case(SMALL, batch=32, precision=precision) for precision in ("float32", "float16")),
    Case(SMALL, sources=5, batch=32),
    *(Case(LARGE, precision=precision) for precision in ("tf32", "float32")),
    Case(LARGE, sources=5),
    Case(LARGE, batch=32),
)

TOYS: tuple[Case | Steps | Published, ...] = (
    Case(TINY, precision="float32"),
    Case(TINY, "general", sources=3, batch=2),
    Steps(2),
    Published(1),
)


def run(stage: Stage) -> None:
    """Time what there is time for."""
    speed = Speed(stage, first_party())
    stage.tell(what="machine", **environment(stage.device, "float32"))
    speed.measure_rates()
    for case in TOYS if stage.toy else CASES:
        if stage.left() <= 0:
            stage.tell(what="out of time", case=str(case))
            return
        try:
            speed.time(case)
        except torch.OutOfMemoryError:
            stage.tell(what="does not fit", case=str(case))
        except (FusionkitError, RuntimeError) as error:
            stage.tell(what="failed", passed=False, case=str(case), error=one_line(error))
        if stage.device.startswith("cuda"):
            torch.cuda.empty_cache()


class Speed:
    """What is timed, with components that are built once.

    Parameters
    ----------
    stage
        Where rows are told.
    registry
        Of all plugins.
    """

    def __init__(self, stage: Stage, registry: Registry) -> None:
        self._stage = stage
        self._registry = registry
        self._built: dict[str, Part] = {}
        self._rates: dict[str, float] = {}

    def measure_rates(self) -> None:
        """Measure what convolutions reach, in TFLOP/s, by precision."""
        wide: dict[str, Any] = {"channels": 8, "side": 32, "seconds": 0.01}
        if not self._stage.toy:
            wide = {"channels": 256, "side": 1024, "seconds": 0.5}
        for precision in ("bfloat16", "tf32", "float32", "float16"):
            _allow_tf32(precision == "tf32")
            dtype = getattr(torch, _host_precision(precision))
            self._rates[precision] = convolution_rate(dtype, self._stage.device, **wide)
        self._stage.tell(what="convolutions, TFLOP/s", **self._rates)

    def time(self, case: Case | Steps | Published) -> None:
        """Time a case."""
        if isinstance(case, Case):
            self.fusion(case)
        elif isinstance(case, Steps):
            self.training(case)
        else:
            self.published(case)

    def fusion(self, case: Case) -> None:
        """Time a fusion of sources that are on the device; tell how much it computes a second."""
        device = self._stage.device
        _allow_tf32(case.precision == "tf32")
        pipeline = compose(
            recipe=_recipe(case, device),
            registry=self._registry,
            built=self._built,
        )
        sources = _sources(case, device)
        began = time.perf_counter()
        pipeline(sources)
        synchronize(device)
        first = time.perf_counter() - began
        reset_peak(device)
        seconds = timed(lambda: pipeline(sources), device)
        memory = peak(device)
        watch = Stopwatch(device)
        TimedPipeline(pipeline, watch)(sources)
        rate = watch.flops / seconds / 1e12
        parts = {part: spent for part, spent in watch.seconds.items() if spent}
        self._stage.tell(
            what="fusion",
            size=f"{case.size[1]}x{case.size[0]}",
            recipe=case.recipe,
            K=case.sources,
            batch=case.batch,
            precision=case.precision,
            compiled=case.compiled,
            seconds=seconds,
            first=first,
            tflops=rate,
            share=rate / self._rates[case.precision],
            peak_mib=memory,
            **parts,
        )

    def training(self, case: Steps) -> None:
        """Time steps of training, of crops of noise."""
        device, toy = self._stage.device, self._stage.toy
        _allow_tf32(True)
        crop, steps = (16, 1) if toy else (CROP, STEPS)
        plan = Plan(1e6, "steps", crop=crop, batch=case.batch)
        arch = Architecture((8, 8), blocks=1) if toy else Architecture()
        trainer = Trainer(arch, plan, _noise(2 * crop, device), device=device)
        trainer.low_precision = torch.bfloat16
        if case.compiled:
            trainer.denoiser.network.compile(dynamic=False)

        def make_steps() -> None:
            for _ in range(steps):
                trainer.learn(*trainer.draw())

        trainer.learn(*trainer.draw())
        reset_peak(device)
        seconds = timed(make_steps, device) / steps
        flops = 3 * forward_flops(arch, crop, crop) * case.batch
        self._stage.tell(
            what="a step of training compact",
            batch=case.batch,
            crop=crop,
            compiled=case.compiled,
            seconds=seconds,
            crops_per_second=case.batch / seconds,
            tflops=flops / seconds / 1e12,
            share=flops / seconds / 1e12 / self._rates["bfloat16"],
            peak_mib=peak(device),
        )

    def published(self, case: Published) -> None:
        """Time an evaluation of the network that the published methods have, in bfloat16."""
        device, toy = self._stage.device, self._stage.toy
        published = adm_network.Architecture
        arch = published(32, (32, 32), 1, (False, True), 16) if toy else published()
        side = 32 if toy else 256
        with torch.device(device), torch.no_grad():
            network = adm_network.ADMNetwork(arch).to(torch.bfloat16).eval()
            x = torch.randn(case.batch, 3, side, side, dtype=torch.bfloat16)
            t = torch.full((case.batch,), 500.0)
            with FlopCounterMode(display=False) as counted:
                network(x, t)
            reset_peak(device)
            seconds = timed(lambda: network(x, t), device)
        rate = counted.get_total_flops() / seconds / 1e12
        self._stage.tell(
            what="an evaluation of ADM",
            parameters=sum(weight.numel() for weight in network.parameters()),
            size=f"{side}x{side}",
            batch=case.batch,
            seconds=seconds,
            tflops=rate,
            share=rate / self._rates["bfloat16"],
            peak_mib=peak(device),
        )


def _recipe(case: Case, device: str) -> dict[str, Any]:
    settings = {
        "device": device,
        "precision": _host_precision(case.precision),
        "compile": "on" if case.compiled else "off",
    }
    return {**RECIPES[case.recipe], **settings}


def _sources(case: Case, device: str) -> Tensor:
    """Return sources (K, B, 3, H, W), a small scene mirrored until it is as large."""
    height, width = case.size
    rows, columns = min(height, SMALL[0]), min(width, SMALL[1])
    small = synthetic_sources(case.sources, 1, 3, rows, columns, dtype=torch.float32).clamp(-1, 1)
    small = small.to(device)
    down, across = (
        mirrored_index(0, size, shown, small.device)
        for size, shown in ((height, rows), (width, columns))
    )
    return small[..., down, :][..., across].repeat(1, case.batch, 1, 1, 1)


def _noise(side: int, device: str) -> Photographs:
    """Return a photograph of noise, and its copy at half size."""
    sides = torch.tensor([side, side // 2])
    pixels = torch.randint(0, 256, (int(sides.square().sum()), 3), dtype=torch.uint8)
    start = torch.tensor([0, side**2])
    sides = sides.to(device)
    return Photographs(pixels.to(device), start.to(device), sides, sides, sha256="")


def _host_precision(precision: str) -> str:
    return "float32" if precision == "tf32" else precision


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
