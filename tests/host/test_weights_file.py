"""Networks whose weights are assigned: nothing is drawn for them, and no compiler imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fusionkit.host.weights_file import empty_network
from tests.plugins.diffusion.tiny import checkpoint

COMMAND = """
import sys
from fusionkit.cli import main
code = main({arguments!r})
assert "torch" in sys.modules
heavy = {{"torch._dynamo", "torch._inductor", "sympy"}} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--weighting", "learned"),
        ("--estimator", "adm", "--estimator.checkpoint", "tiny.pt", "--estimator.head-channels",
         "16", "--steps", "1"),
    ],
    ids=["default", "learned", "adm"],
)  # fmt: skip
def test_a_run_imports_no_compiler(given, pair, tmp_path: Path) -> None:
    checkpoint(tmp_path)
    arguments = ["run", *pair, "-o", "fused.png", "--device", "cpu", *given]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND.format(arguments=arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fused.png").exists()


def draws() -> nn.Module:
    """A module of every kind of initialisation, by layers and by hand."""
    network = nn.Sequential(
        nn.Linear(4, 4), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MultiheadAttention(4, 2)
    )
    for name in ("normal_", "trunc_normal_", "xavier_normal_", "kaiming_normal_", "zeros_"):
        getattr(nn.init, name)(network[0].weight)
    nn.init.uniform_(tensor=network[0].weight, a=0.5)
    return network


def test_an_empty_network_has_shapes_alone_and_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    with empty_network():
        network = draws()
    assert torch.equal(torch.get_rng_state(), before)
    assert {value.device.type for value in network.state_dict().values()} == {"meta"}
    full = draws()
    assert [value.shape for value in network.state_dict().values()] == [
        value.shape for value in full.state_dict().values()
    ]
    network.load_state_dict(full.state_dict(), assign=True)
    assert torch.equal(network[0].weight, full[0].weight)


def test_outside_of_it_weights_are_drawn() -> None:
    with empty_network():
        draws()
    assert nn.Linear(4, 4).weight.std() > 0
