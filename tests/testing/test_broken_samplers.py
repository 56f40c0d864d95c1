"""Samplers that break one promise each: the kit names it."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fusionkit import SAMPLER, SampledStep
from fusionkit.testing.doubles import EulerSampler

Failures = Callable[..., dict[str, str]]


class Euler:
    """The sound one, in parts that the broken ones replace."""

    trajectory: Any = True

    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        x = self.start(run, guide)
        for i in range(run.steps):
            done = guide(i, x, self.estimate(run, x, i))
            f = done.corrected
            yield done
            x = self.move(run, i, x, f)

    def start(self, run: Any, guide: Any) -> Tensor:
        return guide.start()

    def estimate(self, run: Any, x: Tensor, i: int) -> Tensor:
        return run.clean_estimate(x, i)

    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return f + run.sigma[i + 1] / run.sigma[i] * (x - f)


class Late(Euler):
    """Yields every second step only."""

    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        for done in super().sample(run, guide):
            if done.step.index % 2 == 0:
                yield done


class Backwards(Euler):
    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        yield from reversed(list(super().sample(run, guide)))


class Twice(Euler):
    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        for done in super().sample(run, guide):
            yield done
            yield done


class Provisional(Euler):
    """Yields a look ahead instead of the step."""

    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        x = guide.start()
        for i in range(run.steps):
            yield guide(i, x, run.clean_estimate(x, i), provisional=True)


class YieldsImages(Euler):
    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        for done in super().sample(run, guide):
            yield done.corrected


class Explodes(Euler):
    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return x / 0.0


class HidesTheImage(Euler):
    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        for i in range(run.steps):
            yield guide(i)


class Random(Euler):
    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return super().move(run, i, x, f) + run.sigma[i + 1] * 0.1 * torch.randn_like(x)


class WritesX(Euler):
    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return x.sub_(f).mul_(run.sigma[i + 1] / run.sigma[i]).add_(f)


class WritesCorrected(Euler):
    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return f.lerp_(x, run.sigma[i + 1] / run.sigma[i])


class WritesSources(Euler):
    def start(self, run: Any, guide: Any) -> Tensor:
        run.sources.clamp_(-0.1, 0.1)
        return guide.start()


class ScaleOfTheBatch(Euler):
    def start(self, run: Any, guide: Any) -> Tensor:
        x = guide.start()
        return x / x.std() * run.sigma[0]


class KeepsItsStart(Euler):
    """Starts every run where the first of that size did."""

    def __init__(self) -> None:
        self.kept: dict[Any, Tensor] = {}

    def start(self, run: Any, guide: Any) -> Tensor:
        return self.kept.setdefault(run.sources.shape, guide.start()).clone()


class KeepsX(Euler):
    """Keeps the image of a run in itself: right in one after another, wrong side by side."""

    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        self.x = guide.start()
        for i in range(run.steps):
            x = self.x
            done = guide(i, x, run.clean_estimate(x, i))
            self.x = self.move(run, i, x, done.corrected)
            yield done


class AsksBehindTheRun(Euler):
    """Asks the prior itself, so that nobody counts."""

    def estimate(self, run: Any, x: Tensor, i: int) -> Tensor:
        prior = run._evaluator._estimator
        clean: Tensor = prior.denoise(x, torch.full((len(x),), run.sigma[i]).to(x))
        return clean


class Hushed(Euler):
    """Has the run count less than it asked for."""

    def estimate(self, run: Any, x: Tensor, i: int) -> Tensor:
        before = run._evaluator.pixels
        clean: Tensor = run.clean_estimate(x, i)
        run._evaluator.pixels = before
        return clean


class Reads(Euler):
    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return super().move(run, i, x, f) * (1.0 if float(x.sum()) < 1e9 else 0.0)


class NeedsGradient(Euler):
    def estimate(self, run: Any, x: Tensor, i: int) -> Tensor:
        clean: Tensor = run.clean_estimate(x, i)
        return clean + 0 * run.gradient(x, i, clean)


class KeepsTheNoise(Euler):
    """Goes nowhere: the level falls, and x does not."""

    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return x


class DropsTheNoise(Euler):
    """Forgets the noise that the next level has."""

    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return f


class FreshNoise(Euler):
    """Adds a whole level's noise beside what is kept of it."""

    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        return super().move(run, i, x, f) + run.sigma[i + 1] * run.noise("broken", i)


