"""Flags of noise estimators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusionkit.errors import one_line

from ._common import built_otherwise
from ._drive import TOLERANCE
from ._randomness import global_seed, torch_state
from .checks import CheckSkipped, Subject
from .doubles import synthetic_sources

LEVELS = (0.17, 0.34, 1.0, 2.0)
"""Levels at which denoising is tried: the two lowest of 20 of DDPM's, and what hides an image."""

DEVIATION = 0.5
"""Root mean square of the image that is denoised, values in [-1, 1]."""

SLOPE = (0.75, 1.33)
"""What the estimate may be short or long by: the image is this many times the estimate."""


def channels_and_multiple(subject: Subject) -> None:
    """``channels`` is a number or None, ``multiple_of`` a whole number of at least 1."""
    estimator = subject.build()
    channels, multiple = estimator.channels, estimator.multiple_of
    subject.require(
        channels is None or (type(channels) is int and channels >= 1),
        f"channels must be a whole number of at least 1, or None for any, not {channels!r}",
    )
    subject.require(
        type(multiple) is int and multiple >= 1,
        f"multiple_of must be a whole number of at least 1, not {multiple!r}",
    )


def levels_are_a_range(subject: Subject) -> None:
    """``sigma_min`` and ``sigma_max`` are numbers, 0 <= sigma_min < sigma_max."""
    estimator = subject.build()
    least, most = estimator.sigma_min, estimator.sigma_max
    numbers = all(isinstance(level, (int, float)) for level in (least, most))
    subject.require(
        numbers and 0 <= least < most,
        f"0 <= sigma_min < sigma_max must hold of plain numbers, not of {least!r} and {most!r}",
    )


def denoises_a_smooth_image(subject: Subject) -> None:
    """Check that a smooth image with noise comes nearer to what it was, at every level tried.

    Three things hold of a posterior mean, even of a weak prior's. It is nearer to the image than
    the noisy one is, and than black. It is the best estimate at the level that it is told: told
    half or twice that, it gets worse. And it has the image's contrast: regressed on the estimate,
    the image has a slope of 1. A flipped sign, a scale or value range forgotten, and
    a level beside the one that was asked for break one of them. Weights that nobody has
    trained are excused by ``waive=("denoises_a_smooth_image",)``.
    """
    estimator = subject.build()
    least, most = known_levels(estimator)
    tried = [sigma for sigma in LEVELS if 2 * least <= sigma <= most / 2]
    if not tried:
        raise CheckSkipped(f"{subject.name} knows none of the levels {LEVELS} and those around")
    clean = smooth_image(estimator)
    noise = orthogonal_noise(clean)
    for sigma in tried:
        x = clean + sigma * noise

        def told(level: float, x: Tensor = x) -> Tensor:
            return estimate(subject, estimator, x, x.new_tensor([level]))

        right = told(sigma)
        error = _rms(right - clean)
        bound = 0.98 * min(sigma, DEVIATION)
        subject.require(
            error <= bound,
            f"at sigma {sigma:g} a smooth image with noise must come nearer to what it was: "
            f"its error is {error:.3g}, where {bound:.3g} is asked for",
        )
        for other in (sigma / 2, 2 * sigma):
            worse = _rms(told(other) - clean)
            subject.require(
                worse >= 1.003 * error,
                f"noise of sigma {sigma:g} must be taken off best where that is the level told, "
                f"but told {other:g} the error is {worse:.3g} instead of {error:.3g}",
            )
        slope = float((clean * right).sum() / right.square().sum())
        subject.require(
            SLOPE[0] <= slope <= SLOPE[1],
            f"at sigma {sigma:g} the estimate must have the contrast of the image, which is "
            f"{slope:.3g} times the estimate",
        )


