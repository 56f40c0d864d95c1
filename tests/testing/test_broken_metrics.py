"""Metrics that break one promise each: the kit names it."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from fusionkit import IDENTITY_PRESERVING, METRIC, SOURCE_SYMMETRIC, UsageError, option

Failures = Callable[..., dict[str, str]]


class Mse:
    """The sound one: the mean squared difference from the sources."""

    higher_is_better: Any = False
    convention: Any = "mean over sources and pixels, of values in [0, 255]"
    sources: Any = "any"

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        return (fused - sources).square().mean((0, 2, 3, 4))


def metric(function: Callable[[Tensor, Tensor], Any] | None = None, **members: Any) -> Any:
    """Return the sound metric, but for what it returns or declares."""
    body = {} if function is None else {"__call__": lambda self, f, s: function(f, s)}
    return type("Broken", (Mse,), {**body, **members})()


def correlation(fused: Tensor, sources: Tensor) -> Tensor:
    def centred(x: Tensor) -> Tensor:
        return x - x.mean((-1, -2), keepdim=True)

    f, s = centred(fused), centred(sources)
    norm = (f.square().sum((2, 3)) * s.square().sum((3, 4))).sqrt()
    return ((f * s).sum((3, 4)) / norm).mean((0, 2))


class Remembering(Mse):
    """Computes with an image that a call beside it may have replaced."""

    thread_safe = True

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        self.fused = fused
        time.sleep(0.002)  # another thread's turn
        return super().__call__(self.fused[..., :60, :60], sources[..., :60, :60])


class Doubling(Mse):
    """Sets what all threads compute with."""

    thread_safe = True

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return super().__call__(fused, sources)


class Counting(Mse):
    calls = 0

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        self.calls += 1
        return super().__call__(fused, sources) * self.calls


SOUND = Mse()
BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "state on threads": (Remembering, "thread_safe", "the same number, to the last bit"),
    "what all threads share": (Doubling, "thread_safe", "must not change torch's default type"),
    "thread_safe of another type": (
        lambda: metric(thread_safe="yes"),
        "thread_safe",
        "must be True or False, not 'yes'",
    ),
    "direction": (
        lambda: metric(higher_is_better="lower"),
        "declares_its_convention",
        "True or False, not 'lower'",
    ),
    "no convention": (lambda: metric(convention=" "), "declares_its_convention", "one line"),
    "sources": (lambda: metric(sources="two"), "declares_its_convention", 'must be "any"'),
    "lower is not better": (
        lambda: metric(higher_is_better=True),
        "prefers_the_image",
        "higher is better, but is 0 for identical images",
    ),
    "higher is not better": (
        lambda: metric(lambda f, s: -SOUND(f, s)),
        "prefers_the_image",
        "lower is better, but",
    ),
    "contrast, the lower the better": (
        lambda: metric(lambda f, s: f.std((1, 2, 3))),
        "prefers_the_image",
        "lower is better, but is 40.08",
    ),
    "constant": (lambda: metric(lambda f, s: 0 * SOUND(f, s) + 7), "prefers_the_image", "7 for"),
    "bounds that are too low": (
        lambda: metric(bounds=(0.0, 100.0)),
        "declares_its_bounds",
        "bounds 0 to 100, but is [",
    ),
    "bounds that are too high": (
        lambda: metric(bounds=(1.0, math.inf)),
        "declares_its_bounds",
        "bounds 1 to inf, but is [0.0] for constant images",
    ),
    "bounds of the other sign": (
        lambda: metric(lambda f, s: -SOUND(f, s), higher_is_better=True, bounds=(0.0, math.inf)),
        "declares_its_bounds",
        "but is [-",
    ),
    "bounds upside down": (
        lambda: metric(bounds=(65025.0, 0.0)),
        "declares_its_bounds",
        "two numbers, not (65025.0, 0.0)",
    ),
    "one bound": (lambda: metric(bounds=0.0), "declares_its_bounds", "two numbers, not 0.0"),
    "one number for a batch": (
        lambda: metric(lambda f, s: SOUND(f, s).mean()),
        "shape_and_dtype",
        "must return (B,) = (1,)",
    ),
    "a Python number": (
        lambda: metric(lambda f, s: float(SOUND(f, s)[0])),
        "shape_and_dtype",
        "not float",
    ),
    "float32": (lambda: metric(lambda f, s: SOUND(f, s).float()), "shape_and_dtype", "float64"),
    "two sources only": (
        lambda: metric(lambda f, s: SOUND(f, s) * torch.ones(1)[len(s) - 2]),
        "shape_and_dtype",
        "index",
    ),
    "NaN for constant images": (
        lambda: metric(correlation),
        "finite",
        "[nan] for a constant fused image",
    ),
    "infinite for identical images": (
        lambda: metric(lambda f, s: 1 / SOUND(f, s)),
        "finite",
        "[inf] for constant images",
    ),
    "even sizes only": (
        lambda: metric(lambda f, s: SOUND(f, s) / (f.shape[-1] % 2)),
        "any_size",
        "64 x 64",
    ),
    "scale of the batch": (
        lambda: metric(lambda f, s: SOUND(f, s) / f.amax()),
        "images_do_not_interact",
        "in a batch and alone",
    ),
    "writes": (lambda: metric(lambda f, s: SOUND(f.round_(), s)), "inputs_not_mutated", "fused"),
    "random": (
        lambda: metric(lambda f, s: SOUND(f, s) + torch.rand(len(f), dtype=f.dtype)),
        "deterministic",
        "the same number",
    ),
    "counts its calls": (Counting, "deterministic", "called again"),
    "raises": (lambda: metric(lambda f, s: 1 / 0), "finite", "ZeroDivisionError"),
    "not a metric": (object, "builds", "lacks __call__, convention, higher_is_better, sources"),
}


@pytest.fixture(autouse=True)
def _default_type() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_promise_is_named(case: str, failures: Failures) -> None:
    factory, check, words = BROKEN[case]
    failed = failures(METRIC, factory)
    assert check in failed
    assert words in failed[check]
    assert failed[check].startswith("metric broken")
    assert "\n" not in failed[check]


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("sources", ["any", 2])
def test_sound_ones_pass(sources: Any, safe: bool, failures: Failures) -> None:
    def sound() -> Any:
        return metric(sources=sources, thread_safe=safe)

    assert failures(METRIC, sound, traits=(SOURCE_SYMMETRIC,)) == {}


@pytest.mark.parametrize("higher", [True, False])
def test_one_that_does_not_look_at_the_sources_may_like_noise(
    higher: bool, failures: Failures
) -> None:
    def contrast() -> Any:
        return metric(lambda f, s: f.std((1, 2, 3)), higher_is_better=higher, bounds=(0.0, 128.0))

    assert set(failures(METRIC, contrast)) == (set() if higher else {"prefers_the_image"})


def test_a_partial_one_may_find_nothing_to_measure(failures: Failures) -> None:
    def partial(**members: Any) -> Any:
        return metric(lambda f, s: SOUND(f, s).where(SOUND(f, s) > 0, math.nan), **members)

    assert "finite" in failures(METRIC, partial)
    assert failures(METRIC, lambda: partial(partial=True, bounds=(0.0, 65025.0))) == {}

    def infinite() -> Any:
        return metric(lambda f, s: 1 / SOUND(f, s), partial=True)

    assert "finite" in failures(METRIC, infinite)


def test_false_symmetry(failures: Failures) -> None:
    def first_only() -> Any:
        return metric(lambda f, s: (f - s[0]).square().mean((1, 2, 3)))

    assert failures(METRIC, first_only) == {}
    failed = failures(METRIC, first_only, traits=(SOURCE_SYMMETRIC,))
    assert list(failed) == ["source_symmetric"]


def test_a_trait_that_means_nothing(failures: Failures) -> None:
    failed = failures(METRIC, Mse, traits=(IDENTITY_PRESERVING,))
    assert failed == {
        "traits_apply": "metric broken: the trait identity-preserving means nothing for a metric"
    }


@dataclass(frozen=True)
class Options:
    mode: Literal["plain", "root"] = option("plain", "One of them does not work.")


def test_an_option_value_that_does_not_work(failures: Failures) -> None:
    def build(options: Options, context: object) -> Any:
        sign = -1 if options.mode == "root" else 1
        return metric(lambda f, s: (sign * SOUND(f, s)).sqrt())

    failed = failures(METRIC, None, options=Options, build=build)
    assert list(failed) == ["other_options"]
    assert "with mode root" in failed["other_options"]


def test_all_option_values_refused_is_said(provide: Callable[..., Any]) -> None:
    from fusionkit.testing import run_checks

    def build(options: Options, context: object) -> Any:
        if options.mode == "root":
            raise UsageError("mode root needs a file")
        return Mse()

    outcomes = run_checks(provide(METRIC, None, options=Options, build=build))
    assert [(o.name, o.reason) for o in outcomes if o.status != "passed"] == [
        ("other_options", "metric broken refuses every other value: mode root needs a file")
    ]
