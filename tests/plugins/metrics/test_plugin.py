"""The plugin as the host sees it."""

import subprocess
import sys

import pytest

import fusionkit

from .common import APART, FILES, NAMES, PARTIAL, metric, registry

LOWER_IS_BETTER = {"mse", "nabf", "qcv", "ce", "ergas", "gmsd", "qsf", "rmse", "sam"}


def test_all_metrics_are_there() -> None:
    assert tuple(p.component.name for p in registry().all(fusionkit.METRIC)) == tuple(
        sorted((*NAMES, *APART, *FILES, *PARTIAL))
    )


@pytest.mark.parametrize("name", [*NAMES, *APART, *PARTIAL])
def test_declaration(name: str) -> None:
    built = metric(name)
    assert isinstance(built, fusionkit.Metric)
    assert built.name == name  # type: ignore[attr-defined]
    assert built.higher_is_better is (name not in LOWER_IS_BETTER)
    low, high = built.bounds  # type: ignore[attr-defined]
    assert low < high
    assert built.reference  # type: ignore[attr-defined]
    summary = registry().find(fusionkit.METRIC, name).component.summary
    assert ("sum over sources" in summary) == built.summed  # type: ignore[attr-defined]
    assert ("sum over sources" in built.convention) == built.summed  # type: ignore[attr-defined]
    assert ("two sources" in summary) == (built.sources == 2)


def test_options_are_in_the_convention() -> None:
    assert "wrapped" in metric("qabf", orientation="wrapped").convention
    assert "wrapped" not in metric("qabf").convention
    for name in ("qcv", "qcb"):
        assert "stretched to 0-255" in metric(name, stretch=True).convention
        assert "grey levels as they are" in metric(name).convention
    with pytest.raises(fusionkit.UsageError, match="paper, wrapped"):
        metric("qabf", orientation="other")


def test_listing_does_not_import_torch() -> None:
    code = (
        "import sys, fusionkit_metrics as m; "
        "assert len(list(m.fusionkit_metrics())) == 34; "
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
