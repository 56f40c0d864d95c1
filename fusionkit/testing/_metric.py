"""Flags of metrics. They may read values back to the host; the sampling loop is over by then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fusionkit.contract.kind import SOURCE_SYMMETRIC
from fusionkit.ops.threads import lent_threads, side_by_side

from ._common import built_otherwise
from ._drive import TOLERANCE
from ._randomness import global_seed, shared_state
from .checks import Subject
from .doubles import synthetic_sources

# Odd, and large enough for a metric of four scales.
HEIGHT, WIDTH = 67, 83


def declares_its_convention(subject: Subject) -> None:
    """``higher_is_better`` is a bool, ``convention`` one line, ``sources`` "any" or a number."""
    metric = subject.build()
    higher, convention, sources = metric.higher_is_better, metric.convention, metric.sources
    subject.require(
        isinstance(higher, bool), f"higher_is_better must be True or False, not {higher!r}"
    )
    one_line = isinstance(convention, str) and convention.strip() and "\n" not in convention
    subject.require(bool(one_line), f"convention must be one line of text, not {convention!r}")
    known = sources == "any" or (type(sources) is int and sources >= 1)
    subject.require(known, f'sources must be "any" or a number, not {sources!r}')


def declares_its_bounds(subject: Subject) -> None:
    """Check, if it declares ``bounds``, that they are two numbers, and hold of all values."""
    metric = subject.build()
    bounds = getattr(metric, "bounds", None)
    if bounds is None:
        return
    numbers = (
        isinstance(bounds, tuple)
        and len(bounds) == 2
        and all(type(bound) in (int, float) for bound in bounds)
    )
    subject.require(
        numbers and bounds[0] < bounds[1],
        f"bounds must be the least and the greatest value, two numbers, not {bounds!r}",
    )
    least, most = bounds
    shown = [(f"{what} images", *pair) for what, pair in judged(metric)]
    for what, fused, sources in (*hard_images(metric), *shown):
        values = measure(subject, metric, fused, sources)
        values = measured(metric, values)
        room = 1e-9 * values.abs().clamp_min(1)  # rounding
        subject.require(
            bool(((values >= least - room) & (values <= most + room)).all()),
            f"it declares bounds {least:g} to {most:g}, but is {values.tolist()} for {what}",
        )


def prefers_the_image(subject: Subject) -> None:
    """Check that an image scores better than a flat one, or one with noise, as it says is better.

    The image is what the sources all are, or their mean; it is enough if the one or the
    other holds. Noise may score better for a metric that does not look at the sources:
    it adds to contrast and entropy, and such a metric cannot know.
    """
    metric = subject.build()
    sign = 1 if metric.higher_is_better else -1
    found = []
    for what, (fused, sources) in judged(metric):
        flat = fused.mean((2, 3), keepdim=True).expand_as(fused).clone()
        drawn = torch.randn(fused.shape, generator=torch.Generator().manual_seed(0))
        noisy = (fused + 40 * drawn.to(fused)).clamp(0, 255)
        own, of_flat, of_noisy, elsewhere = (
            sign * float(measure(subject, metric, image, beside))
            for image, beside in (
                (fused, sources),
                (flat, sources),
                (noisy, sources),
                (fused, sources.flip(-1)),
            )
        )
        looks = elsewhere != own
        if own != own and partial(metric):
            continue
        holds = own >= of_flat and (own >= of_noisy or not looks) and own > min(of_flat, of_noisy)
        if holds:
            return
        found.append(
            f"{sign * own:.4g} for {what} images, {sign * of_flat:.4g} for a flat one, "
            f"{sign * of_noisy:.4g} for one with noise"
        )
    better = "higher" if metric.higher_is_better else "lower"
    if not found:  # it finds nothing to measure in these
        return
    subject.require(False, f"it declares that {better} is better, but is {'; and '.join(found)}")


def shape_and_dtype(subject: Subject) -> None:
    """Check that it returns (B,) float64, for every number of sources that it allows."""
    metric = subject.build()
    for K in counts(metric):
        for B in (1, 2):
            value = measure(subject, metric, *images(metric, K, B))
            subject.require(
                value.shape == (B,),
                f"it must return (B,) = ({B},) for {K} sources, not {tuple(value.shape)}",
            )
            subject.require(
                value.dtype == torch.float64, f"it must return float64, not {value.dtype}"
            )


def finite(subject: Subject) -> None:
    """Check that it is finite for textured, constant, identical and black images.

    One that is ``partial`` may be NaN.
    """
    metric = subject.build()
    for what, fused, sources in hard_images(metric):
        value = measured(metric, measure(subject, metric, fused, sources))
        subject.require(
            bool(torch.isfinite(value).all()),
            f"it must be finite for every image, but is {value.tolist()} for {what}",
        )


def any_size(subject: Subject) -> None:
    """Check that it is finite for other sizes: even, odd, wide and tall."""
    metric = subject.build()
    for height, width in ((64, 64), (65, 120), (121, 66)):
        value = measured(
            metric, measure(subject, metric, *images(metric, counts(metric)[0], 1, height, width))
        )
        subject.require(
            bool(torch.isfinite(value).all()), f"it must be finite for {height} x {width} pixels"
        )


def other_options(subject: Subject) -> None:
    """Every choice, yes, no and least value of every option works as the default does."""
    for metric, how in built_otherwise(subject):
        value = measure(subject, metric, *images(metric, counts(metric)[0], 1))
        subject.require(
            value.shape == (1,) and bool(torch.isfinite(measured(metric, value)).all()),
            f"{how} it must be finite and (B,), not {value.tolist()}",
        )


def images_do_not_interact(subject: Subject) -> None:
    """Check that an image is measured alike alone and in a batch."""
    metric = subject.build()
    fused, sources = images(metric, counts(metric)[0], 2)
    together = measure(subject, metric, fused, sources)
    alone = [measure(subject, metric, fused[b : b + 1], sources[:, b : b + 1]) for b in (0, 1)]
    _require_equal(subject, together, torch.cat(alone), "in a batch and alone, it")


def inputs_not_mutated(subject: Subject) -> None:
    """Check that the fused image and the sources are read only."""
    metric = subject.build()
    fused, sources = images(metric, counts(metric)[0], 1)
    before = fused.clone(), sources.clone()
    measure(subject, metric, fused, sources)
    for name, was, now in zip(("fused", "sources"), before, (fused, sources), strict=True):
        subject.require(
            torch.equal(was, now), f"it must not write to its inputs, but changed {name}"
        )


def deterministic(subject: Subject) -> None:
    """Equal images give equal numbers: whatever came before, or the global random state."""
    results, metric = [], subject.build()
    pair = images(metric, counts(metric)[0], 2)
    for seed in (1, 2):
        with global_seed(seed):
            results.append(measure(subject, metric, *pair))
            measure(subject, metric, *images(metric, counts(metric)[0], 1, 64, 80))
            results.append(measure(subject, subject.build(), *pair))
    for result in results[1:]:
        _require_equal(subject, result, results[0], "called again, it")


def within_a_foreground(subject: Subject) -> None:
    """Check, if it has ``within``, that everywhere is the whole, and that a half is finite."""
    metric = subject.build()
    within = getattr(metric, "within", None)
    if within is None:
        return
    fused, sources = images(metric, counts(metric)[0], 2)
    where = torch.ones_like(fused[:, :1], dtype=torch.bool)
    whole = within(fused, sources, where)
    _require_equal(
        subject, whole, measure(subject, metric, fused, sources), "within everything, it"
    )
    where[..., : WIDTH // 2] = False
    part = within(fused, sources, where)
    subject.require(
        part.shape == (2,) and bool(torch.isfinite(measured(metric, part)).all()),
        f"within one half it must be finite and (B,), not {part.tolist()}",
    )


def thread_safe(subject: Subject) -> None:
    """Check, where declared, that it is the same to the last bit on threads side by side."""
    metric = subject.build()
    declared = getattr(metric, "thread_safe", False)
    subject.require(
        isinstance(declared, bool), f"thread_safe must be True or False, not {declared!r}"
    )
    if not declared:
        return
    shown = [images(metric, counts(metric)[0], 1, HEIGHT + n, WIDTH - n) for n in range(4)]

    def at_once(pair: tuple[Tensor, Tensor]) -> Tensor:
        return measure(subject, metric, *pair)

    torch.set_default_dtype(torch.float32)  # whatever the metric did before
    before = shared_state()
    with lent_threads(1):
        alone = side_by_side(at_once, shown)
    with lent_threads(4):
        together = side_by_side(at_once, 4 * shown)
    changed = [name for name, value in shared_state().items() if value != before[name]]
    subject.require(not changed, f"thread_safe: it must not change {', '.join(changed)}")
    same = all(
        torch.equal(one.nan_to_num(), other.nan_to_num())
        for one, other in zip(4 * alone, together, strict=True)
    )
    subject.require(
        same, "thread_safe: on threads side by side it must give the same number, to the last bit"
    )


def source_symmetric(subject: Subject) -> None:
    """Check, where declared, that the order of the sources does not matter."""
    if SOURCE_SYMMETRIC not in subject.traits:
        return
    metric = subject.build()
    for K in counts(metric):
        fused, sources = images(metric, K, 1)
        straight = measure(subject, metric, fused, sources)
        _require_equal(
            subject,
            measure(subject, metric, fused, sources.roll(1, 0)),
            straight,
            "it declares source-symmetric; with permuted sources it",
        )


def counts(metric: Any) -> tuple[int, ...]:
    """Return the numbers of sources to try."""
    return (2, 3) if metric.sources == "any" else (int(metric.sources),)


def images(
    metric: Any, K: int, B: int, height: int = HEIGHT, width: int = WIDTH
) -> tuple[Tensor, Tensor]:
    """Return a fused image (B, C, H, W) and its sources (K, B, C, H, W), in [0, 255].

    C is 3 for a metric that sees colour, else 1. Both sides are larger by as much as a metric
    needs more pixels than 64, as it says by ``least_side``.
    """
    more = max(0, int(getattr(metric, "least_side", 0)) - 64)
    C = 3 if getattr(metric, "colour", False) else 1
    sources = (synthetic_sources(K, B, C, height + more, width + more) + 1) * 127.5
    return sources.amax(0) * 0.7 + sources.mean(0) * 0.3, sources


def judged(metric: Any) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Yield fused images that are good ones, with their sources."""
    sources = images(metric, counts(metric)[0], 1)[1]
    same = sources[:1].expand_as(sources).clone()
    yield "identical", (same[0].clone(), same)
    yield "averaged", (sources.mean(0), sources)


