"""``fusionkit run`` on folders and stacks: what is fused, what is left alone, what is said."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionkit import UsageError, fuse
from fusionkit.cli import main
from fusionkit.cli.stacking import Shard
from tests.cli.test_run import fails

QUICK = ["--estimator", "gaussian"]


def run(*arguments: object) -> int:
    return main(["run", *map(str, arguments), *QUICK])


def whole(path: Path) -> bool:
    """Whether a result is there, with the record of this very image."""
    record = json.loads(Path(f"{path}.json").read_text())
    return record["output"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folders(pair, tmp_path) -> tuple[Path, Path]:
    """Two folders of three scenes, paired by name."""
    for name, source in zip(("ir", "vi"), pair, strict=True):
        (tmp_path / name).mkdir()
        for stem in "123":
            shutil.copy(source, tmp_path / name / f"{stem}.png")
    return tmp_path / "ir", tmp_path / "vi"


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the list of what failed."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "failed.csv"
    }


# --- what is said --------------------------------------------------------------------------------


def test_success_is_one_line(pair, tmp_path, capsys):
    out = tmp_path / "o.png"
    assert run(*pair, "-o", out, "--task", "infrared-visible") == 0
    captured = capsys.readouterr()
    line = rf"{re.escape(str(out))}: 52x40, 2 images, infrared-visible, \d+\.\d s\n"
    assert re.fullmatch(line, captured.out)
    assert captured.err == ""
    assert run(*pair, "-o", tmp_path / "q.png", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_a_name_is_offered(pair, folders, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fails(capsys, 2, "run", *pair).endswith("-o OUT, for example -o fused.png")
    (tmp_path / "fused.png").write_bytes(b"")
    assert fails(capsys, 2, "run", *pair).endswith("for example -o fused-2.png")
    assert fails(capsys, 2, "run", *map(str, folders)).endswith("for example -o fused")


@pytest.mark.parametrize(
    "words",
    [
        ["run", "LEFT", "RIGHT", "-o", "o.png", "--trace", "s3://bucket/why"],
        ["run", "LEFT", "RIGHT", "-o", "o.png", "--cache", "s3://bucket/kept"],
        ["compare", "LEFT", "RIGHT", "-o", "s3://bucket/o.png"],
        ["compare", "LEFT", "https://bucket.org/a.png", "-o", "o.png"],
        ["evaluate", "https://bucket.org/a.png", "--sources", "LEFT", "RIGHT"],
        ["evaluate", "LEFT", "--sources", "s3://bucket/a.png", "RIGHT"],
        ["ablate", "ir", "vi", "-o", "s3://bucket/study", "--baseline", "none", *QUICK],
        ["ablate", "s3://bucket/ir", "vi", "-o", "study"],
    ],
)
def test_urls_are_refused_and_make_no_folder(pair, folders, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    before = content(tmp_path)
    named = {"LEFT": pair[0], "RIGHT": pair[1]}
    code = main([named.get(word, word) for word in words])
    (line,) = capsys.readouterr().err.splitlines()
    assert code in (1, 2)
    assert re.search("error: .*(s3|https):/.*: this is a URL", line)
    assert content(tmp_path) == before
    assert not list(tmp_path.glob("*:"))


def test_urls_are_refused_in_python(pair):
    with pytest.raises(UsageError, match=r"s3://bucket/a\.png: this is a URL"):
        fuse([pair[0], "s3://bucket/a.png"], estimator="gaussian")


@pytest.mark.parametrize(
    ("flag", "near"),
    [
        ("--wieghting", "Did you mean --weighting?"),
        ("--out", "Did you mean --output?"),
        ("-O", "Did you mean -o?"),
        ("--stackby", "Did you mean --stack-by?"),
        ("--eta", "Did you mean --sampler.eta?"),
        ("--granularity=image", "Did you mean --weighting.granularity?"),
        ("--border", "Did you mean --estimator.border?"),  # of another estimator
        ("--bogus", None),
        ("--zebra=3", None),
        ("-x", None),
    ],
)
def test_unknown_flags_get_near_suggestions_or_none(pair, tmp_path, capsys, flag, near):
    line = fails(capsys, 2, "run", *pair, "-o", str(tmp_path / "o.png"), flag)
    assert (near in line) if near else ("Did you mean" not in line)


def test_noise_that_is_not_found_is_said(pair, tmp_path, capsys):
    assert run(*pair, "-o", tmp_path / "o.png", "--noise", "auto") == 0
    assert "--noise auto: no source shows noise" in capsys.readouterr().err


def test_empty_names_are_unset_variables(pair, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = str(tmp_path / "o.png")
    for arguments in (["", ""], [*pair, "-o", ""], [*pair, "-o", out, "--trace="]):
        assert "shell unset" in fails(capsys, 2, "run", *arguments)
    assert "shell unset" in fails(capsys, 2, "evaluate", "", "--sources", "", "")
    assert not Path(out).exists()


@pytest.mark.slow
def test_one_bar_moves_with_the_work_of_all_scenes(folders, tmp_path, capsys, monkeypatch):
    big = np.random.default_rng(0).integers(0, 256, (80, 104), dtype=np.uint8)
    for folder in folders:
        Image.fromarray(big).save(folder / "3.png")
    shown: list[tuple[float, float]] = []

    class Bar:
        def __init__(self, total: float, **keywords: object) -> None:
            self.total, self.n = total, 0.0

        def update(self, step: float) -> None:
            self.n += step
            shown.append((self.n, self.total))

        def set_description_str(self, text: str) -> None:
            pass

        clear = refresh = close = lambda self: None

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("tqdm.tqdm", Bar)
    flags = ["--objective", "mse", "--objective.strength", "0.5", "--steps", "8"]
    assert main(["run", *map(str, folders), "-o", str(tmp_path / "out"), *flags]) == 0
    assert len({total for _, total in shown}) == 1
    shares = [done / total for done, total in shown]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert len(set(shares)) > 3 * 8  # every evaluation of every scene moves it
    sizes = [os.stat(folders[0] / f"{n}.png").st_size for n in (1, 3)]
    assert sizes[1] > sizes[0]


# --- where it goes -------------------------------------------------------------------------------


def test_folders_of_the_output_are_made(pair, tmp_path):
    assert run(*pair, "-o", tmp_path / "a" / "b" / "o.png") == 0
    assert whole(tmp_path / "a" / "b" / "o.png")


def test_several_scenes_do_not_go_into_one_image(folders, tmp_path, capsys):
    for name in ("o.jpg", "o.npy", "o.gif"):
        line = fails(capsys, 2, "run", *map(str, folders), "-o", str(tmp_path / name))
        assert "3 scenes" in line
        assert "give a folder" in line
        assert not (tmp_path / name).exists()


def test_a_folder_that_is_one_stack_goes_into_one_image(pair, tmp_path):
    folder = tmp_path / "stack"
    folder.mkdir()
    for path in pair:
        shutil.copy(path, folder)
    assert run(folder, "-o", tmp_path / "o.jpg") == 0
    assert Image.open(tmp_path / "o.jpg").format == "JPEG"
    assert run(folder, "-o", tmp_path / "out") == 0
    assert whole(tmp_path / "out" / "stack.png")


@pytest.mark.parametrize(
    ("form", "magic"), [("jpg", b"\xff\xd8\xff"), ("png", b"\x89PNG"), ("tif", b"II*\0")]
)
def test_folders_take_a_format(folders, tmp_path, form, magic):
    out = tmp_path / "out"
    assert run(*folders, "-o", out, "--format", form) == 0
    assert sorted(path.name for path in out.glob(f"*.{form}")) == [f"{n}.{form}" for n in (1, 2, 3)]
    assert (out / f"1.{form}").read_bytes().startswith(magic)


def test_quality_is_that_of_jpeg(folders, pair, tmp_path, capsys):
    sizes = []
    for quality in ("10", "90"):
        assert run(*pair, "-o", tmp_path / f"{quality}.jpg", "--quality", quality) == 0
        sizes.append((tmp_path / f"{quality}.jpg").stat().st_size)
    assert sizes[0] < sizes[1]
    again = tmp_path / "again.jpg"
    assert main(["run", *pair, "-o", str(again), "--recipe", f"{tmp_path}/10.jpg.json"]) == 0
    assert again.read_bytes() == (tmp_path / "10.jpg").read_bytes()
    for where in (["-o", "o.png"], ["-o", "out", "--format", "png"]):
        sources = folders if "out" in where else pair
        line = fails(capsys, 2, "run", *map(str, sources), *where, "--quality", "50")
        assert "JPEG" in line
    assert "at most 100" in fails(capsys, 2, "run", *pair, "-o", "o.jpg", "--quality", "101")
    assert "--format" in fails(capsys, 2, "run", *pair, "-o", "o.jpg", "--format", "jpg")


# --- nothing eaten -------------------------------------------------------------------------------


def test_an_output_never_replaces_a_source(pair, tmp_path, capsys):
    (tmp_path / "link.png").symlink_to(pair[0])
    record = tmp_path / "o.png.json"
    shutil.copy(pair[0], record)  # read by content
    before = content(tmp_path)
    there = f"{tmp_path}/../{tmp_path.name}"
    for out in (pair[0], f"{tmp_path}/link.png", f"{there}/right.png", f"{there}/new/../right.png"):
        assert "source" in fails(capsys, 2, "run", *pair, "-o", out, "--overwrite")
    out = str(tmp_path / "o.png")
    assert "source" in fails(capsys, 2, "run", str(record), pair[1], "-o", out, "--overwrite")
    (tmp_path / "why").mkdir()
    shutil.copy(pair[0], tmp_path / "why" / "strip.png")
    sources = [str(tmp_path / "why" / "strip.png"), pair[1]]
    flags = ["-o", str(tmp_path / "new.png"), "--trace", str(tmp_path / "why"), "--overwrite"]
    assert "source" in fails(capsys, 2, "run", *sources, *flags)
    sheet = ["-o", pair[0], "--overwrite"]
    assert "source" in fails(capsys, 2, "compare", *pair, *sheet)
    assert {name: content(tmp_path)[name] for name in before} == before


def test_a_scene_of_a_manifest_never_replaces_the_source_of_another(pair, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    manifest = tmp_path / "sub" / "scenes.csv"
    manifest.write_text("scene,a,b\nleft,../left.png,../right.png\nx,../left.png,../right.png\n")
    before = Path(pair[0]).read_bytes()
    assert "sources" in fails(capsys, 2, "run", str(manifest), "-o", str(tmp_path), "--overwrite")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "left.png").symlink_to(pair[0])
    assert run(manifest, "-o", tmp_path / "out", "--overwrite") == 1
    assert "left: " in capsys.readouterr().err
    assert Path(pair[0]).read_bytes() == before
    assert whole(tmp_path / "out" / "x.png")


@pytest.mark.parametrize("name", ["ir", "vi", "link", "vi/../ir"])
def test_a_folder_is_not_source_and_output_at_once(folders, tmp_path, capsys, name):
    (tmp_path / "link").symlink_to(folders[1])
    before = content(tmp_path)
    where = str(tmp_path / name)
    assert "sources" in fails(capsys, 2, "run", *map(str, folders), "-o", where, "--overwrite")
    assert content(tmp_path) == before


def test_results_in_a_folder_of_sources_are_none(folders, tmp_path, capsys):
    out = folders[0] / "fused"
    assert run(*folders, "-o", out) == 0
    for path in out.glob("*"):
        shutil.copy(path, folders[0] / f"old-{path.name}")
    capsys.readouterr()
    assert run(*folders, "-o", tmp_path / "again") == 0
    assert len(list((tmp_path / "again").glob("*.png"))) == 3


def test_ambiguous_folders_are_shown_their_groups(pair, tmp_path, capsys):
    card = tmp_path / "card"
    card.mkdir()
    for n in range(1, 5):
        shutil.copy(pair[n % 2], card / f"DSC_000{n}.png")
    for out in ("out", "o.png"):
        line = fails(capsys, 2, "run", str(card), "-o", str(tmp_path / out))
        assert "(DSC_0001.png DSC_0002.png) (DSC_0003.png DSC_0004.png)" in line
        assert not (tmp_path / out).exists()
    assert run(card, "-o", tmp_path / "out", "--stack-by", "2") == 0
    assert sorted(p.name for p in (tmp_path / "out").glob("*.png")) == [
        "DSC_0001.png",
        "DSC_0003.png",
    ]
    assert run(card, "-o", tmp_path / "o.png", "--stack-by", "all") == 0
    assert len(json.loads((tmp_path / "o.png.json").read_text())["inputs"]) == 4
    assert run(f"{card}/*.png", "-o", tmp_path / "glob", "--stack-by", "2") == 0
    assert len(list((tmp_path / "glob").glob("*.png"))) == 2
    for flags in (
        ["--stack-by", "1"],
        ["--stack-gap", "0"],
        ["--stack-gap", "2", "--stack-by", "2"],
    ):
        assert "stack" in fails(capsys, 2, "run", str(card), "-o", str(tmp_path / "n"), *flags)


def test_stacks_as_folders_and_as_pages(pair, tmp_path):
    pages = np.stack([np.asarray(Image.open(path)) for path in pair])
    stacks = tmp_path / "stacks"
    for name in ("b1", "b2"):
        (stacks / name).mkdir(parents=True)
        for path in pair:
            shutil.copy(path, stacks / name)
    tifffile.imwrite(tmp_path / "z.tif", pages, photometric="minisblack")
    assert run(*pair, "-o", tmp_path / "pair.tif") == 0
    assert run(tmp_path / "z.tif", "-o", tmp_path / "o.tif") == 0
    assert run(stacks, "-o", tmp_path / "out", "--format", "tif") == 0
    expected = (tmp_path / "pair.tif").read_bytes()
    for path in ("o.tif", "out/b1.tif", "out/b2.tif"):
        assert (tmp_path / path).read_bytes() == expected


# --- again, and in spite of everything -----------------------------------------------------------


def test_a_run_that_is_started_again_goes_on(folders, tmp_path, capsys):
    out = tmp_path / "out"
    (folders[1] / "2.png").rename(tmp_path / "kept.png")
    assert run(*folders, "-o", out) == 1
    capsys.readouterr()
    (tmp_path / "kept.png").rename(folders[1] / "2.png")
    before = content(out)
    assert run(*folders, "-o", out) == 0
    captured = capsys.readouterr()
    assert captured.err == "fusionkit: 2 of 3 scenes are finished already; 1 to go\n"
    assert captured.out.count("\n") == 1
    assert {name: content(out)[name] for name in before} == before
    assert all(whole(out / f"{n}.png") for n in (1, 2, 3))
    assert run(*folders, "-o", out) == 0
    assert capsys.readouterr() == ("", "fusionkit: 3 of 3 scenes are finished already\n")


def test_what_is_finished_is_of_this_recipe_and_these_sources(folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(*folders, "-o", out) == 0
    before = content(out)
    assert run(*folders, "-o", out, "--seed", "3") == 1
    assert capsys.readouterr().err.count("of another recipe") == 3
    Image.open(folders[0] / "1.png").rotate(180).save(folders[0] / "1.png")
    assert run(*folders, "-o", out) == 1
    assert "1: " in capsys.readouterr().err
    assert content(out) == before
    assert run(*folders, "-o", out, "--overwrite") == 0
    assert content(out)["2.png"] == before["2.png"]
    assert content(out)["1.png"] != before["1.png"]


@pytest.mark.slow
def test_what_is_finished_has_its_trace(folders, tmp_path, capsys):
    out, why = tmp_path / "out", tmp_path / "why"
    assert run(*folders, "-o", out) == 0
    assert run(*folders, "-o", out, "--trace", why) == 1
    assert capsys.readouterr().err.count("without a trace") == 3
    assert run(*folders, "-o", out, "--trace", why, "--overwrite") == 0
    assert run(*folders, "-o", out, "--trace", why) == 0


@pytest.mark.slow
def test_all_is_fused_if_nobody_reads_the_lines(folders, tmp_path):
    program = "import sys; from fusionkit.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["run", *map(str, folders), "-o", str(tmp_path / "out"), *QUICK]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(whole(tmp_path / "out" / f"{n}.png") for n in (1, 2, 3))


def test_what_was_interrupted_is_unfinished(folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(*folders, "-o", out) == 0
    before = content(out)
    (out / "1.png.json").unlink()
    (out / "2.png").unlink()
    (out / ".fusionkit-0123456789abcdef.part").write_bytes(b"half")
    capsys.readouterr()
    assert run(*folders, "-o", out) == 0
    assert "1 of 3 scenes is finished already; 2 to go" in capsys.readouterr().err
    after = content(out)
    assert set(after) == set(before)
    assert all(after[f"{n}.png"] == before[f"{n}.png"] for n in (1, 2, 3))


def test_an_image_of_somebody_elses_is_kept(folders, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.png").write_bytes(b"photograph")
    assert run(*folders, "-o", out) == 1
    assert "1: " in capsys.readouterr().err
    assert (out / "1.png").read_bytes() == b"photograph"
    assert not (out / "1.png.json").exists()
    assert whole(out / "2.png")
    assert whole(out / "3.png")


ENDS = {
    "exits in build": "raise SystemExit(0)",
    "exits in start": "start = lambda self, run: exit(0)",
    "exits in step": "start = lambda self, run: lambda step: exit(0)",
    "fails oddly": "start = lambda self, run: lambda step: {}[7]",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_plugin_that_ends_the_program_is_an_error(folders, pair, tmp_path, capsys, how):
    body = ENDS[how] if "build" not in how else f"def __init__(self): {ENDS[how]}"
    plugin = tmp_path / "ends.py"
    plugin.write_text(
        "from sys import exit\n"
        "from fusionkit import Component, hookimpl\n"
        f"class Ends:\n    start = None\n    {body}\n"
        "@hookimpl\n"
        "def fusionkit_weightings():\n"
        "    return [Component('ends', 'ends', lambda options, context: Ends())]\n"
    )
    flags = ["--plugin", str(plugin), "--weighting", "ends", *QUICK]
    assert "ends" in fails(capsys, 1, "run", *pair, "-o", str(tmp_path / "o.png"), *flags)
    many = ["run", *map(str, folders), "-o", str(tmp_path / "out"), *flags]
    if "build" in how:  # that is of no one scene
        assert "could not be built" in fails(capsys, 1, *many)
    else:
        assert main(many) == 1
        assert "0 of 3 fused, 3 failed" in capsys.readouterr().err
    assert not list(tmp_path.rglob("o.png*"))


def test_whatever_one_scene_does_the_others_are_fused(folders, tmp_path, capsys, monkeypatch):
    from fusionkit.host.scene import Scene

    real = Scene.load.__func__

    def load(cls, sources, *how):
        if Path(sources[0]).stem == "2":
            raise ZeroDivisionError("by nothing")
        return real(cls, sources, *how)

    monkeypatch.setattr(Scene, "load", classmethod(load))
    assert run(*folders, "-o", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "error: 2: unexpected ZeroDivisionError: by nothing" in error
    assert "2 of 3 fused, 1 failed" in error
    assert "Traceback" not in error


def test_names_that_are_not_unicode(folders, tmp_path, capsys):
    odd = os.fsencode("caf") + b"\xe9.png"
    for folder in folders:
        try:
            os.rename(
                os.path.join(os.fsencode(folder), b"2.png"), os.path.join(os.fsencode(folder), odd)
            )
        except OSError:
            pytest.skip("this file system takes Unicode only")
    assert run(*folders, "-o", tmp_path / "out") == 0
    assert "caf\\udce9.png: 52x40" in capsys.readouterr().out
    assert whole(tmp_path / "out" / os.fsdecode(odd))


@pytest.mark.slow
def test_a_scene_that_is_called_up(pair, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    manifest = tmp_path / "in" / "scenes.csv"
    manifest.write_text("scene,a,b\n..,../left.png,../right.png\nx,../left.png,../right.png\n")
    flags = ["-o", tmp_path / "out", "--trace", tmp_path / "why"]
    assert run(manifest, *flags) == 1
    assert "'..' cannot name a file" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == ["x"]


def test_folders_below_are_mirrored_and_measured(pair, tmp_path, capsys):
    for name, source in zip(("ir", "vi"), pair, strict=True):
        (tmp_path / name / "day").mkdir(parents=True)
        shutil.copy(source, tmp_path / name / "day" / "1.png")
    folders = [str(tmp_path / name) for name in ("ir", "vi")]
    flags = ["--trace", tmp_path / "why"]
    assert run(*folders, "-o", tmp_path / "out", *flags) == 0
    assert whole(tmp_path / "out" / "day" / "1.png")
    assert (tmp_path / "why" / "day" / "1" / "trace.json").is_file()
    capsys.readouterr()
    measure = ["evaluate", str(tmp_path / "out"), "--sources", *folders, "--metric", "ssim"]
    assert main([*measure, "--csv", "--quiet"]) == 0
    assert "day/1" in capsys.readouterr().out


def test_a_folder_of_sources_of_different_size_is_finished_too(tmp_path, capsys):
    rows, columns = np.mgrid[:48, :64]
    for name, image in (("a", np.sin(columns / 5) + rows / 48), ("b", np.cos(rows / 4))):
        values = (120 + 50 * image).clip(0, 255).astype(np.uint8)
        (tmp_path / name).mkdir()
        Image.fromarray(values[::2, ::2] if name == "a" else values).save(tmp_path / name / "1.png")
    command = [tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out", "--estimator", "gaussian"]
    assert run(*command) == 0
    capsys.readouterr()
    assert run(*command) == 0
    assert capsys.readouterr().err == "fusionkit: 1 of 1 scene is finished already\n"


# --- what failed, and shares ---------------------------------------------------------------------


def test_what_failed_is_listed_until_nothing_does(folders, tmp_path, capsys):
    out = tmp_path / "out"
    (folders[1] / "2.png").write_bytes(b"no image")
    assert run(*folders, "-o", out) == 1
    assert capsys.readouterr().err.strip().endswith(f"1 failed: {out / 'failed.csv'}")
    with open(out / "failed.csv", newline="", encoding="utf-8") as file:
        (listed,) = csv.DictReader(file)
    assert listed["scene"] == "2"
    assert "2.png" in listed["why"]
    shutil.copy(folders[1] / "1.png", folders[1] / "2.png")
    assert run(*folders, "-o", out) == 0
    assert not (out / "failed.csv").exists()


def test_a_list_of_somebody_else_is_left_alone(folders, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "failed.csv").write_text("mine\n")
    (folders[1] / "2.png").write_bytes(b"no image")
    assert run(*folders, "-o", out) == 1
    assert "is another file, and was left alone" in capsys.readouterr().err
    assert (out / "failed.csv").read_text() == "mine\n"


def test_shares_make_together_what_one_run_makes(folders, tmp_path, capsys):
    for folder in folders:
        for stem in "4567":
            shutil.copy(folder / "1.png", folder / f"{stem}.png")
    for place in (1, 2, 3):
        before = set(content(tmp_path / "shares"))
        assert run(*folders, "-o", tmp_path / "shares", "--shard", f"{place}/3") == 0
        made = {name for name in set(content(tmp_path / "shares")) - before if name[-3:] == "png"}
        assert len(made) < 7
        assert len(capsys.readouterr().out.splitlines()) == len(made)
    assert run(*folders, "-o", tmp_path / "whole") == 0
    assert [name for name in content(tmp_path / "whole") if name.endswith("png")] == [
        name for name in content(tmp_path / "shares") if name.endswith("png")
    ]


def test_the_share_of_a_scene_is_told_by_its_name():
    names = [f"scene {n}" for n in range(3000)]
    shards = [Shard(place, 3) for place in (1, 2, 3)]
    for name in names:
        assert sum(shard.holds(name) for shard in shards) == 1
    assert all(900 < sum(map(shard.holds, names)) < 1100 for shard in shards)
    assert [shard.holds("e\u0301") for shard in shards] == [shard.holds("\xe9") for shard in shards]
    # For ever: what one machine did yesterday another does not do today.
    assert [n for n in range(12) if Shard(2, 4).holds(f"{n}.png")] == [6, 7]


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2", ""])
def test_what_is_no_share_is_said(folders, tmp_path, text, capsys):
    assert run(*folders, "-o", tmp_path / "out", f"--shard={text}") == 2
    assert "--shard" in capsys.readouterr().err


def test_a_single_scene_has_no_shares(pair, tmp_path, capsys):
    assert run(*pair, "-o", tmp_path / "o.png", "--shard", "1/2") == 2
    assert "several scenes" in capsys.readouterr().err
