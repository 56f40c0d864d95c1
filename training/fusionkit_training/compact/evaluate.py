"""``fusionkit train evaluate-compact``: measure what a file of weights denoises."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fusionkit_diffusion.compact import CompactEstimator
from PIL import Image
from torch import Tensor

from fusionkit import NoiseEstimator, Step, compose, denoised
from fusionkit.cli.arguments import Parser
from fusionkit.errors import UsageError
from fusionkit.imaging import atomic_write

from ..photographs import find_photographs, luma, read_rgb
from .psnr import denoised_psnr


class Unconditional:
    """An objective that corrects nothing: what fusionkit's sampler draws is the prior alone."""

    def start(self, run: Any) -> Unconditional:
        """Begin a run, of which nothing is needed."""
        return self

    def initial(self, weights: Tensor) -> Tensor:
        """Refuse: a run from pure noise has no initial fusion."""
        raise AssertionError("unconditional sampling starts from pure noise")

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return the clean estimate as it is."""
        return step.x0


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    return evaluate(parser().parse_args(arguments))


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        prog="fusionkit train evaluate-compact",
        description="Measure what a file of compact denoises, and draw samples of it.",
    )
    add = made.add_argument
    add("weights", metavar="WEIGHTS", help="a compact.safetensors")
    add("images", nargs="*", metavar="IMAGES", help="images, or folders of images")
    add("--sigma", default="15,25,50,100,255", help="noise levels, of 255 (default %(default)s)")
    add("--grey", action="store_true", help="denoise luminance; see docs/training.md")
    add("--samples", type=int, default=0, help="draw this many unconditional samples")
    add("--size", type=int, default=64, help="side of a sample (default 64)")
    add("--sampling-steps", type=int, default=50, help="steps of the sampler (default 50)")
    add("--eta", type=float, default=0.0, help="noise added in sampling (default 0)")
    add("--sheet", type=Path, help="PNG file for the samples")
    add("--seed", type=int, default=0)
    add("--device", default="cpu")
    add("--precision", default="float32", choices=("float64", "float32", "bfloat16", "float16"))
    add("--threads", type=int, default=1)
    return made


def evaluate(args: argparse.Namespace) -> int:
    """Print a table of PSNR, and draw the sheet, as far as asked for."""
    torch.set_num_threads(args.threads)
    sigmas = parse_sigmas(args.sigma)
    if bool(args.samples) != bool(args.sheet):
        raise UsageError("samples need both --samples N and --sheet FILE.png")
    if not args.images and not args.samples:
        raise UsageError("nothing to do: give images, or --samples N --sheet FILE.png")
    estimator = CompactEstimator(args.weights, device=args.device, precision=args.precision)
    print(f"{args.weights}: sha256 {estimator.weights_sha256}")
    if args.images:
        print_table(estimator, find_photographs(args.images), sigmas, args)
    if args.samples:
        images = draw_samples(
            estimator,
            args.samples,
            args.size,
            seed=args.seed,
            steps=args.sampling_steps,
            eta=args.eta,
            device=args.device,
            precision=args.precision,
        )
        with atomic_write(args.sheet, overwrite=True) as file:
            Image.fromarray(contact_sheet(images).numpy()).save(file, "PNG")
        print(f"{args.sheet}: {args.samples} samples of {args.size}x{args.size}")
    return 0


def parse_sigmas(text: str) -> list[float]:
    """Return the noise levels of a list separated by commas."""
    try:
        sigmas = [float(part) for part in text.split(",")]
    except ValueError:
        sigmas = []
    if not sigmas or not all(0 < sigma < math.inf for sigma in sigmas):
        raise UsageError(f"--sigma {text}: expected numbers above 0 separated by commas")
    return sigmas


def print_table(
    estimator: CompactEstimator,
    paths: Sequence[Path],
    sigmas: Sequence[float],
    args: argparse.Namespace,
) -> None:
    """Print the PSNR of every image and their mean, as it goes."""
    title = "sigma of 255" + (", grey" if args.grey else "")
    print(f"{title:24}" + "".join(f"{sigma:9g}" for sigma in sigmas), flush=True)
    rows = []

    def clean(images: Tensor, sigma: float) -> Tensor:
        return denoised(estimator, images, sigma)

    for path in paths:
        image = read_rgb(path)[0].float()[None].to(args.device) / 255
        if args.grey:
            image = luma(image)
        row = [denoised_psnr(clean, image, s, args.seed, args.grey) for s in sigmas]
        rows.append(row)
        print(_row(path.name, row), flush=True)
    print(
        _row(
            f"mean of {len(rows)}", [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        )
    )


def draw_samples(
    estimator: NoiseEstimator,
    count: int,
    size: int,
    *,
    seed: int = 0,
    eta: float = 0.0,
    **settings: Any,
) -> Tensor:
    """Return unconditional samples (N, 3, H, W) in about [-1, 1], by fusionkit's own sampler.

    Levels are spaced in log-sigma; the n-th sample depends on ``seed + n`` alone.
    """
    if count < 1 or size < 1:
        raise UsageError("--samples and --size must be at least 1")
    # The host fuses at least two sources; these are looked at by nobody.
    sources = torch.zeros(2, count, estimator.channels or 3, size, size)
    pipeline = compose(
        estimator=estimator,
        weighting="fixed",
        objective=Unconditional(),
        sampler={"name": "samplers:ddim", "eta": eta},
        start_sigma=estimator.sigma_max,
        spacing="log-sigma",
        **settings,
    )
    return pipeline(sources, seed=range(seed, seed + count)).image


def contact_sheet(images: Tensor, margin: int = 2) -> Tensor:
    """Return images (N, C, H, W) in [-1, 1] side by side in rows, (height, width, 3) uint8."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    _, _, height, width = images.shape
    sheet = torch.full(
        (rows * (height + margin) + margin, columns * (width + margin) + margin, 3),
        255,
        dtype=torch.uint8,
    )
    levels = ((images.float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    for n, image in enumerate(levels.expand(-1, 3, -1, -1)):
        top = margin + n // columns * (height + margin)
        left = margin + n % columns * (width + margin)
        sheet[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return sheet


def _row(name: str, values: Sequence[float]) -> str:
    return f"{name:24.24}" + "".join(f"{value:9.2f}" for value in values)
