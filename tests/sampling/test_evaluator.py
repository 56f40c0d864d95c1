"""The evaluator: images larger than its tiles are evaluated in these, and no seam shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from torch import Tensor, nn

import fusionkit
from fusionkit import Prior
from fusionkit.errors import UsageError
from fusionkit.sampling import evaluator as evaluating
from fusionkit.sampling.evaluator import Evaluator
from fusionkit.sampling.flags import Flags
from fusionkit.sampling.tiles import axis_of
from fusionkit.testing.doubles import (
    ConstantWeights,
    WeightedMean,
    WhiteGaussian,
    synthetic_sources,
)
from tests.host.test_pipeline import reading_back_refused

SIGMAS = (1.28, 0.19)
"""Levels at which an image is hardly seen, and well."""

CPU = torch.device("cpu")


class SmallNetwork:
    """A random UNet of two levels; what is 30 pixels away has a say, as in the compact prior."""

    channels = 1
    multiple_of = 4
    sigma_min, sigma_max = 0.0, math.inf

    def __init__(self) -> None:
        torch.manual_seed(1)

        def convolution(inputs: int, outputs: int) -> nn.Module:
            return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, dtype=torch.float64)

        self.into, self.out = convolution(16, 16), convolution(16, 16)
        self.middle = nn.Sequential(
            *(m for _ in range(4) for m in (convolution(16, 16), nn.ReLU()))
        )

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        sigma = sigma.view(-1, 1, 1, 1)
        folded = self.into(torch.pixel_unshuffle(x / (1 + sigma.square()).sqrt(), 4)).relu()
        return x - sigma * torch.pixel_shuffle(self.out(folded + self.middle(folded)), 4)


class Differentiable(SmallNetwork, Prior):
    """That network with the gradient that autograd finds, at another multiple."""

    multiple_of = 8


class Normalising(WhiteGaussian):
    """Divides by the deviation of the whole image that it is given, as group norm does."""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x - sigma.view(-1, 1, 1, 1) * x / x.std((1, 2, 3), keepdim=True)


class Hungry(WhiteGaussian):
    """Runs out of memory above some pixels in one call."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels
        self.calls: list[tuple[int, ...]] = []

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls.append(tuple(x.shape))
        if x[:, 0].numel() > self.pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().denoise(x, sigma)


def images(height: int = 300, width: int = 420, count: int = 1, level: int = 0) -> Tensor:
    clean = synthetic_sources(2, count, H=height, W=width)[0]
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
    return clean + SIGMAS[level] * noise


def clean(estimator, x: Tensor, tile: int = 0, level: int = 0) -> tuple[Tensor, Evaluator]:
    evaluator = Evaluator(estimator, "it", Flags(), tile)
    return evaluator.clean(x, [SIGMAS[level]] * len(x)), evaluator


def seams_of(size: int, tile: int, multiple: int) -> list[int]:
    """Return the columns in which tiles begin and end."""
    axis = axis_of(size, tile, 64, multiple, CPU, torch.float64)
    ends = [start + axis.length for start in axis.starts[:-1]]
    return [column for edge in (*axis.starts[1:], *ends) for column in (edge - 1, edge)]


