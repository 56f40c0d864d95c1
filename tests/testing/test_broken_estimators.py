"""Noise estimators that break one promise each: the kit names it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_diffusion.schedules import linear_alpha_bar
from torch import Tensor

from fusionkit import ESTIMATOR, DiscretePrior, Prior, UsageError, option
from fusionkit.sampling.levels import _sigma_at, _time_of, choose_levels
from fusionkit.testing import ConformanceError, WhiteGaussian, checks_for, run_checks

Failures = Callable[..., dict[str, str]]
Function = Callable[[Any, Tensor, Tensor], Tensor]


def white(function: Function | None = None, **members: Any) -> WhiteGaussian:
    """Return the sound estimator, but for what it returns or declares."""

    class Broken(WhiteGaussian):
        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            sound = super().denoise
            return sound(x, sigma) if function is None else function(sound, x, sigma)

    made = Broken()
    for name, value in members.items():
        setattr(made, name, value)
    return made


def column(sigma: Tensor) -> Tensor:
    return sigma.view(-1, 1, 1, 1)


def writes_x(f: Any, x: Tensor, sigma: Tensor) -> Tensor:
    return x.copy_(f(x, sigma))


def writes_sigma(f: Any, x: Tensor, sigma: Tensor) -> Tensor:
    return f(x, sigma.clamp_(0.1, 10))


def fails_at_the_clean_end(f: Any, x: Tensor, sigma: Tensor) -> Tensor:
    return f(x, sigma) / (column(sigma) > 0.01)


class Counting(WhiteGaussian):
    """Keeps count of its calls, as a network left in training mode keeps statistics."""

    calls = 0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls += 1
        return super().denoise(x, sigma) * (1 + 0.01 * self.calls)


class RandomlyInitialised(WhiteGaussian):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.rand((), dtype=torch.float64)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return super().denoise(x, sigma) * self.scale.to(x)


def fails_without_values(f: Any, x: Tensor, sigma: Tensor) -> Tensor:
    if x.is_meta:
        raise NotImplementedError
    return f(x, sigma)


BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "half a channel": (lambda: white(channels=0.5), "channels_and_multiple", "any, not 0.5"),
    "no channel": (lambda: white(channels=0), "channels_and_multiple", "at least 1, or None"),
    "multiple of 0.5": (
        lambda: white(multiple_of=0.5),
        "channels_and_multiple",
        "at least 1, not 0.5",
    ),
    "levels upside down": (
        lambda: white(sigma_min=80.0, sigma_max=0.01),
        "levels_are_a_range",
        "not of 80.0 and 0.01",
    ),
    "negative levels": (lambda: white(sigma_min=-1.0), "levels_are_a_range", "not of -1.0 and inf"),
    "levels that are tensors": (
        lambda: white(sigma_max=torch.tensor(80.0)),
        "levels_are_a_range",
        "plain numbers",
    ),
    "level to a NaN": (lambda: white(sigma_max=math.nan), "levels_are_a_range", "and nan"),
    "learned variance too": (
        lambda: white(lambda f, x, s: torch.cat([f(x, s)] * 2, 1)),
        "shape_and_dtype",
        "must be shaped as x, (2, 1, 17, 23), not (2, 2, 17, 23)",
    ),
    "always float32": (
        lambda: white(lambda f, x, s: f(x, s).float()),
        "shape_and_dtype",
        "must be torch.float64, not torch.float32",
    ),
    "infinite at the clean end": (
        lambda: white(fails_at_the_clean_end),
        "finite_at_both_ends",
        "not at sigma 0.001",
    ),
    "by place in the batch": (
        lambda: white(lambda f, x, s: f(x, s) * torch.arange(len(x)).view(-1, 1, 1, 1)),
        "batch_permutation",
        "in another order",
    ),
    "batch statistics": (
        lambda: white(lambda f, x, s: f(x, s) - x.mean()),
        "images_do_not_interact",
        "with other images beside it",
    ),
    "one level for the batch": (
        lambda: white(lambda f, x, s: f(x, s[:1].expand_as(s))),
        "mixed_levels",
        "mixed levels",
    ),
    "writes to x": (lambda: white(writes_x), "inputs_not_mutated", "changed x"),
    "writes to sigma": (lambda: white(writes_sigma), "inputs_not_mutated", "changed sigma"),
    "dropout": (
        lambda: white(lambda f, x, s: torch.dropout(f(x, s), 0.1, True)),
        "deterministic",
        "global random state",
    ),
    "random weights": (RandomlyInitialised, "deterministic", "built and called anew"),
    "running statistics": (Counting, "calls_do_not_interact", "after other calls"),
    "host read": (
        lambda: white(lambda f, x, s: f(x, s) * (1 if float(s[0]) >= 0 else 0)),
        "runs_on_meta_device",
        "on the meta device",
    ),
    "says nothing": (
        lambda: white(fails_without_values),
        "runs_on_meta_device",
        "on the meta device: NotImplementedError",
    ),
    "computes elsewhere": (
        lambda: white(lambda f, x, s: torch.zeros(x.shape, dtype=x.dtype)),
        "runs_on_meta_device",
        "on the device of x, not on cpu",
    ),
    "no tensor": (lambda: white(lambda f, x, s: None), "shape_and_dtype", "not NoneType"),
    "no prior": (object, "builds", "lacks channels, denoise, multiple_of, sigma_max, sigma_min"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_promise_is_named(case: str, failures: Failures) -> None:
    factory, check, words = BROKEN[case]
    failed = failures(ESTIMATOR, factory)
    assert check in failed
    assert words in failed[check]
    assert failed[check].startswith("noise estimator broken")
    assert "\n" not in failed[check]


SMOOTH = "denoises_a_smooth_image"

# Each is a mistake that somebody makes who writes a prior around a network.
LEVELS = (*choose_levels(20, 157.0), 0.0)


def level_off(by: int) -> Function:
    """The level that is ``by`` places further in a table of 20, of what is nearest in it."""
    table = torch.tensor(LEVELS, dtype=torch.float64)[:-1].flip(0)  # increasing

    def denoise(f: Any, x: Tensor, sigma: Tensor) -> Tensor:
        index = (sigma.double().log()[:, None] - table.log()).abs().argmin(1) + by
        return f(x, table[index.clamp(0, len(table) - 1)].to(sigma))

    return denoise


def level_off_between(by: int) -> Function:
    """The same of a prior of any level: a stride of 20 further in DDPM's time."""

    def denoise(f: Any, x: Tensor, sigma: Tensor) -> Tensor:
        times = [min(1000.0, max(1.0, _time_of(float(s)) + 50 * by)) for s in sigma]
        return f(x, sigma.new_tensor([_sigma_at(time) for time in times]))

    return denoise


