"""The records that a plugin hands to the host."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .options import NoOptions, specs

if TYPE_CHECKING:
    from .registry import Registry

T = TypeVar("T", covariant=True)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


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
    registry
        All components, for one that is made of others; None where it is built by itself.
    """

    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False
    registry: Registry | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Contribution:
    """What any record that a plugin hands to the host begins with.

    Attributes
    ----------
    name
        Lower case, digits and hyphens: what people type.
    summary
        One line for ``fusionkit plugins``.
    """

    name: str
    summary: str

    def __post_init__(self) -> None:
        what = type(self).__name__.lower()
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{what} name {self.name!r}: use lower-case letters, digits and hyphens"
            )
        if not self.summary or "\n" in self.summary:
            raise ValueError(f"{what} {self.name}: its summary must be one line")


@dataclass(frozen=True)
class Component(Contribution, Generic[T]):
    """A contribution that is built: a name, and how to build the object behind it.

    Attributes
    ----------
    build
        ``build(options, context)`` returns the object. Heavy imports (torch) and
        loading of weights belong inside it, so that listing plugins stays quick.
    options
        A frozen dataclass whose fields are made with :func:`fusionkit.option`.
    traits
        What the component promises, of the traits of its kind; the conformance kit
        tests what is declared.
    """

    build: Callable[[Any, BuildContext], T]
    options: type = NoOptions
    traits: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.build):
            raise TypeError(f"component {self.name}: build is not callable")
        specs(self.options)
        try:
            self.options()
        except ValueError as error:
            raise TypeError(f"component {self.name}: its default options: {error}") from None
