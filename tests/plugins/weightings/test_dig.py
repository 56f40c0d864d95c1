"""The ``dig`` weighting against naive references."""

from __future__ import annotations

import itertools
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import skimage.metrics
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_dig.dig import Dig
from fusionkit_dig.losses import LOSSES
from fusionkit_dig.resolution import enlarged
from torch import Tensor

import fusionkit
from fusionkit import (
    PluginError,
    Step,
    UsageError,
    box_mean,
    compose,
    load_plugins,
)
from fusionkit.evaluation.origins import Origins, key_of
from fusionkit.sampling.levels import Schedule, choose_levels
from fusionkit.sampling.run import Run

pytestmark = pytest.mark.usefixtures("a_light_default")

N = 6
START = 157.0


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def make_run(sources: Tensor, estimator: GaussianEstimator | None = None) -> Run:
    estimator = estimator or GaussianEstimator(correlation=4.0)
    schedule = Schedule.of(choose_levels(N, START))
    return Run(sources, list(range(sources.shape[1])), estimator, schedule)


def all_weights(dig: Dig, run: Run) -> list[Tensor]:
    """The weights of every step, as the sampler would ask for them, without a trajectory."""
    weigh = dig.start(run)
    return [weigh(Step(run, i, None, None)) for i in range(run.steps)]


# Loss maps


def test_l2_and_l1_are_means_over_channels() -> None:
    x, y = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
    difference = (x - y).numpy()
    assert np.abs(LOSSES["l2"](x, y).numpy() - (difference**2).mean(1, keepdims=True)).max() < 1e-12
    expected = np.abs(difference).mean(1, keepdims=True)
    assert np.abs(LOSSES["l1"](x, y).numpy() - expected).max() < 1e-12


def test_gradient_is_of_forward_differences_and_none_past_the_border() -> None:
    x, y = draw(1, 2, 4, 5), draw(1, 2, 4, 5, seed=1)
    d = (x - y).numpy()[0]
    expected = np.zeros((4, 5))
    for c, row, column in itertools.product(range(2), range(4), range(5)):
        if column + 1 < 5:
            expected[row, column] += (d[c, row, column + 1] - d[c, row, column]) ** 2 / 2
        if row + 1 < 4:
            expected[row, column] += (d[c, row + 1, column] - d[c, row, column]) ** 2 / 2
    assert np.abs(LOSSES["gradient"](x, y)[0, 0].numpy() - expected).max() < 1e-12
    assert LOSSES["gradient"](x, x + 0.3).abs().max() < 1e-12  # blind to a constant


def test_ssim_is_skimages() -> None:
    x = draw(1, 2, 15, 16)
    y = (0.7 * x + 0.3 * draw(1, 2, 15, 16, seed=1)).clamp(-1, 1)
    maps = [
        skimage.metrics.structural_similarity(
            x[0, c].numpy(),
            y[0, c].numpy(),
            win_size=7,
            use_sample_covariance=False,
            full=True,
            data_range=2,
        )[1]
        for c in range(2)
    ]
    expected = 1 - np.mean(maps, 0)
    found = LOSSES["ssim"](x, y)[0, 0].numpy()
    inside = slice(3, -3), slice(3, -3)  # they mirror at the border, we take what is inside
    assert np.abs(found[inside] - expected[inside]).max() < 1e-9
    assert expected[inside].std() > 0.01


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_of_nothing_is_zero_and_shapes_are_kept(loss: str) -> None:
    x = draw(3, 2, 2, 8, 9)
    assert LOSSES[loss](x, x).shape == (3, 2, 1, 8, 9)
    assert LOSSES[loss](x, x).abs().max() < 1e-9
    other = draw(3, 2, 2, 8, 9, seed=1)
    assert (LOSSES[loss](x, other).mean((-3, -2, -1)) > 0.01).all()


# From gains to weights

