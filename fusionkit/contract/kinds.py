"""Every kind of component, in the order of their listing; each is defined in a file of its own."""

from __future__ import annotations

from .command import COMMAND
from .estimator import ESTIMATOR
from .metric import METRIC
from .objective import OBJECTIVE
from .reader import READER
from .recipe import RECIPE
from .weighting import WEIGHTING

KINDS = (ESTIMATOR, WEIGHTING, OBJECTIVE, METRIC, RECIPE, READER, COMMAND)
