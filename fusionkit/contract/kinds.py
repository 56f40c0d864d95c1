"""Every kind of component, in the order of their listing; each is defined in a file of its own."""

from __future__ import annotations

from .command import COMMAND
from .estimator import ESTIMATOR
from .metric import METRIC
from .objective import OBJECTIVE
from .observation import OBSERVATION
from .preparation import PREPARATION
from .reader import READER
from .recipe import RECIPE
from .sampler import SAMPLER
from .weighting import WEIGHTING

KINDS = (
    ESTIMATOR,
    WEIGHTING,
    OBJECTIVE,
    SAMPLER,
    OBSERVATION,
    PREPARATION,
    METRIC,
    RECIPE,
    READER,
    COMMAND,
)
"""Every kind of component, in the order of their listing."""