@pytest.mark.parametrize("multiple", [1, 8, 32])
@pytest.mark.parametrize(("size", "tile"), [(320, 128), (352, 160), (992, 256), (256, 256)])
def test_tiles_cover_an_axis_and_their_windows_sum_to_one(size, tile, multiple) -> None:
    axis = axis_of(size, tile, 64, multiple, CPU, torch.float64)
    total = torch.zeros(size, dtype=torch.float64)
    for start, window in zip(axis.starts, axis.windows, strict=True):
        total[start : start + axis.length] += window
    assert (total - 1).abs().max() < 1e-12
    assert axis.length <= tile
    assert all(number % multiple == 0 for number in (*axis.starts, axis.length))
    steps = np.diff(axis.starts)
    assert all(axis.length - steps >= min(64, axis.length // 2))
    assert (axis.windows >= 0).all()


def test_a_pixel_at_a_tiles_border_counts_nothing() -> None:
    axis = axis_of(320, 192, 64, 1, CPU, torch.float64)
    first, last = axis.windows
    assert len(axis.starts) == 2
    assert first[0] == 1  # the image's own border
    assert last[-1] == 1
    assert (first[-16:] == 0).all()
    assert (last[:16] == 0).all()


@pytest.mark.parametrize("level", [0, 1])
def test_a_network_in_tiles_is_that_network(level) -> None:
    x = images(level=level)
    whole, _ = clean(SmallNetwork(), x, level=level)
    tiled, evaluator = clean(SmallNetwork(), x, 128, level)
    assert evaluator.tiled == 128
    assert evaluator.pixels == x.numel()
    scale = (whole - x).std()  # of what the network contributes
    difference = (tiled - whole).abs() / scale
    assert difference.max() < 0.01
    assert difference[..., seams_of(420, 128, 4)].mean() < 1.2 * difference.mean()


def test_an_overlap_of_the_receptive_field_makes_tiles_exact(monkeypatch) -> None:
    # 6 convolutions at a quarter of the size reach 28 pixels: the outer quarter of 128, 32,
    # counts nothing.
    monkeypatch.setattr(evaluating, "OVERLAP", 128)
    whole, _ = clean(SmallNetwork(), images())
    tiled, evaluator = clean(SmallNetwork(), images(), 256)
    assert evaluator.tiled == 256
    assert (tiled - whole).abs().max() < 1e-12


def test_pixelwise_estimates_are_the_same_in_tiles() -> None:
    whole, _ = clean(WhiteGaussian(), images())
    tiled, _ = clean(WhiteGaussian(), images(), 128)
    assert (tiled - whole).abs().max() < 1e-12


@pytest.mark.parametrize(("tile", "bound"), [(128, 0.01), (256, 0.0025)])
def test_the_exact_prior_in_tiles_is_nearly_that_prior(tile, bound) -> None:
    prior = GaussianEstimator(correlation=8.0)
    whole, _ = clean(prior, images(level=1), level=1)
    tiled, _ = clean(prior, images(level=1), tile, level=1)
    difference = (tiled - whole).abs()
    assert difference.max() < bound  # of values in [-1, 1]
    seams = seams_of(420, tile, 1)
    assert difference[..., seams].mean() < 1.2 * difference.mean()


def test_where_tiles_disagree_the_blend_is_smooth() -> None:
    x = images()
    x[..., 200:] *= 2  # so that tiles have unlike deviations
    whole = x / x.std()
    estimator = Normalising()
    tiled, _ = clean(estimator, x, 128)
    eps = (x - tiled) / SIGMAS[0]
    gain = (eps / whole)[0, 0]
    assert gain.max() - gain.min() > 0.3
    # A raised cosine over half of 64 pixels is at most pi / 64 steep.
    for axis in (0, 1):
        assert gain.diff(dim=axis).abs().max() <= (gain.max() - gain.min()) * math.pi / 64


def test_windows_are_made_once_for_each_size(monkeypatch) -> None:
    made = []

    def counted(*arguments):
        made.append(arguments)
        return axis_of(*arguments)

    monkeypatch.setattr(evaluating, "axis_of", counted)
    evaluator = Evaluator(WhiteGaussian(), "it", Flags(), 128)
    for _ in range(3):
        evaluator.clean(images(), SIGMAS[:1])
    assert len(made) == 2


def test_only_large_images_are_tiled(monkeypatch) -> None:
    monkeypatch.setattr(evaluating, "PIXELS_PER_TILE", 200**2)
    _, small = clean(WhiteGaussian(), images(160, 240))
    _, large = clean(WhiteGaussian(), images(160, 320))
    assert small.tiled == 0
    assert large.tiled == 200
    unlimited = WhiteGaussian()
    unlimited.pixels_per_tile = 160 * 320
    assert clean(unlimited, images(160, 320))[1].tiled == 0


def test_very_large_images_go_in_smaller_tiles(monkeypatch) -> None:
    monkeypatch.setattr(evaluating, "PIXELS_PER_TILE", 180**2)
    for side, tile in ((180, 0), (184, 180), (360, 180), (364, 124)):  # multiples of 4
        _, evaluator = clean(SmallNetwork(), images(side, side))
        assert evaluator.tiled == tile


@pytest.mark.parametrize("size", [(299, 418), (257, 131)])
def test_tiles_that_reach_into_the_padding_estimate_what_is_padded(size) -> None:
    class Padded(WhiteGaussian):
        multiple_of = 16

    assert (
        clean(Padded(), images(*size), 128)[0] - clean(Padded(), images(*size))[0]
    ).abs().max() < 1e-12


def test_memory_that_runs_out_halves_the_batch_and_then_the_tile() -> None:
    x = images(300, 420, count=3)
    expected, _ = clean(WhiteGaussian(), x)
    hungry = Hungry(220 * 220)
    found, evaluator = clean(hungry, x)
    assert (found - expected).abs().max() < 1e-12
    assert hungry.calls[0] == (3, 1, 300, 420)
    assert hungry.calls[1] == (1, 1, 300, 420)
    assert (evaluator.tiled, evaluator.retries) == (210, 3)
    assert evaluator.pixels == 3 * 300 * 420  # counted once


def test_memory_that_does_not_even_suffice_for_a_small_tile_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        clean(Hungry(100), images())


def test_tiles_need_no_values() -> None:
    found, evaluator = clean(WhiteGaussian(), images().to("meta"), 128)
    assert found.is_meta
    assert evaluator.tiled == 128


def test_nothing_is_read_back_in_tiles() -> None:
    evaluator = Evaluator(WhiteGaussian(), "it", Flags(), 128)
    x = images()
    with reading_back_refused():
        found = evaluator.clean(x, SIGMAS[:1])
    assert torch.isfinite(found).all()


# Gradients


@pytest.mark.parametrize("size", [(13, 9), (16, 8), (5, 3), (17, 23)])
def test_a_gradient_is_that_through_the_padding(size) -> None:
    prior = Differentiable()
    x, cotangent = images(*size, count=2), images(*size, count=2, level=1)
    height, width = size
    down, right = -height % 8, -width % 8
    tracked = x.clone().requires_grad_(True)
    padded = torch.cat([tracked, tracked.flip(-2)[..., :down, :]], -2)
    while padded.shape[-2] < height + down:  # smaller than its padding: mirrored once more
        padded = torch.cat([padded, tracked[..., : height + down - padded.shape[-2], :]], -2)
    whole = torch.cat([padded, padded.flip(-1)[..., :right]], -1)
    while whole.shape[-1] < width + right:
        whole = torch.cat([whole, padded[..., : width + right - whole.shape[-1]]], -1)
    sigma = torch.full((2,), SIGMAS[0], dtype=x.dtype)
    estimate = prior.denoise(whole, sigma)[..., :height, :width]
    (expected,) = torch.autograd.grad(estimate, tracked, cotangent)
    evaluator = Evaluator(prior, "it", Flags())
    with torch.no_grad():
        found = evaluator.vjp(x, SIGMAS[0], cotangent)
        plain = evaluator.clean(x, SIGMAS[:1] * 2)
    assert (plain - estimate).abs().max() < 1e-12
    assert (found - expected).abs().max() < 1e-12
    assert evaluator.pixels == 2 * x.numel()  # a gradient counts as an evaluation
    assert not found.requires_grad


def test_gradients_of_big_batches_go_in_parts(monkeypatch) -> None:
    class Watched(WhiteGaussian):
        sizes: list[int] = []  # noqa: RUF012

        def vjp(self, x, sigma, cotangent):
            self.sizes.append(len(x))
            return super().vjp(x, sigma, cotangent)

    monkeypatch.setattr(evaluating, "PIXELS_PER_PASS", 2 * 64)
    told: list[float] = []
    evaluator = Evaluator(Watched(), "it", Flags(), 0, told.append)
    x = images(8, 8, count=5)
    found = evaluator.vjp(x, 0.5, x)
    assert Watched.sizes == [2, 2, 1]
    assert (found - x / 2).abs().max() < 1e-12
    assert sum(told) == evaluator.pixels == x.numel()


@pytest.mark.parametrize("bad", [lambda g: g[..., 1:], lambda g: g * torch.nan, lambda g: 1 / 0])
def test_a_bad_gradient_is_the_priors_fault(bad) -> None:
    class Bad(WhiteGaussian):
        def vjp(self, x, sigma, cotangent):
            x0, gradient = super().vjp(x, sigma, cotangent)
            return x0, bad(gradient)

    flags = Flags()
    evaluator = Evaluator(Bad(), "prior Bad", flags)
    with pytest.raises(fusionkit.PluginError, match=r"prior Bad .*0\.5"):  # noqa: PT012
        evaluator.vjp(images(8, 8), 0.5, images(8, 8))
        flags.verify()


# Channels


def test_a_prior_of_one_channel_takes_those_of_an_image_one_by_one() -> None:
    prior = Differentiable()
    x = torch.cat([images(12, 20, 2), images(12, 20, 2, 1), images(12, 20, 2).flip(-1)], 1)
    y = x.flip(1)
    levels = list(SIGMAS)
    evaluator = Evaluator(prior, "it", Flags())
    together = evaluator.clean(x, levels)
    assert evaluator.pixels == 3 * 2 * 12 * 20
    gradient = evaluator.vjp(x, SIGMAS[0], y)
    assert evaluator.pixels == 2 * 3 * 2 * 12 * 20
    for c in range(3):
        one = slice(c, c + 1)
        alone = Evaluator(prior, "it", Flags())
        assert (together[:, one] - alone.clean(x[:, one], levels)).abs().max() < 1e-12
        assert (gradient[:, one] - alone.vjp(x[:, one], SIGMAS[0], y[:, one])).abs().max() < 1e-12


@pytest.mark.parametrize("channels", [1, 2, 4, 8])
def test_a_prior_of_any_channels_takes_them_at_once(channels) -> None:
    x = torch.cat([images(9, 7)] * channels, 1)
    evaluator = Evaluator(WhiteGaussian(channels=None), "it", Flags())
    assert (evaluator.clean(x, [0.5]) - x / 2).abs().max() < 1e-12
    assert evaluator.pixels == 9 * 7


def test_what_a_prior_keeps_is_not_what_is_handed_out() -> None:
    class Untouching(WhiteGaussian):
        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x

    x = images(9, 7)
    found, _ = clean(Untouching(), x)
    assert torch.equal(found, x)
    assert found.data_ptr() != x.data_ptr()


def fused(tile: int, precision: str = "float64"):
    pipeline = fusionkit.compose(
        estimator=SmallNetwork(),
        weighting=ConstantWeights(),
        objective=WeightedMean(),
        steps=3,
        start_sigma=1.27,
        device="cpu",
        precision=precision,
        tile=tile,
    )
    return pipeline, pipeline(synthetic_sources(H=200, W=330), seed=0)


def test_a_whole_run_in_tiles() -> None:
    _, whole = fused(0)
    _, tiled = fused(128)
    assert (whole.tiled, tiled.tiled) == (0, 128)
    assert tiled.nfe == whole.nfe
    assert (tiled.image - whole.image).abs().max() < 1e-3


def test_the_record_says_tiles(tmp_path) -> None:
    sources = [np.random.default_rng(k).random((140, 150)).astype(np.float32) for k in (0, 1)]
    made = {"estimator": "gaussian", "weighting": "fixed", "steps": 2, "device": "cpu"}
    made["objective"] = {"strength": 0.02}
    first = fusionkit.fuse(sources, **made, tile=128)
    assert first.record["recipe"]["tile"] == 128
    assert first.record["run"]["tiled"] == 128
    again = fusionkit.fuse(sources, recipe=first.record["recipe"])
    assert np.array_equal(first.image, again.image)


def test_the_record_says_that_memory_ran_out() -> None:
    generator = np.random.default_rng(0)
    grey = (generator.random((260, 300)) * 255).astype(np.uint8)
    colour = (generator.random((260, 300, 3)) * 255).astype(np.uint8)
    settings = {"weighting": "fixed", "objective": {"strength": 0.02}, "steps": 1, "device": "cpu"}
    ran_out, in_tiles = (
        fusionkit.fuse([grey, colour], estimator=estimator, noise=["2:20"], tile=tile, **settings)
        for estimator, tile in ((Hungry(200 * 200), 0), (WhiteGaussian(), 150))
    )
    assert ran_out.record["run"]["tiled"] == 150 == in_tiles.record["run"]["tiled"]
    assert ran_out.record["run"]["retries"] > 0 == in_tiles.record["run"]["retries"]
    assert ran_out.record["run"]["nfe"] == in_tiles.record["run"]["nfe"]


def test_tiles_too_small_are_refused() -> None:
    with pytest.raises(UsageError, match="128 pixels or more, not 100"):
        fusionkit.compose(tile=100)
