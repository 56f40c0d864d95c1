"""Training the compact prior for as long as there is, from a pack of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from fusionkit_diffusion import COMPACT
from fusionkit_diffusion.compact import CompactEstimator
from torch import Tensor

from fusionkit import denoised

from ..compact.plan import Plan
from ..compact.psnr import denoised_psnr
from ..compact.round import Round
from ..compact.train import CompactTraining
from ..compact.trainer import VALIDATION_SIGMAS
from ..training import Task
from .pack import Pack
from .stage import Stage
from .training import pack_of, train

BATCH, BATCH_OF_TOY = 256, 2

SMALL = ("--widths", "8,8", "--blocks", "1")
"""The network of toys, unless weights to begin with are given."""

AFTERWARDS = 25.0
"""Seconds for the last weights, and for what is measured of them."""


class Compiled(CompactTraining):
    """The same with a network that is compiled, once for each size of crops."""

    def begin(self, task: Task[Plan]) -> Round:
        """Return a round, its trainer not restored yet."""
        one = super().begin(task)
        one.trainer.denoiser.network.compile(dynamic=False)
        return one


def run(stage: Stage) -> None:
    """Train, and compare what comes of it with what it began with."""
    args, pack = stage.args, pack_of(stage)
    init = args.init or (None if stage.toy else COMPACT)
    options = ["--device", stage.device]
    options += ["--precision", "float32" if stage.toy else "bfloat16"]
    options += ["--batch", str(args.batch or (BATCH_OF_TOY if stage.toy else BATCH))]
    if init:
        options += ["--init", str(init)]
    if args.rate:
        options += ["--rate", str(args.rate)]
    if stage.toy:
        options += ["--crop", "16", *([] if init else SMALL)]
    training = (Compiled if args.compile else CompactTraining)(pack.rgb)
    trained = train(stage, training, pack, options, AFTERWARDS)
    files = {"begun with": init, "trained": trained}
    for name, file in files.items():
        if file:
            stage.tell(what="PSNR, held out", weights=name, **psnr_of(file, pack, stage))


@torch.no_grad()
def psnr_of(file: Path, pack: Pack, stage: Stage) -> dict[str, Any]:
    """Return the mean PSNR over the photographs held out, whole, in float32, by sigma of 255."""
    torch.backends.cudnn.allow_tf32 = False
    estimator = CompactEstimator(file, device=stage.device)
    images = [pack.rgb(name)[0][None].to(stage.device).float() / 255 for name in pack.held_out]

    def clean(y: Tensor, sigma: float) -> Tensor:
        return denoised(estimator, y, sigma)

    return {
        f"{sigma:g}": sum(denoised_psnr(clean, image, sigma) for image in images) / len(images)
        for sigma in VALIDATION_SIGMAS
    }
