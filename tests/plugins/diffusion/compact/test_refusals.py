"""Files that are not what they should be: refused in one line, and nothing of them is run."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from fusionkit_diffusion.compact import CompactEstimator
from fusionkit_diffusion.compact_file import FORMAT, describe

from fusionkit.errors import UsageError
from fusionkit.host.weights_file import write_safetensors

from .tiny import TINY, denoiser, one_line, weights_file


def refused(file, *parts: str, **options: str) -> None:
    with pytest.raises(UsageError) as caught:
        CompactEstimator(file, **options)
    one_line(str(caught.value), str(file), *parts)


def test_missing(tmp_path) -> None:
    refused(tmp_path / "none.safetensors", "no such file")
    refused(tmp_path, "folder")


def test_another_hash(tmp_path) -> None:
    refused(weights_file(tmp_path), "SHA-256", "0" * 64, sha256="0" * 64)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_truncated(tmp_path, length) -> None:
    file = weights_file(tmp_path)
    file.write_bytes(file.read_bytes()[:length])
    refused(file, "truncated")


class Bomb:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("pickled code was run",)


@pytest.mark.parametrize("name", ["code.safetensors", "code.pt"])
@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_pickled_code(tmp_path, name, kind) -> None:
    file = tmp_path / name
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Bomb()))
    else:
        torch.save({"stem.weight": Bomb()}, file)
    refused(file, "safetensors" if name.endswith("pt") else "no file of weights")


def write(tmp_path, state=None, **metadata: str):
    file = tmp_path / "odd.safetensors"
    state = denoiser().network.state_dict() if state is None else state
    write_safetensors(file, state, {**describe(TINY), **metadata})
    return file


def test_another_format(tmp_path) -> None:
    refused(write(tmp_path, format="fusionkit-compact-99"), "fusionkit-compact-99", FORMAT)
    refused(write(tmp_path, format=""), "format")


@pytest.mark.parametrize(
    "architecture",
    ["", "not json", "[]", "7", "{}", '{"widths": [8]}']
    + [
        json.dumps({**json.loads(describe(TINY)["architecture"]), **change})
        for change in (
            {"widths": "many"},
            {"widths": 7},
            {"widths": [8, -1]},
            {"widths": [1e9]},
            {"blocks": None},
            {"sigma_data": "x"},
            {"extra": 1},
        )
    ],
)
def test_an_architecture_that_cannot_be(tmp_path, architecture) -> None:
    refused(write(tmp_path, architecture=architecture), "architecture")


def test_weights_of_another_architecture(tmp_path) -> None:
    wider = describe(TINY)["architecture"].replace("[8, 16]", "[8, 32]")
    refused(write(tmp_path, architecture=wider), "enter.1.weight", "(16, 7)", "(32, 7)")
    state = denoiser().network.state_dict()
    refused(write(tmp_path, {**state, "more": torch.ones(2)}), "more", "none")
    refused(write(tmp_path, {**state, "stem.weight": torch.ones(8)}), "stem.weight", "(8,)")
    whole = state["stem.weight"].long()
    refused(write(tmp_path, {**state, "stem.weight": whole}), "stem.weight", "int64")
    del state["stem.weight"]
    refused(write(tmp_path, state), "stem.weight", "missing")
