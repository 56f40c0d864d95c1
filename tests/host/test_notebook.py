"""What a notebook, a training script and another process want of Python's side."""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fusionkit
from fusionkit import UsageError
from fusionkit.testing import synthetic_sources

LIGHT: dict[str, Any] = {
    "estimator": {"name": "gaussian", "correlation": 4.0},
    "weighting": "saliency",
    "objective": {"name": "mse", "strength": 0.3},
    "steps": 4,
    "start_sigma": 20.0,
    "precision": "float64",
    "device": "cpu",
}


def photos(dtype: Any = np.uint8, channels: int = 3) -> list[np.ndarray]:
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    drawn = np.random.default_rng(3).random((2, 24, 30, channels))
    made = [(image * top).astype(dtype) for image in drawn]
    return [image[..., 0] if channels == 1 else image for image in made]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_result_shows_itself_as_a_png(dtype: Any, channels: int) -> None:
    result = fusionkit.fuse(photos(dtype, channels), **LIGHT)
    shown = np.asarray(Image.open(io.BytesIO(result._repr_png_())))
    assert shown.dtype == np.uint8
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    expected = np.asarray(result.image).astype(float) / top * 255
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() <= 0.51
    assert repr(result).count("\n") == 0


def test_a_pipeline_travels_to_another_process() -> None:
    pipe = fusionkit.compose(**LIGHT)
    again = pickle.loads(pickle.dumps(pipe))
    sources = synthetic_sources(H=20, W=24)
    assert torch.equal(again(sources, seed=5).image, pipe(sources, seed=5).image)
    assert again.as_recipe() == pipe.as_recipe()


def test_a_pipeline_of_an_object_stays_here() -> None:
    objective = SimpleNamespace(start=lambda run: None)
    pipe = fusionkit.compose(**{**LIGHT, "objective": objective})
    with pytest.raises(TypeError, match="was given as an object"):
        pickle.dumps(pipe)


def test_a_run_is_taken_up_at_any_step() -> None:
    pipe = fusionkit.compose(**LIGHT)
    sources = synthetic_sources(H=20, W=24)
    steps = list(pipe.steps(sources, seed=2))
    for i in (1, 3):
        rest = fusionkit.compose(**{**LIGHT, "sigmas": pipe.schedule.sigma[i:-1]})
        taken_up = rest(sources, seed=2, x_init=steps[i].step.x)
        assert torch.allclose(taken_up.image, steps[-1].corrected, atol=1e-12)


def test_what_cannot_be_started_from() -> None:
    sources = synthetic_sources(H=20, W=24)
    pipe = fusionkit.compose(**LIGHT)
    with pytest.raises(UsageError, match="x_init is"):
        pipe(sources, x_init=torch.zeros(1, 1, 5, 5))
    still = fusionkit.compose(**{**LIGHT, "objective": {"name": "mse", "strength": 0.0}})
    with pytest.raises(UsageError, match="nothing here reads the fused trajectory"):
        still(sources, x_init=torch.zeros(1, 1, 20, 24))


class Learning:
    """A weighting with one number to learn: the share of the first source."""

    def __init__(self) -> None:
        self.logit = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def start(self, run: Any) -> Any:
        K, B, _, H, W = run.sources.shape
        share = torch.sigmoid(self.logit)
        weights = torch.stack([share, 1 - share]).view(K, 1, 1, 1, 1).expand(K, B, 1, H, W)
        return lambda step: weights


@pytest.mark.parametrize("sampler", ["ddim", "heun", "pigdm"])
def test_gradients_pass_through_the_steps_when_asked(sampler: str) -> None:
    weighting = Learning()
    pipe = fusionkit.compose(**{**LIGHT, "weighting": weighting, "sampler": sampler})
    sources = synthetic_sources(H=12, W=16)
    last = list(pipe.steps(sources, seed=1, grad=True))[-1].corrected
    last.square().sum().backward()
    (learned,) = torch.autograd.grad(
        list(pipe.steps(sources, seed=1, grad=True))[-1].corrected.sum(), weighting.logit
    )
    assert weighting.logit.grad is not None
    assert torch.isfinite(learned)
    assert learned.abs() > 0
    plain = list(pipe.steps(sources, seed=1))[-1].corrected
    assert not plain.requires_grad
    assert torch.allclose(plain, last, atol=1e-12)


def test_settings_are_python_values_too() -> None:
    sources = photos(np.uint16, 1)
    plain = fusionkit.fuse(sources, **LIGHT, range=["1:0,60000"], noise=["2:10"])
    typed = fusionkit.fuse(sources, **LIGHT, range={1: (0, 60000)}, noise={2: 10})
    assert np.array_equal(plain.image, typed.image)
    assert plain.record["recipe"] == typed.record["recipe"]
    auto = fusionkit.compose(**LIGHT, noise="auto")
    assert auto.as_recipe()["preparations"]["noise"]["levels"] == ["auto"]


def test_a_batch_is_fused_scene_by_scene() -> None:
    first, second = photos(), photos(channels=3)[::-1]
    batch = [np.stack([first[0], second[0]]), np.stack([first[1], second[1]])]
    results = fusionkit.fuse_batch(batch, seeds=[3, 4], **LIGHT)
    for scene, seed, result in zip((first, second), (3, 4), results, strict=True):
        alone = fusionkit.fuse(scene, seed=seed, **LIGHT)
        assert np.array_equal(result.image, alone.image)
    tensors = [torch.from_numpy(each).movedim(-1, 1) for each in batch]
    assert fusionkit.fuse_batch(tensors, **LIGHT)[0].image.shape == (3, 24, 30)
    with pytest.raises(UsageError, match="of one B"):
        fusionkit.fuse_batch([batch[0], batch[1][:1]], **LIGHT)
    with pytest.raises(UsageError, match="3 seeds for a batch of 2"):
        fusionkit.fuse_batch(batch, seeds=[1, 2, 3], **LIGHT)
