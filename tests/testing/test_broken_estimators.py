"""Noise estimators that break one promise each: the kit names it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from fusionkit import ESTIMATOR, UsageError, option
from fusionkit.testing import WhiteGaussian, run_checks

Failures = Callable[..., dict[str, str]]
Function = Callable[[WhiteGaussian, Tensor, Tensor], Tensor]


def white(function: Function | None = None, **members: Any) -> WhiteGaussian:
    """Return the sound estimator, but for what it returns or declares."""

    class Broken(WhiteGaussian):
        def __call__(self, x: Tensor, t: Tensor) -> Tensor:
            sound = super().__call__
            return sound(x, t) if function is None else function(sound, x, t)

    made = Broken()
    for name, value in members.items():
        setattr(made, name, value)
    return made


def schedule(change: Callable[[Tensor], Tensor]) -> Tensor:
    return change(WhiteGaussian().alpha_bar)


def repeated(alpha_bar: Tensor) -> Tensor:
    alpha_bar[500] = alpha_bar[499]
    return alpha_bar


def writes_x(f: Any, x: Tensor, t: Tensor) -> Tensor:
    return x.copy_(f(x, t))


def writes_t(f: Any, x: Tensor, t: Tensor) -> Tensor:
    return f(x, t.clamp_(1, 500))


def fails_at_clean_end(f: Any, x: Tensor, t: Tensor) -> Tensor:
    return f(x, t) / (t > 0).view(-1, 1, 1, 1)


class Counting(WhiteGaussian):
    """Keeps count of its calls, as a network left in training mode keeps statistics."""

    calls = 0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        return super().__call__(x, t) * (1 + 0.01 * self.calls)


class RandomlyInitialised(WhiteGaussian):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.rand((), dtype=torch.float64)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return super().__call__(x, t) * self.scale.to(x)


BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "two channels": (lambda: white(channels=2), "channels_and_multiple", "1 or 3, not 2"),
    "multiple of 0.5": (
        lambda: white(multiple_of=0.5),
        "channels_and_multiple",
        "at least 1, not 0.5",
    ),
    "increasing schedule": (
        lambda: white(alpha_bar=schedule(lambda a: a.flip(0))),
        "alpha_bar_decreases",
        "does not from index 0",
    ),
    "a level twice": (
        lambda: white(alpha_bar=schedule(repeated)),
        "alpha_bar_decreases",
        "does not from index 499",
    ),
    "float32 schedule": (
        lambda: white(alpha_bar=schedule(Tensor.float)),
        "alpha_bar_decreases",
        "must be float64",
    ),
    "schedule from 1": (
        lambda: white(alpha_bar=schedule(lambda a: a / a[0])),
        "alpha_bar_decreases",
        "between 0 and 1",
    ),
    "schedule to a NaN": (
        lambda: white(alpha_bar=schedule(lambda a: torch.cat([a, a.new_tensor([torch.nan])]))),
        "alpha_bar_decreases",
        "between 0 and 1",
    ),
    "no tensor for a schedule": (
        lambda: white(alpha_bar=[0.9, 0.1]),
        "alpha_bar_decreases",
        "must be a tensor",
    ),
    "schedule on the device": (
        lambda: white(alpha_bar=torch.empty(1000, device="meta")),
        "alpha_bar_stays_on_cpu",
        "is on meta",
    ),
    "learned variance too": (
        lambda: white(lambda f, x, t: torch.cat([f(x, t)] * 2, 1)),
        "shape_and_dtype",
        "must be shaped as x, (2, 1, 17, 23), not (2, 2, 17, 23)",
    ),
    "always float32": (
        lambda: white(lambda f, x, t: f(x, t).float()),
        "shape_and_dtype",
        "must be torch.float64, not torch.float32",
    ),
    "infinite at the clean end": (
        lambda: white(fails_at_clean_end),
        "finite_at_both_ends",
        "not at t = 0 of 999",
    ),
    "by place in the batch": (
        lambda: white(lambda f, x, t: f(x, t) * torch.arange(len(x)).view(-1, 1, 1, 1)),
        "batch_permutation",
        "in another order",
    ),
    "batch statistics": (
        lambda: white(lambda f, x, t: f(x, t) - x.mean()),
        "images_do_not_interact",
        "with other images beside it",
    ),
    "one level for the batch": (
        lambda: white(lambda f, x, t: f(x, t[:1].expand_as(t))),
        "mixed_levels",
        "mixed levels",
    ),
    "writes to x": (lambda: white(writes_x), "inputs_not_mutated", "changed x"),
    "writes to t": (lambda: white(writes_t), "inputs_not_mutated", "changed t"),
    "dropout": (
        lambda: white(lambda f, x, t: torch.dropout(f(x, t), 0.1, True)),
        "deterministic",
        "global random state",
    ),
    "random weights": (RandomlyInitialised, "deterministic", "built and called anew"),
    "running statistics": (Counting, "calls_do_not_interact", "after other calls"),
    "host read": (
        lambda: white(lambda f, x, t: f(x, t) * (1 if int(t[0]) >= 0 else 0)),
        "runs_on_meta_device",
        "on the meta device",
    ),
    "computes elsewhere": (
        lambda: white(lambda f, x, t: torch.zeros(x.shape, dtype=x.dtype)),
        "runs_on_meta_device",
        "on the device of x, not on cpu",
    ),
    "no tensor": (lambda: white(lambda f, x, t: None), "shape_and_dtype", "not NoneType"),
    "no schedule": (object, "builds", "lacks __call__, alpha_bar, channels, multiple_of"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_promise_is_named(case: str, failures: Failures) -> None:
    factory, check, words = BROKEN[case]
    failed = failures(ESTIMATOR, factory)
    assert check in failed
    assert words in failed[check]
    assert failed[check].startswith("noise estimator broken")
    assert "\n" not in failed[check]


@pytest.mark.parametrize("members", [{}, {"channels": 3}, {"multiple_of": 8}])
def test_sound_ones_pass(members: dict[str, int], failures: Failures) -> None:
    assert failures(ESTIMATOR, lambda: white(**members)) == {}


@dataclass(frozen=True)
class Options:
    deviation: float = option(0.5, "Zero is allowed, but does not work.", minimum=0)


def test_an_option_value_that_does_not_work(failures: Failures) -> None:
    def build(options: Options, context: object) -> WhiteGaussian:
        scale = torch.tensor(options.deviation).double()
        return white(lambda f, x, t: f(x, t) / scale.to(x))

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
