"""``fusionkit bench quality``: what it measures, what it keeps, what it says is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from fusionkit_benchmarks.quality import methods, tools
from fusionkit_benchmarks.quality.denoised import split_noise
from fusionkit_benchmarks.quality.methods import alike
from fusionkit_benchmarks.quality.views import psnr_after_fit

import fusionkit
from fusionkit.cli import main
from fusionkit.host import fingerprint

from .benches import QUICK, bench, mean, missing_tools

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("arguments", [["bench", "--help"], ["bench", "quality", "--help"]])
def test_help_imports_no_torch(arguments):
    program = (
        "import sys\nfrom fusionkit.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "quality" in done.stdout


def test_mistakes_are_named(photos, recipe, tmp_path, capsys):
    assert main(["bench"]) == 2
    assert main(["bench", "qualty"]) == 2
    assert "Did you mean quality" in capsys.readouterr().err
    for wrong, said in (
        (["--only", "truht"], "unknown 'truht'"),
        (["--counts", "1"], "two sources or more"),
        (["--sigma", "loud"], "expected numbers"),
        (["--sigma", "0"], "above 0"),
        (["--task", "general", "--task", "general"], "two recipes"),
        (["--only", "published"], "--data"),
        (["--jobs", "0"], "at least 1"),
        (["--task", "none", "--task", "general"], "alone"),
        (["--task", "fitting", "--recipe", f"medical={recipe}"], "fusionkit's own"),
    ):
        arguments = ["bench", "quality", "-o", str(tmp_path / "out"), "--photos", str(photos)]
        assert main([*arguments, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_truth(photos, recipe, tmp_path, monkeypatch):
    missing_tools(monkeypatch)
    wanted = ["--only", "truth", "--counts", "2,3", "--photos", photos, "--recipe", recipe]
    code, tables = bench(tmp_path / "out", *wanted, "--cascades")
    assert code == 0
    assert list(tables) == ["Truth, focus", "Truth, exposure", "Truth, lighting"]
    focus = tables["Truth, focus"]
    pairs = ["quick, pair by pair", "quick, pair by pair, backwards"]
    rows = ["quick", "mean", "max", "laplacian-max", *pairs, "true masks"]
    assert list(focus["methods"]) == rows
    assert focus["missing"] == {"enfuse-focus": "not installed"}
    order = ["true masks", "laplacian-max", "mean", "max"]
    for column in ("psnr K=2", "psnr K=3", "ssim K=2"):
        values = [mean(focus, method, column) for method in order]
        assert values == sorted(values, reverse=True)
    assert focus["parts"] == {"a": "tuning", "b": "checking"}
    alone = focus["methods"]["mean"]["scenes"]["b"]["psnr K=2"]
    assert focus["checking"]["mean"]["psnr K=2"] == pytest.approx(alone)
    # Pair by pair, two sources are one pair: the same; of three, there are two pairs.
    pair, whole = focus["methods"]["quick, pair by pair"], focus["methods"]["quick"]
    assert pair["mean"]["psnr K=2"] == whole["mean"]["psnr K=2"]
    assert pair["cost"]["K=3"]["nfe"] == 2 * whole["cost"]["K=2"]["nfe"]
    # Two sources have one order, up to rounding; of three, the last one counts most.
    other = focus["methods"]["quick, pair by pair, backwards"]
    assert other["mean"]["psnr K=2"] == pytest.approx(pair["mean"]["psnr K=2"], abs=0.1)
    assert other["mean"]["psnr K=3"] != pytest.approx(pair["mean"]["psnr K=3"], abs=0.1)
    assert "true masks" not in tables["Truth, exposure"]["methods"]
    assert set(tables["Truth, exposure"]["missing"]) == {"enfuse", "mertens", "mertens-exposed"}
    assert mean(tables["Truth, lighting"], "max", "psnr-fit K=2") > mean(
        tables["Truth, lighting"], "max", "psnr K=2"
    )
    shown = (tmp_path / "out" / "quality.md").read_text()
    assert "| enfuse-focus | not installed |" in shown
    assert "| minus laplacian-max |" in shown
    assert list((tmp_path / "out" / "images" / "a").glob("focus-2-seed-0/quick-*.png"))


def test_what_is_kept_is_not_done_again(photos, recipe, tmp_path, monkeypatch):
    missing_tools(monkeypatch)
    wanted = ["--only", "truth", "--counts", "2", "--families", "focus", "--photos", photos]
    wanted += ["--task", "none"]
    first = bench(tmp_path / "out", *wanted)[1]
    fused = []
    fuse = methods.Trivial.fuse
    monkeypatch.setattr(
        methods.Trivial, "fuse", lambda *given: fused.append(given[0].name) or fuse(*given)
    )
    code, again = bench(tmp_path / "out", *wanted)
    assert (code, again, fused) == (0, first, [])
    bench(tmp_path / "out", *wanted, "--seeds", "0,1")  # the second seed alone is new
    assert sorted(fused) == sorted(["mean", "max", "laplacian-max"] * 2)
    # A result is as old as its code.
    fused.clear()
    monkeypatch.setattr(methods, "code_of_modules", lambda names: "other")
    bench(tmp_path / "out", *wanted, "--any-code")
    assert fused == []
    bench(tmp_path / "out", *wanted)
    assert len(fused) == 6


def test_a_failure_is_named_and_the_rest_done(photos, tmp_path, monkeypatch, capsys):
    missing_tools(monkeypatch)

    def fail(*given):
        raise fusionkit.ImageError("no such thing")

    monkeypatch.setattr(methods.Oracle, "fuse", fail)
    wanted = ["--only", "truth", "--counts", "2", "--families", "focus", "--limit", "1"]
    code, tables = bench(tmp_path / "out", *wanted, "--photos", photos, "--task", "none")
    assert code == 1
    assert "true masks, a: no such thing" in capsys.readouterr().err
    assert tables["Truth, focus"]["methods"]["true masks"]["mean"]["psnr K=2"] is None
    assert mean(tables["Truth, focus"], "mean", "psnr K=2") > 20
    assert "## Problems" in (tmp_path / "out" / "quality.md").read_text()


@pytest.mark.parametrize("estimator", ["gaussian", "compact"])  # without and with denoise()
def test_noise(estimator, photos, tmp_path, monkeypatch):
    missing_tools(monkeypatch)
    path = tmp_path / "quick.toml"
    path.write_text(QUICK.format(estimator=estimator))
    wanted = ["--only", "noise", "--families", "focus", "--sigma", "25", "--photos", photos]
    wanted += ["--noise", "gaussian", "--noise-in", "all", "--limit", "1", "--recipe", path]
    code, tables = bench(tmp_path / "out", *wanted)
    assert code == 0
    (table,) = tables.values()
    noisy, clean = "psnr 25", "psnr clean"
    for method in ("quick", "laplacian-max"):
        first = f"{method}, denoised first"
        assert mean(table, method, clean) == mean(table, first, clean)
        assert mean(table, first, noisy) > mean(table, method, noisy) + 1
    cost = table["methods"]["laplacian-max, denoised first"]["cost"]
    assert (cost["clean"]["nfe"], cost["25"]["nfe"]) == (0, 2)
    # The recipe that finds the noise by itself: two evaluations for each noisy source.
    assert mean(table, "quick, noise auto", clean) == mean(table, "quick", clean)
    assert mean(table, "quick, noise auto", noisy) > mean(table, "quick", noisy) + 1
    quick, auto = (table["methods"][f"quick{kind}"]["cost"] for kind in ("", ", noise auto"))
    assert auto["clean"]["nfe"] == quick["clean"]["nfe"]
    assert auto["25"]["nfe"] == quick["25"]["nfe"] + 4


def test_noise_on_real_images_is_measured_against_the_own_clean_result(data, photos, tmp_path):
    wanted = ["--only", "noise", "--data", data, "--sets", "tno", "--sigma", "10"]
    wanted += ["--noise", "gaussian", "--noise-in", "first", "--photos", photos, "--limit", "1"]
    wanted += ["--families", "exposure", "--task", "none"]
    _, tables = bench(tmp_path / "out", *wanted)
    table = tables["Noise, tno: gaussian noise, first source only"]
    # Half of one source's noise is in the mean: sigma 5, less what was clipped.
    expected = 10 * np.log10(255**2 / 5**2)
    assert mean(table, "mean", "psnr 10") == pytest.approx(expected, abs=0.5)


def test_published_sets(data, recipe, tmp_path, monkeypatch, capsys):
    missing_tools(monkeypatch)
    wanted = ["--only", "published", "--data", data, "--recipe", recipe, "--cascades"]
    code, tables = bench(tmp_path / "out", *wanted)
    assert code == 0
    assert list(tables) == ["tno", "pet-mri", "pet-mri, foreground", "three"]
    trivial = ["mean", "max", "laplacian-max", "source 1", "source 2"]
    assert list(tables["tno"]["methods"]) == ["quick", *trivial, "Theirs"]
    assert {"rank9", "rank5"} <= set(tables["tno"]["methods"]["Theirs"])
    assert tables["tno"]["methods"]["Theirs"]["cost"] == {"": {"seconds": None, "nfe": None}}
    assert "quick, pair by pair" in tables["three"]["methods"]
    assert mean(tables["three"], "mean", "scd") is None  # of two sources only
    whole, inner = tables["pet-mri"], tables["pet-mri, foreground"]
    assert mean(inner, "max", "ground") == 0
    assert mean(inner, "max", "sd") < mean(whole, "max", "sd")
    # The same numbers as those of evaluate.
    images = data / "sources" / "ivif" / "tno"
    theirs = f"--method=Theirs={data / 'peers' / 'Theirs' / 'tno'}"
    listed = ["--metric", "qabf,mi", "--json", "--quiet", "--baselines"]
    capsys.readouterr()
    assert main(["evaluate", theirs, "--sources", str(images), *listed]) == 0
    evaluated = json.loads(capsys.readouterr().out)["methods"]
    for method in ("Theirs", "laplacian-max"):
        for column in ("qabf", "mi"):
            assert mean(tables["tno"], method, column) == pytest.approx(
                evaluated[method]["mean"][column], rel=1e-12
            )
    medical = ["--sources", str(data / "sources" / "medical" / "pet-mri"), "--foreground", "2"]
    assert main(["evaluate", "--baselines", *medical, "--json", "--quiet"]) == 0
    evaluated = json.loads(capsys.readouterr().out)["methods"]["max"]["mean"]
    for column in ("ssim", "vif", "nabf", "ground"):
        assert mean(inner, "max", column) == pytest.approx(evaluated[column], rel=1e-12)


def test_one_part_only(data, tmp_path):
    wanted = ["--only", "published", "--data", data, "--sets", "tno", "--part", "checking"]
    wanted += ["--task", "none"]
    _, tables = bench(tmp_path / "out", *wanted)
    assert tables["tno"]["parts"] == {"02": "checking"}
    code = main(["bench", "quality", "-o", str(tmp_path), "--data", str(data), "--sets", "lytro"])
    assert code == 2


# The tools


def test_mertens():
    pytest.importorskip("cv2")
    dark, bright = (np.full((32, 40, 3), level, np.uint8) for level in (40, 215))
    for sources in ([dark, bright], [dark[..., 0], bright[..., 0]]):
        fused = tools.mertens(sources, exposure=1)
        assert fused.shape == sources[0].shape
        assert fused.dtype == np.uint8
    assert tools.opencv_version().startswith("OpenCV")


def test_enfuse_is_called_with_files_and_its_errors_are_named(tmp_path, monkeypatch):
    program = tmp_path / "enfuse"
    program.write_text(
        f"#!{sys.executable}\nimport sys, shutil\n"
        "if '--version' in sys.argv: print('enfuse 4.2'); sys.exit()\n"
        "if '--fail' in sys.argv: sys.exit('enfuse: no luck')\n"
        "out = next(a for a in sys.argv if a.startswith('--output=')).partition('=')[2]\n"
        "shutil.copy(sys.argv[-1], out)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert tools.enfuse_version() == "enfuse 4.2"
    sources = [np.full((8, 9), level, np.uint8) for level in (10, 20)]
    assert np.array_equal(tools.enfuse(sources), sources[1])
    with pytest.raises(fusionkit.FusionkitError, match="no luck"):
        tools.enfuse(sources, ["--fail"])


# Parts


def test_the_split_of_noise_keeps_the_image_and_makes_channels_independent():
    luma = np.random.default_rng(0).standard_normal((64, 64)) * 0.1
    split = split_noise(luma, 0.1, 3, np.random.default_rng(1))
    assert np.allclose(split.mean(0), luma)
    covariance = np.cov(split.reshape(3, -1))
    assert np.allclose(covariance, 0.03 * np.eye(3), atol=0.0015)


def test_psnr_after_fit_forgives_gain_and_offset_alone():
    truth = np.random.default_rng(0).uniform(0, 255, (32, 32))
    assert psnr_after_fit(0.5 * truth + 40, truth) == pytest.approx(100)
    assert psnr_after_fit(255 - truth, truth) == pytest.approx(
        10 * np.log10(255**2 / truth.var()), abs=1e-6
    )
    assert np.isfinite(psnr_after_fit(np.zeros((4, 4)), np.ones((4, 4))))


def test_sources_are_made_alike():
    grey, colour = np.zeros((4, 5), np.uint8), np.ones((4, 5, 3), np.uint8)
    assert [source.shape for source in alike([grey, colour])] == [(4, 5, 3)] * 2
    assert alike([grey, grey])[0] is grey


def test_code_is_told_apart():
    package = fingerprint.code_of_class(fusionkit.Registry)
    assert package != fingerprint.core_code()
    assert fingerprint.combined("a", "b") == fingerprint.combined("b", "a")
