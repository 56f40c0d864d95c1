"""The network: small, quick, and the same for every source."""

from __future__ import annotations

import itertools

import pytest
import scipy.ndimage
import skimage.data
import torch
from fusionkit_learned import network as module
from fusionkit_learned.network import Network, fusion_weights, to_fusion_weights, together
from fusionkit_learned.planes import PLANES, _halved, log_contrast, planes
from torch.nn.functional import avg_pool2d, pixel_shuffle
from torch.utils.flop_counter import FlopCounterMode

from .tiny import images, network


def test_it_is_as_small_and_quick_as_promised() -> None:
    made = Network().double()  # oneDNN's convolutions, of float32, are not counted
    assert sum(p.numel() for p in made.parameters()) <= 300_000
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        made(torch.zeros(1, 1, 1, 256, 256, dtype=torch.float64))
    assert 1e8 < counter.get_total_flops() < 1e9


def test_untrained_all_sources_count_alike() -> None:
    scores = Network().double()(images(3, 1, 1, 32, 32))
    assert (fusion_weights(scores) - 1 / 3).abs().max() == 0


def test_weights_take_the_memory_of_the_scores() -> None:
    scores = images(5, 2, 1, 17, 40).float() * 9
    for sharpness in (0.0, 1.0, 2.5):
        mine = scores.clone()
        weights = to_fusion_weights(mine, sharpness)
        assert weights.data_ptr() == mine.data_ptr()
        assert torch.equal(weights, fusion_weights(scores, sharpness))


def test_finest_maps_of_tall_stacks_lie_in_one_piece_of_memory(monkeypatch) -> None:
    made, sources = network().float(), images(5, 2, 1, 32, 64).float()
    with torch.no_grad():
        apart = made(sources)
        monkeypatch.setattr(module, "SCATTERED", 0)
        kept = together((made.stem(shown) for shown in planes(sources)), 5)
        assert torch.equal(made(sources), apart)
        assert len({each.untyped_storage().data_ptr() for each in kept}) == 1
        for each, shown in zip(kept, planes(sources), strict=True):
            assert torch.equal(each, made.stem(shown))
    made.requires_grad_(True)(sources).square().sum().backward()  # as in training
    assert made.stem.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("K", [1, 2, 3, 4, 5, 6])
def test_scores_follow_the_sources_in_any_order(K: int) -> None:
    made = network()
    sources = images(K, 2, 1, 32, 64)
    scores = made(sources)
    assert scores.shape == sources.shape
    assert K == 1 or scores.std() > 0.05
    for order in list(itertools.permutations(range(K)))[:24]:
        permuted = made(sources[list(order)])
        assert (permuted - scores[list(order)]).abs().max() < 1e-12


@pytest.mark.parametrize("changed", [0, 1])
def test_a_score_depends_on_its_source_and_on_the_others(changed: int) -> None:
    made = network()
    sources = images(3, 1, 1, 32, 32)
    before = made(sources)
    sources[changed] *= 0.5
    assert (made(sources) - before)[0].abs().max() > 1e-3


def test_a_score_depends_on_what_is_a_hundred_pixels_away() -> None:
    made = network()
    sources = images(2, 1, 1, 320, 32)
    before = made(sources)
    sources[0, ..., :32, :] *= 0.5
    changed = (made(sources) - before).abs().amax((0, 1, 2, 4))
    assert changed[32:132].min() > 1e-6


def test_images_of_a_batch_do_not_interact() -> None:
    made = network()
    sources = images(2, 3, 1, 32, 32)
    together = made(sources)
    for b in range(3):
        part = slice(b, b + 1)
        assert (made(sources[:, part]) - together[:, part]).abs().max() < 1e-12


def test_contrast_is_told_by_its_logarithm() -> None:
    sources = images(2, 1, 1, 20, 24)[:, 0]
    base, double = log_contrast(sources), log_contrast(2 * sources)
    assert base.shape == (2, 1, 10, 12)
    assert (double - base - torch.tensor(2.0).log() / 2).abs().max() < 0.05
    assert torch.isfinite(log_contrast(torch.zeros(1, 1, 6, 6))).all()


def told_apart(sources: torch.Tensor) -> torch.Tensor:
    """Return what the last but the gains' channel of each source says, (K, B, 1, H/2, W/2)."""
    return torch.stack([shown[:, -1:] for shown in planes(sources)])


def test_detail_is_told_from_noise() -> None:
    photo = torch.from_numpy(skimage.data.camera()[100:228, 180:308] / 127.5 - 1)[None, None]
    soft = torch.from_numpy(scipy.ndimage.gaussian_filter(photo[0, 0].numpy(), 2.0))[None, None]
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(1))
    detail = told_apart(torch.stack([photo, soft]))
    assert detail.shape == (2, 1, 1, 64, 64)
    assert detail[0].mean() > 0.4
    assert (detail[0] + detail[1]).abs().max() < 1e-9
    for deviation in (0.03, 0.3):
        noisy = told_apart(torch.stack([photo + deviation * noise, photo]))
        assert abs(float(noisy[0].mean())) < 0.05
    assert told_apart(photo[None].expand(3, -1, -1, -1, -1)).abs().max() < 1e-9
    assert detail.abs().max() <= 1


@pytest.mark.parametrize("K", [1, 3])
def test_planes_are_of_each_source_of_each_image(K: int) -> None:
    sources = images(K, 2, 1, 12, 16)
    shown = torch.stack(list(planes(sources)))
    assert shown.shape == (K, 2, PLANES, 6, 8)
    assert torch.equal(pixel_shuffle(shown[:, :, :4], 2), sources)
    alone = torch.stack(list(planes(sources[:, 1:])))
    assert (alone - shown[:, 1:]).abs().max() < 1e-12


@pytest.mark.parametrize("window", [6, 10])
@pytest.mark.parametrize("size", [(64, 96), (4, 2)])
def test_means_are_over_what_lies_inside_the_image(window: int, size: tuple[int, int]) -> None:
    maps = images(2, 1, *size)
    blocks, side = avg_pool2d(maps, 2), window // 2
    reach = side // 2
    expected = avg_pool2d(blocks, side, 1, reach, count_include_pad=False)
    torch.testing.assert_close(_halved(maps, window), expected, rtol=0, atol=1e-12)
