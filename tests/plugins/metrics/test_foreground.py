"""Metrics on a part of the image: everywhere is the whole, and the rest has no say."""

from __future__ import annotations

import pytest
import torch

import fusionkit
from fusionkit import METRIC, BuildContext
from fusionkit.evaluation.meter import GROUND, Meter

NAMES = ("en", "sd", "sf", "ag", "ei", "mi", "nmi", "cc", "scd", "mse", "psnr", "ssim", "vif",
         "qabf", "nabf")  # fmt: skip


@pytest.fixture(scope="module")
def metrics():
    registry = fusionkit.load_plugins()
    found = {}
    for name in NAMES:
        provided = registry.find(METRIC, name)
        found[name] = provided.build(provided.make_options({}), BuildContext())
    return found


def images(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(3, 1, 1, 72, 80, generator=generator, dtype=torch.float64) * 255
    return drawn.mean(0) + drawn[2] / 2, drawn[:2]  # with edges that no source has


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_far_outside_has_no_say(name, metrics):
    fused, sources = images()
    where = torch.zeros_like(fused, dtype=torch.bool)
    where[..., 10:50, 12:40] = True
    changed, other = fused.clone(), sources.clone()
    # VIF looks 50 pixels far, through its scales: change what none of them reaches.
    changed[..., 76:], other[..., 76:] = 0, 255
    if name == "vif":
        where[..., 30:] = False
    before = metrics[name].within(fused, sources, where)
    after = metrics[name].within(changed, other, where)
    assert torch.allclose(before, after, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(before, metrics[name](fused, sources), rtol=1e-6)


@pytest.mark.parametrize("name", ["en", "sd", "mi", "cc", "scd", "mse"])
def test_values_of_a_rectangle_are_those_of_the_rectangle(name, metrics):
    fused, sources = images()
    where = torch.zeros_like(fused, dtype=torch.bool)
    where[..., 5:60, 9:70] = True
    cut = fused[..., 5:60, 9:70], sources[..., 5:60, 9:70]
    expected = metrics[name](*cut)
    assert torch.allclose(metrics[name].within(fused, sources, where), expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_batch_have_each_their_own_foreground(name, metrics):
    (f1, s1), (f2, s2) = images(1), images(2)
    where = torch.zeros(2, 1, 72, 80, dtype=torch.bool)
    where[0, ..., :36], where[1, ..., 20:] = True, True
    together = metrics[name].within(torch.cat([f1, f2]), torch.cat([s1, s2], 1), where)
    alone = [metrics[name].within(f1, s1, where[:1]), metrics[name].within(f2, s2, where[1:])]
    assert torch.allclose(together, torch.cat(alone), rtol=1e-9)


def test_the_ground_is_measured_beside_it():
    fused, sources = (image.squeeze(1).squeeze(1) for image in images())
    fused, sources = fused[0], sources.clone()
    sources[:, :20] = 1.5
    meter = Meter(("sd", "mef-ssim"), fusionkit.load_plugins())
    values, problems = meter.measure_foreground(fused, sources, 2)
    assert not problems
    assert set(values) == {"sd", GROUND}  # MEF-SSIM is not defined on a part
    assert values[GROUND] == pytest.approx(float(fused[:20].mean()))
    assert values["sd"] == pytest.approx(float(fused[20:].std(correction=0)))
    values, problems = meter.measure_foreground(fused, sources * 0, 2)
    assert not values
    assert "no source exceeds 2" in problems["foreground"]
