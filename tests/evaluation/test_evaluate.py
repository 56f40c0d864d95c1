"""``fusionkit evaluate``: what it finds, what it prints, what it reproduces."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import fusionkit
from fusionkit.cli import main
from fusionkit.evaluation.baselines import eight_bit, laplacian_max
from fusionkit.evaluation.measure import read_luma
from fusionkit.evaluation.meter import Meter
from tests.conftest import data_folder

QUICK = ["--metric", "en,sd,mi", "--quiet"]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Sources of three scenes in two folders, and two methods' results."""
    generator = np.random.default_rng(0)
    found = {name: tmp_path / name for name in ("ir", "vi", "ours", "theirs")}
    for folder in found.values():
        folder.mkdir()
        for scene in ("1", "2", "3"):
            image = generator.integers(0, 256, (24, 28), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"{scene}.png")
    return found


def sources(folders: dict[str, Path]) -> list[str]:
    return ["--sources", str(folders["ir"]), str(folders["vi"])]


def test_one_image(folders, capsys):
    scene = [str(folders[name] / "1.png") for name in ("ours", "ir", "vi")]
    assert main(["evaluate", scene[0], "--sources", *scene[1:], *QUICK]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["method", "en", "↑", "sd", "↑", "mi", "↑"]
    deviation = np.asarray(Image.open(scene[0])).std()
    assert f"{deviation:.3f}" in shown
    assert "\n1 scene; mean" in shown
    assert "sd: " in shown  # the convention
    assert "per source: fused" in shown  # MI is a sum over the sources


def test_methods_are_compared_over_folders(folders, capsys):
    methods = [f"--method={name}={folders[name]}" for name in ("ours", "theirs")]
    assert main(["evaluate", *methods, *sources(folders), *QUICK, "--json", "--baselines"]) == 0
    content = json.loads(capsys.readouterr().out)
    trivial = ["mean", "max", "laplacian-max", "source 1", "source 2"]
    assert list(content["methods"]) == ["ours", "theirs", *trivial]
    assert set(content["methods"]["ours"]["scenes"]) == {"1", "2", "3"}
    assert content["differences"]["baseline"] == "ours"
    pair = [np.asarray(Image.open(folders[n] / "2.png")).astype(float) for n in ("ir", "vi")]
    expected = np.round(np.mean(pair, 0)).std()
    assert content["methods"]["mean"]["scenes"]["2"]["sd"] == pytest.approx(expected)
    copied = content["methods"]["source 2"]["scenes"]["2"]
    assert copied["sd"] == pytest.approx(pair[1].std())
    assert copied["mi"] > 7  # it is the second source, whose own entropy that is


def test_csv_and_markdown(folders, capsys):
    arguments = ["evaluate", str(folders["ours"]), *sources(folders), *QUICK]
    assert main([*arguments, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["method"], row["scene"]) for row in rows] == [("fused", s) for s in "123"]
    assert main([*arguments, "--markdown", "--baselines", "--against", "max"]) == 0
    shown = capsys.readouterr().out
    assert "| method | en ↑ | sd ↑ | mi ↑ |" in shown
    assert "| minus max |" in shown
    named = ["evaluate", "--method", f"a|b={folders['ours']}", *sources(folders), *QUICK]
    assert main([*named, "--markdown"]) == 0
    shown = capsys.readouterr().out.strip().splitlines()
    assert {line.count("|") for line in shown} == {5}  # a bar in a name parts no cells


def test_a_reference_is_measured_against(folders, capsys):
    arguments = ["evaluate", str(folders["ours"]), *sources(folders), *QUICK, "--json"]
    assert main([*arguments, "--reference", str(folders["theirs"])]) == 0
    scores = json.loads(capsys.readouterr().out)["methods"]["fused"]["scenes"]["1"]
    a, b = (np.asarray(Image.open(folders[n] / "1.png")).astype(float) for n in ("ours", "theirs"))
    assert scores["truth-psnr"] == pytest.approx(10 * np.log10(255**2 / ((a - b) ** 2).mean()))
    assert -1 <= scores["truth-ssim"] <= 1


def test_what_is_unpaired_or_broken_is_named_and_the_rest_is_done(folders, capsys):
    (folders["ours"] / "1.png").unlink()
    Image.new("L", (5, 5)).save(folders["ours"] / "stray.png")
    (folders["ours"] / "2.png").write_bytes(b"")
    Image.open(folders["ir"] / "3.png").save(folders["ir"] / "3.bmp")
    (folders["vi"] / "lonely.png").write_bytes((folders["vi"] / "1.png").read_bytes())
    (folders["ir"] / "4.png").write_bytes((folders["ir"] / "1.png").read_bytes())
    (folders["vi"] / "4.png").write_bytes((folders["vi"] / "1.png").read_bytes())
    Image.new("L", (24, 28)).save(folders["ours"] / "4.png")
    arguments = ["evaluate", str(folders["ours"]), *sources(folders), *QUICK, "--baselines"]
    assert main([*arguments, "--json"]) == 1
    captured = capsys.readouterr()
    problems = json.loads(captured.out)["problems"]
    assert len(problems) == len(captured.err.strip().splitlines()) == 6
    for words in (
        "fused, 1: no fused image",
        "stray: no sources",
        "2.png",
        "3.bmp",
        "lonely: no image",
        "4.png is 24x28, its sources are 28x24",
    ):
        assert any(words in problem for problem in problems), words
    assert json.loads(captured.out)["methods"]["mean"]["scenes"]["1"]["sd"] is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to measure"),
        (["--method", "ours"], "NAME=PATH"),
        (["--preset", "infrared"], "unknown preset"),
        (["--metric", "endd"], "Did you mean"),
        (["--against", "nobody"], "there are fused"),
        (["--metric", ","], "names no metric"),
        (["--metric.orientation", "wrapped", "--metric", "en"], "They have none"),
        (["--metric.orientatoin", "wrapped"], "Did you mean orientation"),
        (["--metric.orientation", "round"], "must be one of paper, wrapped"),
        (["--metric.orientation"], "needs a value"),
        (["--range", "3:0,1"], "there is no source 3"),
        (["--range", "theirs:0,1"], "there are 1 to 2, fused"),
        (["--method", "mean=theirs", "--baselines"], "--baselines adds a row of this name"),
        (["missing"], "not a folder"),
        (["--device", "toaster"], "unknown device 'toaster'"),
        (["--device", "cuda:99"], "not available"),
        (["--foreground", "nan"], "from 0, below 255"),
        (["--foreground", "255"], "from 0, below 255"),
    ],
)
def test_bad_requests(folders, capsys, arguments, words):
    fused = [] if arguments in ([], ["missing"]) or "--method" in arguments else ["ours"]
    given = [str(folders[name]) for name in fused]
    arguments = [word.replace("=theirs", f"={folders['theirs']}") for word in arguments]
    assert main(["evaluate", *given, *arguments, *sources(folders), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_metrics_are_added_to_a_preset_or_stand_alone(tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    a = str(tmp_path / "a.png")

    def columns(*words: str) -> list[str]:
        assert main(["evaluate", a, "--sources", a, a, "--csv", "--quiet", *words]) == 0
        return capsys.readouterr().out.splitlines()[0].split(",")[2:]

    preset = columns("--preset", "multi-focus")
    assert columns("--preset", "multi-focus", "--metric", "en,mi") == [*preset, "en"]  # mi once
    assert columns("--metric", "en, sd") == ["en", "sd"]
    assert columns("--metric", "+psnr") == [*columns(), "psnr"]


def test_another_metric_of_a_name_breaks_no_preset(folders, tmp_path, capsys):
    plugin = tmp_path / "own.py"
    plugin.write_text(
        "from fusionkit import Component, hookimpl\n"
        "class Mine:\n"
        "    higher_is_better, convention, sources = True, 'mine', 'any'\n"
        "    def __call__(self, fused, sources):\n"
        "        return fused.mean((1, 2, 3))\n"
        "@hookimpl\n"
        "def fusionkit_metrics():\n"
        "    build = lambda options, context: Mine()\n"
        "    return [Component(name, 'mine', build) for name in ('ssim', 'psnr')]\n"
    )
    scene = [str(folders[name] / "1.png") for name in ("ours", "ir", "vi")]
    run = ["evaluate", scene[0], "--sources", *scene[1:], "--quiet", "--json"]
    usual = [*run, "--preset", "multi-focus", "--reference", scene[1]]

    def values(*arguments):
        assert main([*usual, *arguments]) in (0, 1)  # VIF wants more pixels
        content = json.loads(capsys.readouterr().out)
        found = content["methods"]["fused"]["scenes"]
        return next(iter(found.values()))

    ours, beside = values(), values("--plugin", str(plugin))
    assert beside["metrics:ssim"] == ours["ssim"]
    assert beside["truth-metrics:psnr"] == ours["truth-psnr"]
    assert "ssim" not in beside
    # Who writes the bare name has to say which.
    assert main([*run, "--metric", "ssim", "--plugin", str(plugin)]) == 2
    assert "say metrics:ssim or own:ssim" in capsys.readouterr().err
    assert main([*run, "--metric", "own:ssim", "--plugin", str(plugin)]) == 0


def test_options_of_metrics_concern_those_that_have_them(folders, capsys):
    def found(*words: str) -> dict:
        scene = [str(folders[name] / "1.png") for name in ("ours", "ir", "vi")]
        arguments = ["evaluate", scene[0], "--sources", *scene[1:], "--json", "--quiet"]
        assert main([*arguments, "--metric", "qabf,qcv,en", *words]) == 0
        return json.loads(capsys.readouterr().out)

    plain, wrapped = found(), found("--metric.orientation", "wrapped", "--metric.stretch=yes")
    values = [content["methods"]["fused"]["mean"] for content in (plain, wrapped)]
    assert values[0]["qabf"] != values[1]["qabf"]
    assert values[0]["en"] == values[1]["en"]
    assert "wrapped" in wrapped["metrics"]["qabf"]["convention"]
    assert "stretched" in wrapped["metrics"]["qcv"]["convention"]


def test_a_plugin_that_prints_leaves_the_output_to_programs(folders, tmp_path, capsys):
    plugin = tmp_path / "chatty.py"
    plugin.write_text(
        "from fusionkit import Component, hookimpl\n"
        "print('imported')\n"
        "class Chatty:\n"
        "    higher_is_better, convention, sources = True, 'prints', 'any'\n"
        "    def __call__(self, fused, sources):\n"
        "        print('measuring')\n"
        "        return fused.mean((1, 2, 3))\n"
        "def build(options, context):\n"
        "    print('built')\n"
        "    return Chatty()\n"
        "@hookimpl\n"
        "def fusionkit_metrics():\n"
        "    print('asked')\n"
        "    return [Component('chatty', 'prints', build)]\n"
    )
    arguments = ["evaluate", str(folders["ours"]), *sources(folders), "--plugin", str(plugin)]
    assert main([*arguments, "--metric", "chatty", "--json", "--quiet"]) == 0
    assert "chatty" in json.loads(capsys.readouterr().out)["metrics"]


def test_empty_folders(tmp_path, folders, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["evaluate", str(empty), *sources(folders), *QUICK]) == 2
    assert "there are no images" in capsys.readouterr().err
    other = tmp_path / "other"
    other.mkdir()
    arguments = ["evaluate", str(folders["ours"]), "--sources", str(empty), str(other), *QUICK]
    assert main(arguments) == 2
    assert "no scene" in capsys.readouterr().err


def test_a_metric_that_fails_on_one_image_is_named(folders, tmp_path, capsys):
    plugin = tmp_path / "fragile.py"
    plugin.write_text(
        "from fusionkit import Component, hookimpl\n"
        "class Fragile:\n"
        "    higher_is_better, convention, sources = True, 'the mean, below 127.5', 'any'\n"
        "    def __call__(self, fused, sources):\n"
        "        if fused.max() < 6: raise ValueError('too dark')\n"
        "        return fused.mean((1, 2, 3))\n"
        "@hookimpl\n"
        "def fusionkit_metrics():\n"
        "    return [Component('fragile', 'fails', lambda options, context: Fragile())]\n"
    )
    Image.new("L", (28, 24), 5).save(folders["ours"] / "2.png")
    arguments = ["evaluate", str(folders["ours"]), *sources(folders), "--plugin", str(plugin)]
    assert main([*arguments, "--metric", "fragile", "--json", "--quiet"]) == 1
    captured = capsys.readouterr()
    assert "fused, 2: fragile: ValueError: too dark" in captured.err
    values = json.loads(captured.out)["methods"]["fused"]["scenes"]
    assert values["2"]["fragile"] is None
    assert values["3"]["fragile"] > 100


def test_luma_of_other_depths_is_on_the_same_scale(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 8, 3), 65535, np.uint16), photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", np.full((8, 8), 0.5, np.float32))
    assert torch.allclose(read_luma(tmp_path / "a.tif"), torch.tensor(255.0).double())
    assert torch.allclose(read_luma(tmp_path / "b.tif"), torch.tensor(128.0).double())  # a level


def test_the_laplacian_baseline_is_that_of_scipy():
    from scipy.ndimage import gaussian_filter

    images = np.random.default_rng(3).random((2, 40, 33)) * 255
    level, fused = images, 0
    for sigma in (1, 2, 4, 8, 16):
        smoother = np.stack([gaussian_filter(image, sigma) for image in images])
        band = level - smoother
        fused = fused + np.take_along_axis(band, np.abs(band).argmax(0)[None], 0)[0]
        level = smoother
    expected = fused + level.mean(0)
    assert np.allclose(laplacian_max(torch.from_numpy(images)).numpy(), expected)
    assert (eight_bit(torch.tensor([-3.0, 12.6, 300.0])) == torch.tensor([0, 13, 255])).all()


# Rows of published results, for which several toolkits were reconciled.
PUBLISHED = {
    ("tno", "01"): {"sd": 48.1490, "sf": 12.80256, "mi": 2.544242, "ssim": 1.442474,
                    "vif": 0.631394, "scd": 1.810507, "qabf": 0.47387, "en": 7.171017},
    ("tno", "03"): {"sd": 41.4325, "sf": 12.95306, "mi": 2.826642, "ssim": 1.471655,
                    "vif": 0.632111, "scd": 1.836403, "qabf": 0.52262, "en": 7.173358},
}  # fmt: skip


@pytest.mark.parametrize("scene", ["01", "03"])
def test_published_results_measure_as_they_should(scene):
    folder = data_folder()
    if folder is None:
        pytest.skip("no image data here (FUSIONKIT_DATA)")
    data = folder / "data"
    pair = [data / "sources" / "ivif" / "tno" / f"{scene}_{role}.png" for role in ("ir", "vi")]
    expected = PUBLISHED["tno", scene]
    meter = Meter(list(expected), fusionkit.load_plugins())
    fused = read_luma(data / "peers" / "SeAFusion" / "tno" / f"{scene}.png")
    values, problems = meter.measure(fused, torch.stack([read_luma(path) for path in pair]))
    assert problems == {}
    for name, value in expected.items():
        # The last bits of luma decide orientations on which Qabf's fourth decimal depends.
        tolerance = 1e-3 if name == "qabf" else 1e-4
        assert values[name] == pytest.approx(value, abs=tolerance), name


# Means over the 25 pairs of each set, of what IFCNN's authors' code makes of them.
ROWS = {
    "ct-mri": {"en": 4.521, "sd": 72.206, "sf": 34.798, "ag": 8.460, "mi": 3.149, "scd": 1.330,
               "vif": 0.476, "qabf": 0.622, "ssim": 1.499},
    "pet-mri": {"en": 4.088, "sd": 66.434, "sf": 30.277, "ag": 8.254, "mi": 2.561, "scd": 1.613,
                "vif": 0.606, "qabf": 0.674, "ssim": 1.501},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_whole_table_row_is_reproduced(name, capsys):
    folder = data_folder()
    if folder is None:
        pytest.skip("no image data here (FUSIONKIT_DATA)")
    fused = folder / "data" / "peers" / "IFCNN_run" / name
    scenes = folder / "data" / "sources" / "medical" / name
    metrics = ",".join(ROWS[name])
    arguments = ["evaluate", str(fused), "--sources", str(scenes), "--metric", metrics]
    assert main([*arguments, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)["methods"]["fused"]["mean"]
    for metric, value in ROWS[name].items():
        assert found[metric] == pytest.approx(value, abs=1e-3 if metric == "qabf" else 5.1e-4)


@pytest.mark.slow
def test_values_do_not_depend_on_jobs(folders, capsys):
    """Nor what is said of scenes: one that is broken, one that is missing."""
    (folders["ours"] / "1.png").write_bytes(b"")
    (folders["theirs"] / "3.png").unlink()
    methods = [f"--method={name}={folders[name]}" for name in ("ours", "theirs")]
    command = ["evaluate", *methods, *sources(folders), "--baselines", "--json", "--quiet"]
    command += ["--metric", "qabf,mi,ssim,sd", "--reference", str(folders["vi"])]
    found = {}
    for jobs in ("1", "2"):
        assert main([*command, "--jobs", jobs]) == 1
        captured = capsys.readouterr()
        found[jobs] = (json.loads(captured.out), captured.err)
    assert found["1"] == found["2"]
    assert found["1"][0]["methods"]["theirs"]["scenes"]["2"]["qabf"] is not None
    assert len(found["1"][0]["problems"]) == 2
