"""What must not change a metric, and what must change it in a known way."""

import pytest
import torch

from .common import NAMES, TWO_SOURCES, metric, scene, value

ANY = tuple(name for name in NAMES if name not in TWO_SOURCES)

# Flips and transposes move the sampling grid of VIF; FMI reads windows column by column; the
# orientation of Qabf is not the same for x and y.
ORIENTED = ("vif", "fmi-pixel", "fmi-wavelet", "qabf")
SYMMETRIC = tuple(name for name in NAMES if name not in ORIENTED)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_sources(name: str) -> None:
    for K in (2,) if name in TWO_SOURCES else (2, 3):
        fused, sources = scene(48, 50, K=K)
        assert value(name, fused, *sources.flip(0)) == pytest.approx(
            value(name, fused, *sources), rel=1e-9
        )


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_measured_alike_in_a_batch(name: str) -> None:
    scenes = [scene(48, 50, seed=seed) for seed in (1, 2, 3)]
    fused = torch.stack([f for f, _ in scenes])[:, None]
    sources = torch.stack([s for _, s in scenes], 1)[:, :, None]
    together = metric(name)(fused, sources)
    assert together.shape == (3,)
    assert together.dtype == torch.float64
    assert not together.requires_grad
    alone = [value(name, f, *s) for f, s in scenes]
    assert together.tolist() == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_flips_and_transposes(name: str) -> None:
    fused, sources = scene(64, 80)
    expected = value(name, fused, *sources)
    for turn in (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT):
        assert value(name, turn(fused), *turn(sources)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", ["vif", "qabf"])
def test_flips_where_they_keep_the_grid(name: str) -> None:
    # 8n + 1 pixels, less windows: every scale begins and ends on a sample. Orientations that
    # are wrapped do not mind the sign.
    fused, sources = scene(41, 57, seed=2)
    options = {"orientation": "wrapped"} if name == "qabf" else {}
    expected = value(name, fused, *sources, **options)
    for axis in (-1, -2):
        turned = value(name, fused.flip(axis), *sources.flip(axis), **options)
        assert turned == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ANY)
def test_a_source_given_twice(name: str) -> None:
    """A sum over sources, declared as such, doubles; everything else stays."""
    fused, sources = scene(48, 50, K=1)
    factor = 2 if metric(name).summed else 1  # type: ignore[attr-defined]
    assert value(name, fused, sources[0], sources[0]) == pytest.approx(
        factor * value(name, fused, sources[0]), rel=1e-9
    )


@pytest.mark.parametrize("name", ["sd", "sf", "ag", "ei", "cc", "scd", "mse", "nabf", "qcv"])
def test_brightness_of_all_images_does_not_matter(name: str) -> None:
    fused, sources = scene()
    expected = value(name, fused / 2, *(sources / 2))
    brighter = value(name, fused / 2 + 40, *(sources / 2 + 40))
    assert brighter == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", ["sd", "sf", "ag", "ei"])
def test_linear_in_the_fused_image(name: str) -> None:
    fused, sources = scene()
    assert value(name, fused / 2, *sources) == pytest.approx(value(name, fused, *sources) / 2)


@pytest.mark.parametrize("name", NAMES)
def test_float32_images_are_measured_in_float64(name: str) -> None:
    fused, sources = (x.float() for x in scene(48, 50))
    single = metric(name)(fused[None, None], sources[:, None, None])
    assert single.dtype == torch.float64
    assert float(single[0]) == pytest.approx(value(name, fused.double(), *sources.double()))
