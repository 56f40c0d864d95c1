"""Flags of samplers: what they yield, whom they ask, and where they end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from fusionkit.contract.run import Step
from fusionkit.errors import UsageError
from fusionkit.sampling.guide import SampledStep, sample
from fusionkit.sampling.run import Run

from ._common import skip_if_all_refused, variants
from ._drive import SEEDS, STEPS, TOLERANCE, RampWeights, in_its_name, scene
from ._randomness import global_seed, torch_state
from .checks import Subject
from .doubles import WeightedMean, WhiteGaussian, make_run

LONG = 60
"""Steps after which a sampler has come near to what it samples."""

SPREAD = (0.8, 1.25)
"""Bounds of the standard deviation of what an unguided sampler draws, relative to the prior's."""


class Unguided:
    """An objective that corrects nothing."""

    def start(self, run: Run) -> Unguided:
        """Begin a run, of which nothing is needed."""
        return self

    def initial(self, weights: Tensor) -> Tensor:
        """Return a grey image; trajectories start from noise here."""
        return torch.zeros_like(weights[0])

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return the clean estimate as it is."""
        return step.x0


class Counting(WhiteGaussian):
    """Counts the images that it is given, for their estimates and their gradients."""

    images = 0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Count, and estimate."""
        self.images += len(x)
        return super().denoise(x, sigma)


