"""Training the weighting ``learned``: not yet, since its trainer computes on the CPU alone."""

from __future__ import annotations

from fusionkit.errors import UsageError

from .stage import Stage


def run(stage: Stage) -> None:
    """Refuse.

    Raises
    ------
    UsageError
        Always.
    """
    raise UsageError("learned: its trainer takes no device yet; leave the stage out (--stages)")
