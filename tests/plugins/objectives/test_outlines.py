"""``outlines``: what lies beside outlines of a focus stack is restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusionkit_objectives import blurs, outlines
from fusionkit_objectives.outlines import restored_outlines
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import oaconvolve
from torch import Tensor

from fusionkit import fuse
from fusionkit.ops import patching

SIDE = 160


def texture(seed: int) -> NDArray[np.float64]:
    """Return an image in [0.05, 0.95] with structure of all sizes."""
    noise = np.random.default_rng(seed).normal(size=(SIDE, SIDE))
    image = sum(s * gaussian_filter(noise, s, mode="wrap") for s in (1, 2, 4, 8))
    return 0.5 + 0.45 * np.tanh(0.7 * image / image.std())


def disc(image: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    y, x = np.mgrid[-20:21, -20:21]
    kernel = (np.hypot(y, x) <= 2 * deviation).astype(float)
    padded = np.pad(image, 20, mode="symmetric")
    return oaconvolve(padded, kernel / kernel.sum(), "valid")


def gaussian(image: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    return gaussian_filter(image, deviation, mode="reflect")


BLURS = {"gaussian": gaussian, "disc": disc}


def coded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light.clip(1e-9) ** (1 / 2.4) - 0.055
    )


def scene(blur, deviation: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return two sources (2, 1, 1, H, W), weights that are right, and the truth (1, 1, H, W)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    cover = (np.hypot(y - 70, x - 60) < 42).astype(float)
    near, far = texture(1) ** 2.2, texture(2) ** 2.2
    first = cover * near + (1 - cover) * blur(far, deviation)
    second = blur(cover * near, deviation) + (1 - blur(cover, deviation)) * far
    sources = np.round(coded(np.stack([first, second])) * 255) / 255
    truth = coded(np.where(cover > 0, near, far))
    weights = torch.tensor(np.stack([cover, 1 - cover]))[:, None, None].float()
    images = [torch.tensor(2 * image - 1).float() for image in (sources, truth)]
    return images[0][:, None, None], weights, images[1][None, None]


def part_of(images: tuple[Tensor, ...]) -> list[Tensor]:
    """Return a part that has outlines in it."""
    return [each[..., 40:120, 40:136].contiguous() for each in images]


def error(image: Tensor, truth: Tensor) -> float:
    return float(10 * torch.log10(4 / (image - truth).square().mean()))


@pytest.mark.parametrize("deviation", [1.5, 3.0])
@pytest.mark.parametrize("kernel", BLURS)
def test_beside_outlines_more_is_shown_than_any_source_shows(kernel: str, deviation: float) -> None:
    sources, weights, truth = scene(BLURS[kernel], deviation)
    chosen = (weights * sources).sum(0)
    restored = restored_outlines(sources, weights, chosen)
    assert error(restored, truth) > error(chosen, truth) + 2.5


def test_an_outline_that_is_two_pixels_off_is_moved_to_its_place() -> None:
    sources, weights, truth = scene(gaussian, 3.0)
    off = weights.roll(2, -1)
    chosen = (off * sources).sum(0)
    restored = restored_outlines(sources, off, chosen)
    assert error(restored, truth) > error(chosen, truth) + 2.2


def test_what_differs_otherwise_is_left_alone() -> None:
    images = torch.tensor(np.stack([texture(3), texture(4)])[:, None, None] * 2 - 1).float()
    halves = torch.zeros(2, 1, 1, SIDE, SIDE)
    halves[0, ..., :80] = halves[1, ..., 80:] = 1
    chosen = (halves * images).sum(0)
    restored = restored_outlines(images, halves, chosen)
    assert (restored != chosen).float().mean() < 0.01


def test_nothing_is_darker_or_brighter_than_what_sources_show_around_it() -> None:
    sources, weights, _ = scene(gaussian, 3.0)
    blurred = sources.clone()
    blurred[1, ..., :80] = blurred[1, ..., :80] * 0.8  # no lens does
    chosen = (weights * blurred).sum(0)
    restored = restored_outlines(blurred, weights, chosen)
    around = torch.nn.functional.max_pool2d
    assert (restored <= around(blurred.amax(0), 5, 1, 2) + 1e-4).all()
    assert (restored >= -around(-blurred.amin(0), 5, 1, 2) - 1e-4).all()


def test_equal_sources_come_back() -> None:
    sources, weights, _ = scene(gaussian, 3.0)
    same = sources[:1].expand(2, -1, -1, -1, -1)
    assert torch.equal(restored_outlines(same, weights, same[0]), same[0])


def test_order_of_sources_and_place_in_a_batch_change_nothing() -> None:
    sources, weights, _ = part_of(scene(gaussian, 2.0))
    third = sources.mean(0, keepdim=True)
    sources = torch.cat([sources, third])
    weights = torch.cat([weights, torch.zeros_like(third)])
    weights[:, ..., 64:, :] = torch.tensor([0.0, 0, 1]).view(3, 1, 1, 1, 1)
    chosen = (weights * sources).sum(0)
    first = restored_outlines(sources, weights, chosen)
    for order in ((2, 0, 1), (1, 0, 2)):
        again = restored_outlines(sources[list(order)], weights[list(order)], chosen)
        assert torch.equal(again, first)
    pairs = [torch.cat([x, x.flip(-1)], 1) for x in (sources, weights)]
    batch = restored_outlines(*pairs, torch.cat([chosen, chosen.flip(-1)]))
    assert torch.equal(batch[:1], first)


def test_threads_change_no_bit() -> None:
    # Of a size that torch divides among threads, and no multiple of what it takes at once.
    sources, weights, _ = (each.tile(2, 2)[..., :-1, :-1] for each in scene(disc, 3.0))
    chosen = (weights * sources).sum(0)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(restored_outlines(sources, weights, chosen))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_large_images_are_restored_in_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, weights, truth = scene(gaussian, 2.0)
    chosen = (weights * sources).sum(0)
    whole = restored_outlines(sources, weights, chosen)
    monkeypatch.setattr(patching, "LARGEST", 64)
    monkeypatch.setattr(patching, "SMALLEST", 64)
    monkeypatch.setattr(outlines, "REACH", 32)
    parts = restored_outlines(sources, weights, chosen)
    assert not torch.equal(parts, whole)  # patches it was
    assert error(parts, truth) > error(whole, truth) - 0.3
    assert ((parts - whole).abs() > 0.02).float().mean() < 0.004


def test_of_many_sources_only_those_that_meet_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = torch.tensor(texture(5) * 2 - 1).float()
    sources = torch.stack([image.roll(n, -1) for n in range(4)])[:, None, None]
    weights = torch.zeros_like(sources)
    for n in range(4):  # bands of 40 pixels
        weights[n, ..., 40 * n : 40 * n + 40] = 1
    pairs = []
    monkeypatch.setattr(
        outlines, "_restored_pair", lambda a, b, *rest: pairs.append((a, b)) or (a, a[:, :1] * 0)
    )
    restored_outlines(sources, weights, (weights * sources).sum(0))
    assert len(pairs) == 3
    light = [outlines._linear(source) for source in sources]
    for n, pair in enumerate(pairs):
        assert torch.equal(pair[0], light[n])
        assert torch.equal(pair[1], light[n + 1])


@pytest.mark.parametrize("deviation", [1.7, 3.0, 5.5])
@pytest.mark.parametrize("kernel", BLURS)
def test_which_blur_it_was_is_told(kernel: str, deviation: float) -> None:
    image = texture(6)
    blurred = torch.tensor(BLURS[kernel](image, deviation))[None, None].float()
    sharp = torch.tensor(image)[None, None].float()
    told = blurs.blur_told(sharp, blurred, torch.ones_like(sharp))
    assert float(told.deviation) == pytest.approx(deviation, rel=0.05)
    assert float(told.disc) == (kernel == "disc")


def test_no_blur_is_told_of_a_region_that_is_too_narrow() -> None:
    sharp = torch.tensor(texture(6))[None, None].float()
    where = torch.zeros_like(sharp)
    where[..., 80] = 1
    assert torch.isinf(blurs.blur_told(sharp, sharp, where).deviation)


def test_nothing_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # The meta device takes milliseconds an operation: one step of the search shows what all do.
    monkeypatch.setattr(blurs, "STEPS", blurs.STEPS[:1])
    sources, weights, truth = (each.to("meta") for each in part_of(scene(gaussian, 3.0)))
    assert restored_outlines(sources, weights, truth).shape == truth.shape


def test_it_is_an_option_of_gradients() -> None:
    sources, _, truth = scene(gaussian, 3.0)
    images = [((s[0, 0] + 1) * 127.5).round().byte().numpy() for s in sources]
    wanted = ((truth[0, 0] + 1) * 127.5).numpy()
    found = {}
    for restored in (False, True):
        objective = {"name": "gradients", "base": "weights", "psi": 2.0, "outlines": restored}
        image = fuse(images, task="multi-focus", objective=objective).image
        found[restored] = np.square(image - wanted).mean()
    assert found[True] < found[False] / 1.3
