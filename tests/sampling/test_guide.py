"""What samplers are guided by, and the run it works on, against what can be worked out by hand."""

from __future__ import annotations

import gc
import itertools
import math
import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_dig.dig import Dig
from fusionkit_fixed import Fixed
from fusionkit_objectives.increments import Increments
from fusionkit_objectives.mse import Mse
from fusionkit_samplers.ddim import DDIM
from torch import Tensor

from fusionkit import Pipeline, PluginError, SampledStep, Step, compose
from fusionkit.sampling.guide import sample
from fusionkit.sampling.levels import Schedule, choose_levels
from fusionkit.sampling.run import Run

pytestmark = pytest.mark.usefixtures("a_light_default")

N = 5
ANCESTRAL: dict[str, Any] = {"name": "ddim", "eta": 1.0}


class Untouched:
    """An objective that corrects nothing, so that a run is unconditional sampling."""

    def start(self, run: Run) -> Any:
        return SimpleNamespace(
            initial=lambda weights: (weights * run.sources).sum(0),
            rectify=lambda step, weights: step.x0,
        )


class Counting:
    """A gaussian prior that writes down every call: sizes, levels, dtype."""

    sigma_min, sigma_max = 0.0, math.inf

    def __init__(self, multiple_of: int = 1, channels: int = 1) -> None:
        self.inner = GaussianEstimator(correlation=4.0)
        self.channels = channels
        self.multiple_of = multiple_of
        self.calls: list[tuple[Tensor, Tensor]] = []

    @property
    def images(self) -> int:
        return sum(len(x) for x, _ in self.calls)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls.append((x.clone(), sigma.clone()))
        return self.inner.denoise(x, sigma)


