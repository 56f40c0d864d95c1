"""Checks of noise estimators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusionkit.errors import UsageError

from ._common import skip_if_all_refused, variants
from ._drive import TOLERANCE
from ._randomness import global_seed, torch_state
from .checks import Subject
from .doubles import synthetic_sources


def channels_and_multiple(subject: Subject) -> None:
    """``channels`` is 1 or 3, ``multiple_of`` a whole number of at least 1."""
    estimator = subject.build()
    channels, multiple = estimator.channels, estimator.multiple_of
    subject.require(
        type(channels) is int and channels in (1, 3), f"channels must be 1 or 3, not {channels!r}"
    )
    subject.require(
        type(multiple) is int and multiple >= 1,
        f"multiple_of must be a whole number of at least 1, not {multiple!r}",
    )


def alpha_bar_decreases(subject: Subject) -> None:
    """``alpha_bar`` is (T,) float64 on the CPU, strictly decreasing, between 0 and 1."""
    alpha_bar = subject.build().alpha_bar
    subject.require(
        isinstance(alpha_bar, Tensor) and alpha_bar.ndim == 1 and len(alpha_bar) > 0,
        f"alpha_bar must be a tensor (T,), not {getattr(alpha_bar, 'shape', alpha_bar)!r}",
    )
    subject.require(
        alpha_bar.dtype == torch.float64 and alpha_bar.device.type == "cpu",
        f"alpha_bar must be float64 on the CPU, not {alpha_bar.dtype} on {alpha_bar.device}",
    )
    rising = (alpha_bar.diff() >= 0).nonzero().flatten().tolist()
    subject.require(
        not rising,
        f"alpha_bar must decrease strictly, but does not from index {rising[0] if rising else 0}",
    )
    first, last = float(alpha_bar[0]), float(alpha_bar[-1])
    subject.require(
        0 < last <= first < 1, f"alpha_bar must lie between 0 and 1, not from {first} to {last}"
    )


def alpha_bar_stays_on_cpu(subject: Subject) -> None:
    """Wherever it computes, ``alpha_bar`` is on the CPU: the host reads the schedule."""
    device = subject.build(device="meta", precision="float32").alpha_bar.device.type
    subject.require(device == "cpu", f"built for another device, alpha_bar is on {device}")


def shape_and_dtype(subject: Subject) -> None:
    """Check that the noise has the shape and dtype of ``x``, whatever is computed inside."""
    for precision, dtype in (
        ("float64", torch.float64),
        ("float32", torch.float32),
        ("bfloat16", torch.float32),
    ):
        estimator = subject.build(precision=precision)
        for height, width in ((17, 23), (32, 8)):
            x, t = noisy(estimator, height, width, dtype)
            eps = estimate(subject, estimator, x, t)
            subject.require(
                eps.shape == x.shape,
                f"the noise must be shaped as x, {tuple(x.shape)}, not {tuple(eps.shape)}",
            )
            subject.require(
                eps.dtype == dtype,
                f"for x of {dtype} with precision {precision} the noise must be {dtype}, "
                f"not {eps.dtype}",
            )


def finite_at_both_ends(subject: Subject) -> None:
    """Check that the noise is finite at the cleanest and noisiest level, for flat images too."""
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        estimator = subject.build(precision=precision)
        last = len(estimator.alpha_bar) - 1
        x, _ = noisy(estimator, 17, 23, dtype)
        for t in (0, last // 2, last):
            for what, image in (
                ("noisy", x),
                ("constant", torch.full_like(x, 0.5)),
                ("zero", torch.zeros_like(x)),
            ):
                eps = estimate(subject, estimator, image, torch.full((len(x),), t))
                subject.require(
                    bool(torch.isfinite(eps).all()),
                    f"the noise must be finite at every level, but is not at t = {t} of {last} "
                    f"for a {what} image in {dtype}",
                )


def other_options(subject: Subject) -> None:
    """Every choice, yes, no and least value of every option works as the default does."""
    subject.build()  # one that needs to be configured is skipped here
    changes, refused = list(variants(subject)), []
    for change in changes:
        name, value = next(iter(change.items()))
        try:
            estimator = subject.build(changes=change)
        except UsageError as error:  # options that do not go together
            refused.append(str(error))
            continue
        x, t = noisy(estimator, 17, 23)
        eps = estimate(subject, estimator, x, t)
        subject.require(
            eps.shape == x.shape and bool(torch.isfinite(eps).all()),
            f"with {name} {value} the noise must be finite and shaped as x",
        )
    skip_if_all_refused(subject, len(changes), refused)


def batch_permutation(subject: Subject) -> None:
    """Check that the images of a batch in another order give the same noise in that order."""
    estimator = subject.build()
    x, t = noisy(estimator, 17, 23, B=3)
    order = [2, 0, 1]
    straight = estimate(subject, estimator, x, t)[order]
    permuted = estimate(subject, estimator, x[order], t[order])
    _require_equal(subject, permuted, straight, "with the batch in another order, the noise")


def images_do_not_interact(subject: Subject) -> None:
    """Check that the noise of an image depends on no other image of the batch."""
    estimator = subject.build()
    x, t = noisy(estimator, 17, 23, B=3)
    before = estimate(subject, estimator, x, t)
    other = x.clone()
    other[1:] = other[1:].flip(-1) * 5 + 1
    after = estimate(subject, estimator, other, t)
    _require_equal(subject, after[:1], before[:1], "with other images beside it, an image's noise")


def mixed_levels(subject: Subject) -> None:
    """Check that in a batch of mixed levels each image gets the noise that it gets alone."""
    estimator = subject.build()
    x, t = noisy(estimator, 17, 23, B=3)
    together = estimate(subject, estimator, x, t)
    for b in range(3):
        alone = estimate(subject, estimator, x[b : b + 1], t[b : b + 1])
        what = f"in a batch of mixed levels, the noise of an image at t = {int(t[b])}"
        _require_equal(subject, together[b : b + 1], alone, what)


def inputs_not_mutated(subject: Subject) -> None:
    """``x`` and ``t`` are read only."""
    estimator = subject.build()
    x, t = noisy(estimator, 17, 23)
    before = x.clone(), t.clone()
    estimate(subject, estimator, x, t)
    for name, was, now in zip(("x", "t"), before, (x, t), strict=True):
        subject.require(
            torch.equal(was, now), f"it must not write to its inputs, but changed {name}"
        )


def deterministic(subject: Subject) -> None:
    """Equal inputs give equal noise, whatever the global random state, which is left alone."""
    results = []
    for seed in (1, 2):
        with global_seed(seed):
            estimator = subject.build()
            before = torch_state()
            results.append(estimate(subject, estimator, *noisy(estimator, 17, 23)))
            subject.require(
                torch.equal(before, torch_state()), "it must leave the global random state alone"
            )
    _require_equal(subject, results[1], results[0], "built and called anew, the noise")


def calls_do_not_interact(subject: Subject) -> None:
    """Check that a call leaves nothing behind that changes a later one, of any size or level."""
    estimator = subject.build()
    x, t = noisy(estimator, 17, 23)
    first = estimate(subject, estimator, x, t)
    estimate(subject, estimator, *noisy(estimator, 32, 8, B=1))
    estimate(subject, estimator, x * 3, t.flip(0))
    _require_equal(
        subject, estimate(subject, estimator, x, t), first, "after other calls, the noise"
    )


def runs_on_meta_device(subject: Subject) -> None:
    """Nothing is read back to the host: it runs on a device that holds no values."""
    estimator = subject.build(device="meta", precision="float32")
    x, t = noisy(estimator, 17, 23, torch.float32)
    try:
        eps = estimate(subject, estimator, x.to("meta"), t.to("meta"))
    except RuntimeError as error:  # NotImplementedError, which meta raises, is one
        reason = str(error).splitlines()[0]
        subject.require(
            False, f"it must not read values back to the host, but on the meta device: {reason}"
        )
    subject.require(
        eps.device.type == "meta" and eps.shape == x.shape,
        f"it must compute on the device of x, not on {eps.device}",
    )


def noisy(
    estimator: Any, height: int, width: int, dtype: torch.dtype = torch.float64, B: int = 2
) -> tuple[Tensor, Tensor]:
    """Return noised images (B, C, H, W), of at least that size, and their levels (B,)."""
    multiple = estimator.multiple_of
    height, width = (-(-side // multiple) * multiple for side in (height, width))
    last = len(estimator.alpha_bar) - 1
    t = torch.linspace(last, 0, B).round().long() if B > 1 else torch.tensor([last // 2])
    alpha_bar = estimator.alpha_bar[t].view(-1, 1, 1, 1)
    image, other = synthetic_sources(2, B, estimator.channels, height, width)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(other.shape, generator=generator, dtype=other.dtype)
    return (alpha_bar.sqrt() * image + (1 - alpha_bar).sqrt() * noise).to(dtype), t


def estimate(subject: Subject, estimator: Any, x: Tensor, t: Tensor) -> Tensor:
    """Call it as the host does: no gradients, and the result must be a tensor."""
    with torch.no_grad():
        eps = estimator(x, t)
    subject.require(isinstance(eps, Tensor), f"it must return a tensor, not {type(eps).__name__}")
    tensor: Tensor = eps
    return tensor


def _require_equal(subject: Subject, got: Tensor, expected: Tensor, what: str) -> None:
    same = got.shape == expected.shape
    difference = float((got - expected).abs().max()) if same else float("inf")
    subject.require(
        difference <= TOLERANCE,
        f"{what} must be the same, but differs by {difference:.3g} (allowed: {TOLERANCE:g})",
    )


CHECKS = (
    channels_and_multiple,
    alpha_bar_decreases,
    alpha_bar_stays_on_cpu,
    shape_and_dtype,
    finite_at_both_ends,
    other_options,
    batch_permutation,
    images_do_not_interact,
    mixed_levels,
    inputs_not_mutated,
    deterministic,
    calls_do_not_interact,
    runs_on_meta_device,
)