def smooth_image(estimator: Any) -> Tensor:
    """Return an image (1, C, H, W) with the 1 / f² spectrum of natural ones, mirrored outside.

    Light, of low contrast; its root mean square is :data:`DEVIATION`.
    """
    side = -(-96 // estimator.multiple_of) * estimator.multiple_of
    k = torch.arange(side, dtype=torch.float64)
    waves = torch.cos(torch.pi * k.view(-1, 1) * (k + 0.5) / side)
    amplitude = (k.view(-1, 1).square() + k.square()).clamp_min(1).rsqrt()
    amplitude[0, 0] = 0
    drawn = torch.randn(side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plane: Tensor = waves.T @ (drawn * amplitude) @ waves
    contrast = 0.3 * DEVIATION
    plane = contrast / _rms(plane) * plane + (DEVIATION**2 - contrast**2) ** 0.5
    return plane.expand(1, estimator.channels or 1, side, side)


def orthogonal_noise(image: Tensor) -> Tensor:
    """Return standard normal noise, as shaped, exactly of power 1 and uncorrelated to the image.

    No estimate can then profit from the chance of one draw.
    """
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randn(image.shape, generator=generator, dtype=image.dtype)
    drawn -= (drawn * image).sum() / image.square().sum() * image
    return drawn / _rms(drawn)


def _rms(images: Tensor) -> float:
    return float(images.square().mean().sqrt())


def shape_and_dtype(subject: Subject) -> None:
    """Check that the estimate has the shape and dtype of ``x``, whatever is computed inside."""
    for precision, dtype in (
        ("float64", torch.float64),
        ("float32", torch.float32),
        ("bfloat16", torch.float32),
    ):
        estimator = subject.build(precision=precision)
        for height, width in ((17, 23), (32, 8)):
            x, sigma = noisy(estimator, height, width, dtype)
            x0 = estimate(subject, estimator, x, sigma)
            subject.require(
                x0.shape == x.shape,
                f"the estimate must be shaped as x, {tuple(x.shape)}, not {tuple(x0.shape)}",
            )
            subject.require(
                x0.dtype == dtype,
                f"for x of {dtype} with precision {precision} the estimate must be {dtype}, "
                f"not {x0.dtype}",
            )


def finite_at_both_ends(subject: Subject) -> None:
    """Check that the estimate is finite at the cleanest and noisiest level, for flat images too."""
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        estimator = subject.build(precision=precision)
        x, _ = noisy(estimator, 17, 23, dtype)
        least, most = known_levels(estimator)
        for sigma in (least, (least * most) ** 0.5, most):
            for what, image in (
                ("noisy", x),
                ("constant", torch.full_like(x, 0.5)),
                ("zero", torch.zeros_like(x)),
            ):
                levels = torch.full((len(x),), sigma, dtype=dtype)
                x0 = estimate(subject, estimator, image, levels)
                subject.require(
                    bool(torch.isfinite(x0).all()),
                    f"the estimate must be finite at every level, but is not at sigma {sigma:.3g} "
                    f"for a {what} image in {dtype}",
                )


def other_options(subject: Subject) -> None:
    """Every choice, yes, no and least value of every option works as the default does."""
    for estimator, how in built_otherwise(subject):
        x, sigma = noisy(estimator, 17, 23)
        x0 = estimate(subject, estimator, x, sigma)
        subject.require(
            x0.shape == x.shape and bool(torch.isfinite(x0).all()),
            f"{how} the estimate must be finite and shaped as x",
        )


def batch_permutation(subject: Subject) -> None:
    """Check that the images of a batch in another order give the same estimate in that order."""
    estimator = subject.build()
    x, sigma = noisy(estimator, 17, 23, B=3)
    order = [2, 0, 1]
    straight = estimate(subject, estimator, x, sigma)[order]
    permuted = estimate(subject, estimator, x[order], sigma[order])
    _require_equal(subject, permuted, straight, "with the batch in another order, the estimate")


def images_do_not_interact(subject: Subject) -> None:
    """Check that the estimate of an image depends on no other image of the batch."""
    estimator = subject.build()
    x, sigma = noisy(estimator, 17, 23, B=3)
    before = estimate(subject, estimator, x, sigma)
    other = x.clone()
    other[1:] = other[1:].flip(-1) * 5 + 1
    after = estimate(subject, estimator, other, sigma)
    _require_equal(
        subject, after[:1], before[:1], "with other images beside it, an image's estimate"
    )


def mixed_levels(subject: Subject) -> None:
    """Check that in a batch of mixed levels each image gets the estimate that it gets alone."""
    estimator = subject.build()
    x, sigma = noisy(estimator, 17, 23, B=3)
    together = estimate(subject, estimator, x, sigma)
    for b in range(3):
        alone = estimate(subject, estimator, x[b : b + 1], sigma[b : b + 1])
        what = f"in a batch of mixed levels, the estimate at sigma {float(sigma[b]):.3g}"
        _require_equal(subject, together[b : b + 1], alone, what)


def inputs_not_mutated(subject: Subject) -> None:
    """``x`` and ``sigma`` are read only."""
    estimator = subject.build()
    x, sigma = noisy(estimator, 17, 23)
    before = x.clone(), sigma.clone()
    estimate(subject, estimator, x, sigma)
    for name, was, now in zip(("x", "sigma"), before, (x, sigma), strict=True):
        subject.require(
            torch.equal(was, now), f"it must not write to its inputs, but changed {name}"
        )


def deterministic(subject: Subject) -> None:
    """Equal inputs give equal estimates, whatever the global random state, which is left alone."""
    results = []
    for seed in (1, 2):
        with global_seed(seed):
            estimator = subject.build()
            before = torch_state()
            results.append(estimate(subject, estimator, *noisy(estimator, 17, 23)))
            subject.require(
                torch.equal(before, torch_state()), "it must leave the global random state alone"
            )
    _require_equal(subject, results[1], results[0], "built and called anew, the estimate")


def calls_do_not_interact(subject: Subject) -> None:
    """Check that a call leaves nothing behind that changes a later one, of any size or level."""
    estimator = subject.build()
    x, sigma = noisy(estimator, 17, 23)
    first = estimate(subject, estimator, x, sigma)
    estimate(subject, estimator, *noisy(estimator, 32, 8, B=1))
    estimate(subject, estimator, x * 3, sigma.flip(0))
    _require_equal(
        subject, estimate(subject, estimator, x, sigma), first, "after other calls, the estimate"
    )


def runs_on_meta_device(subject: Subject) -> None:
    """Nothing is read back to the host: it runs on a device that holds no values."""
    estimator = subject.build(device="meta", precision="float32")
    x, sigma = noisy(estimator, 17, 23, torch.float32)
    try:
        x0 = estimate(subject, estimator, x.to("meta"), sigma.to("meta"))
    except RuntimeError as error:  # NotImplementedError, which meta raises, is one
        reason = one_line(error)
        subject.require(
            False, f"it must not read values back to the host, but on the meta device: {reason}"
        )
    subject.require(
        x0.device.type == "meta" and x0.shape == x.shape,
        f"it must compute on the device of x, not on {x0.device}",
    )


def noisy(
    estimator: Any, height: int, width: int, dtype: torch.dtype = torch.float64, B: int = 2
) -> tuple[Tensor, Tensor]:
    """Return noised images (B, C, H, W), of at least that size, and their levels (B,)."""
    multiple = estimator.multiple_of
    height, width = (-(-side // multiple) * multiple for side in (height, width))
    least, most = known_levels(estimator)
    share = torch.linspace(1, 0, B, dtype=torch.float64) if B > 1 else torch.tensor([0.5])
    sigma = least * (most / least) ** share
    image, other = synthetic_sources(2, B, estimator.channels or 2, height, width)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(other.shape, generator=generator, dtype=other.dtype)
    return (image + sigma.view(-1, 1, 1, 1) * noise).to(dtype), sigma.to(dtype)


def known_levels(estimator: Any) -> tuple[float, float]:
    """Return the ends of the levels that a prior knows, those without an end cut short."""
    return max(float(estimator.sigma_min), 1e-3), min(float(estimator.sigma_max), 1e3)


def estimate(subject: Subject, estimator: Any, x: Tensor, sigma: Tensor) -> Tensor:
    """Call it as the host does: no gradients, and the result must be a tensor."""
    with torch.no_grad():
        x0 = estimator.denoise(x, sigma)
    subject.require(isinstance(x0, Tensor), f"it must return a tensor, not {type(x0).__name__}")
    tensor: Tensor = x0
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
    levels_are_a_range,
    denoises_a_smooth_image,
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
