"""``--compile on``: the estimator's network compiled, or one line that says why not."""

from __future__ import annotations

import shutil

import pytest
import torch
from fusionkit_diffusion.compact import CompactEstimator

import fusionkit
from fusionkit import UsageError
from fusionkit.cli import main
from fusionkit.host.hardware import check_compiler
from tests.plugins.diffusion.compact.tiny import images, weights_file


@pytest.fixture
def compiled(monkeypatch) -> list[dict[str, object]]:
    """How networks were compiled; they are not."""
    how: list[dict[str, object]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **given: how.append(given))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    return how


def test_it_is_off_by_default(compiled, tmp_path):
    fusionkit.compose(device="cpu")
    CompactEstimator(weights_file(tmp_path))
    assert compiled == []


def test_on_compiles_the_network_and_is_part_of_the_recipe(compiled):
    built: dict[str, object] = {}
    how = {"device": "cpu", "estimator": "compact", "built": built}
    pipeline = fusionkit.compose(compile="on", **how)
    assert compiled == [{"mode": "default", "dynamic": False}]
    assert pipeline.as_recipe()["compile"] == "on"
    assert pipeline.parts["estimator"].built.compiled
    plain = fusionkit.compose(**how)  # which shares nothing with it
    assert not plain.parts["estimator"].built.compiled


def test_an_estimator_that_compiles_nothing_is_refused(compiled):
    with pytest.raises(UsageError, match=r"gaussian .* compiles no network: leave it off"):
        fusionkit.compose(device="cpu", estimator="gaussian", compile="on")


ALONE = {"name": "mse", "strength": 0.0}
BY_NETWORK = {"name": "dig", "prior": "compact"}
BY_FORMULA = {"name": "dig", "prior": "gaussian"}
OWN = {"name": "dig", "prior": ""}


@pytest.mark.parametrize(
    ("how", "count", "own"),
    [
        ({"weighting": OWN}, 1, True),
        ({"weighting": BY_NETWORK}, 1, False),  # the one that is asked, and not the run's own
        ({"weighting": BY_NETWORK, "estimator": "gaussian"}, 1, False),
        ({"weighting": BY_FORMULA, "objective": "increments"}, 1, True),
        ({"weighting": BY_FORMULA, "noise": "auto"}, 1, True),
        ({"weighting": "fixed"}, 0, False),
    ],
)
@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
def test_what_is_asked_is_compiled(compiled, how, count, own):
    chosen = {"estimator": "compact", "objective": ALONE, **how}
    pipeline = fusionkit.compose(device="cpu", compile="on", **chosen)
    assert len(compiled) == count
    assert getattr(pipeline.parts["estimator"].built, "compiled", False) == own


def test_where_none_that_is_asked_compiles_it_is_refused(compiled):
    """Not so quietly that the run's own prior is compiled in vain."""
    for how in ({"task": "general"}, {"weighting": BY_FORMULA, "objective": ALONE}):
        with pytest.raises(UsageError, match=r"gaussian .* compiles no network: leave it off"):
            fusionkit.compose(device="cpu", compile="on", **how)
    assert compiled == []


def test_where_none_is_asked_it_is_told(compiled):
    with pytest.warns(fusionkit.FusionkitWarning, match="^--compile changes nothing here: "):
        fusionkit.compose(device="cpu", compile="on", weighting="fixed", objective=ALONE)


def test_without_a_compiler_it_is_one_line(monkeypatch, capsys, pair, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("CXX", "c++-of-mine")
    output = ["-o", str(tmp_path / "o.png")]
    assert main(["run", *pair, *output, "--device", "cpu", "--compile", "on"]) == 2
    said = capsys.readouterr().err
    assert "there is no C++ compiler c++-of-mine: install it, or leave it off" in said
    assert len(said.strip().splitlines()) == 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="compiling for cuda takes the package triton"):
        check_compiler("cuda")


@pytest.mark.slow
def test_the_network_can_be_traced_whole_and_estimates_the_same(monkeypatch, tmp_path):
    compiling = torch.nn.Module.compile

    def traced(self: torch.nn.Module, mode: str, dynamic: bool) -> None:
        # Without a compiler, which would take a minute.
        compiling(self, backend="eager", fullgraph=True, dynamic=dynamic)

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    file = weights_file(tmp_path)
    x, sigma = images(1, 3, 16, 16).float(), torch.tensor([3.4])
    expected = CompactEstimator(file).denoise(x, sigma)
    found = CompactEstimator(file, compiled=True).denoise(x, sigma)
    assert (expected - x).abs().max() > 1e-2
    assert (found - expected).abs().max() < 1e-5
