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

COMMANDS = """
import sys
from fusionkit.cli import main
for arguments in {commands!r}:
    assert main(arguments) == 0
    assert "torch" in sys.modules
    heavy = {{"torch._dynamo", "torch._inductor", "sympy"}} & set(sys.modules)
    assert not heavy, (arguments, heavy)
"""


@pytest.mark.slow
def test_runs_import_no_compiler(pair, tmp_path: Path) -> None:
    checkpoint(tmp_path)
    adm = ["--estimator", "adm", "--estimator.checkpoint", "tiny.pt"]
    chosen = {
        "default": [],
        "learned": ["--weighting", "learned"],
        "adm": [*adm, "--estimator.head-channels", "16", "--steps", "1"],
    }
    commands = [
        ["run", *pair, "-o", f"{name}.png", "--device", "cpu", *flags]
        for name, flags in chosen.items()
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS.format(commands=commands)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / f"{name}.png").exists() for name in chosen)


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
