"""Every weighting with every objective and every estimator, on real images; and half precision."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from fusionkit import compose
from fusionkit.contract.estimator import ESTIMATOR
from fusionkit.contract.kind import Kind
from fusionkit.contract.objective import OBJECTIVE
from fusionkit.contract.weighting import WEIGHTING
from fusionkit.host.parts import Part
from fusionkit.host.plugins import load_plugins
from fusionkit.host.scene import Scene
from fusionkit.recipes.settings import Settings

from ..conftest import real_scenes
from ..plugins.diffusion.tiny import checkpoint

pytestmark = pytest.mark.slow

SIDE = 32
FEWER: dict[str, dict[str, Any]] = {"condition-bank": {"iterations": 3}}


def names(kind: Kind) -> list[str]:
    """Return the names of the components that come with fusionkit."""
    found = [p for p in load_plugins().all(kind) if p.plugin.distribution == "fusionkit-imaging"]
    return [p.component.name for p in found]


# A folder of the diffusers library cannot be made without it: that estimator has tests of its own.
ESTIMATORS = [name for name in names(ESTIMATOR) if name != "diffusers"]
COMBINATIONS = list(product(ESTIMATORS, names(WEIGHTING), names(OBJECTIVE)))


@pytest.fixture(scope="module")
def built() -> dict[str, Part]:
    """Components that have been built, so that a network is read once."""
    return {}


@pytest.fixture(scope="module")
def estimators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How each estimator is chosen: one without public weights gets a file of random ones."""
    tiny = checkpoint(tmp_path_factory.mktemp("adm"))
    files = {"adm": {"checkpoint": str(tiny), "head_channels": 16}}
    return {name: {"name": name, **files.get(name, {})} for name in ESTIMATORS}


@cache
def focus_pair() -> Tensor:
    """A photograph, each half out of focus in one of two sources: (2, 1, 3, SIDE, SIDE)."""
    image = torch.from_numpy(data.astronaut()[60:252:6, 150:342:6].copy()).float()
    image = image.permute(2, 0, 1)[None] / 127.5 - 1
    blurred = torch.nn.functional.avg_pool2d(image, 5, 1, 2, count_include_pad=False)
    near, far = image.clone(), image.clone()
    near[..., : SIDE // 2] = blurred[..., : SIDE // 2]
    far[..., SIDE // 2 :] = blurred[..., SIDE // 2 :]
    return torch.stack([near, far])


@cache
def infrared_pair() -> Tensor | None:
    """The first pair of TNO, shrunk, if the data are here: (2, 1, 1, h, w)."""
    files = real_scenes().get("tno")
    if files is None:
        return None
    planes = np.asarray(Scene.load(files, Settings()).plan.luma)
    luma = torch.from_numpy(planes)[:, None, None] * 2 - 1
    return torch.nn.functional.interpolate(luma[:, 0], (SIDE, SIDE + 16), mode="area")[:, None]


@pytest.mark.parametrize(("estimator", "weighting", "objective"), COMBINATIONS)
def test_every_combination_fuses_a_real_pair(
    estimator: str,
    weighting: str,
    objective: str,
    estimators: dict[str, Any],
    built: dict[str, Part],
) -> None:
    pipe = compose(
        estimator=estimators[estimator],
        weighting=weighting,
        objective={"name": objective, "strength": 0.1, **FEWER.get(objective, {})},
        steps=3,
        start_sigma=1.23,
        device="cpu",
        precision="float32",
        built=built,
    )
    colour = (
        focus_pair()
        if pipe.parts["estimator"].built.channels == 3
        else focus_pair().mean(2, keepdim=True)
    )
    for sources in (colour, infrared_pair()):
        if sources is None:
            continue
        fused = pipe(sources)
        assert fused.image.shape == sources.shape[1:]
        assert torch.isfinite(fused.image).all()
        assert torch.allclose(fused.weights.sum(0), torch.ones(()), atol=1e-4)
        if weighting == "learned" and sources is not colour:
            continue  # it knows focus stacks alone: of others it takes large parts from either
        if estimator != "adm":  # whose weights are random here
            shown = [np.corrcoef(fused.image.ravel(), one.ravel())[0, 1] for one in sources]
            assert max(shown) > 0.5, "it does not show the scene"


@pytest.mark.parametrize("objective", names(OBJECTIVE))
def test_bfloat16_agrees_with_float32(objective: str, built: dict[str, Part]) -> None:
    """Half precision of the network moves a pixel by less than half a grey level of 8 bits.

    That is in the mean; single pixels, where the weights switch, by more. The objectives are
    computed in float32 whatever the network's precision is.
    """
    images = [
        compose(
            estimator="compact",
            weighting="dig",
            objective={"name": objective, "strength": 0.1, **FEWER.get(objective, {})},
            steps=3,
            start_sigma=1.23,
            device="cpu",
            precision=precision,
            built=built,
        )(focus_pair()).image
        for precision in ("float32", "bfloat16")
    ]
    difference = (images[0] - images[1]).abs().numpy() * 127.5
    assert 0 < difference.mean() < 0.5
    assert np.quantile(difference, 0.99) < 4
