import numpy as np
import pytest
import torch
from fusionkit_example import Charbonnier, Sharpest
from fusionkit_example_sampling import Destripe

from fusionkit import Sources, Step
from fusionkit.testing import ConstantWeights, make_run, synthetic_sources


def test_the_sharper_source_gets_the_weight():
    sources = synthetic_sources(2, 1, 1, 40, 60)  # sharp on the left, sharp on the right
    run = make_run(sources)
    weights = Sharpest(window=9, sharpness=2).start(run)(Step(run, 0, None, None))
    assert weights[0, ..., :15].mean() > 0.9
    assert weights[1, ..., -15:].mean() > 0.9


def test_no_sharpness_and_no_contrast_are_the_mean():
    flat = torch.full((3, 1, 1, 8, 8), 0.25)
    for sources, sharpness in ((synthetic_sources(3), 0.0), (flat, 8.0)):
        run = make_run(sources)
        weights = Sharpest(sharpness=sharpness).start(run)(Step(run, 0, None, None))
        torch.testing.assert_close(weights, torch.full_like(weights, 1 / 3))


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_charbonnier_finds_the_minimum_of_its_energy(strength):
    run = make_run(synthetic_sources(3), steps=1)
    step = Step(run, 0, run.noise("example/x"), run.noise("example/x0"))
    weights = ConstantWeights((0.5, 0.3, 0.2)).start(run)(step)
    found = Charbonnier(strength, epsilon=0.1, iterations=500).start(run).rectify(step, weights)

    f = found.clone().requires_grad_()
    distance = 0.01 * ((1 + ((f - run.sources) / 0.1) ** 2).sqrt() - 1)
    energy = (weights * distance).sum() + strength / 2 * (f - step.x0).square().sum()
    (gradient,) = torch.autograd.grad(energy, f)
    assert gradient.abs().max() < 1e-8


def test_charbonnier_outvotes_an_outlier():
    agreeing, outlier = torch.full((2, 1, 1, 4, 4), 0.1), torch.full((1, 1, 1, 4, 4), 0.9)
    run = make_run(torch.cat([agreeing, outlier]))
    weights = ConstantWeights().start(run)(Step(run, 0, None, None))
    fused = Charbonnier(strength=0).start(run).initial(weights)
    assert (fused - 0.1).abs().max() < 0.1  # the mean is 0.27 away


def test_destripe_takes_line_noise_off():
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:60, :80]
    smooth = 0.5 + 0.2 * np.sin(columns / 9) * np.cos(rows / 20)
    striped = smooth + 0.1 * random.standard_normal((60, 1))
    planes = np.stack([striped, smooth])[:, None].astype(np.float32)
    prepared = Destripe(15).prepare(Sources((), planes), None)
    left = prepared.sources.planes[:, 0] - smooth
    assert left[0].std() < np.std(striped - smooth) / 2.5
    assert left[1].std() < 0.01
    assert prepared.record["most"][0] > 0.1 > prepared.record["most"][1]
