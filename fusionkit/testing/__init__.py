"""The conformance kit for plugin authors, and exact doubles to test components with.

A plugin's whole conformance test is two lines::

    from fusionkit.testing import conformance

    test_conformance = conformance("my-plugin")

which pytest runs as one named case per promise and component, for example
``weighting-sharpest-on_the_simplex``. The promises are those of
:mod:`fusionkit.contract`, and the traits that a component declares.

For tests of one's own: :func:`make_run` with :func:`synthetic_sources` and
:class:`WhiteGaussian` gives a run whose estimates are known in closed form, and
:class:`ConstantWeights` and :class:`WeightedMean` take the other seats of a run.

Importing this package imports neither torch nor pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .checks import Check, CheckSkipped, ConformanceError, Outcome
from .collect import conformance
from .running import checks_for, run_checks

if TYPE_CHECKING:
    from .doubles import ConstantWeights, WeightedMean, WhiteGaussian, make_run, synthetic_sources

# These are made of tensors: torch is imported when the first of them is asked for.
_LATER = {"ConstantWeights", "WeightedMean", "WhiteGaussian", "make_run", "synthetic_sources"}

__all__ = [
    "Check",
    "CheckSkipped",
    "ConformanceError",
    "ConstantWeights",
    "Outcome",
    "WeightedMean",
    "WhiteGaussian",
    "checks_for",
    "conformance",
    "make_run",
    "run_checks",
    "synthetic_sources",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(".doubles", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
