"""``mask`` and ``noise``: what is found in sources, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fusionkit_observations.mask import Mask
from fusionkit_observations.noise import Noise
from torch import Tensor

from fusionkit import Identity, UsageError
from fusionkit.contract.chain import start_chain

H, W = 96, 120


def scene(seed: int = 0) -> Tensor:
    """Return hills, an edge and a little noise, (1, 1, H, W)."""
    y, x = np.mgrid[:H, :W]
    hills = 0.4 * np.sin(x / 13) * np.cos(y / 17) + np.where(y > 50, 0.3, -0.2)
    noise = np.random.default_rng(seed).normal(0, 2 / 127.5, (H, W))
    return torch.from_numpy((hills + noise).astype(np.float32))[None, None]


def hidden(started: Identity) -> Tensor:
    assert started.mask is not None
    return started.mask[0, 0] == 0


def test_a_sound_image_has_no_dead_pixels() -> None:
    assert hidden(Mask().start(scene(), (H, W))).sum() == 0


def test_dead_and_stuck_pixels_are_found_alone_and_in_pairs() -> None:
    y = scene()
    dead = [(10, 10), (30, 70), (30, 71), (80, 5), (0, 0), (95, 60)]
    for row, column in dead:
        y[0, 0, row, column] = 1.0 if column % 2 else -1.0
    found = hidden(Mask().start(y, (H, W)))
    assert {(int(r), int(c)) for r, c in found.nonzero()} == set(dead)


def test_rows_and_columns_off_their_neighbours_are_found_and_edges_are_not() -> None:
    y = scene()
    y[..., 20, :] += 0.15
    y[..., 40:42, :] = -0.9
    y[..., 33] = y[..., 33].mean()
    y[..., 90] -= 0.2
    found = hidden(Mask().start(y, (H, W)))
    rows, columns = found.all(1).nonzero().flatten(), found.all(0).nonzero().flatten()
    assert rows.tolist() == [20, 40, 41]  # the edge between 50 and 51 is none
    assert columns.tolist() in ([33, 90], [90])
    assert found.sum() < (len(rows) + 1) * W + (len(columns) + 1) * H


def test_each_image_of_a_batch_has_its_own() -> None:
    y = torch.cat([scene(), scene(1)])
    y[1, 0, 20, 60] = 1
    mask = Mask().start(y, (H, W)).mask
    assert mask is not None
    assert mask.shape == (2, 1, H, W)
    assert [int((one == 0).sum()) for one in mask] == [0, 1]


def test_missing_and_clipped() -> None:
    y = scene()
    y[0, 0, 3, 4] = torch.nan
    y[0, 0, 5, 6] = 1.0
    y[0, 0, 7, 8] = -1.0
    assert hidden(Mask("missing").start(y, (H, W))).nonzero().tolist() == [[3, 4]]
    clipped = hidden(Mask("clipped").start(y, (H, W))).nonzero().tolist()
    assert clipped == [[3, 4], [5, 6], [7, 8]]
    assert hidden(Mask().start(y, (H, W)))[3, 4]
    with pytest.raises(UsageError, match="nothing was measured at some pixels: add mask=missing"):
        start_chain([Noise(2.0)], y, (H, W))


def test_a_file(tmp_path: Path) -> None:
    known = np.full((H, W), 255, np.uint8)
    known[:9] = 0
    np.save(tmp_path / "mask.npy", known)
    assert hidden(Mask("file", tmp_path / "mask.npy").start(scene(), (H, W))).sum() == 9 * W
    np.save(tmp_path / "soft.npy", known / 510)
    soft = Mask("file", tmp_path / "soft.npy").start(scene(), (H, W)).mask
    assert soft is not None
    assert float(soft.max()) == 0.5
    with pytest.raises(UsageError, match="the mask has 120 x 96 pixels, the source 60 x 48"):
        Mask("file", tmp_path / "mask.npy").start(torch.zeros(1, 1, 48, 60), (H, W))
    np.save(tmp_path / "nothing.npy", known * 0)
    with pytest.raises(UsageError, match="the mask hides everything"):
        start_chain([Mask("file", tmp_path / "nothing.npy")], scene(), (H, W))
    np.save(tmp_path / "wide.npy", known / 100)
    with pytest.raises(UsageError, match=r"wide.npy: a mask of floating-point values has them in"):
        Mask("file", tmp_path / "wide.npy")
    with pytest.raises(UsageError, match="name the file"):
        Mask("file")


def test_noise_that_is_given() -> None:
    started = Noise(10.0).start(scene(), (H, W))
    assert started.sigma == pytest.approx(10 / 127.5)
    assert started.mask is None


def test_noise_that_is_estimated() -> None:
    generator = torch.Generator().manual_seed(0)
    y = scene() + torch.randn(1, 1, H, W, generator=generator) * 12 / 127.5
    assert Noise().start(y, (H, W)).sigma * 127.5 == pytest.approx(12, rel=0.1)
    y[0, 0, 5, 5] = torch.nan
    assert Noise().start(y, (H, W)).sigma * 127.5 == pytest.approx(12, rel=0.1)
    assert Noise().start(scene(), (H, W)).sigma == 0  # 2 of 255 may as well be texture
    both = Noise().start(torch.cat([y, scene()]), (H, W))
    assert both.mask is not None
    assert both.sigma * 127.5 < 1
    assert float(both.mask[0].max()) < 1e-3
    assert float(both.mask[1].min()) == 1


def test_noise_that_grows_with_brightness() -> None:
    y = torch.full((1, 1, H, W), -1.0)
    y[..., 60:] = 1.0
    started = Noise(4.0, 0.2).start(y, (H, W))
    assert started.sigma * 127.5 == pytest.approx(4)
    assert started.mask is not None
    assert float(started.mask[0, 0, 0, 0]) == 1
    assert float(started.mask[0, 0, 0, -1]) == pytest.approx(16 / (16 + 0.2 * 255))
