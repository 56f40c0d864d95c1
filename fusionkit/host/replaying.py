"""What a record is replayed with, beside what it was made with."""

from __future__ import annotations

from collections.abc import Mapping

from ..contract.estimator import ESTIMATOR
from .parts import Part
from .pipeline import Pipeline
from .rehearsing import asks


def other_weights(pipeline: Pipeline, recorded: Mapping[str, str]) -> list[str]:
    """Return a line for each component whose weights are not those of the record.

    Parameters
    ----------
    pipeline
        What was composed.
    recorded
        The SHA-256 of weights by component (:attr:`fusionkit.recipes.layers.Merged.weights`).
    """
    parts = {**pipeline.parts, **pipeline.preparations}
    parts |= {
        f"{name}.{option}": other
        for name, part in parts.items()
        for option, other in part.stand_ins.items()
    }
    found = []
    for name, then in sorted(recorded.items()):
        part = parts.get(name)
        if part is None or part.provided is None:
            continue
        now = _weights_of(part)
        if now != then and (name != ESTIMATOR.group or asks(pipeline)):
            which = f"SHA-256 {now[:12]}, not {then[:12]}" if now else f"none, not {then[:12]}"
            found.append(
                f"{part.label}: its weights are not those that the record was made with "
                f"({which}): the image will differ"
            )
    return found


def _weights_of(part: Part) -> str | None:
    """Return the SHA-256 of a part's weights; of what its options name, where it has none.

    Records had those under the part's own name before they named what options name.
    """
    each = (part, *part.stand_ins.values())
    weights = (getattr(one.built, "weights_sha256", None) for one in each)
    return next(filter(None, weights), None)
