"""Which precision ``auto`` is, and that the record holds what was used."""

from __future__ import annotations

import pytest
import torch

import fusionkit
from fusionkit import BuildContext, Component, hardware
from fusionkit.components import ESTIMATOR, PluginInfo, Provided, Registry
from fusionkit.testing.doubles import WhiteGaussian


class Network(WhiteGaussian):
    """An estimator that has weights, as it says."""

    weights_sha256 = "0" * 64

    def __init__(self, precision: str) -> None:
        super().__init__()
        self.precision = precision


@pytest.fixture
def built():
    """The contexts that components were built in."""
    return []


@pytest.fixture
def registry(built):
    def network(options: object, context: BuildContext) -> Network:
        built.append(context)
        return Network(context.precision)

    plugin = PluginInfo("toy", "loaded", "here", "toy", "1")
    ours = [
        Provided(ESTIMATOR, Component("network", "has weights", network), plugin),
        Provided(ESTIMATOR, Component("exact", "none", lambda o, c: WhiteGaussian()), plugin),
    ]
    installed = fusionkit.load_plugins()
    return Registry([*installed.plugins, plugin], [*installed.all(), *ours])


@pytest.fixture(autouse=True)
def forget():
    hardware._bfloat16_pays.cache_clear()
    yield
    hardware._bfloat16_pays.cache_clear()


def cpu(monkeypatch, *, instructions: bool, ratio: float) -> list[torch.dtype]:
    """Let the CPU claim bfloat16, and convolve in it so many times as fast as in float32."""
    measured: list[torch.dtype] = []

    def rate(dtype: torch.dtype, device: str = "cpu", **rest: float) -> float:
        measured.append(dtype)
        return ratio if dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(hardware, "has_bfloat16_instructions", lambda: instructions)
    monkeypatch.setattr(hardware, "convolution_rate", rate)
    return measured


def composed(registry, estimator: str = "network", **settings):
    return fusionkit.compose(
        estimator=estimator, weighting="fixed", registry=registry, device="cpu", **settings
    )


@pytest.mark.parametrize(
    ("instructions", "ratio", "expected"),
    [(True, 1.6, "bfloat16"), (True, 1.4, "float32"), (False, 9.0, "float32")],
)
def test_auto_is_bfloat16_where_it_pays(monkeypatch, registry, instructions, ratio, expected):
    measured = cpu(monkeypatch, instructions=instructions, ratio=ratio)
    pipeline = composed(registry)
    assert pipeline.context.precision == expected
    assert pipeline.parts["estimator"].built.precision == expected
    composed(registry)
    assert len(measured) == (2 if instructions else 0)  # once in a process, if at all


def test_what_has_no_weights_stays_in_float32(monkeypatch, registry):
    cpu(monkeypatch, instructions=True, ratio=2.0)
    assert composed(registry, "exact").context.precision == "float32"


def test_what_is_said_is_not_measured(monkeypatch, registry, built):
    measured = cpu(monkeypatch, instructions=True, ratio=2.0)
    composed(registry, precision="float32")
    assert [context.precision for context in built] == ["float32"]
    assert not measured


def test_the_record_makes_the_same_precision_again(monkeypatch, registry):
    cpu(monkeypatch, instructions=True, ratio=2.0)
    recipe = composed(registry).as_recipe()
    assert recipe["precision"] == "bfloat16"
    hardware._bfloat16_pays.cache_clear()
    cpu(monkeypatch, instructions=True, ratio=1.0)  # as on a busy day
    assert composed(registry).context.precision == "float32"
    assert fusionkit.compose(recipe=recipe, registry=registry).context.precision == "bfloat16"


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "bfloat16"), ((7, 5), "float16")])
def test_auto_on_a_gpu(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert hardware.fast_precision("cuda") == expected


def test_other_devices_compute_in_float32():
    assert hardware.fast_precision("meta") == hardware.fast_precision("mps") == "float32"


def test_a_rate_is_measured():
    assert hardware.convolution_rate(torch.float32, channels=8, side=32, seconds=0) > 0
