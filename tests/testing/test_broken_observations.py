"""Observations that break one promise each: the kit names it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fusionkit import OBSERVATION, BaseObservation, Identity, UsageError, option

Failures = Callable[..., dict[str, str]]


class Halved(BaseObservation):
    """The sound one: means over blocks of 2 x 2."""

    def A(self, c: Tensor) -> Tensor:  # noqa: N802
        return avg_pool2d(c, 2)

    def adjoint(self, y: Tensor) -> Tensor:
        return interpolate(y, scale_factor=2) / 4


class Shifted(BaseObservation):
    """Blurs along rows, with a mask."""

    def __init__(self) -> None:
        self.mask = torch.ones(1, 1, 32, 48, dtype=torch.float64)
        self.mask[..., 10:20] = 0.25
        self.mask[..., 20:30] = 0

    def A(self, c: Tensor) -> Tensor:  # noqa: N802
        return 0.7 * c + 0.3 * c.roll(1, -1)

    def adjoint(self, y: Tensor) -> Tensor:
        return 0.7 * y + 0.3 * y.roll(-1, -1)

    def masked(self, y: Tensor) -> Tensor:
        return y * self.mask.to(y)


def halved(**methods: Any) -> Any:
    """Return the sound observation, but for these members."""
    return type("Broken", (Halved,), methods)()


def good_prox(self: Any, z: Tensor, y: Tensor, rho: float) -> Tensor:
    """The closed form: A A^T = 1 / 4."""
    return z + self.adjoint(y - self.A(z)) / (rho + 0.25)


def refuse(self: Any, y: Tensor, size: tuple[int, int]) -> Any:
    raise UsageError("of 7 pixels only")


class Counting(Halved):
    calls = 0

    def A(self, c: Tensor) -> Tensor:  # noqa: N802
        self.calls += 1
        return super().A(c) * (1 + 1e-3 * self.calls)


def fails_without_values(self: Any, c: Tensor) -> Tensor:
    if c.is_meta:
        raise NotImplementedError
    return avg_pool2d(c, 2)


BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "negative noise": (lambda: halved(sigma=-1.0), "declares_its_noise", "at least 0, not -1.0"),
    "noise for each channel": (
        lambda: halved(sigma=(0.1, 0.1, 0.2)),
        "declares_its_noise",
        "must be a number",
    ),
    "mask of the fused grid": (
        lambda: halved(mask=torch.ones(1, 1, 32, 48)),
        "declares_its_noise",
        "y's grid, (1, 16, 24)",
    ),
    "mask of grey levels": (
        lambda: halved(mask=torch.full((1, 1, 16, 24), 255.0)),
        "declares_its_noise",
        "in [0, 1]",
    ),
    "clips": (lambda: halved(A=lambda self, c: avg_pool2d(c, 2).clamp(-1, 1)), "linear", "linear"),
    "has an offset": (lambda: halved(A=lambda self, c: avg_pool2d(c, 2) + 1), "linear", "linear"),
    "grey": (
        lambda: halved(A=lambda self, c: avg_pool2d(c, 2).mean(1)),
        "linear",
        "must return (B, C, h, w)",
    ),
    "inverse for adjoint": (
        lambda: halved(adjoint=lambda self, y: interpolate(y, scale_factor=2)),
        "adjoint_belongs_to_a",
        "but differs by",
    ),
    "sign of the adjoint": (
        lambda: halved(adjoint=lambda self, y: -interpolate(y, scale_factor=2) / 4),
        "adjoint_belongs_to_a",
        "but differs by",
    ),
    "adjoint of another grid": (
        lambda: halved(adjoint=lambda self, y: y / 4),
        "adjoint_belongs_to_a",
        "must return (2, 1, 32, 48), not (2, 1, 16, 24)",
    ),
    "no prox": (lambda: halved(prox=lambda self, z, y, rho: z), "prox_is_a_minimiser", "is less"),
    "prox that forgets z": (
        lambda: halved(prox=lambda self, z, y, rho: 4 * self.adjoint(y)),
        "prox_is_a_minimiser",
        "is less",
    ),
    "prox of rho's root": (
        lambda: halved(prox=lambda self, z, y, rho: good_prox(self, z, y, rho**0.5)),
        "prox_is_a_minimiser",
        "is less",
    ),
    "prox of 2 rho": (
        lambda: halved(prox=lambda self, z, y, rho: good_prox(self, z, y, 2 * rho)),
        "prox_is_a_minimiser",
        "is less",
    ),
    "prox without the mask": (
        lambda: type("Broken", (Shifted,), {"masked": lambda self, y: y})(),
        "prox_is_a_minimiser",
        "is less",
    ),
    "prox stopped early": (
        lambda: type("Broken", (Shifted,), {"iterations": 2})(),
        "prox_is_a_minimiser",
        "is less",
    ),
    "float32": (
        lambda: halved(A=lambda self, c: avg_pool2d(c, 2).float()),
        "shape_and_dtype",
        "A must return torch.float64",
    ),
    "mean of the batch": (
        lambda: halved(A=lambda self, c: avg_pool2d(c - c.mean(0, keepdim=True), 2)),
        "images_do_not_interact",
        "in a batch and alone, A differs",
    ),
    "writes to z": (
        lambda: halved(prox=lambda self, z, y, rho: z.copy_(good_prox(self, z, y, rho))),
        "inputs_not_mutated",
        "changed z",
    ),
    "adds its noise": (
        lambda: halved(A=lambda self, c: avg_pool2d(c + 0.1 * torch.randn_like(c), 2)),
        "deterministic",
        "global random state",
    ),
    "host read": (
        lambda: halved(A=lambda self, c: avg_pool2d(c, 2) * (1.0 if float(c.sum()) < 1e9 else 0)),
        "runs_on_meta_device",
        "on the meta device",
    ),
    "says nothing": (
        lambda: halved(A=fails_without_values),
        "runs_on_meta_device",
        "on the meta device: NotImplementedError",
    ),
    "not an observation": (object, "builds", "lacks start"),
    "starts what is none": (
        lambda: halved(start=lambda self, y, size: avg_pool2d),
        "starts",
        "its builtin_function_or_method lacks A, adjoint, mask, prox, sigma",
    ),
    "refuses every source": (
        lambda: halved(start=refuse),
        "starts",
        "of images 32 x 48 it makes none of 20 x 30, 16 x 24, 32 x 48: of 7 pixels only",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_promise_is_named(case: str, failures: Failures) -> None:
    factory, check, words = BROKEN[case]
    failed = failures(OBSERVATION, factory)
    assert check in failed
    assert words in failed[check]
    assert failed[check].startswith("observation broken")
    assert "\n" not in failed[check]


@pytest.mark.parametrize(
    "sound", [Identity, lambda: Identity(0.1), Halved, lambda: halved(prox=good_prox)]
)
def test_sound_ones_pass(sound: Any, failures: Failures) -> None:
    assert failures(OBSERVATION, sound) == {}


def test_a_mask_is_part_of_what_prox_minimises(failures: Failures) -> None:
    assert set(failures(OBSERVATION, Shifted)) <= {"runs_on_meta_device", "shape_and_dtype"}


@dataclass(frozen=True)
class Options:
    blocks: bool = option(True, "False does not work.")


def test_an_option_value_that_does_not_work(failures: Failures) -> None:
    def build(options: Options, context: object) -> Any:
        return Halved() if options.blocks else halved(prox=lambda self, z, y, rho: z)

    failed = failures(OBSERVATION, None, options=Options, build=build)
    assert list(failed) == ["other_options"]
    assert "with blocks False" in failed["other_options"]