def a_of(sigma: Tensor) -> Tensor:
    """a = sqrt(alpha_bar) of a variance-preserving network: 1 / sqrt(1 + sigma²)."""
    return (1 + column(sigma).square()).rsqrt()


def by_epsilon(scale: Callable[[Tensor], Tensor]) -> Function:
    """x - sigma eps(scale x), where the sound network expects a x and knows its noise exactly."""

    def denoise(f: Any, x: Tensor, sigma: Tensor) -> Tensor:
        y = scale(sigma) / a_of(sigma) * x  # what the network takes for x
        eps = (y - f(y, sigma)) / column(sigma)
        return x - column(sigma) * eps

    return denoise


def by_sample(scale: Callable[[Tensor], Tensor]) -> Function:
    """The same with a network that predicts x0."""
    return lambda f, x, sigma: f(scale(sigma) / a_of(sigma) * x, sigma)


MISTAKES: dict[str, Function] = {
    "the noise": lambda f, x, s: (x - f(x, s)) / column(s),
    "the noise, scaled": lambda f, x, s: x - f(x, s),
    "the noisy image": lambda f, x, s: x,
    "nothing": lambda f, x, s: torch.zeros_like(x),
    "the other sign": lambda f, x, s: -f(x, s),
    "the other sign of the noise": lambda f, x, s: 2 * x - f(x, s),
    "not divided by a": lambda f, x, s: a_of(s) * f(x, s),
    "divided by a twice": lambda f, x, s: f(x, s) / a_of(s),
    "x not scaled, noise": by_epsilon(lambda s: torch.ones_like(a_of(s))),
    "x not scaled, sample": by_sample(lambda s: torch.ones_like(a_of(s))),
    "alpha_bar without its root, noise": by_epsilon(lambda s: a_of(s) ** 2),
    "alpha_bar without its root, sample": by_sample(lambda s: a_of(s) ** 2),
    "its root taken twice, noise": by_epsilon(lambda s: a_of(s).sqrt()),
    "its root taken twice, sample": by_sample(lambda s: a_of(s).sqrt()),
    "values in [0, 1]": lambda f, x, s: (f(2 * x - 1, 2 * s) + 1) / 2,
    "values returned in [0, 1]": lambda f, x, s: (f(x, s) + 1) / 2,
    "values taken in [0, 1]": lambda f, x, s: f((x + 1) / 2, s / 2),
    "one level up": level_off(1),
    "one level down": level_off(-1),
    "a twentieth up": level_off_between(1),
    "a twentieth down": level_off_between(-1),
    "sigma squared": lambda f, x, s: f(x, s.square()),
    "root of sigma": lambda f, x, s: f(x, s.sqrt()),
    "one sigma for all": lambda f, x, s: f(x, torch.full_like(s, 0.3)),
    "sigma in levels of 255": lambda f, x, s: f(x, s * 127.5),
    "sigma of values in [0, 1]": lambda f, x, s: f(x, s / 2),
}


@pytest.mark.parametrize("prior", [WhiteGaussian, GaussianEstimator])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_mistake_of_scale_sign_or_level_passes(
    mistake: str, prior: Callable[[], Any], provide: Callable[..., Any]
) -> None:
    sound, function = prior(), MISTAKES[mistake]

    class Mistaken(Prior):
        channels, multiple_of = sound.channels, sound.multiple_of
        sigma_min, sigma_max = sound.sigma_min, sound.sigma_max

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return function(sound.denoise, x, sigma)

    checks = {check.name: check for check in checks_for(provide(ESTIMATOR, Mistaken))}
    with pytest.raises(ConformanceError, match=r"noise estimator broken: (at|noise of) sigma"):
        checks[SMOOTH].run()


