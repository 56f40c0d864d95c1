"""Component records: what a plugin hands to the host, and the kinds there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from .members import misspelt
from .options import NoOptions, specs

T = TypeVar("T", covariant=True)

SOURCE_SYMMETRIC = "source-symmetric"
"""Trait: the order of the sources does not matter (within rounding)."""

IDENTITY_PRESERVING = "identity-preserving"
"""Trait: of an objective; identical sources are a fixed point.

With a trajectory that agrees with them, and so in a run without one, they come back.
"""

TRAITS = frozenset({SOURCE_SYMMETRIC, IDENTITY_PRESERVING})


@dataclass(frozen=True)
class Kind:
    """A kind of component.

    Attributes
    ----------
    group
        Its flag, and its table in a recipe.
    hook
        The hook that yields components of it.
    title
        What messages call it.
    optional
        The members that its protocol knows and that an object may lack.
    """

    group: str
    hook: str
    title: str
    optional: tuple[str, ...]

    def misspelt(self, built: Any) -> str:
        """Say which attribute of an object is a mistyped optional member; empty for none."""
        # ``compile``, which every build is given, is not ``compiled`` mistyped.
        return misspelt(built, self.optional, [known.name for known in fields(BuildContext)])


ESTIMATOR = Kind(
    "estimator",
    "fusionkit_noise_estimators",
    "noise estimator",
    ("vjp", "weights_sha256", "pixels_per_pass", "pixels_per_tile", "flops", "compiled"),
)
"""The kind of noise estimators: pretrained diffusion priors, or priors in closed form."""

WEIGHTING = Kind(
    "weighting",
    "fusionkit_weightings",
    "weighting",
    ("uses_trajectory", "levels", "sources", "weighs_by"),
)
"""The kind of weightings: how much each source guides each pixel at each step."""

OBJECTIVE = Kind(
    "objective", "fusionkit_objectives", "objective", ("uses_trajectory", "levels", "sources")
)
"""The kind of objectives: how weighted sources correct the clean estimate."""

SAMPLER = Kind("sampler", "fusionkit_samplers", "sampler", ("needs_gradient",))
"""The kind of samplers: how a run goes from its levels to an image."""

OBSERVATION = Kind("observation", "fusionkit_observations", "observation", ())
"""The kind of observations: how a source was measured."""

METRIC = Kind("metric", "fusionkit_metrics", "metric", ("bounds", "reference", "summed", "within"))
"""The kind of metrics: how good a fused image is, given its sources."""

KINDS = (ESTIMATOR, WEIGHTING, OBJECTIVE, SAMPLER, OBSERVATION, METRIC)
"""Every kind of component, in the order of their listing."""


@dataclass(frozen=True)
class BuildContext:
    """Where and how a component is to compute; what every ``build`` receives.

    Attributes
    ----------
    device
        A torch device as text: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ``meta``.
    precision
        What the heavy inner computing of a network may use: ``float64``,
        ``float32``, ``bfloat16`` or ``float16``. Inputs and outputs keep the
        run's own dtype, which is float64 under ``float64`` and float32 otherwise.
    compile
        Whether an estimator is to compile its network, see :meth:`torch.nn.Module.compile`;
        one that did says so by an attribute ``compiled`` that is true.
    """

    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False


@dataclass(frozen=True)
class Component(Generic[T]):
    """What a plugin hands to the host: a name, and how to build the object behind it.

    Attributes
    ----------
    name
        Lower case, digits and hyphens: what people type after ``--weighting``.
    summary
        One line for ``fusionkit plugins``.
    build
        ``build(options, context)`` returns the object. Heavy imports (torch) and
        loading of weights belong inside it, so that listing plugins stays quick.
    options
        A frozen dataclass whose fields are made with :func:`fusionkit.option`.
    traits
        What the component promises, from :data:`TRAITS`; the conformance kit
        tests what is declared.
    """

    name: str
    summary: str
    build: Callable[[Any, BuildContext], T]
    options: type = NoOptions
    traits: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(
            r"[a-z][a-z0-9]*(-[a-z0-9]+)*", self.name
        ):
            raise ValueError(
                f"component name {self.name!r}: use lower-case letters, digits and hyphens"
            )
        if not self.summary or "\n" in self.summary:
            raise ValueError(f"component {self.name}: its summary must be one line")
        if not callable(self.build):
            raise TypeError(f"component {self.name}: build is not callable")
        unknown = sorted(set(self.traits) - TRAITS)
        if unknown:
            raise ValueError(f"component {self.name}: unknown traits {', '.join(unknown)}")
        specs(self.options)
        try:
            self.options()
        except ValueError as error:
            raise TypeError(f"component {self.name}: its default options: {error}") from None
