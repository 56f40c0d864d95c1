"""Files that are not what they should be: refused in one line, and nothing of them is run."""

from __future__ import annotations

import pickle

import pytest
import torch
from fusionkit_learned import learned
from fusionkit_learned.learned import Learned
from fusionkit_learned.weights_file import FORMAT

from fusionkit import UsageError

from ..weightings.common import build
from .tiny import network, one_line, weights_file


def refused(file, *parts: str, **options: str) -> None:
    with pytest.raises(UsageError) as caught:
        Learned(file, **options)
    one_line(str(caught.value), str(file), *parts)


def test_missing(tmp_path) -> None:
    refused(tmp_path / "none.safetensors", "no such file")
    refused(tmp_path, "folder")
    with pytest.raises(UsageError, match="no such file"):
        build("learned", "learned", checkpoint=str(tmp_path / "none.safetensors"))


def test_another_hash(tmp_path) -> None:
    refused(weights_file(tmp_path), "SHA-256", "0" * 64, sha256="0" * 64)


def test_the_shipped_file_is_checked(tmp_path, monkeypatch) -> None:
    for subject, (_, sha256) in learned.SHIPPED.items():
        monkeypatch.setitem(learned.SHIPPED, subject, (weights_file(tmp_path), sha256))
        with pytest.raises(UsageError, match="another file than was asked for, or damaged"):
            Learned(subject=subject)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_truncated(tmp_path, length) -> None:
    file = weights_file(tmp_path)
    file.write_bytes(file.read_bytes()[:length])
    refused(file, "truncated")


class Bomb:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("pickled code was run",)


def test_pickled_code(tmp_path) -> None:
    file = tmp_path / "code.safetensors"
    file.write_bytes(pickle.dumps(Bomb()))
    refused(file, "no file of weights")


def test_another_format(tmp_path) -> None:
    refused(weights_file(tmp_path, format="something-else"), "something-else", FORMAT)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"head.weight": None}, ("head.weight", "missing")),
        ({"more": torch.zeros(2)}, ("more", "(2,)", "none")),
        ({"head.weight": torch.zeros(1, 8, 1, 1)}, ("(1, 8, 1, 1)", "(1, 16, 1, 1)")),
        ({"head.weight": torch.zeros(1, 16, 1, 1, dtype=torch.int64)}, ("int64",)),
    ],
)
def test_another_architecture(tmp_path, change, parts) -> None:
    state = {**network().float().state_dict(), **change}
    state = {key: value for key, value in state.items() if value is not None}
    refused(weights_file(tmp_path, state), *parts)