def hard_images(metric: Any) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield images for which a ratio may become 0 / 0."""
    fused, sources = images(metric, counts(metric)[0], 1)
    flat = torch.full_like(fused, 128.0)
    yield "textured images", fused, sources
    yield "a constant fused image", flat, sources
    yield "constant sources", fused, torch.full_like(sources, 128.0)
    yield "constant images", flat, torch.full_like(sources, 128.0)
    yield "identical images", sources[0], sources[:1].expand_as(sources).clone()
    yield "black images", torch.zeros_like(fused), torch.zeros_like(sources)
    yield "white images", torch.full_like(fused, 255.0), torch.full_like(sources, 255.0)
    half = sources.clone()
    half[..., : half.shape[-1] // 2] = 0
    yield "half-black images", half.amax(0), half


def measure(subject: Subject, metric: Any, fused: Tensor, sources: Tensor) -> Tensor:
    """Call it as the host does; the result must be a tensor."""
    with torch.no_grad():
        value = metric(fused, sources)
    subject.require(
        isinstance(value, Tensor), f"it must return a tensor (B,), not {type(value).__name__}"
    )
    tensor: Tensor = value
    return tensor


def partial(metric: Any) -> bool:
    """Whether it says that it may find nothing to measure."""
    return bool(getattr(metric, "partial", False))


def measured(metric: Any, values: Tensor) -> Tensor:
    """Return values (B,), without those that say that nothing was there to measure."""
    return values[~values.isnan()] if partial(metric) else values


def _require_equal(subject: Subject, got: Tensor, expected: Tensor, what: str) -> None:
    same = got.shape == expected.shape
    if same and torch.equal(got.isnan(), expected.isnan()):  # nothing to measure in both
        got, expected = got.nan_to_num(), expected.nan_to_num()
    # Relative: metrics have units of their own.
    scale = expected.abs().clamp_min(1.0) if same else 1.0
    difference = float(((got - expected).abs() / scale).max()) if same else float("inf")
    subject.require(
        difference <= TOLERANCE,
        f"{what} must give the same number, but it differs by {difference:.3g} (relative)",
    )


CHECKS = (
    declares_its_convention,
    declares_its_bounds,
    prefers_the_image,
    shape_and_dtype,
    finite,
    any_size,
    other_options,
    images_do_not_interact,
    inputs_not_mutated,
    deterministic,
    within_a_foreground,
    thread_safe,
    source_symmetric,
)