GAINS = torch.tensor(
    [
        # some gain, all gain, no gain, a loss, all losses, huge, tiny, subnormal in float32
        [0.3, 0.2, 0.0, -0.1, -0.2, 1e30, 1e-30, 1e-40],
        [0.1, 0.2, 0.0, 0.1, -0.1, 1.0, 1e-31, 0.0],
        [0.0, 0.2, 0.0, 0.0, -0.3, 0.0, 0.0, 0.0],
    ]
)


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0, 100.0, 1e6])
@pytest.mark.parametrize("activation", ["power", "softmax", "hard"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_gains_give_weights_on_the_simplex(
    activation: str, scale: float, dtype: torch.dtype
) -> None:
    weights = Dig(activation=activation, scale=scale).weights(GAINS.to(dtype))
    assert torch.isfinite(weights).all()
    assert (weights >= 0).all()
    assert (weights.sum(0) - 1).abs().max() < 1e-5
    equal = weights[:, 1:3]  # as much to gain, or nothing: nobody is preferred
    assert (equal - 1 / 3).abs().max() < 1e-6


def test_power() -> None:
    weights = Dig(activation="power", scale=2.0).weights(GAINS)
    assert weights[:, 0].tolist() == pytest.approx([0.9, 0.1, 0])
    assert weights[:, 3].tolist() == [0, 1, 0]  # a negative gain counts as none
    assert weights[:, 4].tolist() == pytest.approx([1 / 3] * 3)  # nobody gains anything
    assert weights[:, 5].tolist() == [1, 0, 0]
    # Gains are compared, whatever their unit, until they are lost in rounding.
    assert weights[:, 6].tolist() == pytest.approx([1 / 1.01, 0.01 / 1.01, 0], rel=1e-4)


def test_softmax_and_hard() -> None:
    weights = Dig(activation="softmax", scale=3.0).weights(GAINS[:, :5])
    powers = np.exp(3 * GAINS[:, :5].numpy())
    assert np.abs(weights.numpy() - powers / powers.sum(0)).max() < 1e-6
    weights = Dig(activation="hard").weights(GAINS)
    assert weights[:, 0].tolist() == [1, 0, 0]
    assert weights[:, 1].tolist() == pytest.approx([1 / 3] * 3)  # shared by ties
    assert weights[:, 4].tolist() == [0, 1, 0]


def test_the_published_formula_literally() -> None:
    sources = draw(3, 2, 1, 8, 9)
    table = {
        "name": "dig",
        "loss": "l2",
        "activation": "softmax",
        "scale": 1,
        "granularity": "pixel",
        "stride": 1,
    }
    pipe = compose(
        estimator=GaussianEstimator(correlation=4.0),
        weighting=table,
        objective={"name": "mse", "strength": 0},
        steps=N,
        start_sigma=START,
        precision="float64",
        device="cpu",
    )
    run = make_run(sources)
    for i, done in enumerate(pipe.steps(sources, seed=[0, 1])):
        here, after = (
            ((run.source_estimate(level) - sources) ** 2).numpy() for level in (i, i + 1)
        )
        powers = np.exp(here - after)
        assert np.abs(done.weights.numpy() - powers / powers.sum(0)).max() < 1e-9


# Options


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("granularity", ["pixel", "region", "image"])
@pytest.mark.parametrize("activation", ["power", "softmax", "hard"])
@pytest.mark.parametrize("dynamic", [True, False])
def test_every_combination_of_options_stays_on_the_simplex(
    loss: str, granularity: str, activation: str, dynamic: bool
) -> None:
    table = {
        "name": "dig",
        "loss": loss,
        "granularity": granularity,
        "activation": activation,
        "dynamic": dynamic,
        "window": 3,
        "stride": 2,
    }
    pipe = compose(
        estimator="gaussian",
        weighting=table,
        objective={"name": "mse", "strength": 0},
        steps=3,
        device="cpu",
    )
    for done in pipe.steps(draw(3, 1, 1, 8, 7)):
        assert done.weights.shape == (3, 1, 1, 8, 7)
        assert (done.weights >= 0).all()
        assert (done.weights.sum(0) - 1).abs().max() < 1e-5
        flat = done.weights.flatten(-2)
        varies = bool((flat.amax(-1) - flat.amin(-1)).max() > 1e-6)
        assert varies is (granularity != "image")


def test_granularity_is_the_window_that_gains_are_averaged_over() -> None:
    sources = draw(2, 2, 1, 8, 9)
    run = make_run(sources)
    raw = (run.source_estimate(1) - sources) ** 2 - (run.source_estimate(2) - sources) ** 2
    for granularity, window, expected in [
        ("pixel", 1, raw),
        ("region", 5, box_mean(raw, 5)),
        ("image", 0, raw.mean((-2, -1), keepdim=True).expand_as(raw)),
    ]:
        provided = fusionkit.load_plugins().find(fusionkit.WEIGHTING, "dig")
        options = provided.make_options({"loss": "l2", "granularity": granularity, "window": 5})
        built = provided.build(options, fusionkit.BuildContext())
        assert built.window == window
        assert (built.start(run).gains(1, 2) - expected).abs().max() < 1e-12


def test_static_weights_come_from_the_gain_over_all_steps() -> None:
    sources = draw(2, 1, 1, 8, 9)
    run = make_run(sources)
    dig = Dig(loss="l2", dynamic=False, window=3)
    weights = all_weights(dig, run)
    assert all(torch.equal(w, weights[0]) for w in weights)
    # The sum over the steps telescopes to the first level's loss, so one level will do.
    started: Any = dig.start(run)
    total = sum(started.gains(i, i + 1) for i in range(N))
    assert (weights[0] - dig.weights(total)).abs().max() < 1e-9
    assert (total - box_mean((run.source_estimate(0) - sources) ** 2, 3)).abs().max() < 1e-9


@pytest.mark.parametrize("resolution", [1, 2])
def test_neighbours_agree_at_the_size_of_the_gains(resolution: int) -> None:
    sources = draw(2, 1, 1, 70, 68)
    alone = Dig(window=5, resolution=resolution, dynamic=False)
    agreed = Dig(window=5, resolution=resolution, dynamic=False, consistency=11)
    weights = [all_weights(dig, make_run(sources))[0] for dig in (alone, agreed)]
    window = {1: 11, 2: 5}[resolution]
    run = make_run(sources)
    gains = alone.start(run).gains(0, N)
    small = fusionkit.consistent_weights(alone.weights(gains), window)
    assert (weights[1] - enlarged(small, resolution, 70, 68)).abs().max() < 1e-9
    assert (weights[0] - weights[1]).abs().max() > 0.1


@pytest.mark.parametrize("stride", [2, 3, 4, N, N + 5])
def test_weights_are_renewed_only_every_stride_steps(stride: int) -> None:
    run = make_run(draw(2, 1, 1, 8, 9))
    dig = Dig(stride=stride, window=3)
    weights = all_weights(dig, run)
    fresh: Any = dig.start(run)
    for i in range(N):
        due = i - i % stride
        assert torch.equal(weights[i], weights[due])
        # Over what is left, where a whole stride is not.
        expected = dig.weights(fresh.gains(due, min(due + stride, N)))
        assert (weights[i] - expected).abs().max() < 1e-12
    assert len({tuple(w.flatten().tolist()) for w in weights}) == -(-N // stride)


def test_the_number_of_channels_does_not_show_in_the_weights() -> None:
    weights = all_weights(Dig(window=3), make_run(draw(2, 2, 3, 8, 9)))
    assert all(w.shape == (2, 2, 1, 8, 9) for w in weights)


@pytest.mark.parametrize("window", [0, 2, 10])
def test_windows_are_odd(window: int) -> None:
    provided = fusionkit.load_plugins().find(fusionkit.WEIGHTING, "dig")
    with pytest.raises(UsageError, match=rf"weighting dig: window must be .* not {window}"):
        provided.make_options({"window": window})


# What it is for


@pytest.fixture(scope="module")
def focus_pair() -> Tensor:
    """The camera man, sharp on the left in one source and on the right in the other."""
    sharp = skimage.data.camera()[64:192, 160:288] / 127.5 - 1
    blurred = scipy.ndimage.gaussian_filter(sharp, 2.5, mode="mirror")
    left = np.arange(128) < 64
    pair = np.stack([np.where(left, sharp, blurred), np.where(left, blurred, sharp)])
    return torch.from_numpy(pair)[:, None, None]


class GivenEstimates:
    """A run in name: its source estimates are given, (N + 1, K, B, C, H, W), the sources last."""

    def __init__(self, estimates: Tensor) -> None:
        self.sources = estimates[-1]
        self.steps = len(estimates) - 1
        self.announced = frozenset(range(self.steps))  # they cost nothing
        self.estimates = estimates

    def announce(self, levels: Any, singly: bool = False) -> None:
        pass

    def source_estimate(self, level: int, source: int | None = None) -> Tensor:
        return self.estimates[level] if source is None else self.estimates[level, source]


def _weight_of_what_is_sharp(weights: list[Tensor]) -> list[tuple[float, float]]:
    """Per step, the mean weight of each source over its sharp half."""
    return [(float(w[0, 0, 0, :, :64].mean()), float(w[1, 0, 0, :, 64:].mean())) for w in weights]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["power", "softmax", "hard"])
def test_the_sharp_half_gets_the_larger_weight(
    focus_pair: Tensor, loss: str, activation: str
) -> None:
    # A denoiser that only smooths, ever less: what it gives back is detail, of which the
    # blurred halves have little.
    smoothed = [
        torch.from_numpy(scipy.ndimage.gaussian_filter(focus_pair.numpy(), width, axes=(-2, -1)))
        for width in (4, 2, 1, 0.5)
    ]
    run: Any = GivenEstimates(torch.stack([*smoothed, focus_pair]))
    shares = _weight_of_what_is_sharp(all_weights(Dig(loss=loss, activation=activation), run))
    for left, right in shares[1:]:
        assert min(left, right) > (0.5005 if activation == "softmax" else 0.75)


@pytest.mark.parametrize("loss", ["l2", "gradient"])
def test_so_it_does_with_a_prior_and_its_noise(focus_pair: Tensor, loss: str) -> None:
    # Not so for l1 and ssim at the noisier steps: the noise that a weak prior leaves in an
    # estimate hides what a smooth source has, and that source then seems to gain more.
    run = make_run(focus_pair, estimator=GaussianEstimator())
    shares = _weight_of_what_is_sharp(all_weights(Dig(loss=loss, resolution=1), run))
    for left, right in shares:
        assert (left + right) / 2 > 0.51
    assert max(min(share) for share in shares) > 0.6


def test_identical_sources_share_equally() -> None:
    sources = draw(1, 1, 1, 8, 9).expand(3, 1, 1, 8, 9)
    for activation in ("power", "softmax"):
        for weights in all_weights(Dig(activation=activation, window=3), make_run(sources)):
            assert (weights - 1 / 3).abs().max() < 1e-6


def test_sources_of_which_nothing_is_left_to_gain_share_equally() -> None:
    # Constant sources, known at every level.
    sources = torch.tensor([0.3, -0.9]).view(2, 1, 1, 1, 1).expand(2, 1, 1, 5, 6)
    run: Any = GivenEstimates(sources.expand(N + 1, *sources.shape))
    for loss, activation in itertools.product(LOSSES, ["power", "softmax", "hard"]):
        for weights in all_weights(Dig(loss=loss, activation=activation), run):
            assert (weights - 0.5).abs().max() < 1e-6, (loss, activation)


def test_it_is_independent_of_the_fused_trajectory() -> None:
    sources = draw(2, 1, 1, 8, 9)
    assert Dig.uses_trajectory is False
    weights = []
    for objective in ({"name": "mse", "strength": 0}, {"name": "mse", "strength": 50}):
        pipe = compose(
            estimator="gaussian", weighting="dig", objective=objective, steps=N, device="cpu"
        )
        weights.append([done.weights for done in pipe.steps(sources)])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


# Another prior than the run's


def test_gains_are_those_of_the_prior_that_is_named() -> None:
    sources = draw(2, 1, 1, 40, 52).float()
    how: Any = {"objective": {"name": "gradients", "strength": 0.0}}
    named = {"name": "dig", "prior": "gaussian"}
    by_option = compose(weighting=named, estimator="compact", **how)(sources, seed=3)
    by_run = compose(weighting="dig", estimator="gaussian", **how)(sources, seed=3)
    by_network = compose(weighting="dig", estimator="compact", **how)(sources, seed=3)
    assert torch.equal(by_option.weights, by_run.weights)
    assert by_option.nfe == by_run.nfe == by_network.nfe
    assert not torch.equal(by_option.weights, by_network.weights)


def test_what_a_task_says_of_the_prior_gives_way_to_the_estimator() -> None:
    def prior(**how: Any) -> str:
        return str(compose(**how).as_recipe()["weighting"]["prior"])

    gaussian = "diffusion:gaussian"  # in full, however it is said
    assert prior(task="infrared-visible") == gaussian
    assert prior(task="infrared-visible", estimator="compact") == ""
    assert prior(task="infrared-visible", recipe=None, estimator={"name": "gaussian"}) == ""
    assert prior(recipe={"estimator": "compact", "weighting": {"prior": "gaussian"}}) == gaussian
    assert prior(estimator=GaussianEstimator()) == ""
    own = {"prior": "gaussian"}
    assert prior(estimator=GaussianEstimator(), weighting=own) == gaussian
    assert prior(estimator="compact", weighting=own) == gaussian
    assert prior(recipe=compose(task="medical").as_recipe()) == gaussian
    assert prior(recipe=compose(estimator="compact").as_recipe()) == ""


def test_a_prior_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="Did you mean gaussian"):
        compose(weighting={"name": "dig", "prior": "gausian"})
    with pytest.raises(UsageError, match="checkpoint"):
        compose(weighting={"name": "dig", "prior": "adm"})


PRIOR = """
from fusionkit import Component, hookimpl

class Shrinks:
    channels, multiple_of, sigma_min, sigma_max = None, 1, 0.0, float("inf")
    weights_sha256 = "ab" * 32

    def denoise(self, x, sigma):
        return x * FACTOR

@hookimpl
def fusionkit_noise_estimators():
    return [
        Component("shrinks", "a prior", lambda options, context: Shrinks()),
        Component("nothing", "no prior", lambda options, context: 5),
    ]
"""


@pytest.fixture
def a_plugin(tmp_path: Path) -> str:
    file = tmp_path / "shrinking.py"
    file.write_text(PRIOR.replace("FACTOR", "0.5"))
    return str(file)


def test_a_prior_of_a_file_travels_with_the_pipeline(a_plugin: str) -> None:
    registry = load_plugins(inline=[a_plugin])
    pipe = compose(weighting={"name": "dig", "prior": "shrinks"}, registry=registry)
    sources = draw(2, 1, 1, 20, 24).float()
    again = pickle.loads(pickle.dumps(pipe))
    assert torch.equal(again(sources, seed=1).image, pipe(sources, seed=1).image)


def test_a_study_depends_on_the_code_of_the_prior(a_plugin: str) -> None:
    def key() -> str:
        registry = load_plugins(inline=[a_plugin])
        pipe = compose(weighting={"name": "dig", "prior": "shrinks"}, registry=registry)
        return key_of(Origins(registry).of_recipe(pipe.as_recipe()))

    before = key()
    assert key() == before
    Path(a_plugin).write_text(PRIOR.replace("FACTOR", "0.25"))
    assert key() != before


def test_a_record_tells_of_the_prior_as_of_an_estimator(a_plugin: str) -> None:
    registry = load_plugins(inline=[a_plugin])
    images = [np.linspace(0, end, 480).reshape(20, 24).astype(np.uint8) for end in (200, 255)]

    def record(**how: Any) -> dict[str, Any]:
        return dict(fusionkit.fuse(images, registry=registry, **how).record)

    found = record(weighting={"name": "dig", "prior": "shrinks"})
    assert found["recipe"]["weighting"]["prior"] == "shrinking:shrinks"
    asked = record(weighting={"name": "dig", "prior": ""}, estimator="shrinks")
    prior = found["components"]["weighting"].pop("prior")
    assert prior == asked["components"]["estimator"]
    assert {"plugin", "version", "code", "file"} < prior.keys()
    assert prior["weights_sha256"] == "ab" * 32
    assert found["components"]["weighting"] == asked["components"]["weighting"]
    shipped = record(weighting={"name": "dig", "prior": "gaussian"})["components"]["weighting"]
    assert shipped["prior"]["name"] == "diffusion:gaussian"
    assert "weights_sha256" not in shipped["prior"]


def test_a_replay_warns_of_other_weights_of_the_prior(a_plugin: str) -> None:
    registry = load_plugins(inline=[a_plugin])
    images = [np.linspace(0, end, 480).reshape(20, 24).astype(np.uint8) for end in (200, 255)]
    weighting = {"name": "dig", "prior": "shrinks"}
    record = fusionkit.fuse(images, weighting=weighting, registry=registry).record

    def said(**how: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            compose(recipe=record, registry=registry, **how)
        return [str(each.message) for each in caught]

    assert said() == []
    record["components"]["weighting"]["prior"]["weights_sha256"] = "cd" * 32
    (line,) = said()
    assert line.startswith("noise estimator shrinks (")
    assert line.endswith("(SHA-256 abababababab, not cdcdcdcdcdcd): the image will differ")
    assert said(weighting={"prior": "gaussian"}) == []  # chosen anew


def test_a_replay_knows_records_that_gave_the_weights_of_the_prior_to_dig(a_plugin: str) -> None:
    registry = load_plugins(inline=[a_plugin])
    weighting = {"name": "dig", "prior": "shrinks"}
    recipe = compose(weighting=weighting, registry=registry).as_recipe()

    def said(digest: str) -> list[str]:
        components = {"weighting": {"name": "dig:dig", "weights_sha256": digest}}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            compose(recipe={"recipe": recipe, "components": components}, registry=registry)
        return [str(each.message) for each in caught]

    assert said("ab" * 32) == []
    assert "(SHA-256 abababababab, not cdcdcdcdcdcd)" in "".join(said("cd" * 32))


def test_what_was_built_of_options_is_a_mapping(
    a_plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dig, "stand_ins", ["prior"])
    registry = load_plugins(inline=[a_plugin])
    with pytest.raises(PluginError, match=r"weighting dig .*: stand_ins is a list, not a mapping"):
        compose(weighting={"name": "dig", "prior": "shrinks"}, registry=registry)


def test_what_is_no_prior_is_said(a_plugin: str) -> None:
    registry = load_plugins(inline=[a_plugin])
    with pytest.raises(PluginError, match=r"noise estimator nothing .* built a int"):
        compose(weighting={"name": "dig", "prior": "nothing"}, registry=registry)
