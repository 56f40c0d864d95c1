"""Flags that weightings and objectives share: what it means to take part in a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusionkit.contract.guiding import reach
from fusionkit.contract.kind import SOURCE_SYMMETRIC
from fusionkit.contract.objective import OBJECTIVE
from fusionkit.contract.weighting import WEIGHTING
from fusionkit.errors import UsageError

from ._common import skip_if_all_refused, variants
from ._drive import (
    TOLERANCE,
    Outputs,
    RampWeights,
    call,
    drive,
    interleaved,
    scene,
    started_by_hand,
    step_of,
    uses,
)
from ._randomness import global_seed, torch_state
from .checks import CheckSkipped, Subject
from .doubles import synthetic_sources

UNSEEN = 0.01
"""How much of a weight, or of values from -1 to 1, no one sees: a grey level of 8 bits."""


def any_number_of_sources(subject: Subject) -> None:
    """2, 3 and 6 sources; a component for fewer refuses more by UsageError, and is skipped."""
    component = subject.build()
    for K in (2, 3, 6):
        try:
            drive(subject, component, scene(K))
        except UsageError as error:
            if K == 2:
                raise
            raise CheckSkipped(f"{subject.name} refuses {K} sources: {error}") from error


def any_size(subject: Subject) -> None:
    """Odd sizes, sizes below a component's own window, grey and colour."""
    component = subject.build()
    for height, width in ((17, 23), (32, 19), (5, 6)):
        for channels in (1, 3):
            drive(subject, component, scene(C=channels, H=height, W=width))


def every_precision(subject: Subject) -> None:
    """Whatever is computed inside, tensors come back in the dtype of the run."""
    for precision, dtype in (
        ("float64", torch.float64),
        ("float32", torch.float32),
        ("bfloat16", torch.float32),
    ):
        got = drive(subject, subject.build(precision=precision), scene().to(dtype)).steps[-1].dtype
        subject.require(
            got == dtype,
            f"in a run of {dtype} with precision {precision} it must return {dtype}, not {got}",
        )


def other_options(subject: Subject) -> None:
    """Every choice, yes, no and least value of every option works as the default does."""
    sources = synthetic_sources(2, 2)
    subject.build()  # one that needs to be configured is skipped here
    changes, refused = list(variants(subject)), []
    for change in changes:
        name, value = next(iter(change.items()))
        try:
            component = subject.build(changes=change)
            drive(subject, component, sources)
            _require_no_trajectory(subject, component, f"with {name} {value} it")
        except UsageError as error:  # options that do not go together
            refused.append(str(error))
        except AssertionError as error:
            raise type(error)(f"{error} (with {name} {value})") from error
    skip_if_all_refused(subject, len(changes), refused)


def images_do_not_interact(subject: Subject) -> None:
    """Check that an image comes out the same alone and in a batch."""
    component, sources = subject.build(), scene()
    together = drive(subject, component, sources, seeds=(11, 12))
    for b, seed in enumerate((11, 12)):
        alone = drive(subject, component, sources[:, b : b + 1], seeds=(seed,))
        _require_equal(
            subject, together.image(b), alone, "an image must come out alike alone and in a batch"
        )


