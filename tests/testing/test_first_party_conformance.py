"""The kit passes for everything that fusionkit itself provides."""

import fusionkit
from fusionkit.testing import conformance, run_checks

test_diffusion = conformance("diffusion")
test_fixed = conformance("fixed")
test_dig = conformance("dig")
test_objectives = conformance("objectives")
test_metrics = conformance("metrics")
test_saliency = conformance("saliency")

# Estimators that load a file which the person has to have; configured ones are tested apart.
NEEDS_WEIGHTS = {"adm", "diffusers"}


def test_nothing_is_skipped_or_left_out() -> None:
    registry = fusionkit.load_plugins(strict=True)
    kinds = {}
    for provided in registry.all():
        outcomes = run_checks(provided)
        if provided.component.name in NEEDS_WEIGHTS:
            continue
        assert [o for o in outcomes if o.status != "passed"] == []
        kinds[provided.kind.group] = len(outcomes)
    assert set(kinds) >= {"estimator", "weighting", "objective"}
    assert min(kinds.values()) >= 10
