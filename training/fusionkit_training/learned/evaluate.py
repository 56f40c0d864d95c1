"""``fusionkit train evaluate-learned``: measure learned weights where the answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from fusionkit_learned.learned import SHIPPED, Learned
from fusionkit_learned.planes import laplacian
from torch import Tensor

from fusionkit import box_mean
from fusionkit.cli.arguments import Parser
from fusionkit.errors import UsageError
from fusionkit.ops.similarity import psnr

from ..photographs import Read, find_photographs, read_luma
from ..rounds import training_speed
from .crops import cut
from .degradations import FAMILIES, degrade
from .draw import Draw
from .filters import gaussian_blur
from .gains import Gains
from .samples import Batch, assemble

Weigh = Callable[[Batch], Tensor]


def mean_of(batch: Batch) -> Tensor:
    """Weights of the plain mean."""
    return torch.full_like(batch.sources, 1 / len(batch.sources))


def choose_max(batch: Batch) -> Tensor:
    """Choose the source with the largest absolute Laplacian, averaged over 11 x 11 pixels."""
    contrast = laplacian(batch.sources.flatten(0, 1)).abs()
    return _all_to(box_mean(contrast, 11).view_as(batch.sources))


def oracle(batch: Batch) -> Tensor:
    """Choose, at every pixel, the source that is nearest to the right answer."""
    return _all_to(-(batch.sources - batch.fusion).abs())


def best_regions(batch: Batch) -> Tensor:
    """Choose the source with the least squared error around a pixel (Gaussian of 4 pixels)."""
    return _all_to(-gaussian_blur((batch.sources - batch.fusion).square(), 4.0))


BASELINES: dict[str, Weigh] = {
    "mean": mean_of,
    "choose_max": choose_max,
    "regions": best_regions,
    "pixels": oracle,
}


def _all_to(merit: Tensor) -> Tensor:
    return torch.zeros_like(merit).scatter_(0, merit.argmax(0, keepdim=True), 1.0)


def degraded(
    images: Sequence[Tensor],
    size: int,
    seed: int = 0,
    K: int = 2,
    families: Iterable[str] = FAMILIES,
) -> dict[str, Batch]:
    """Return by family one crop of every photograph (H, W) uint8, degraded: a function of seed."""
    batches = {}
    for name in families:
        draw = Draw("test", seed, name, K)
        pairs = [degrade(name, cut(image, size, draw), K, draw) for image in images]
        batches[name] = assemble(pairs, [name] * len(pairs))
    return batches


def weighted_psnr(weights: Tensor, batch: Batch) -> float:
    """Return the PSNR in dB of the weighted mean of the sources, averaged over samples."""
    fused = (weights * batch.sources).sum(0)
    errors = (fused - batch.fusion).square().mean((1, 2, 3))
    return float(psnr(errors, 2).mean())


def read_images(paths: Sequence[Path], size: int, read: Read = read_luma) -> list[Tensor]:
    """Read photographs that a crop of this size fits into."""
    images = []
    for path in paths:
        image, _ = read(path)
        if min(image.shape) < size:
            raise UsageError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels are too small for crops of "
                f"{size} (--size)"
            )
        images.append(image)
    return images


def parser() -> Parser:
    """Return the parser of the command."""
    made = Parser(
        prog="fusionkit train evaluate-learned",
        description="Measure what a file of learned fuses, where the answer is known.",
    )
    add = made.add_argument
    add("weights", help=f"a .safetensors file, or of those that ship: {' or '.join(SHIPPED)}")
    add("photos", nargs="+", metavar="PHOTOS", help="images, or folders of images")
    add("--size", type=int, default=256, help="side of a crop (default 256)")
    add("--sources", type=int, default=2, help="K (default 2)")
    add("--seed", type=int, default=0)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    args = parser().parse_args(arguments)
    if args.sources < 2 or args.size < 32:
        raise UsageError("--sources are 2 or more, --size is 32 or more")
    ours = args.weights in SHIPPED
    learned = Learned(subject=args.weights) if ours else Learned(args.weights)
    images = read_images(find_photographs(args.photos), args.size)
    with training_speed(torch.get_num_threads()):
        print(table(learned, images, args.size, args.seed, args.sources))
    return 0


def table(learned: Learned, images: Sequence[Tensor], size: int, seed: int = 0, K: int = 2) -> str:
    """Return a Markdown table: PSNR by family, of the learned weights and of the baselines."""
    heads = ["family", *BASELINES, "learned"]
    lines = [heads, ["---"] * len(heads)]
    gains_of = Gains(learned.sigmas) if learned.sigmas else None
    for name, batch in degraded(images, size, seed, K).items():
        shown = gains_of(batch, seed, name) if gains_of else None
        own = learned.weigh(batch.sources, shown)
        weights = [*(weigh(batch) for weigh in BASELINES.values()), own]
        lines.append([name, *(f"{weighted_psnr(each, batch):.1f}" for each in weights)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