class Oracle:
    """Knows the image, (C, H, W), that every noisy image hides."""

    channels = 1
    multiple_of = 1
    sigma_min, sigma_max = 0.0, math.inf

    def __init__(self, truth: Tensor) -> None:
        self.truth = truth

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.truth.to(x).expand_as(x)


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Sources: noise smoothed a little, in about [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def pipeline(
    estimator: Any = None, weighting: Any = "fixed", objective: Any = "mse", **settings: Any
) -> Pipeline:
    """Compose it; an objective of which only the name is given looks at the trajectory."""
    if isinstance(objective, str):
        objective = {"name": objective, "strength": 0.1}
    settings = {"steps": N, "precision": "float64", "device": "cpu", **settings}
    return compose(
        estimator=estimator or {"name": "gaussian", "correlation": 4.0},
        weighting=weighting,
        objective=objective,
        **settings,
    )


def make_run(
    sources: Tensor, seeds: Sequence[int], estimator: Any, steps: int = N, **budget: int
) -> Run:
    schedule = Schedule.of(choose_levels(steps, 80.0))
    return Run(sources, seeds, estimator, schedule, **budget)


# Unconditional sampling is exact


class Frequencies:
    """The basis in which a gaussian prior is diagonal, and its variances there."""

    def __init__(self, estimator: GaussianEstimator, height: int, width: int) -> None:
        self.mirror = estimator.border == "mirror"
        factor = 2 if self.mirror else 1
        size = factor * height, factor * width
        grid = estimator.spectrum(*size, torch.float64, torch.device("cpu")).numpy()
        self.power = grid[:height, :width] if self.mirror else grid

    def __call__(self, image: Tensor) -> np.ndarray:
        if self.mirror:
            return scipy.fft.dctn(image.numpy(), axes=(-2, -1), norm="ortho")
        return np.fft.rfft2(image.numpy(), norm="ortho")


def step_gains(run: Run, i: int, power: np.ndarray, eta: float) -> tuple[np.ndarray, float]:
    """Per frequency, x_{i+1} = gain x_i + fresh z, from the posterior mean and eq. 12 of DDIM.

    The equation is in x_t = a x0 + s n with a² + s² = 1: it is evaluated as it stands there, and
    both sides brought to x = x_t / a.
    """
    a, a_next = (1 / math.sqrt(1 + sigma**2) for sigma in run.sigma[i : i + 2])
    s, s_next = run.sigma[i] * a, run.sigma[i + 1] * a_next
    mean = a * power / (a * a * power + s * s)
    fresh = eta * s_next / s * math.sqrt(1 - (a / a_next) ** 2)
    eps = (1 - a * mean) / s
    gain = a_next * mean + math.sqrt(s_next**2 - fresh**2) * eps
    return gain * a / a_next, fresh / a_next


@pytest.mark.parametrize("spacing", ["ddpm", "log-sigma", "edm"])
@pytest.mark.parametrize("border", ["mirror", "periodic"])
def test_unconditional_ddim_is_the_product_of_its_step_gains(border: str, spacing: str) -> None:
    height, width = 7, 10
    estimator = GaussianEstimator(correlation=4.0, border=border)
    pipe = pipeline(estimator, objective=Untouched(), spacing=spacing, steps=8)
    done = list(pipe.steps(draw(2, 2, 1, height, width), seed=[3, 4]))
    run = done[0].step.run
    basis = Frequencies(estimator, height, width)
    assert torch.equal(done[0].step.x, run.sigma[0] * run.noise("fusionkit/start"))
    expected = basis(done[0].step.x)
    for i in range(run.steps):
        assert np.abs(basis(done[i].step.x) - expected).max() < 1e-5
        expected = expected * step_gains(run, i, basis.power, 0.0)[0]
    assert np.abs(basis(done[-1].corrected) - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.1  # not a comparison of zeros


@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_ancestral_sampling_is_its_gains_and_its_own_fresh_noise(eta: float) -> None:
    height, width = 6, 5
    estimator = GaussianEstimator(correlation=4.0)
    pipe = pipeline(estimator, objective=Untouched(), sampler={"name": "ddim", "eta": eta})
    done = list(pipe.steps(draw(2, 1, 1, height, width), seed=1))
    run = done[0].step.run
    basis = Frequencies(estimator, height, width)
    expected = basis(done[0].step.x)
    for i in range(run.steps):
        gain, fresh = step_gains(run, i, basis.power, eta)
        expected = gain * expected + fresh * basis(run.noise("fusionkit/ddim", i))
    assert np.abs(basis(done[-1].corrected) - expected).max() < 1e-9


def test_ancestral_sampling_has_the_variance_that_its_recursion_says() -> None:
    height, width, images = 4, 5, 600
    estimator = GaussianEstimator(correlation=4.0)
    pipe = pipeline(estimator, objective=Untouched(), sampler=ANCESTRAL, steps=12)
    done = list(pipe.steps(draw(2, images, 1, height, width), seed=range(images)))
    run = done[0].step.run
    basis = Frequencies(estimator, height, width)
    variance = np.full_like(basis.power, run.sigma[0] ** 2)
    for i in range(run.steps):
        gain, fresh = step_gains(run, i, basis.power, 1.0)
        variance = gain**2 * variance + fresh**2
    standardised = basis(done[-1].corrected) ** 2 / variance
    # A mean of 600 squared normals strays by 0.058; twenty of them by less than 4 of those.
    assert np.abs(standardised.mean((0, 1)) - 1).max() < 4 * math.sqrt(2 / images)
    assert standardised.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_an_oracle_every_seed_ends_at_the_truth(eta: float) -> None:
    truth = draw(1, 5, 6, seed=9)
    pipe = pipeline(Oracle(truth), objective=Untouched(), sampler={"name": "ddim", "eta": eta})
    for seed in (0, 1):
        assert (pipe(draw(2, 1, 1, 5, 6), seed).image - truth).abs().max() < 1e-9


def test_a_late_start_is_the_noised_initial_fusion() -> None:
    sources = draw(3, 2, 1, 5, 6)
    weights = (0.5, 0.2, 0.3)
    pipe = pipeline(weighting={"name": "fixed", "weights": weights}, start_sigma=2.03)
    first = next(iter(pipe.steps(sources, seed=[5, 6])))
    run = first.step.run
    assert run.sigma[0] == pytest.approx(2.03, rel=1e-12)
    initial = sum(w * c for w, c in zip(weights, sources, strict=True))
    expected = initial + run.sigma[0] * run.noise("fusionkit/start")
    assert (first.step.x - expected).abs().max() < 1e-12
    assert first.step.previous is None


@pytest.mark.parametrize(
    ("settings", "noise"),
    [
        ({"start_sigma": 9.9}, False),
        ({"start_sigma": 10.1}, True),
        ({"start_sigma": 2.0, "init": "noise"}, True),
        ({"start_sigma": 80.0, "init": "fusion"}, False),
        ({"sigmas": [20.0, 1.0]}, True),
        ({"sigmas": [20.0, 1.0], "init": "fusion"}, False),
    ],
)
def test_a_run_starts_from_noise_where_no_image_is_seen_or_where_it_is_told(
    settings: dict[str, Any], noise: bool
) -> None:
    sources = draw(2, 1, 1, 5, 6)
    first = next(iter(pipeline(**settings).steps(sources, seed=5)))
    run = first.step.run
    start = run.sigma[0] * run.noise("fusionkit/start")
    expected = start if noise else sources.mean(0) + start
    assert (first.step.x - expected).abs().max() < 1e-12
    assert run.sigma[0] == pytest.approx(settings.get("start_sigma", 20.0), rel=1e-12)


def test_the_provisional_call_sees_the_mean_of_the_sources_and_says_so() -> None:
    seen: list[tuple[bool, Tensor, Tensor]] = []

    class Watching:
        def start(self, run: Run) -> Any:
            weigh = Fixed().start(run)

            def call(step: Step) -> Tensor:
                seen.append((step.provisional, step.x, step.x0))
                return weigh(step)

            return call

    sources = draw(2, 1, 1, 4, 4)
    fused = pipeline(weighting=Watching(), start_sigma=3.4)(sources)
    assert [provisional for provisional, _, _ in seen] == [True] + [False] * N
    assert torch.equal(seen[0][1], sources.mean(0))
    assert torch.equal(seen[0][2], sources.mean(0))
    assert fused.nfe == N  # it costs no evaluation
    seen.clear()
    pipeline(weighting=Watching())(sources)
    assert [provisional for provisional, _, _ in seen] == [False] * N


def test_a_step_shows_the_trajectory_and_the_corrected_estimate_before() -> None:
    done = list(pipeline().steps(draw(2, 1, 1, 5, 6)))
    run = done[0].step.run
    assert [d.step.index for d in done] == list(range(N))
    assert done[0].step.previous is None
    for i in range(1, N):
        assert done[i].step.previous is done[i - 1].corrected
        # The noise kept is that which x_i holds beside the *corrected* estimate.
        x, x0 = done[i - 1].step.x, done[i - 1].corrected
        eps = (x - x0) / run.sigma[i - 1]
        assert (done[i].step.x - x0 - run.sigma[i] * eps).abs().max() < 1e-12
        assert (done[i].step.x0 - run.clean_estimate(done[i].step.x, i)).abs().max() < 1e-12
    assert done[2].step.sigma == run.sigma[2]


def test_a_step_without_a_trajectory_refuses_to_be_read() -> None:
    class Promises:
        uses_trajectory = False

        def start(self, run: Run) -> Any:
            return lambda step: step.x0

    with pytest.raises(PluginError, match=r"step.x0 was read, but .* uses_trajectory = False"):
        pipeline(weighting=Promises(), objective={"name": "mse", "strength": 0})(
            draw(2, 1, 1, 4, 4)
        )


def test_the_consumer_of_the_steps_keeps_its_own_grad_mode() -> None:
    for done in pipeline().steps(draw(2, 1, 1, 4, 4)):
        assert torch.is_grad_enabled()
        assert not done.corrected.requires_grad


# Noise


def test_noise_is_keyed_and_nothing_else_matters() -> None:
    estimator = GaussianEstimator()
    one = make_run(draw(2, 1, 1, 5, 6), [7], estimator)
    expected = one.noise("toy", 3)
    two = make_run(draw(3, 2, 1, 5, 6, seed=4), [1, 7], estimator)
    two.noise("other", 3)
    two.noise("toy", 2)
    torch.randn(3)  # the global generator is not ours
    assert torch.equal(two.noise("toy", 3)[1], expected[0])
    assert torch.equal(two.noise("toy", 3), two.noise("toy", 3))
    different = [
        two.noise("toy", 3)[0],
        two.noise("toy", 2)[1],
        two.noise("other", 3)[1],
        expected[0],
    ]
    for a, b in itertools.combinations(different, 2):
        assert abs(float((a * b).mean())) < 0.7  # 30 independent values
        assert not torch.equal(a, b)
    # Keys do not run into one another: ("toy", 31) is not ("toy3", 1).
    assert not torch.equal(two.noise("toy", 31), two.noise("toy3", 1))


def test_noise_does_not_touch_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    pipeline(sampler=ANCESTRAL)(draw(2, 1, 1, 4, 4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_noise_is_standard_normal_and_independent_between_channels() -> None:
    run = make_run(draw(2, 1, 3, 64, 64), [0], GaussianEstimator())
    noise = run.noise("toy")
    assert noise.shape == (1, 3, 64, 64)
    assert noise.dtype == torch.float64
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)
    assert float(noise.std()) == pytest.approx(1, abs=0.03)
    correlation = torch.corrcoef(noise[0].flatten(1))
    assert (correlation - torch.eye(3)).abs().max() < 0.06


def test_float32_noise_is_that_of_float64() -> None:
    estimator = GaussianEstimator()
    double = make_run(draw(2, 1, 1, 5, 6), [7], estimator).noise("toy")
    single = make_run(draw(2, 1, 1, 5, 6).float(), [7], estimator).noise("toy")
    assert torch.equal(single.double(), double)


WHOLE = [
    ("fixed", "mse", {}),
    ("dig", "increments", {}),
    ("dig", "increments", {"sampler": ANCESTRAL}),
    ("dig", "mse", {"start_sigma": 3.4}),
]


@pytest.mark.parametrize(("weighting", "objective", "settings"), WHOLE)
def test_a_batch_is_its_images_one_by_one(
    weighting: str, objective: str, settings: dict[str, Any]
) -> None:
    sources = draw(2, 2, 1, 16, 13)
    pipe = pipeline(None, weighting, objective, precision="float32", **settings)
    both = list(pipe.steps(sources, seed=[11, 12]))
    for image, seed in enumerate([11, 12]):
        alone = list(pipe.steps(sources[:, image : image + 1], seed=seed))
        for purpose in ("fusionkit/start", "fusionkit/sources", "fusionkit/ddim"):
            noise = both[0].step.run.noise(purpose, 1)[image]
            assert torch.equal(noise, alone[0].step.run.noise(purpose, 1)[0])
        assert (both[-1].corrected[image] - alone[-1].corrected[0]).abs().max() < 1e-4
    assert (both[-1].corrected[0] - both[-1].corrected[1]).abs().max() > 1e-2


@pytest.mark.parametrize(("weighting", "objective", "settings"), WHOLE)
def test_one_seed_gives_the_same_bits_and_another_does_not(
    weighting: str, objective: str, settings: dict[str, Any]
) -> None:
    sources = draw(2, 1, 1, 16, 13)
    pipe = pipeline(None, weighting, objective, precision="float32", **settings)
    once = pipe(sources, seed=2)
    assert torch.equal(pipe(sources, seed=2).image, once.image)
    assert torch.equal(pipe(sources, seed=2).weights, once.weights)
    assert not torch.equal(pipe(sources, seed=3).image, once.image)


# Counting, sharing and holding source estimates


@pytest.mark.parametrize(
    ("weighting", "objective", "per_image"),
    [
        ("dig", "increments", lambda K: K * N + N),
        ("fixed", "increments", lambda K: K * N + N),
        ("fixed", {"name": "increments", "strength": 0}, lambda K: K * N),
        ("dig", {"name": "increments", "strength": 0}, lambda K: K * N),  # shared, so no more
        ({"name": "dig", "loss": "ssim"}, {"name": "increments", "strength": 0}, lambda K: K * N),
        ("fixed", "mse", lambda K: N),
        ("fixed", {"name": "mse", "strength": 0}, lambda K: 0),
        ("dig", {"name": "mse", "strength": 0}, lambda K: K * N),
        ({"name": "dig", "stride": 2}, {"name": "mse", "strength": 0}, lambda K: K * 3),
        ({"name": "dig", "stride": 2}, "mse", lambda K: K * 3 + N),
        ({"name": "dig", "stride": 9}, {"name": "mse", "strength": 0}, lambda K: K),
        ({"name": "dig", "dynamic": False}, {"name": "mse", "strength": 0}, lambda K: K),
        ({"name": "dig", "dynamic": False}, "increments", lambda K: K * N + N),
    ],
)
@pytest.mark.parametrize(("K", "B"), [(2, 1), (3, 2)])
def test_evaluations_are_counted(
    weighting: Any, objective: Any, per_image: Any, K: int, B: int
) -> None:
    estimator = Counting()
    fused = pipeline(estimator, weighting, objective)(draw(K, B, 1, 8, 8))
    assert fused.nfe == per_image(K)
    assert estimator.images == B * per_image(K)
    strength = objective.get("strength", 0.1) if isinstance(objective, dict) else 0.1
    assert fused.target_only is (strength == 0)


def test_a_components_own_evaluations_are_counted() -> None:
    class Asking:
        uses_trajectory = False

        def start(self, run: Run) -> Any:
            def call(step: Step) -> Tensor:
                clean = run.sources[0]
                assert run.clean_estimate(clean, run.steps) is clean  # free at level N
                run.clean_estimate(run.sources.flatten(0, 1), step.index)
                return Fixed().start(run)(step)

            return call

    estimator = Counting()
    fused = pipeline(estimator, Asking(), {"name": "mse", "strength": 0})(draw(2, 3, 1, 8, 8))
    assert fused.nfe == N * 2
    assert estimator.images == N * 2 * 3


def test_source_estimates_are_those_of_the_noised_sources() -> None:
    estimator = GaussianEstimator()
    run = make_run(draw(3, 2, 1, 6, 5), [1, 2], estimator)
    noise = run.noise("fusionkit/sources")
    run.announce(range(run.steps))
    for i in range(run.steps):
        for k in range(3):
            x = run.sources[k] + run.sigma[i] * noise
            expected = estimator.denoise(x, torch.tensor([run.sigma[i]] * 2, dtype=x.dtype))
            assert (run.source_estimate(i)[k] - expected).abs().max() < 1e-9
    assert run.source_estimate(run.steps) is run.sources
    assert run.nfe == run.steps * 3 * 2


def _bytes_held(run: Run) -> int:
    # A view keeps the whole of what it is a view of, so storages are what counts.
    storages = {held.untyped_storage().data_ptr(): held for held in run._held.values()}
    return sum(held.untyped_storage().nbytes() for held in storages.values())


@pytest.mark.parametrize("levels", [0, 2, 3, 4, 100])
def test_a_small_memory_budget_bounds_what_is_held_and_changes_nothing(levels: int) -> None:
    steps = 9
    sources = draw(2, 1, 1, 8, 8)
    per_level = sources.numel() * 8
    results = []
    for budget in (levels * per_level, 2**28):
        estimator = Counting()
        run = make_run(sources, [0], estimator, steps, memory_budget=budget)
        held = []
        for done in sample(run, Dig(window=3, stride=1), Increments(0.1), DDIM()):
            held.append(_bytes_held(run) // per_level)
            last = done
        # Two levels are held at the least: those on either side of a step.
        assert max(held) <= max(2, min(levels, steps)) or budget == 2**28
        assert max(len(x) for x, _ in estimator.calls) <= 2 * max(1, budget // per_level)
        assert run.nfe == estimator.images == 3 * steps  # nothing twice
        results.append(last.corrected)
    assert (results[0] - results[1]).abs().max() < 1e-9


def test_announced_levels_share_a_batch() -> None:
    estimator = Counting()
    run = make_run(draw(2, 1, 1, 8, 8), [0], estimator)
    run.announce([1, 3])
    run.source_estimate(0)
    assert [sigma.tolist() for _, sigma in estimator.calls] == [
        [run.sigma[i] for i in (0, 1, 3) for _ in range(2)]
    ]
    run.source_estimate(3)
    assert len(estimator.calls) == 1
    run.source_estimate(2)  # not announced
    assert estimator.calls[1][1].tolist() == [run.sigma[2]] * 2


@pytest.mark.slow
def test_a_level_that_the_sampler_has_passed_is_released() -> None:
    run = make_run(draw(2, 1, 1, 8, 8), [0], GaussianEstimator())
    estimates: list[weakref.ref[Tensor]] = []
    for done in sample(run, Fixed(), Increments(0.1), DDIM()):
        estimates.append(weakref.ref(run.source_estimate(done.step.index)))
        if any(ref() is not None for ref in estimates[:-1]):  # else there is nothing to collect
            gc.collect()
        assert [ref() is None for ref in estimates] == [True] * done.step.index + [False]
    before = run.nfe
    run.source_estimate(0)  # made anew, and counted
    assert run.nfe == before + 2


def test_big_batches_go_through_the_estimator_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = draw(2, 3, 1, 8, 8)
    whole = pipeline(None, "dig", "increments")(sources)
    monkeypatch.setattr("fusionkit.sampling.evaluator.PIXELS_PER_PASS", 4 * 64)
    estimator = Counting()
    parts = pipeline(estimator, "dig", "increments")(sources)
    assert max(len(x) for x, _ in estimator.calls) == 4
    assert parts.nfe == whole.nfe
    assert (parts.image - whole.image).abs().max() < 1e-9


@pytest.mark.parametrize("K", range(2, 7))
def test_the_order_of_the_sources_does_not_matter(K: int) -> None:
    sources = draw(K, 1, 1, 9, 8)
    for weighting, objective in [("dig", "increments"), ("fixed", "mse")]:
        pipe = pipeline(None, weighting, objective)
        image = pipe(sources).image
        for order in (list(range(K))[::-1], [*range(1, K), 0]):
            assert (pipe(sources[order]).image - image).abs().max() < 1e-9
        assert image.shape == (1, 1, 9, 8)


# Whole frames for plugins, padded ones for the estimator


@pytest.mark.parametrize(("height", "width"), [(5, 13), (8, 17), (2, 2), (1, 3), (16, 8)])
def test_odd_sizes_are_padded_by_mirroring_and_cropped_back(height: int, width: int) -> None:
    estimator = Counting(multiple_of=8)
    fused = pipeline(estimator, "dig", "increments")(draw(2, 2, 1, height, width))
    assert fused.image.shape == (2, 1, height, width)
    assert fused.weights.shape == (2, 2, 1, height, width)
    assert torch.isfinite(fused.image).all()
    down, right = -height % 8, -width % 8
    for x, sigma in estimator.calls:
        assert x.shape[-2:] == (height + down, width + right)
        assert sigma.shape == (len(x),)
        assert sigma.dtype == x.dtype
        own = x[..., :height, :width].numpy()
        mirrored = np.pad(own, ((0, 0), (0, 0), (0, down), (0, right)), "symmetric")
        assert np.array_equal(x.numpy(), mirrored)


def test_padding_does_not_matter_to_a_prior_that_looks_at_one_pixel() -> None:
    class Pointwise(Oracle):
        def __init__(self, multiple_of: int) -> None:
            super().__init__(torch.tensor(0.25))
            self.multiple_of = multiple_of

    sources = draw(2, 1, 1, 5, 11)
    images = [pipeline(Pointwise(m), "dig", "increments")(sources).image for m in (1, 8)]
    assert torch.equal(*images)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (1, 1), (1, 9), (3, 2)])
@pytest.mark.parametrize("loss", ["l2", "l1", "gradient", "ssim"])
def test_the_smallest_images_run(height: int, width: int, loss: str) -> None:
    pipe = pipeline(None, {"name": "dig", "loss": loss}, "increments", precision="float32")
    fused = pipe(draw(2, 1, 1, height, width))
    assert fused.image.shape == (1, 1, height, width)
    assert torch.isfinite(fused.image).all()


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float64", torch.float64), ("float32", torch.float32)]
)
def test_one_dtype_runs_through_everything(precision: str, dtype: torch.dtype) -> None:
    estimator = Counting()
    pipe = pipeline(
        estimator, "dig", "increments", precision=precision, start_sigma=9.0, sampler=ANCESTRAL
    )
    steps: list[SampledStep] = []
    fused = pipe(draw(2, 1, 1, 8, 8), on_step=steps.append)
    assert fused.image.dtype == fused.weights.dtype == dtype
    assert {x.dtype for x, _ in estimator.calls} == {dtype}
    assert {t.dtype for done in steps for t in (done.step.x, done.step.x0, done.weights)} == {dtype}


def test_memory_formats_of_an_estimator_do_not_matter() -> None:
    class ChannelsLast(Counting):
        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return super().denoise(x, sigma).to(memory_format=torch.channels_last)

    sources = draw(2, 2, 3, 8, 9)
    images = [
        pipeline(made(channels=3), "dig", "increments")(sources).image
        for made in (Counting, ChannelsLast)
    ]
    assert (images[0] - images[1]).abs().max() < 1e-12


def test_inputs_and_components_are_left_as_they_were() -> None:
    sources = draw(2, 1, 1, 8, 8)
    before = sources.clone()
    weighting, objective = Dig(), Mse(0.1)
    state = dict(vars(weighting)), dict(vars(objective))
    pipeline(None, weighting, objective)(sources)
    assert torch.equal(sources, before)
    assert (vars(weighting), vars(objective)) == state
