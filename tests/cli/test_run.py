from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionkit.cli import main
from fusionkit.imaging import read_picture
from tests.conftest import real_scenes

BROKEN = {
    "raises": ("def start(self, run): raise RuntimeError('boom')", "boom"),
    "nan": (
        "def start(self, run): return lambda step: step.run.sources[:, :, :1] * float('nan')",
        "not finite",
    ),
    "shape": ("def start(self, run): return lambda step: step.run.sources[:1]", "shape"),
    "off": (
        "def start(self, run): return lambda step: step.run.sources[:, :, :1] * 0 + 0.4",
        "do not sum to 1",
    ),
    "negative": (
        "def start(self, run): return lambda step: (step.run.sources[:, :, :1] * 0 + 1) * "
        "step.run.sources.new_tensor([2.0, -1.0]).view(-1, 1, 1, 1, 1)",
        "negative",
    ),
}


def plugin_file(folder: Path, name: str, body: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(
        "from fusionkit import Component, hookimpl\n"
        f"class Broken:\n    {body}\n"
        "@hookimpl\n"
        "def fusionkit_weightings():\n"
        f"    return [Component('{name}', 'broken', lambda options, context: Broken())]\n"
    )
    return str(path)


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Run the command, expecting one line on stderr and this exit code; return the line."""
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("fusionkit: error: ")
    assert "Traceback" not in captured.err
    return lines[0]


def test_fuses_two_images_and_writes_a_record(pair, tmp_path):
    out = tmp_path / "fused.png"
    windows = ["--weighting.window", "5", "--weighting.consistency", "11"]  # for 52 x 40 pixels
    assert main(["run", *pair, "-o", str(out), "--weighting", "dig", *windows]) == 0
    fused = np.asarray(Image.open(out)).astype(float)
    left, right = (np.asarray(Image.open(path)).astype(float) for path in pair)
    assert fused.shape == left.shape
    # Each half follows the source that is sharp there.
    assert abs(fused - left)[:, :20].mean() < 0.2 * abs(left - right)[:, :20].mean()
    assert abs(fused - right)[:, 32:].mean() < 0.2 * abs(left - right)[:, 32:].mean()
    record = json.loads((tmp_path / "fused.png.json").read_text())
    assert record["recipe"]["weighting"]["name"] == "dig:dig"
    assert record["run"]["nfe"] == 2  # each source once: too small to be shrunk
    assert [entry["name"] for entry in record["inputs"]] == list(pair)


@pytest.mark.slow
def test_same_seed_same_bytes_and_the_record_reproduces_them(pair, tmp_path):
    first, second, third, other = (tmp_path / f"{n}.png" for n in range(4))
    flags = ["--weighting", "dig", "--weighting.window", "5", "--start-sigma", "12"]
    flags += ["--objective.strength", "0.1", "--sampler.eta", "0.5", "--steps", "3"]
    assert main(["run", *pair, "-o", str(first), "--seed", "3", *flags]) == 0
    assert main(["run", *pair, "-o", str(second), "--seed", "3", *flags]) == 0
    assert main(["run", *pair, "-o", str(third), "--recipe", f"{first}.json"]) == 0
    assert main(["run", *pair, "-o", str(other), "--seed", "4", *flags]) == 0
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_flags_override_a_recipe_and_another_component_drops_its_options(pair, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('steps = 4\nseed = 9\n[weighting]\nname = "dig"\nwindow = 7\n')
    out = tmp_path / "a.png"
    assert main(["run", *pair, "-o", str(out), "--recipe", str(recipe), "--steps", "3"]) == 0
    said = json.loads(Path(f"{out}.json").read_text())["recipe"]
    assert (said["steps"], said["seed"], said["weighting"]["window"]) == (3, 9, 7)
    out = tmp_path / "b.png"
    flags = ["--recipe", str(recipe), "--weighting", "fixed"]
    assert main(["run", *pair, "-o", str(out), *flags]) == 0
    said = json.loads(Path(f"{out}.json").read_text())["recipe"]
    assert said["weighting"] == {"name": "fixed:fixed", "weights": []}


def test_existing_output_is_kept_unless_told(pair, tmp_path, capsys):
    out = tmp_path / "fused.png"
    out.write_bytes(b"precious")
    line = fails(capsys, 2, "run", *pair, "-o", str(out))
    assert "fused.png" in line
    assert "--overwrite" in line
    assert out.read_bytes() == b"precious"
    assert main(["run", *pair, "-o", str(out), "--overwrite"]) == 0
    assert Image.open(out).size == (52, 40)


def test_an_existing_record_is_kept_too(pair, tmp_path, capsys):
    record = tmp_path / "fused.png.json"
    record.write_text("precious")
    assert "fused.png.json" in fails(capsys, 2, "run", *pair, "-o", str(tmp_path / "fused.png"))
    assert record.read_text() == "precious"
    assert not (tmp_path / "fused.png").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--weighting", "dgi"], "Did you mean dig"),
        (["--objective", "nothing-like-it"], "There are"),
        (["--weighting", "fixed", "--weighting.window", "7"], "weighting dig"),
        (["--weighting.windw", "7"], "Did you mean window"),
        (["--weighting.window", "x"], "whole number"),
        (["--weighting.window", "4"], "must be odd"),
        (["--weighting", "fixed", "--weighting.weights", "1,2,3"], "3 weights for 2 sources"),
        (["--steps", "0"], "at least 1"),
        (["--start-sigma", "200"], "--start-sigma 200 is more than DDPM's schedule has, 157.4"),
        (["--start-sigma", "200", "--spacing", "edm"], "knows levels up to 157.5"),
        (["--start-sigma", "0"], "above 0"),
        (["--start-sigma", "0.01", "--spacing", "log-sigma"], "ends at 0.01"),
        (["--sigmas", "1,2"], "decrease strictly"),
        (["--sigmas", "300,1"], "knows levels up to 157.5: start there, or below"),
        (["--init", "image"], "init"),
        (["--sampler", "dim", "--objective.strength", "1"], "Did you mean ddim"),
        (["--sampler", "direct", "--objective.strength", "1"], "choose another"),
        (["--task", "infared"], "unknown recipe"),
        (["--recipe", "missing.toml"], "does not exist"),
        (["--task", "general", "--recipe", "x.toml"], "not both"),
        (["--no-plugin", "dgi"], "Did you mean dig"),
        (["--weighting", "dig", "--no-plugin", "dig"], "unknown weighting 'dig'"),
        (["--weighting", "dig:dig", "--no-plugin", "dig"], "disabled"),
        (["--plugin", "missing.py"], "does not exist"),
        (["--device", "cuda:99"], "not available"),
        (["--device", "toaster"], "unknown device"),
        (["--chroma", "3"], "3"),
        (["--range", "3:0,1"], "no source 3"),
        (["--wieghting", "dig"], "Did you mean --weighting"),
        (["--bogus"], "--bogus"),
    ],
)
def test_bad_requests_are_one_line(pair, tmp_path, capsys, flags, expected):
    out = tmp_path / "fused.png"
    assert expected in fails(capsys, 2, "run", *pair, "-o", str(out), *flags)
    assert not out.exists()


@pytest.mark.slow
def test_bad_sources(pair, tmp_path, capsys):
    out = str(tmp_path / "out.png")
    good = pair[0]
    whole = Path(good).read_bytes()
    empty, text, cut, jpeg = (tmp_path / name for name in ("e.png", "t.png", "c.png", "c.jpg"))
    empty.write_bytes(b"")
    text.write_text("not an image\n" * 20)
    cut.write_bytes(whole[: len(whole) // 2])
    Image.open(good).save(tmp_path / "whole.jpg")
    jpeg.write_bytes((tmp_path / "whole.jpg").read_bytes()[:-200])
    small = tmp_path / "small.png"
    Image.open(good).crop((0, 0, 20, 20)).save(small)
    huge = tmp_path / "huge.png"
    # The size is in the header; nothing else needs to be there to be refused.
    huge.write_bytes(whole[:16] + (50000).to_bytes(4, "big") * 2 + whole[24:])
    for bad in (empty, text, cut, jpeg, small, huge, tmp_path / "missing.png"):
        assert bad.name in fails(capsys, 2, "run", good, str(bad), "-o", out)
    assert "at least two" in fails(capsys, 2, "run", good, "-o", out)
    assert not Path(out).exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_left_to_the_other_source(tmp_path, capsys, value):
    import tifffile

    image = np.full((16, 16), 0.5, np.float32)
    tifffile.imwrite(tmp_path / "a.tif", image)
    image[3, 4] = value
    tifffile.imwrite(tmp_path / "b.tif", image)
    paths = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    assert main(["run", *paths, "-o", str(tmp_path / "out.tif")]) == 0
    assert "b.tif: 1 pixel is NaN or infinite" in capsys.readouterr().err
    assert np.abs(tifffile.imread(tmp_path / "out.tif") - 0.5).max() < 1e-3
    tifffile.imwrite(tmp_path / "b.tif", np.full_like(image, value))
    assert "b.tif" in fails(capsys, 2, "run", *paths, "-o", str(tmp_path / "p.tif"))


def test_bad_outputs(pair, tmp_path, capsys):
    assert "-o OUT" in fails(capsys, 2, "run", *pair)
    assert "left.png" in fails(capsys, 2, "run", *pair, "-o", f"{pair[0]}/nowhere/o.png")
    assert "folder" in fails(capsys, 2, "run", *pair, "-o", str(tmp_path))
    assert "o.xyz" in fails(capsys, 2, "run", *pair, "-o", str(tmp_path / "o.xyz"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write to")
def test_read_only_folder(pair, capsys):
    # Permissions do not stop root; the kernel's own file system does.
    assert "/proc/self/o.png" in fails(capsys, 2, "run", *pair, "-o", "/proc/self/o.png")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_stops_the_run_and_leaves_nothing(pair, tmp_path, capsys, name):
    body, expected = BROKEN[name]
    plugin = plugin_file(tmp_path, name, body)
    out = tmp_path / "out.png"
    broken = ["--plugin", plugin, "--weighting", name, "--steps", "2"]
    line = fails(capsys, 1, "run", *pair, "-o", str(out), *broken)
    assert f"weighting {name}" in line
    assert f"plugin {name}" in line
    assert expected in line
    if name != "raises":
        assert "step 1 of 2" in line
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == []


def test_a_plugin_that_raises_on_import_is_named(pair, tmp_path, capsys):
    plugin = tmp_path / "bad.py"
    plugin.write_text("raise ValueError('no such luck')\n")
    line = fails(capsys, 2, "run", *pair, "-o", str(tmp_path / "o.png"), "--plugin", str(plugin))
    assert "bad" in line
    assert "no such luck" in line


def test_an_inline_plugin_runs_and_is_in_the_record(pair, tmp_path):
    plugin = plugin_file(
        tmp_path,
        "second",
        "def start(self, run): return lambda step: (run.sources[:, :, :1] * 0 + 1) * "
        "run.sources.new_tensor([0.0, 1.0]).view(-1, 1, 1, 1, 1)",
    )
    out = tmp_path / "o.png"
    flags = ["--plugin", plugin, "--weighting", "second", "--objective.strength", "0"]
    assert main(["run", *pair, "-o", str(out), *flags]) == 0
    assert (np.asarray(Image.open(out)) == np.asarray(Image.open(pair[1]))).all()
    record = json.loads((tmp_path / "o.png.json").read_text())
    assert record["components"]["weighting"]["file"] == plugin
    assert len(record["components"]["weighting"]["sha256"]) == 64
    assert record["run"]["target_only"] is False  # a plain function may read the trajectory


def test_what_a_plugin_prints_while_it_runs_is_no_result(pair, tmp_path, capsys):
    body = "def start(self, run): print('starts'); return self.step\n"
    body += "    def step(self, step):\n        print('steps')\n"
    body += "        return step.x0.new_full((2, *step.x0.shape), 0.5)[:, :, :1]"
    plugin = plugin_file(tmp_path, "chatty", body)
    out = tmp_path / "o.png"
    flags = ["--plugin", plugin, "--weighting", "chatty", "--estimator", "gaussian"]
    assert main(["run", *pair, "-o", str(out), "--steps", "2", *flags]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{out}: ")
    assert len(shown.out.splitlines()) == 1
    assert "plugin: starts" in shown.err
    assert "plugin: steps" in shown.err


def test_folders_are_paired_by_stem(pair, tmp_path, capsys):
    near, far, out = (tmp_path / name for name in ("near", "far", "out"))
    near.mkdir()
    far.mkdir()
    for stem in ("1", "2", "3"):
        Image.open(pair[0]).save(near / f"{stem}.png")
        Image.open(pair[1]).save(far / f"{stem}.bmp")
    (far / "2.bmp").write_bytes(b"")
    Image.open(pair[0]).save(near / "lonely.png")
    Image.open(pair[0]).save(near / "3.jpg")
    assert main(["run", str(near), str(far), "-o", str(out), "--steps", "2"]) == 1
    error = capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["1.png", "1.png.json", "failed.csv"]
    assert "2: " in error
    assert "lonely: no image of this name" in error
    assert "3: " in error
    assert "1 of 4 fused, 3 failed" in error
    assert "Traceback" not in error


def test_one_folder_holds_scenes_by_role(pair, tmp_path, capsys):
    folder, out = tmp_path / "all", tmp_path / "out"
    folder.mkdir()
    for name in ("7_near", "7_far", "8_near", "8_far", "8_mid", "9_near"):
        Image.open(pair[0]).save(folder / f"{name}.png")
    assert main(["run", str(folder), "-o", str(out), "--steps", "1"]) == 1
    assert sorted(path.stem for path in out.glob("*.png")) == ["7", "8"]
    assert len(json.loads((out / "8.png.json").read_text())["inputs"]) == 3
    assert "only source" in capsys.readouterr().err


def test_a_recipe_of_another_editor(pair, tmp_path, capsys):
    recipe, out = tmp_path / "r.toml", tmp_path / "o.png"
    words = ["run", *pair, "-o", str(out), "--estimator", "gaussian", "--recipe", str(recipe)]
    said = 'weighting = "saliency"\r\nobjective = "mse"\r\n'
    recipe.write_text(said, "utf-8-sig")
    assert main([*words, "--quiet"]) == 0
    assert (
        json.loads(Path(f"{out}.json").read_text())["recipe"]["objective"]["name"]
        == "objectives:mse"
    )
    out.unlink()
    for data, says in {
        said.encode("utf-16"): "is no text in UTF-8: save it so",
        said.encode() + b"seed = " + b"9" * 5000: "is not valid: ",
        said.encode() + b"seed = " + b"[" * 5000: "its brackets are nested too deep",
    }.items():
        recipe.write_bytes(data)
        assert says in fails(capsys, 2, *words)


def test_a_file_that_looks_like_a_flag(pair, monkeypatch, capsys):
    folder = Path(pair[0]).parent
    monkeypatch.chdir(folder)
    shutil.copy(pair[0], folder / "-a.png")
    said = fails(capsys, 2, "run", "-a.png", pair[1], "-o", "o.png")
    assert "-a.png looks like a flag: give the file as ./-a.png" in said


@pytest.mark.skipif(os.name != "posix", reason="a folder in use cannot be removed")
def test_in_a_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "current folder is gone" in fails(capsys, 2, "run", "a.png", "b.png", "-o", "o.png")


def test_a_folder_that_nobody_may_look_into(pair, tmp_path, monkeypatch, capsys):
    """As root may look everywhere, the system is made to refuse."""
    stat = os.stat

    def refusing(path, *args, **kwargs):
        if isinstance(path, (str, os.PathLike)) and "closed" in os.fspath(path):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return stat(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", refusing)
    closed = str(tmp_path / "closed" / "a.png")
    said = fails(capsys, 2, "run", closed, pair[1], "-o", str(tmp_path / "o.png"))
    assert "you may not read it: check its permissions" in said


def test_results_below_a_link_to_nothing(pair, tmp_path, capsys):
    (tmp_path / "out").symlink_to(tmp_path / "nothing")
    said = fails(capsys, 2, "run", *pair, "-o", str(tmp_path / "out" / "o.png"))
    assert "out is a link to nothing, not a folder" in said


def test_a_manifest_lists_scenes(pair, tmp_path, capsys):
    manifest, out = tmp_path / "scenes.csv", tmp_path / "out"
    manifest.write_text("scene,near,far\none,left.png,right.png\n\ntwo,left.png,absent.png\n")
    assert main(["run", str(manifest), "-o", str(out), "--steps", "1"]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["failed.csv", "one.png", "one.png.json"]
    assert "absent.png" in capsys.readouterr().err
    manifest.write_text("scene,near,far\none,left.png,right.png\none,left.png,right.png\n")
    assert "named twice" in fails(capsys, 2, "run", str(manifest), "-o", str(out))
    manifest.write_text("scene,near,far\n../out,left.png,right.png\n")
    assert "cannot name a file" in fails(capsys, 2, "run", str(manifest), "-o", str(out))
    absent = str(tmp_path / "absent.csv")
    assert "does not exist" in fails(capsys, 2, "run", absent, "-o", str(out))


def test_folders_without_a_pair_and_mixed_with_files(pair, tmp_path, capsys):
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    assert "no scene" in fails(capsys, 2, "run", str(a), str(b), "-o", str(tmp_path / "o"))
    assert "all folders" in fails(capsys, 2, "run", str(a), pair[0], "-o", str(tmp_path / "o"))
    assert not (tmp_path / "o").exists()


def test_sixteen_bits_and_colour_come_back(tmp_path):
    import tifffile

    generator = np.random.default_rng(0)
    colour = generator.integers(0, 65536, (31, 33, 3), dtype=np.uint16)
    grey = generator.integers(0, 65536, (31, 33), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "vi.tif", colour, photometric="rgb")
    tifffile.imwrite(tmp_path / "ir.tif", grey)
    sources = [str(tmp_path / name) for name in ("ir.tif", "vi.tif")]
    assert main(["run", *sources, "-o", str(tmp_path / "o.tif"), "--steps", "2"]) == 0
    fused = tifffile.imread(tmp_path / "o.tif")
    assert fused.dtype == np.uint16
    assert fused.shape == colour.shape
    record = json.loads((tmp_path / "o.tif.json").read_text())
    assert record["colour"]["chroma"] == "source 2"


def test_a_narrow_source_gets_a_warning(pair, tmp_path, capsys):
    dim = tmp_path / "dim.png"
    Image.fromarray((np.asarray(Image.open(pair[0])) // 16).astype(np.uint8)).save(dim)
    arguments = ["run", str(dim), pair[1], "--steps", "1"]
    assert main([*arguments, "-o", str(tmp_path / "a.png")]) == 0
    assert "fusionkit: warning: " in capsys.readouterr().err
    assert main([*arguments, "-o", str(tmp_path / "b.png"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert json.loads((tmp_path / "b.png.json").read_text())["warnings"]


def test_a_progress_bar_is_shown_at_a_terminal_only(pair, tmp_path, capsys, monkeypatch):
    assert main(["run", *pair, "-o", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["run", *pair, "-o", str(tmp_path / "b.png")]) == 0
    assert "b.png" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["tno", "roadscene", "rgb-nir", "lytro", "lytro3", "mefb", "classic", "ct-mri", "pet-mri"],
)
def test_one_scene_of_every_real_set(name, tmp_path, capsys):
    scenes = real_scenes()
    if not scenes:
        pytest.skip("no image data here (FUSIONKIT_DATA)")
    sources = [str(path) for path in scenes[name]]
    # What is read and written is tested here, at full size: the network would only take time.
    flags = ["--estimator", "gaussian", "--steps", "4"]
    assert main(["run", *sources, "-o", str(tmp_path / "o.png"), *flags]) == 0
    fused = Image.open(tmp_path / "o.png")
    first = Image.open(sources[0])
    assert fused.size == first.size
    if any(Image.open(path).mode == "RGB" for path in sources):
        assert fused.mode == "RGB"


@pytest.mark.parametrize(
    ("flags", "stretched"),
    [
        (["--stretch"], [0]),
        (["--stretch", "1"], [1]),
        (["--stretch=1,2"], [1, 2]),
        (["--stretch", "1", "--stretch", "2"], [1, 2]),
        (["--stretch", "1", "--no-stretch"], []),
        ([], []),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_stretch_of_all_or_some(pair, tmp_path, flags, stretched, first):
    """The flag alone does not swallow the source behind it."""
    out = str(tmp_path / "o.png")
    files = [*pair, "-o", out, "--quiet"]
    assert main(["run", *flags, *files] if first else ["run", *files, *flags]) == 0
    assert json.loads(Path(f"{out}.json").read_text())["recipe"]["stretch"] == stretched


def test_degrees_are_fused_once_they_are_stretched(pair, tmp_path, capsys):
    counts = np.asarray(Image.open(pair[0])).astype(float)
    counts = counts.mean(-1) if counts.ndim == 3 else counts
    expected = tmp_path / "expected.png"
    span = counts.min(), np.ptp(counts)
    eight = tmp_path / "eight.png"
    Image.fromarray(np.rint((counts - span[0]) / span[1] * 255).astype(np.uint8)).save(eight)
    assert main(["run", str(eight), pair[1], "-o", str(expected), "--quiet"]) == 0
    for name, dtype in (("c.npy", "float32"), ("k.npy", "float64"), ("s.npy", "int16")):
        path = tmp_path / name
        np.save(
            path,
            (-40 + 10 * counts / 255 if dtype != "int16" else 40 * counts - 9000).astype(dtype),
        )
        fails(capsys, 2, "run", str(path), pair[1], "-o", str(tmp_path / "x.tif"))
        out = tmp_path / f"{dtype}.tif"
        assert main(["run", str(path), pair[1], "-o", str(out), "--quiet", "--stretch", "1"]) == 0
        picture = read_picture(out)
        assert picture.dtype.name == ("uint16" if dtype == "int16" else dtype)
        difference = picture.unit() * 255 - np.asarray(Image.open(expected))
        assert np.abs(difference).max() <= 3
        assert np.abs(difference).mean() < 0.6


def test_stretch_of_what_is_not_there(pair, tmp_path, capsys):
    out = str(tmp_path / "o.png")
    assert "there is no source 3" in fails(capsys, 2, "run", *pair, "-o", out, "--stretch", "3")
    both = ["--stretch", "1", "--range", "1:0,200"]
    assert "--range and --stretch" in fails(capsys, 2, "run", *pair, "-o", out, *both)