class Blurs(Euler):
    def move(self, run: Any, i: int, x: Tensor, f: Tensor) -> Tensor:
        moved = super().move(run, i, x, f)
        return (moved + moved.roll(1, -1)) / 2


class Unguided(Euler):
    """Goes towards the prior's estimate, and so past the objective."""

    def sample(self, run: Any, guide: Any) -> Iterator[Any]:
        x = guide.start()
        for i in range(run.steps):
            x0 = run.clean_estimate(x, i)
            done = guide(i, x, x0)
            yield SampledStep(done.step, done.weights, x0)
            x = self.move(run, i, x, x0)


class Declares(Euler):
    trajectory = "yes"


BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "every second step": (Late, "yields_every_step", "yielded 1 of 2 steps"),
    "backwards": (Backwards, "yields_every_step", "yielded step 2 where step 1 is due"),
    "each twice": (Twice, "yields_every_step", "yielded step 1 where step 2 is due"),
    "looks ahead": (
        Provisional,
        "yields_every_step",
        "yielded a provisional step where step 1 is due",
    ),
    "images": (YieldsImages, "yields_every_step", "yielded Tensor, not a guided step"),
    "not finite": (Explodes, "yields_every_step", "not finite"),
    "no trajectory": (HidesTheImage, "yields_every_step", "step.x0 was read"),
    "global randomness": (Random, "deterministic", "draw noise from run.noise"),
    "writes to x": (WritesX, "inputs_not_mutated", "changed step.x of step 1"),
    "writes to corrected": (WritesCorrected, "inputs_not_mutated", "changed corrected of step 1"),
    "writes to sources": (WritesSources, "inputs_not_mutated", "wrote to the sources"),
    "scale of the batch": (ScaleOfTheBatch, "images_do_not_interact", "alone and in a batch"),
    "keeps its start": (KeepsItsStart, "runs_do_not_interact", "after another run"),
    "keeps x": (KeepsX, "runs_do_not_interact", "with the objective failed"),
    "behind the run": (AsksBehindTheRun, "counts_evaluations", "of which the run has counted 0"),
    "hushed": (Hushed, "counts_evaluations", "of which the run has counted 0"),
    "host read": (Reads, "runs_on_meta_device", "on the meta device"),
    "undeclared gradient": (NeedsGradient, "declares_what_it_needs", "vjp"),
    "keeps the noise": (KeepsTheNoise, "samples_the_prior", "values of mean 0 and deviation 0.5"),
    "drops the noise": (DropsTheNoise, "samples_the_prior", "deviation 0.5, not"),
    "fresh noise": (FreshNoise, "samples_the_prior", "deviation 0.5, not"),
    "blurs": (Blurs, "samples_the_prior", "must"),
    "unguided": (Unguided, "follows_the_sources", "must end there, but is off by"),
    "declares neither": (Declares, "declares_what_it_needs", "True or False, not 'yes'"),
    "not a sampler": (object, "builds", "lacks sample, trajectory"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_promise_is_named(case: str, failures: Failures) -> None:
    factory, check, words = BROKEN[case]
    failed = failures(SAMPLER, factory)
    assert check in failed
    assert words in failed[check]
    assert failed[check].startswith("sampler broken")
    assert "\n" not in failed[check]


def test_a_false_claim_to_make_no_trajectory(failures: Failures) -> None:
    sampler = copy.copy(EulerSampler())
    sampler.trajectory = False
    failed = failures(SAMPLER, lambda: sampler)
    assert (
        "declares trajectory = False, but step 1 has one"
        in failed["has_the_trajectory_it_declares"]
    )


@pytest.mark.parametrize("sampler", [Euler, EulerSampler])
def test_sound_ones_pass(sampler: Any, failures: Failures) -> None:
    assert failures(SAMPLER, sampler) == {}