class WithoutGradient:
    """A prior that has no ``vjp``."""

    sigma_min, sigma_max = WhiteGaussian.sigma_min, WhiteGaussian.sigma_max
    channels, multiple_of = None, 1

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the posterior mean."""
        return WhiteGaussian().denoise(x, sigma)


def declares_what_it_needs(subject: Subject) -> None:
    """``trajectory`` is a bool; gradients are asked for only with ``needs_gradient``."""
    sampler = subject.build()
    needs = getattr(sampler, "needs_gradient", False)
    for name, said in (("trajectory", sampler.trajectory), ("needs_gradient", needs)):
        subject.require(isinstance(said, bool), f"{name} must be True or False, not {said!r}")
    if not needs:
        list(sampled(subject, sampler, estimator=WithoutGradient()))


def yields_every_step(subject: Subject) -> None:
    """Check that it yields each step of the run once, in order, and that the result is finite."""
    sampler = subject.build()
    for steps in (1, 2, STEPS):
        for from_noise in (True, False):
            done = list(sampled(subject, sampler, steps=steps, from_noise=from_noise))
            visited = [each.step.index for each in done]
            subject.require(
                visited == list(range(steps)),
                f"it must yield the steps 0 to {steps - 1}, each once and in order, not {visited}",
            )
            provisional = [each.step.index for each in done if each.step.provisional]
            subject.require(not provisional, f"it yields provisional steps: {provisional}")
            subject.require(
                bool(torch.isfinite(done[-1].corrected).all()), "its last estimate must be finite"
            )


def has_the_trajectory_it_declares(subject: Subject) -> None:
    """Check that steps hold an image and its clean estimate, if it makes a trajectory."""
    sampler = subject.build()
    for done in sampled(subject, sampler):
        subject.require(
            done.step.has_trajectory == sampler.trajectory,
            f"it declares trajectory = {sampler.trajectory}, but step {done.step.index + 1} has "
            f"{'one' if done.step.has_trajectory else 'none'}",
        )


def any_size(subject: Subject) -> None:
    """Odd sizes, grey and colour, two sources and more, in float32 too."""
    sampler = subject.build()
    for K, C, H, W in ((2, 1, 17, 23), (3, 3, 5, 6)):
        for dtype in (torch.float64, torch.float32):
            sources = scene(K, C=C, H=H, W=W).to(dtype)
            *_, last = sampled(subject, sampler, sources)
            subject.require(
                last.corrected.shape == sources.shape[1:] and last.corrected.dtype == dtype,
                f"from sources of shape {tuple(sources.shape)} and {dtype} the result must be "
                f"like them, not {tuple(last.corrected.shape)} of {last.corrected.dtype}",
            )


def other_options(subject: Subject) -> None:
    """Every choice, yes, no and least value of every option works as the default does."""
    subject.build()  # one that needs to be configured is skipped here
    changes, refused = list(variants(subject)), []
    for change in changes:
        name, value = next(iter(change.items()))
        try:
            count = len(list(sampled(subject, subject.build(changes=change))))
        except UsageError as error:  # options that do not go together
            refused.append(str(error))
            continue
        subject.require(
            count == STEPS, f"with {name} {value} it must yield {STEPS} steps, not {count}"
        )
    skip_if_all_refused(subject, len(changes), refused)


def deterministic(subject: Subject) -> None:
    """Equal seeds give equal results, whatever the global random state, which is left alone."""
    results = []
    for seed in (1, 2):
        with global_seed(seed):
            before = torch_state()
            results.append(corrected(sampled(subject, subject.build())))
            subject.require(
                torch.equal(before, torch_state()),
                "it must leave torch's global random state alone: draw noise from run.noise",
            )
    _require_equal(subject, results[1], results[0], "equal seeds must give equal results: it")


def inputs_not_mutated(subject: Subject) -> None:
    """Check that the sources, and what was yielded or handed to components, is read only."""
    sampler, sources = subject.build(), scene()
    before = sources.clone()
    kept: list[tuple[str, Tensor, Tensor]] = []
    for done in sampled(subject, sampler, sources):
        read = {"corrected": done.corrected, "weights": done.weights}
        if done.step.has_trajectory:
            read |= {"step.x": done.step.x, "step.x0": done.step.x0}
        number = done.step.index + 1
        kept += [
            (f"{name} of step {number}", tensor, tensor.clone()) for name, tensor in read.items()
        ]
    kept.append(("the sources", sources, before))
    for name, now, was in kept:
        subject.require(
            torch.equal(now, was), f"it must not write to what others hold, but changed {name}"
        )


def images_do_not_interact(subject: Subject) -> None:
    """Check that an image comes out the same alone and in a batch."""
    sampler, sources = subject.build(), scene()
    together = corrected(sampled(subject, sampler, sources))
    for b, seed in enumerate(SEEDS):
        alone = corrected(sampled(subject, sampler, sources[:, b : b + 1], seeds=(seed,)))
        _require_equal(
            subject,
            [each[b : b + 1] for each in together],
            alone,
            "an image must come out alike alone and in a batch: it",
        )


def runs_do_not_interact(subject: Subject) -> None:
    """Check that nothing is kept of a run: neither from one to the next, nor side by side."""
    # Another run of the same size, then another size.
    runs: list[dict[str, Any]] = [
        {"sources": scene(), "seeds": (1, 2)},
        {"sources": scene(seed=5), "seeds": (3, 4)},
        {"sources": scene(H=20, W=16, seed=6), "seeds": (5, 6)},
    ]
    expected = [corrected(sampled(subject, subject.build(), **each)) for each in runs]
    sampler = subject.build()
    promise = "all state of a run must live in what sample returns: after another run it"
    for n in (0, 1, 2, 0):
        again = corrected(sampled(subject, sampler, **runs[n]))
        _require_equal(subject, again, expected[n], promise)
    rows = list(zip_longest(*(sampled(subject, sampler, **each) for each in runs)))
    for n, alone in enumerate(expected):
        beside = corrected(row[n] for row in rows if row[n] is not None)
        _require_equal(subject, beside, alone, promise.replace("after", "beside"))


def counts_evaluations(subject: Subject) -> None:
    """Check that all that the prior is asked is asked by the run, which counts it."""
    estimator = Counting(channels=None)
    steps = list(sampled(subject, subject.build(), estimator=estimator))
    counted = steps[-1].step.run.nfe
    subject.require(
        counted == estimator.images,
        f"the prior was given {estimator.images} images, of which the run has counted "
        f"{counted:g}: ask run.clean_estimate and run.gradient",
    )


def runs_on_meta_device(subject: Subject) -> None:
    """Nothing is read back to the host: the loop runs on a device that holds no values."""
    sampler = subject.build(device="meta", precision="float32")
    try:
        *_, last = sampled(subject, sampler, scene().float().to("meta"))
    except AssertionError as error:
        raise type(error)(f"{error} (on the meta device)") from error
    device = last.corrected.device.type
    subject.require(device == "meta", f"it must compute on the run's device, not on {device}")


def samples_the_prior(subject: Subject) -> None:
    """Check, if it makes a trajectory, that unguided it draws from the prior in many steps.

    That of :class:`fusionkit.testing.WhiteGaussian` is white, of a known standard deviation.
    """
    sampler = subject.build()
    if not sampler.trajectory:
        return
    wanted = 0.5
    run = make_run(
        torch.zeros(2, 1, 1, 64, 64, dtype=torch.float64),
        estimator=WhiteGaussian(wanted, channels=None),
        steps=LONG,
        spacing="log-sigma",
        seeds=SEEDS[:1],
    )
    *_, last = driven(subject, sampler, run, Unguided())
    drawn = last.corrected
    spread = float(drawn.std()) / wanted
    neighbours = float((drawn[..., 1:] * drawn[..., :-1]).mean() / drawn.square().mean())
    subject.require(
        SPREAD[0] <= spread <= SPREAD[1] and abs(float(drawn.mean())) <= 0.1 * wanted,
        f"where nothing guides it, {LONG} steps must end in what the prior holds: values of mean 0 "
        f"and deviation {wanted:g}, not {float(drawn.mean()):.3g} and {spread * wanted:.3g}",
    )
    subject.require(
        abs(neighbours) <= 0.1,
        f"of a white prior it must draw white images, but neighbours correlate by {neighbours:.3g}",
    )


def follows_the_sources(subject: Subject) -> None:
    """Check that it goes towards the corrected estimates: guided by one image, it ends there."""
    sampler, sources = subject.build(), scene(1).expand(2, -1, -1, -1, -1).clone()
    for from_noise in (True, False):
        objective = WeightedMean(0.01 if sampler.trajectory else 0.0)
        *_, last = sampled(subject, sampler, sources, from_noise=from_noise, objective=objective)
        away = float((last.corrected - sources[0]).abs().max())
        subject.require(
            away <= 0.1,
            f"guided to what all sources are, it must end there, but is off by {away:.3g}",
        )


def sampled(
    subject: Subject,
    sampler: Any,
    sources: Tensor | None = None,
    *,
    seeds: Sequence[int] | None = None,
    steps: int = STEPS,
    from_noise: bool = True,
    estimator: Any = None,
    objective: Any = None,
) -> Iterator[SampledStep]:
    """Let it sample, guided by reference components, which look at the trajectory if there is one.

    ``steps`` levels from pure noise, or from less.
    """
    sources = scene() if sources is None else sources
    run = make_run(
        sources,
        estimator=estimator or WhiteGaussian(channels=None),
        steps=steps,
        start_sigma=80.0 if from_noise else 6.0,
        seeds=(SEEDS * sources.shape[1])[: sources.shape[1]] if seeds is None else seeds,
    )
    if objective is None:
        objective = WeightedMean(0.1 if sampler.trajectory else 0.0)
    return driven(subject, sampler, run, objective, from_noise)


def driven(
    subject: Subject, sampler: Any, run: Run, objective: Any, from_noise: bool = True
) -> Iterator[SampledStep]:
    """Run to the end, reporting what is found wrong on the way as a breach of the contract."""
    with in_its_name(subject):
        yield from sample(
            run,
            RampWeights(),
            objective,
            sampler,
            from_noise=from_noise,
            weighting_name="it with the weighting",
            objective_name="it with the objective",
            sampler_name="it",
        )
        run.flags.verify()


def corrected(steps: Iterator[SampledStep]) -> list[Tensor]:
    """Return the corrected estimates of all steps."""
    return [done.corrected for done in steps]


def _require_equal(
    subject: Subject, got: Sequence[Tensor], expected: Sequence[Tensor], promise: str
) -> None:
    same = [a.shape for a in got] == [b.shape for b in expected]
    pairs = zip(got, expected, strict=False)
    difference = max(float((a - b).abs().max()) for a, b in pairs) if same else float("inf")
    subject.require(difference <= TOLERANCE, f"{promise} differs by {difference:.3g}")


CHECKS = (
    declares_what_it_needs,
    yields_every_step,
    has_the_trajectory_it_declares,
    any_size,
    other_options,
    deterministic,
    inputs_not_mutated,
    images_do_not_interact,
    runs_do_not_interact,
    counts_evaluations,
    runs_on_meta_device,
    samples_the_prior,
    follows_the_sources,
)
