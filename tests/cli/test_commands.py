from __future__ import annotations

import errno
import gc
import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionkit import PluginError, __version__, load_plugins
from fusionkit.cli import explain, main
from fusionkit.contract.command import BUILT_IN
from fusionkit.host.plugins import installed_plugins
from fusionkit.testing import Outcome

NO_TORCH = """
import contextlib, io, json, sys
from fusionkit.cli import main
for arguments, code in json.loads(sys.stdin.read()):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            ended = main(arguments)
        except SystemExit as stop:  # argparse's, after its help
            ended = stop.code
    if ended != code or "torch" in sys.modules or "Traceback" in said.getvalue():
        sys.exit(f"{arguments}: {ended}, torch: {'torch' in sys.modules}: {said.getvalue()}")
"""

TRUTH = ["--reference", "missing.png"]


LIGHT = [
    (["--help"], 0),
    ([], 2),
    (["--version"], 0),
    (["plugins"], 0),
    (["plugins", "--json"], 0),
    (["plugins", "dig"], 0),
    (["run", "--help"], 0),
    (["evaluate", "--help"], 0),
    (["ablate", "--help"], 0),
    (["compare", "--help"], 0),
    (["run", "--weighting", "dig", "--help"], 0),
    (["run", "a.png", "b.png", "-o", "c.png", "--bogus"], 2),
    (["run", "a.png", "b.png", "-o", "c.png", "--weighting", "nope"], 2),
    (["run", "a.png", "b.png", "-o", "c.png", "--weighting.window", "even"], 2),
    (["run", "missing.png", "left.png", "-o", "c.png"], 2),
    (["run", "left.png", "right.png", "-o", "left.png", "--overwrite"], 2),
    (["run", "left.png", "right.png", "-o", "right.png"], 2),
    (["run", "left.png", "right.png", "-o", "left.png/c.png"], 2),
    (["run", "left.png", "right.png", "-o", "c.xyz"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--chroma", "3"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--range", "3:0,1"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--quality", "7"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--weighting.window", "4"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--threads", "2", "--depth", "7"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--device", "toaster"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--recipe", "missing.toml"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--estimator.checkpoint", "nowhere"], 2),
    (["run", "left.png", "missing/", "-o", "c.png"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--estimator", "adm"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--estimator", "diffusers"], 2),
    (["compare", "left.png", "missing.png", "-o", "sheet.png"], 2),
    (["compare", "left.png", "right.png", "-o", "sheet.png", "--range", "3:0,1"], 2),
    (["evaluate", "missing.png", "--sources", "left.png", "right.png"], 2),
    (["evaluate", "left.png", "--sources", "missing.png", "right.png"], 2),
    (["evaluate", "left.png", "--sources", "left.png", "right.png", *TRUTH], 2),
    (["evaluate", "left.png", "--sources", "left.png", "right.png", "--metric", "nope"], 2),
    (["evaluate", "left.png", "--sources", "left.png", "right.png", "--metric.x", "1"], 2),
    (["evaluate", "left.png", "--sources", "left.png", "right.png", "--device", "oven"], 2),
    (["evaluate", "missing/", "--sources", ".", "."], 2),
    (["ablate", "missing/", "right/", "-o", "study"], 2),
    (["ablate", "scenes.csv", "-o", "study"], 2),
    (["ablate", "scenes/", "-o", "study", "--estimator", "gaussian,adm"], 2),
    (["ablate", "scenes/", "-o", "study", "--weighting", "nope"], 2),
    (["ablate", "scenes/", "-o", "study", "--weighting.window", "4"], 2),
    (["ablate", "scenes/", "-o", "study", "--steps", "0"], 2),
    (["ablate", "scenes/", "-o", "study", "--device", "oven"], 2),
    (["ablate", "scenes/", "-o", "study", "--metric", "nope"], 2),
    (["ablate", "scenes/", "-o", "study", "--baseline", "nope"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--cache", "left.png"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--sigmas", "1,2"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--start-sigma", "900"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--noise", "3:10"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--observe", "3:downsample"], 2),
    (["run", "left.png", "right.png", "-o", "c.png", "--observe", "1:blur=none.png"], 2),
    (
        [
            "run",
            "left.png",
            "right.png",
            "-o",
            "c.png",
            "--weighting",
            "fixed",
            "--weighting.weights",
            "1,2,3",
        ],
        2,
    ),
    (["doctor", "--bogus"], 2),
    (["run", ".", "-o", "."], 2),
    (["run", "left.png", "right.png"], 2),
    (["run", "", ""], 2),
    (["nonsense"], 2),
]
"""Command lines, and how they end."""


@pytest.mark.slow
def test_light_commands_import_no_torch(pair, tmp_path):
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for path in map(Path, pair):
        shutil.copy(path, scenes / f"a_{path.name}")
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH],
        input=json.dumps(LIGHT),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_only_a_process_of_its_own_spares_the_collecting_of_garbage():
    before = gc.get_threshold()
    main(["--version"])
    assert gc.get_threshold() == before
    code = "import gc, sys; from fusionkit.cli import main; main(); print(gc.get_threshold()[0])"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    assert int(done.stdout.split()[-1]) > before[0]


@pytest.mark.slow
def test_what_libraries_write_to_the_descriptor_is_not_among_results(pair, tmp_path):
    plugin = tmp_path / "loud.py"
    plugin.write_text(
        "import os\nfrom fusionkit import Component, hookimpl\nos.write(1, b'loaded')\n"
        "def build(options, context):\n    os.write(1, b'built')\n    raise OSError('enough')\n"
        "@hookimpl\ndef fusionkit_weightings():\n    return [Component('loud', 'x', build)]\n"
    )
    command = [sys.executable, "-m", "fusionkit"]
    more = ["--plugin", str(plugin)]
    listed = subprocess.run(
        [*command, "plugins", "--json", *more], capture_output=True, text=True, check=True
    )
    assert "loud" in [plugin["name"] for plugin in json.loads(listed.stdout)]
    assert listed.stderr == "loaded"
    run = ["run", *pair, "-o", str(tmp_path / "o.png"), "--weighting", "loud", *more]
    failed = subprocess.run([*command, *run], capture_output=True, text=True)
    assert failed.stdout == ""
    assert failed.stderr.startswith("loadedbuilt")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fusionkit {__version__}\n"


@pytest.mark.parametrize("command", BUILT_IN)
def test_help_shows_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert f"fusionkit {command}" in shown


def test_run_help_shows_the_options_of_what_is_selected(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--weighting", "dig", "--help"])
    shown = capsys.readouterr().out
    assert "--weighting.window INT" in shown
    assert "--objective.strength" in shown
    assert "--weighting.weights" not in shown
    with pytest.raises(SystemExit):
        main(["run", "--weighting", "fixed", "--help"])
    shown = capsys.readouterr().out
    assert "--weighting.weights" in shown
    assert "--weighting.window INT" not in shown


@pytest.mark.parametrize("words", [["run", "--help"], ["plugins", "match"]])
def test_help_says_that_nothing_is_prepared_without_a_flag(words, capsys):
    with suppress(SystemExit):
        main(words)
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(r"--match auto\|none [^()]*\(default: none\)", shown)


def test_plugins_lists_components_and_options(capsys):
    assert main(["plugins"]) == 0
    listed = capsys.readouterr().out
    for name in ("gaussian", "dig", "fixed", "mse", "increments", "fusionkit-imaging"):
        assert name in listed
    assert main(["plugins", "dig"]) == 0
    shown = capsys.readouterr().out
    assert "--weighting.window INT" in shown
    assert "source-symmetric" in shown
    assert "gaussian" not in shown


def test_plugins_json(capsys):
    assert main(["plugins", "--json"]) == 0
    plugins = {plugin["name"]: plugin for plugin in json.loads(capsys.readouterr().out)}
    assert plugins["fixed"]["status"] == "loaded"
    component = next(c for c in plugins["dig"]["components"] if c["name"] == "dig")
    options = {option["name"]: option for option in component["options"]}
    assert options["window"]["type"] == "int"
    assert options["activation"]["choices"] == ["power", "softmax", "hard"]


def test_plugins_shows_disabled_and_unknown(capsys):
    assert main(["plugins", "--no-plugin", "dig"]) == 0
    assert "disabled" in capsys.readouterr().out
    assert main(["plugins", "digg"]) == 2
    assert "Did you mean dig" in capsys.readouterr().err


@pytest.mark.slow
def test_doctor_finds_a_plugin_of_this_installation_in_order(capsys):
    assert main(["doctor", "dig"]) == 0
    shown, said = capsys.readouterr()
    assert "torch" in shown
    assert "metrics (fusionkit-imaging" in shown
    assert "weighting dig:dig: " in shown
    assert "weighting dig:dig-residual: " in shown
    assert "FAIL" not in shown
    assert "saliency:saliency" not in shown
    assert "3 plugins and components are checked" in said


def test_doctor_lists_formats_and_what_is_missing(monkeypatch, tmp_path, capsys):
    from fusionkit.contract import reader

    monkeypatch.setattr(reader, "_installed", lambda module: module in ("", "imagecodecs"))
    assert main(["doctor", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "ok    PNG, JPEG, BMP, TIFF, WebP, NPY: read and written" in shown
    assert "ok    .avif: AVIF, read and written (formats:avif)" in shown
    missing = "takes the package nibabel: pip install 'fusionkit-imaging[formats]'"
    assert f"note  .nii .nii.gz: slices of volumes (NIfTI) {missing}" in shown
    assert main(["plugins", "formats"]) == 0
    assert missing in " ".join(capsys.readouterr().out.split())
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b" + bytes(400))
    for words in (["a.nii.gz#z3", "a.nii.gz#z3"], ["a.nii.gz", "a.nii.gz", "--slices", "all"]):
        sources = [str(tmp_path / word) if "nii" in word else word for word in words]
        assert main(["run", *sources, "-o", str(tmp_path / "o.png")]) == 2
        said = capsys.readouterr().err
        assert missing in said
        assert said.count("\n") == 1
    monkeypatch.setattr(reader, "_installed", lambda module: True)
    assert main(["doctor", "--quick"]) == 0
    assert ".nii .nii.gz: slices of volumes (NIfTI), read and written, whole volumes too" in (
        capsys.readouterr().out
    )


def test_doctor_checks_everything_that_is_installed(monkeypatch, capsys):
    checked = []

    def run_checks(subject):  # the kit itself is run in tests/testing
        checked.append(subject)
        return [Outcome("sound", "passed", None)]

    monkeypatch.setattr("fusionkit.testing.run_checks", run_checks)
    assert main(["doctor", "--no-plugin", "dig"]) == 0
    registry = load_plugins(disabled=["dig"])
    loaded = [plugin for plugin in registry.plugins if plugin.status == "loaded"]
    assert len(loaded) > 5
    names = sorted(getattr(subject, "qualified", None) or subject.name for subject in checked)
    expected = [plugin.name for plugin in loaded] + [each.qualified for each in registry.all()]
    assert names == sorted(expected)
    assert "Everything is in order." in capsys.readouterr().out


def test_doctor_finds_an_installation_that_can_fuse_nothing(monkeypatch, capsys):
    monkeypatch.setattr("fusionkit.cli.doctor.ends_programs", lambda *given: [])
    assert main(["doctor", "--quick", "--no-plugin", "learned"]) == 0
    shown = capsys.readouterr().out
    assert "  ok    general" in shown
    assert "  note  multi-focus lacks learned:learned: plugin learned" in shown
    everything = ",".join({point.name for point in installed_plugins()})
    monkeypatch.setenv("FUSIONKIT_DISABLE_PLUGINS", everything)
    assert main(["doctor", "--quick"]) == 1
    shown = capsys.readouterr().out
    assert "FAIL  no task has all that it names: nothing can be fused" in shown
    assert "Everything is in order." not in shown


def test_doctor_refuses_an_unknown_name(capsys):
    assert main(["doctor", "digg"]) == 2
    assert "Did you mean dig" in capsys.readouterr().err


@pytest.mark.slow
def test_doctor_reports_a_component_that_breaks_its_contract(tmp_path, capsys):
    plugin = tmp_path / "lopsided.py"
    plugin.write_text(
        "from fusionkit import Component, hookimpl\n"
        "class Lopsided:\n"
        "    def start(self, run):\n"
        "        return lambda step: run.sources[:, :, :1] * 0 + 0.7\n"
        "@hookimpl\n"
        "def fusionkit_weightings():\n"
        "    return [Component('lopsided', 'sums to 1.4', lambda options, context: Lopsided())]\n"
    )
    assert main(["doctor", "lopsided", "--plugin", str(plugin)]) == 1
    shown = capsys.readouterr().out
    assert "FAIL  weighting lopsided:lopsided" in shown


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("FUSIONKIT_DEBUG", "1")
    from fusionkit import UsageError

    with pytest.raises(UsageError):
        main(["plugins", "nope"])


def test_only_what_is_a_lack_of_memory_is_called_so():
    import torch

    lacks = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), OSError(errno.ENOMEM, "")]
    for ask in (lambda: torch.empty(10**15), lambda: np.empty(2**60, np.uint8)):
        with pytest.raises((RuntimeError, MemoryError)) as raised:
            ask()
        lacks.append(raised.value)
    assert all("out of memory: use smaller" in str(explain(error)) for error in lacks)
    with pytest.raises(PluginError) as blamed:
        raise PluginError("weighting mine failed: RuntimeError: ...") from lacks[-2]
    assert "out of memory: use smaller" in str(explain(blamed.value))
    others = [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("input must be in channels_last memory format"),
        ValueError("memoryview: invalid slice"),
        OSError(errno.ENOSPC, "no space for memory-mapped file"),
    ]
    for error in others:
        assert str(error) in str(explain(error))
        assert "out of memory" not in str(explain(error))
    denied = PermissionError(errno.EACCES, "Permission denied", "locked/a.png")
    assert str(explain(denied)) == "locked/a.png: Permission denied"


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(pair, tmp_path, closed):
    out = tmp_path / "o.png"
    command = [sys.executable, "-m", "fusionkit", "run", *map(str, pair), "-o", str(out)]
    command += ["--steps", "2", "--estimator", "gaussian", "--objective", "mse"]
    done = subprocess.run(
        f"{shlex.join(command)} {closed}", shell=True, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert (str(out) in done.stdout) == (">&-" not in closed.split())
    assert Image.open(out).size == Image.open(pair[0]).size
