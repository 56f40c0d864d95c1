"""Which precision ``auto`` is: never a matter of the day; and that the record holds it."""

from __future__ import annotations

import pytest
import torch

import fusionkit
from fusionkit import BuildContext, Component
from fusionkit.contract.estimator import ESTIMATOR
from fusionkit.contract.registry import PluginInfo, Provided, Registry
from fusionkit.host import hardware
from fusionkit.testing.doubles import WhiteGaussian


class Network(WhiteGaussian):
    """An estimator that has weights, as it says."""

    weights_sha256 = "0" * 64


@pytest.fixture
def built():
    """The precisions that the estimator was built in."""
    return []


@pytest.fixture
def registry(built):
    def network(options: object, context: BuildContext) -> Network:
        built.append(context.precision)
        return Network()

    plugin = PluginInfo("toy", "loaded", "here", "toy", "1")
    ours = Provided(ESTIMATOR, Component("network", "has weights", network), plugin)
    installed = fusionkit.load_plugins()
    return Registry([*installed.plugins, plugin], [*installed.all(), ours])


def composed(registry, **settings):
    return fusionkit.compose(
        estimator="network", weighting="fixed", registry=registry, device="cpu", **settings
    )


@pytest.mark.parametrize("instructions", [True, False])
def test_auto_on_a_cpu_is_float32_whatever_it_is_fast_in(
    monkeypatch, registry, built, instructions
):
    monkeypatch.setattr(hardware, "has_bfloat16_instructions", lambda: instructions)
    pipeline = composed(registry)
    assert pipeline.context.precision == "float32"
    assert pipeline.as_recipe()["precision"] == "float32"
    assert built == ["float32"]  # once, and in nothing else first


def test_nothing_is_measured(monkeypatch, registry):
    def measured(*given: object, **also: object) -> float:
        raise AssertionError("a rate was measured")

    monkeypatch.setattr(hardware, "convolution_rate", measured)
    composed(registry)


def test_half_precision_is_asked_for_by_name(registry, built):
    recipe = composed(registry, precision="bfloat16").as_recipe()
    assert recipe["precision"] == "bfloat16"
    assert fusionkit.compose(recipe=recipe, registry=registry).context.precision == "bfloat16"
    assert built == ["bfloat16"] * 2


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "bfloat16"), ((7, 5), "float16")])
def test_auto_on_a_gpu(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert hardware.fast_precision("cuda") == expected


def test_other_devices_compute_in_float32():
    assert hardware.fast_precision("meta") == hardware.fast_precision("mps") == "float32"


@pytest.mark.parametrize("has", ["_is_amx_tile_supported", "_is_avx512_bf16_supported"])
def test_a_cpu_says_whether_it_multiplies_bfloat16(monkeypatch, has):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not hardware.has_bfloat16_instructions()
    monkeypatch.setattr(torch.cpu, has, lambda: True, raising=False)
    assert hardware.has_bfloat16_instructions()


def test_a_rate_is_measured():
    assert hardware.convolution_rate(torch.float32, channels=8, side=32, seconds=0) > 0
