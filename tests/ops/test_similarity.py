"""PSNR and SSIM by their definitions."""

from __future__ import annotations

import pytest
import torch

from fusionkit.ops.similarity import gradient_difference, psnr, ssim_map


def test_psnr() -> None:
    errors = torch.tensor([0.01, 1.0, 0.0], dtype=torch.float64)
    assert psnr(errors, 1).tolist() == pytest.approx([20, 0, 100])
    assert psnr(255**2 * errors, 255).tolist() == pytest.approx([20, 0, 100])
    assert psnr(torch.tensor(4.0), 2).item() == pytest.approx(0)


@pytest.mark.parametrize("span", [2, 255])
def test_ssim_of_one_window(span) -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = span * torch.rand(2, 49, generator=draw, dtype=torch.float64)

    def similar(x: torch.Tensor, y: torch.Tensor) -> float:
        a, b = x - x.mean(), y - y.mean()
        moments = (a * a).mean(), (b * b).mean(), (a * b).mean()
        return float(ssim_map(x.mean(), y.mean(), *moments, span=span))

    assert similar(x, x) == pytest.approx(1)
    assert similar(x, y) == pytest.approx(similar(y, x))
    assert similar(x, span - x) < 0 < similar(x, x / 2 + span / 4) < 1
    flat = torch.full_like(x, 0.5 * span)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    mean, variance = x.mean(), x.var(correction=0)
    brightness = (2 * mean * 0.5 * span + c1) / (mean**2 + 0.25 * span**2 + c1)
    assert similar(x, flat) == pytest.approx(float(brightness * c2 / (variance + c2)))


def test_of_gradients_a_shift_in_brightness_is_no_difference() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 3, 5, 4, generator=draw, dtype=torch.float64)
    found = gradient_difference(x, y)
    assert found.shape == (1, 5, 4)
    assert gradient_difference(x + 0.25, x).max() < 1e-30
    apart = x - y
    inside = (apart[:, 2, 2] - apart[:, 2, 1]) ** 2 + (apart[:, 3, 1] - apart[:, 2, 1]) ** 2
    assert found[0, 2, 1].item() == pytest.approx(inside.mean().item())
    right = (apart[:, 3, 3] - apart[:, 2, 3]) ** 2  # nothing lies beyond the border
    assert found[0, 2, 3].item() == pytest.approx(right.mean().item())
    assert found[0, 4, 3] == 0
