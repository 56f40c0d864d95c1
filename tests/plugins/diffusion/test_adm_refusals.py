"""Files that are no checkpoint, or not the one that was meant: one line says so, nothing is run."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from fusionkit_diffusion.adm import ADMEstimator

from fusionkit import BuildContext
from fusionkit.cli import main
from fusionkit.errors import UsageError

from .tiny import checkpoint, estimator_component, every_line, random_state

HASH = "0" * 64


def refused(file: Path | str, **options) -> UsageError:
    with pytest.raises(UsageError) as caught:
        ADMEstimator(str(file), **{"head_channels": 16, **options})
    assert "\n" not in str(caught.value)
    return caught.value


def test_no_path_says_where_the_public_file_comes_from(pair, tmp_path, capsys) -> None:
    provided = estimator_component("adm")
    with pytest.raises(UsageError) as caught:
        provided.build(provided.make_options({}), BuildContext())
    every_line(caught.value, "--estimator.checkpoint", "openai/guided-diffusion", "MIT")
    arguments = ["run", *pair, "-o", str(tmp_path / "x.png"), "--estimator", "adm"]
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "256x256_diffusion_uncond.pt" in said[0]


def test_a_missing_file_and_a_folder(tmp_path) -> None:
    every_line(refused(tmp_path / "none.pt"), "none.pt: there is no such file")
    every_line(refused(tmp_path), str(tmp_path), "is a folder")


@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.999])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file(tmp_path, kept, legacy) -> None:
    file = tmp_path / "short.pt"
    torch.save(random_state(), file, _use_new_zipfile_serialization=not legacy)
    whole = file.read_bytes()
    file.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    every_line(refused(file), "short.pt: is truncated, damaged")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>Not found</html>", bytes(5000)])
def test_something_else_under_the_name(tmp_path, content) -> None:
    file = tmp_path / "odd.pt"
    file.write_bytes(content)
    every_line(refused(file), "odd.pt: is truncated, damaged, or no file of weights")


def test_a_truncated_safetensors_file(tmp_path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    file = tmp_path / "short.safetensors"
    save_file(random_state(), file)
    whole = file.read_bytes()
    for kept in (0, 5, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:kept])
        every_line(refused(file), "short.safetensors: is truncated, damaged")


class Malicious:
    """Writes a file when it is unpickled by anything that runs what a pickle says."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def malicious_files(tmp_path: Path, target: Path) -> list[Path]:
    files = [tmp_path / name for name in ("zip.pt", "old.pt", "plain.pt", "plain5.pt", "in.pt")]
    evil = {**random_state(), "more": Malicious(target)}
    torch.save(evil, files[0])
    torch.save(evil, files[1], _use_new_zipfile_serialization=False)
    files[2].write_bytes(pickle.dumps(Malicious(target), protocol=2))
    files[3].write_bytes(pickle.dumps(Malicious(target), protocol=5))
    # An honest archive whose description of the tensors has been exchanged.
    with zipfile.ZipFile(checkpoint(tmp_path)) as honest, zipfile.ZipFile(files[4], "w") as forged:
        for name in honest.namelist():
            content = honest.read(name)
            if name.endswith("data.pkl"):
                content = pickle.dumps(Malicious(target), protocol=2)
            forged.writestr(name, content)
    return files


def test_pickled_code_is_not_run(tmp_path) -> None:
    target = tmp_path / "was-run"
    files = malicious_files(tmp_path, target)
    for file in files:
        message = str(refused(file))
        assert message.startswith(f"{file}: "), message
        assert not target.exists(), file
    every_line(refused(files[0]), "holds pickled code (", "never run")
    # The attack would have worked on a reader that trusts its file.
    torch.load(files[0], weights_only=False)
    assert target.exists()
    target.unlink()
    pickle.load(io.BytesIO(files[2].read_bytes()))
    assert target.exists()


def test_what_is_saved_must_be_a_flat_state_dict(tmp_path) -> None:
    file = tmp_path / "other.pt"
    for saved, said in (
        (torch.zeros(3), "no dictionary of tensors"),
        ({}, "no dictionary of tensors"),
        ({"state_dict": random_state(), "epoch": 3}, "'state_dict' is a dict, no tensor"),
        ({**random_state(), "step": 3}, "'step' is a int, no tensor"),
    ):
        torch.save(saved, file)
        every_line(refused(file), "other.pt: holds", said)


def without(key: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in random_state().items() if name != key}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"conv1.weight": torch.zeros(3, 3)}, "time_embed.0.weight is missing; its first key is"),
        (without("middle_block.1.qkv.bias"), "key middle_block.1.qkv.bias is missing"),
        (without("out.2.weight"), "key out.2.weight is missing"),
        (without("input_blocks.1.0.out_layers.3.weight"), "input_blocks.1.0.out_layers.3.weight"),
        ({**random_state(), "ema.decay": torch.zeros(1)}, "key ema.decay is unexpected"),
        ({**random_state(), "out.0.bias": torch.zeros(7)}, "out.0.bias is of shape (7,), expected"),
        ({**random_state(), "label_emb.weight": torch.zeros(9, 4)}, "class-conditional"),
        ({**random_state(), "input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3)}, "(32, 6, 3, 3)"),
        ({**random_state(), "out.2.weight": torch.zeros(())}, "key out.2.weight is missing"),
        ({**random_state(), "output_blocks.9.0.x": torch.zeros(2)}, "7 output_blocks"),
        ({**random_state(), "time_embed.0.weight": torch.zeros(128, 33)}, "multiples of 32"),
    ],
)
def test_another_architecture_is_refused_by_its_first_odd_key(tmp_path, state, said) -> None:
    file = tmp_path / "other.pt"
    torch.save(state, file)
    every_line(refused(file), "not the checkpoint of an unconditional ADM network", said)


def test_heads_must_divide_the_widths(tmp_path) -> None:
    every_line(refused(checkpoint(tmp_path), head_channels=48), "64 channels", "head-channels")


def test_the_hash_that_was_asked_for(tmp_path) -> None:
    file = checkpoint(tmp_path)
    good = ADMEstimator(str(file), head_channels=16).weights_sha256
    assert ADMEstimator(str(file), head_channels=16, sha256=good.upper()).weights_sha256 == good
    every_line(refused(file, sha256=HASH), "its SHA-256 is " + good, HASH)
    # It is compared before anything of the file is interpreted.
    evil = malicious_files(tmp_path, tmp_path / "was-run")[0]
    every_line(refused(evil, sha256=HASH), "its SHA-256 is ")


def test_a_hash_is_64_digits() -> None:
    for name in ("adm", "diffusers"):
        with pytest.raises(UsageError, match="64 hexadecimal digits") as caught:
            estimator_component(name).make_options({"sha256": "abc"})
        every_line(caught.value, name)