@pytest.mark.parametrize("make", [WhiteGaussian, GaussianEstimator])
def test_right_priors_denoise_what_is_smooth(make: Any, provide: Callable[..., Any]) -> None:
    checks = {check.name: check for check in checks_for(provide(ESTIMATOR, make))}
    checks[SMOOTH].run()


def test_so_do_right_priors_around_a_network(provide: Callable[..., Any]) -> None:
    """The exact prior of white images, as a network that predicts noise, velocity, x0."""
    alpha_bar = linear_alpha_bar()
    v = 0.25

    def x0_of(x: Tensor, t: Tensor) -> Tensor:
        a2 = column(alpha_bar[t]).to(x)
        return a2.sqrt() * v / (a2 * v + 1 - a2) * x

    def predict(what: str) -> Callable[[Tensor, Tensor], Tensor]:
        def net(x: Tensor, t: Tensor) -> Tensor:
            a, s = column(alpha_bar[t]).sqrt().to(x), (1 - column(alpha_bar[t])).sqrt().to(x)
            x0 = x0_of(x, t)
            eps = (x - a * x0) / s
            return {"epsilon": eps, "velocity": a * eps - s * x0, "sample": x0}[what]

        return net

    for what in ("epsilon", "velocity", "sample"):
        prior = DiscretePrior(predict(what), alpha_bar, what, channels=1)  # type: ignore[arg-type]
        checks = {check.name: check for check in checks_for(provide(ESTIMATOR, lambda p=prior: p))}
        checks[SMOOTH].run()


def test_one_that_knows_none_of_the_levels_is_skipped(provide: Callable[..., Any]) -> None:
    provided = provide(ESTIMATOR, lambda: white(sigma_min=30.0, sigma_max=100.0))
    outcome = next(o for o in run_checks(provided) if o.name == SMOOTH)
    assert outcome.status == "skipped"
    assert "knows none of the levels" in (outcome.reason or "")


def test_a_promise_can_be_waived(provide: Callable[..., Any]) -> None:
    """Of weights that nobody has trained: what they return is no estimate of anything."""
    provided = provide(ESTIMATOR, lambda: white(lambda f, x, s: torch.tanh(x.flip(-1))))
    failed = {o.name for o in run_checks(provided) if o.status == "failed"}
    assert failed == {SMOOTH}
    outcomes = {o.name: o for o in run_checks(provided, waive=[SMOOTH])}
    assert outcomes[SMOOTH][1:] == ("skipped", "waived")
    assert {o.status for name, o in outcomes.items() if name != SMOOTH} == {"passed"}


def test_what_is_waived_must_exist(provide: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"no check 'denoises_smooth'.* denoises_a_smooth_image\?"):
        run_checks(provide(ESTIMATOR, white), waive=["denoises_smooth"])


@pytest.mark.parametrize("members", [{}, {"channels": 3}, {"channels": None}, {"multiple_of": 8}])
def test_sound_ones_pass(members: dict[str, Any], failures: Failures) -> None:
    assert failures(ESTIMATOR, lambda: white(**members)) == {}


@dataclass(frozen=True)
class Options:
    deviation: float = option(0.5, "Zero is allowed, but does not work.", minimum=0)


def test_an_option_value_that_does_not_work(failures: Failures) -> None:
    def build(options: Options, context: object) -> WhiteGaussian:
        scale = torch.tensor(options.deviation).double()
        return white(lambda f, x, s: f(x, s) * (scale / scale).to(x))

    failed = failures(ESTIMATOR, None, options=Options, build=build)
    assert list(failed) == ["other_options"]
    assert "with deviation 0.0" in failed["other_options"]


def test_one_that_needs_a_checkpoint_is_skipped_with_its_reason(
    provide: Callable[..., Any],
) -> None:
    def build(options: object, context: object) -> WhiteGaussian:
        raise UsageError("say where the weights are: --estimator.checkpoint FILE")

    outcomes = run_checks(provide(ESTIMATOR, None, build=build))
    by_status = {status: [o for o in outcomes if o.status == status] for status in ("skipped",)}
    assert [o.name for o in outcomes if o.status == "passed"] == [
        "traits_apply",
        "options_frozen",
        "options_round_trip",
    ]
    assert len(by_status["skipped"]) == len(outcomes) - 3
    assert by_status["skipped"][0].reason == (
        "noise estimator broken needs to be configured: "
        "say where the weights are: --estimator.checkpoint FILE"
    )


def test_one_that_cannot_be_built_fails(failures: Failures) -> None:
    def build(options: object, context: object) -> WhiteGaussian:
        raise FileNotFoundError("weights.pt")

    failed = failures(ESTIMATOR, None, build=build)
    assert "could not be built: FileNotFoundError: weights.pt" in failed["builds"]
