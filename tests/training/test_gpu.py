"""The command for a lent GPU, tiny and on the CPU, where little is installed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from fusionkit_diffusion.compact import CompactEstimator
from fusionkit_learned.learned import Learned
from fusionkit_training.gpu.check import CHEAP, compositions, title
from fusionkit_training.gpu.checkout import first_party
from fusionkit_training.gpu.command import EXAMPLES, main, parser
from fusionkit_training.gpu.pack import Pack, write_pack
from fusionkit_training.gpu.stage import add_row, rows_of
from fusionkit_training.gpu.summary import failures, summary
from fusionkit_training.photographs import luma, read_rgb
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from fusionkit import compose
from fusionkit.contract.estimator import ESTIMATOR
from fusionkit.errors import UsageError
from fusionkit.host.plugins import load_plugins
from fusionkit.ops import sent
from tests.conftest import REPOSITORY
from tests.training.pictures import photograph_folder

ABSENT = ("PIL", "tqdm", "imagecodecs", "tifffile", "filelock", "matplotlib", "scipy")
"""What such a machine need not have."""


def gpu(
    folder: Path, arguments: Sequence[str], absent: Sequence[str] = ABSENT
) -> subprocess.CompletedProcess[str]:
    """Run the script where these packages cannot be imported, nor anything be found installed."""
    hidden = folder / "hidden"
    hidden.mkdir()
    for name in absent:
        message = f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n"
        (hidden / f"{name}.py").write_text(message)
    environment = {**os.environ, "PYTHONPATH": str(hidden), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, REPOSITORY / "training" / "gpu.py", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def pack(tmp_path) -> Path:
    photographs = photograph_folder(tmp_path / "photographs")
    write_pack(tmp_path / "photographs.pack", [photographs], 1, 1)
    return tmp_path / "photographs.pack"


@pytest.mark.slow
def test_all_stages_at_toy_size(tmp_path, pack) -> None:
    out = tmp_path / "out"
    limits = "check=300,speed=300,compact=300"
    arguments = ["--out", str(out), "--device", "cpu", "--toy", "--data", str(pack)]
    done = gpu(tmp_path, [*arguments, "--stages", "check,speed,compact", "--limits", limits])
    log = (out / "log.txt").read_text()
    assert done.returncode == 0, done.stderr + log

    rows = rows_of(out)
    ended = {row["stage"]: row["ended"] for row in rows if "ended" in row and "what" not in row}
    assert ended == dict.fromkeys(("check", "speed", "compact"), "done")
    checks = [row for row in rows if "passed" in row]
    assert len(checks) > 20
    assert all(row["passed"] for row in checks)
    kinds = {row["composition"].split(", ")[0] for row in checks}
    assert kinds == {"gaussian", "compact"}
    timed = [row for row in rows if row.get("what") == "fusion"]
    assert [row["recipe"] for row in timed] == ["sampled", "general"]
    assert all(row["seconds"] > 0 and row["tflops"] > 0 for row in timed)
    (step,) = (row for row in rows if row.get("what") == "a step of training compact")
    assert step["crops_per_second"] > 0
    (evaluation,) = (row for row in rows if row.get("what") == "an evaluation of ADM")
    assert evaluation["tflops"] > 0
    (trained,) = (row for row in rows if row.get("what") == "training")
    assert trained["steps"] == 2
    (psnr,) = (row for row in rows if row.get("what") == "PSNR, held out")
    assert psnr["15"] > psnr["50"] > 0

    weights = CompactEstimator(out / "compact" / "compact.safetensors")
    data = json.loads(weights.metadata["data"])
    assert data["photographs"] == 3
    assert data["sources"] == {"unknown": {"unknown": 3}}
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) <= 8
    page = (out / "summary.md").read_text()
    assert "## Checks\n" in page
    assert "## speed: fusion\n" in page
    assert "Checks that failed" not in page


@pytest.mark.slow
def test_learned_at_toy_size_takes_pillow(tmp_path, pack) -> None:
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--device", "cpu", "--toy", "--data", str(pack)]
    absent = [name for name in ABSENT if name != "PIL"]
    done = gpu(tmp_path, [*arguments, "--stages", "learned", "--limits", "learned=300"], absent)
    assert done.returncode == 0, done.stderr + (out / "log.txt").read_text()
    (trained,) = (row for row in rows_of(out) if row.get("what") == "training")
    assert trained["steps"] == 2
    Learned(out / "learned" / "learned.safetensors")


def test_a_pack_keeps_every_pixel(tmp_path) -> None:
    folder = photograph_folder(tmp_path / "photographs")
    Image.fromarray(np.full((40, 30), 200, np.uint8)).save(folder / "grey.png")
    (folder / "MANIFEST.csv").write_text("file,source,licence\n1.png,a camera,CC0\n")
    file = tmp_path / "all.pack"
    told = write_pack(file, [folder], 1, 1)
    assert "5 photographs, 1 held out" in told
    opened = Pack.open(file)
    assert len(opened.train) == 4
    assert len(opened.held_out) == 1
    assert opened.sources == {"a camera": {"CC0": 1}, "unknown": {"unknown": 3}}
    for name in (*opened.train, *opened.held_out):
        image = read_rgb(folder / name.name.partition("-")[2])[0]
        assert torch.equal(opened.rgb(name)[0], image)
        grey = luma(image.double())[0]
        assert (opened.luma(name)[0] - grey).abs().max() <= 0.5 + 1e-4


def test_a_pack_holds_the_middles_of_what_is_too_large(tmp_path) -> None:
    folder = photograph_folder(tmp_path / "photographs")
    most = 0.15
    file = tmp_path / "small.pack"
    write_pack(file, [folder], most, 1)
    assert most * 2**20 * 0.5 < file.stat().st_size <= most * 2**20
    opened = Pack.open(file)
    for name in opened.train:
        image, whole = opened.rgb(name)[0], read_rgb(folder / name.name.partition("-")[2])[0]
        height, width = image.shape[1:]
        assert height < whole.shape[1]
        top, left = (whole.shape[1] - height) // 2, (whole.shape[2] - width) // 2
        assert torch.equal(image, whole[:, top : top + height, left : left + width])


def test_what_is_no_pack_is_refused(tmp_path, pack) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        Pack.open(tmp_path / "none.pack")
    with pytest.raises(UsageError, match="is no pack of photographs"):
        Pack.open(REPOSITORY / "plugins" / "fusionkit_diffusion" / "compact.safetensors")
    data = bytearray(pack.read_bytes())
    data[-100] ^= 1
    pack.write_bytes(data)
    damaged = Pack.open(pack)
    with pytest.raises(UsageError, match=r"its photograph 0003-3\.png is damaged"):
        damaged.rgb(damaged.train[-1])


def test_the_checkout_has_the_plugins_that_are_installed() -> None:
    installed = {
        p.qualified for p in load_plugins().all() if p.plugin.distribution == "fusionkit-imaging"
    }
    assert {p.qualified for p in first_party().all()} == installed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say where to write: --out DIR; or --pack FILE PHOTOS..."),
        (["--out", "x", "--stages", "chek"], "no stage 'chek'. Did you mean check?"),
        (["--out", "x", "--limits", "check=soon"], "--limits check=soon: expected STAGE=SECONDS"),
        (["--out", "x", "photo.png"], "say where to write"),
    ],
)
def test_slips_are_told_in_a_line(arguments, complaint, capsys) -> None:
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_the_documented_commands_are_understood() -> None:
    page = (REPOSITORY / "docs" / "training.md").read_text("utf-8")
    lines = [*re.findall(r"^python training/gpu.py (.*)$", page, re.M), *EXAMPLES.splitlines()[1:]]
    assert len(lines) > 6
    for line in lines:
        args = parser().parse_args(shlex.split(line.removeprefix("  python training/gpu.py ")))
        assert set(args.limits) <= set(args.stages)


def test_without_pluggy_the_script_says_how_to_carry_it(tmp_path) -> None:
    program = (
        "import importlib.util as u, runpy, sys\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name: None if name == 'pluggy' else find(name)\n"
        f"sys.argv = ['gpu.py', '--help']\n"
        f"runpy.run_path({str(tmp_path / 'training' / 'gpu.py')!r}, run_name='__main__')\n"
    )
    (tmp_path / "training").mkdir()
    script = (REPOSITORY / "training" / "gpu.py").read_text("utf-8")
    (tmp_path / "training" / "gpu.py").write_text(script, "utf-8")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install --target build/site --no-deps pluggy" in done.stderr


@pytest.mark.slow
def test_a_stage_that_does_not_end_is_ended_and_told(tmp_path, capfd) -> None:
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--device", "cpu", "--toy", "--stages", "check,compact"]
    assert main([*arguments, "--limits", "check=0.2"]) == 1
    ended = {row["stage"]: row["ended"] for row in rows_of(out)}
    assert ended == {"check": "did not end in time", "compact": "failed with 2: see log.txt"}
    assert "say what to train on: --data FILE" in (out / "log.txt").read_text()
    assert main(arguments) == 2
    assert "is there already: give another --out" in capfd.readouterr().err


def test_the_summary_tells_what_failed(tmp_path) -> None:
    about = {"stage": "check", "what": "float32, to the CPU"}
    add_row(tmp_path, {**about, "composition": "a | b", "passed": True, "largest": 2e-6})
    add_row(tmp_path, {**about, "composition": "c", "passed": False, "largest": 0.25})
    add_row(tmp_path, {"stage": "check", "ended": "done", "seconds": 3.0})
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"stage": "speed", "wh')  # cut off
    rows = rows_of(tmp_path)
    assert [row["composition"] for row in failures(rows)] == ["c"]
    page = summary(rows)
    assert "| float32, to the CPU | 1 of 2 | 0.25 |" in page
    assert page.count("| c |") == 1
    assert "a / b" not in page


class CopiesThatWait(TorchDispatchMode):
    """Notes what is copied from the CPU to another device otherwise than by ``sent``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        to = torch.device(kwargs.get("device") or "cpu")
        if func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu" != to.type:
            frames = [f for f in traceback.extract_stack()[:-1] if "/torch/" not in f.filename]
            if frames[-1].name != "sent":
                self.found.append(f"{frames[-1].filename}:{frames[-1].lineno}")
        return func(*args, **kwargs)


@pytest.mark.slow
def test_no_component_waits_for_what_it_sends_to_the_device() -> None:
    """A GPU's host waits for each plain copy; on the meta device, reading a value fails as well."""
    registry = first_party()
    sources = torch.zeros(2, 2, 3, 32, 32, device="meta")
    cheap = {ESTIMATOR.group: {"name": CHEAP}}
    recipes = [{**r, "steps": 2, **cheap} for r in compositions(registry)]
    assert len(recipes) > 12
    for recipe in recipes:
        if recipe["objective"]["name"] == "objectives:condition-bank":
            recipe["objective"] = {**recipe["objective"], "iterations": 2}  # as twenty, but sooner
        pipeline = compose(recipe={**recipe, "device": "meta"}, registry=registry)
        list(pipeline.steps(sources))  # spectra and the like are made once
        with CopiesThatWait() as copies:
            list(pipeline.steps(sources))
        assert not copies.found, title(recipe)


def test_a_copy_that_waits_is_noted() -> None:
    with CopiesThatWait() as copies:
        torch.zeros(2).to("meta")
        sent(torch.zeros(2), torch.device("meta"), torch.float32)
    assert len(copies.found) == 1