def reach_is_kept(subject: Subject) -> None:
    """Check that no pixel depends on what lies farther away than the component says, if it does."""
    component = subject.build()
    pixels = reach(component)
    if pixels is None:
        return
    side = 2 * pixels + 9
    near, other = (scene(B=1, H=side, W=side, seed=seed) for seed in (3, 4))
    near[..., side // 2, side // 2] = -1.5  # the least value of both: that may be used
    far = other.clone()
    inside = slice(3, side - 3)  # all that counts for the three pixels in the middle
    far[..., inside, inside] = near[..., inside, inside]
    middle = slice(side // 2 - 1, side // 2 + 2)
    one, two = (
        torch.stack(drive(subject, component, sources).steps)[..., middle, middle]
        for sources in (near, far)
    )
    worst = float((one - two).abs().max())
    subject.require(
        worst <= UNSEEN,
        f"it says that sources matter within {pixels} pixels (reach), but what lies farther away "
        f"changed what it returns by {worst:.3g}",
    )


def inputs_not_mutated(subject: Subject) -> None:
    """Check that sources, source estimates, weights, x, x0 and previous are read only."""
    sources = scene(B=1)
    run, started, weights = started_by_hand(subject, subject.build(), sources.clone())
    _require_unchanged(subject, "the sources", sources, run.sources, "start")
    if subject.provided.kind == OBJECTIVE:
        was = weights.clone()
        with torch.no_grad():
            started.initial(weights)
        _require_unchanged(subject, "the sources", sources, run.sources, "initial")
        _require_unchanged(subject, "the weights", was, weights, "initial")
    for index in range(run.steps):
        step = step_of(run, index, run.noise("fusionkit/testing/x0") * 0.3)
        read: dict[str, Tensor] = {
            "the sources": run.sources,
            "the weights": weights,
            "step.x": step.x,
            "step.x0": step.x0,
        }
        if step.previous is not None:
            read["step.previous"] = step.previous
        for level in range(index, run.steps):
            read[f"the source estimate of level {level}"] = run.source_estimate(level)
        before = {name: tensor.clone() for name, tensor in read.items()}
        call(subject, started, step, weights)
        for name, tensor in read.items():
            _require_unchanged(subject, name, before[name], tensor, f"step {index + 1}")


def deterministic(subject: Subject) -> None:
    """Check that the same seeds give the same result, whatever the global random state."""
    results = []
    for seed in (1, 2):
        with global_seed(seed):
            results.append(drive(subject, subject.build(), scene()))
    _require_equal(
        subject,
        results[1],
        results[0],
        "equal seeds must give equal results: draw noise from run.noise",
    )


def leaves_global_random_state(subject: Subject) -> None:
    """Nothing is drawn from, or done to, torch's global generator in a run."""
    component = subject.build()
    with global_seed(3):
        before = torch_state()
        drive(subject, component, scene())
        subject.require(
            torch.equal(before, torch_state()),
            "a run must leave torch's global random state alone: draw noise from run.noise",
        )


def runs_do_not_interact(subject: Subject) -> None:
    """Check that nothing is kept of a run: neither from one to the next, nor side by side."""
    # Another content of the same size, then another size: caches have keys.
    batches = scene(), scene(seed=5), scene(H=20, W=16, seed=6)
    expected = [drive(subject, subject.build(), sources) for sources in batches]
    component = subject.build()
    promise = "all state of a run must live in what start returns"
    for n in (0, 1, 2, 0):
        again = drive(subject, component, batches[n])
        _require_equal(subject, again, expected[n], f"{promise}: after another run it")
    for beside, alone in zip(interleaved(subject, component, *batches), expected, strict=True):
        _require_equal(subject, beside, alone, f"{promise}: beside another run it")


def runs_on_meta_device(subject: Subject) -> None:
    """Nothing is read back to the host: the loop runs on a device that holds no values."""
    component = subject.build(device="meta", precision="float32")
    try:
        got = drive(subject, component, scene().float().to("meta"))
    except AssertionError as error:
        raise type(error)(
            f"{error} (on the meta device: no .item(), .cpu(), data-dependent shape, or tensor "
            "on a device other than the run's)"
        ) from error
    device = got.steps[-1].device.type
    subject.require(device == "meta", f"it must compute on the run's device, not on {device}")


def source_symmetric(subject: Subject) -> None:
    """Check, where declared, that permuted sources permute the weights and leave the fusion."""
    if SOURCE_SYMMETRIC not in subject.traits:
        return
    component = subject.build()
    weighs = subject.provided.kind == WEIGHTING
    for order in ((1, 0), (2, 0, 1)):
        sources = scene(len(order))
        other = None if weighs else RampWeights(order)
        try:
            straight = drive(subject, component, sources)
        except UsageError:  # not for three sources; any_number_of_sources reports that
            continue
        permuted = drive(subject, component, sources[list(order)], other=other)
        if weighs:
            straight = Outputs(tuple(step[list(order)] for step in straight.steps), 1)
        _require_equal(
            subject,
            permuted,
            straight,
            "it declares source-symmetric, but with permuted sources it",
        )


def no_trajectory(subject: Subject) -> None:
    """Check, where ``uses_trajectory = False``, that x, x0 and previous have no influence."""
    component = subject.build()
    declared = getattr(component, "uses_trajectory", True)
    subject.require(
        isinstance(declared, bool), f"uses_trajectory must be True or False, not {declared!r}"
    )
    _require_no_trajectory(subject, component, "it")


def _require_no_trajectory(subject: Subject, component: Any, who: str) -> None:
    if uses(component):
        return
    results = []
    sources = scene()
    for brightness in (None, 0.3, -0.9):
        run, started, weights = started_by_hand(subject, component, sources)
        estimate = None
        if brightness is not None:
            estimate = run.noise("fusionkit/testing/x0") * 0.1 + brightness
        steps = [step_of(run, index, estimate) for index in range(run.steps)]
        results.append(Outputs(tuple(call(subject, started, s, weights) for s in steps), 0))
    without, *with_trajectory = results
    for result in with_trajectory:
        _require_equal(
            subject,
            result,
            without,
            f"{who} declares uses_trajectory = False, but with another trajectory it",
        )


def _require_equal(subject: Subject, got: Outputs, expected: Outputs, promise: str) -> None:
    difference = got.difference(expected)
    subject.require(
        difference <= TOLERANCE,
        f"{promise} differs by {difference:.3g} (allowed: {TOLERANCE:g})",
    )


def _require_unchanged(
    subject: Subject, what: str, before: Tensor, after: Tensor, when: str
) -> None:
    subject.require(
        torch.equal(before, after), f"it must not write to its inputs, but {when} changed {what}"
    )


CHECKS = (
    any_number_of_sources,
    any_size,
    every_precision,
    other_options,
    images_do_not_interact,
    reach_is_kept,
    inputs_not_mutated,
    deterministic,
    leaves_global_random_state,
    runs_do_not_interact,
    runs_on_meta_device,
    source_symmetric,
    no_trajectory,
)
