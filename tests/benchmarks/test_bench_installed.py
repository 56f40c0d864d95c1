"""``fusionkit bench peers``: whole commands of peers and recipes, on the same scenes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fusionkit_benchmarks.peers import installed, rows
from fusionkit_benchmarks.peers.installed import Installed, Peer, Way, found
from fusionkit_benchmarks.peers.rows import PeerRow, run_command
from fusionkit_benchmarks.photographs import middle_of
from fusionkit_benchmarks.quality import tools
from fusionkit_benchmarks.quality.scenes import Made
from PIL import Image

import fusionkit
from fusionkit.cli import main

pytestmark = pytest.mark.slow

FIRST = """\
#!{python}
import pathlib, sys
from PIL import Image
if sys.argv[1] == "--version":
    print("first 1.5")
elif sys.argv[1] == "--fail":
    sys.exit("reading\\nno luck")
elif sys.argv[1] == "--nothing":
    sys.exit()
elif sys.argv[1] == "--folder":
    files = sorted(pathlib.Path(sys.argv[2]).iterdir())
    Image.open(files[-1]).save(sys.argv[3])
else:
    image = Image.open(sys.argv[2])
    image.crop((0, 0, image.width - (sys.argv[1] == "--smaller"), image.height)).save(sys.argv[3])
"""
LAST = Way("last source", "exposure", ("--folder", "{folder}", "{out}"))


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A peer that copies one of its sources."""
    path = tmp_path / "first"
    path.write_text(FIRST.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two peers: one that is a program, and a package that no Python has."""
    first = Way("first source", "focus", ("--first", "{folder}/0.png", "{out}"))
    program = Peer("first", "no-program-of-this-name", ("--version",), (first, LAST))
    package = Peer("lacking", None, ("-c", "import no_such_package"), (first,))
    monkeypatch.setattr(installed, "PEERS", (program, package))


def without_processes(monkeypatch: pytest.MonkeyPatch, but: str = "") -> None:
    """Run recipes by the same commands in this process, which has all loaded; but one."""
    start = rows._run

    def run(name: str, command: Sequence[str], folder: Path) -> None:
        if name == but or command[:3] != [sys.executable, "-m", "fusionkit"]:
            start(name, command, folder)
        else:
            assert main(command[3:]) == 0

    monkeypatch.setattr(rows, "_run", run)


def bench(folder: Path, *arguments: object) -> dict:
    assert main(["bench", "peers", "-o", str(folder), "--quiet", *map(str, arguments)]) == 0
    return json.loads((folder / "peers.json").read_text())


@pytest.mark.usefixtures("peers")
def test_peers_recipes_trivial_fusions_and_sources_stand_side_by_side(
    program, photos, recipe, data, tmp_path, capsys, monkeypatch
):
    without_processes(monkeypatch, but="mine")
    out = tmp_path / "bench"
    wanted = ["--peer", f"first={program}", "--photos", photos, "--limit", 1, "--size", 64]
    wanted += ["--counts", 2, "--kernel", "disc", "--recipe", f"mine={recipe}"]
    wanted += ["--data", data, "--sets", "three"]
    content = bench(out, *wanted, "--families", "focus")
    said = capsys.readouterr().err
    assert said.count("lacking is not installed: rows left out; --peer lacking=PATH") == 1
    assert "first is not" not in said
    focus, three = content["tables"]
    assert content["settings"]["peers"] == ["first 1.5"]
    trivial = ["mean", "max", "laplacian-max", "source 1", "source 2"]
    recipes = ["general", "multi-focus", "mine"]
    assert list(focus["methods"]) == [*recipes, "first source", *trivial, "true masks"]
    assert list(three["methods"]) == [*recipes, "first source", *trivial, "source 3"]
    means = {name: row["mean"] for name, row in focus["methods"].items()}
    assert {"psnr disc", "ssim disc"} <= set(means["mine"])
    # The peer copies the first source, in colour here and in luma there: the same up to rounding.
    column = "psnr disc"
    assert means["first source"][column] == pytest.approx(means["source 1"][column], abs=0.02)
    assert means["mine"][column] != means["source 1"][column]
    costs = {name: row["cost"]["disc"]["seconds"] for name, row in focus["methods"].items()}
    assert costs["mine"] > 0.2  # a process of its own, which imports torch
    assert costs["first source"] > 0.01
    shown = (out / "peers.md").read_text()
    assert shown.startswith("# Peers")
    assert "lacking is not installed" in shown
    # What is kept is the same, and is not done again.
    Path(program).write_text(
        FIRST.format(python=sys.executable).replace("else:", "else:\n    1 / 0")
    )
    again = bench(out, *wanted, "--families", "focus")
    assert again["tables"] == content["tables"]


@pytest.mark.usefixtures("peers")
def test_brackets_have_the_peers_that_are_for_them(program, photos, tmp_path, monkeypatch):
    without_processes(monkeypatch)
    out = tmp_path / "bench"
    wanted = ["--peer", f"first={program}", "--photos", photos, "--limit", 1, "--size", 48]
    (table,) = bench(out, *wanted, "--families", "exposure", "--counts", 3)["tables"]
    methods = ["general", "multi-exposure", "last source", "mean", "max", "laplacian-max"]
    assert list(table["methods"]) == [*methods, "source 1", "source 2", "source 3"]
    means = {name: row["mean"] for name, row in table["methods"].items()}
    assert means["last source"]["psnr"] == pytest.approx(means["source 3"]["psnr"], abs=0.02)
    assert means["last source"]["psnr"] < means["last source"]["psnr-fit"]


def test_a_recipe_is_fused_as_run_does(photos, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(installed, "PEERS", ())
    without_processes(monkeypatch)
    wanted = ["--photos", photos, "--limit", 1, "--families", "lighting", "--counts", 2]
    (table,) = bench(tmp_path / "bench", *wanted, "--recipe", f"mine={recipe}")["tables"]
    quality = ["bench", "quality", "-o", str(tmp_path / "quality"), "--only", "truth", "--quiet"]
    quality += ["--photos", str(photos), "--limit", "1", "--families", "lighting"]
    assert main([*quality, "--counts", "2", "--recipe", f"mine={recipe}"]) == 0
    other = json.loads((tmp_path / "quality" / "quality.json").read_text())["tables"][0]
    expected = other["methods"]["mine"]["mean"]
    mine = table["methods"]["mine"]["mean"]
    assert mine["psnr"] == pytest.approx(expected["psnr K=2"], abs=1e-3)


def test_what_a_peer_does_wrong_is_named(program, tmp_path):
    def failing(*flags):
        return lambda sources, out: [program, *flags, str(sources[0]), str(out)]

    sources = [np.full((8, 9), level, np.uint8) for level in (10, 20)]
    fusion = run_command("one", sources, failing("--first"))
    assert np.array_equal(fusion.pixels, sources[0])
    for flag, said in (
        ("--fail", "one failed: no luck"),
        ("--nothing", "one ended without an image"),
        ("--smaller", "one made 8x8 of sources of 9x8"),
    ):
        with pytest.raises(fusionkit.FusionkitError, match=said):
            run_command("one", sources, failing(flag))
    with pytest.raises(fusionkit.FusionkitError, match="one cannot be run"):
        run_command("one", sources, lambda *_: [str(tmp_path / "nowhere")])


def test_mertens_in_its_own_process_is_mertens(photos):
    if tools.opencv_version() is None:
        pytest.skip("no OpenCV here")
    (opencv,) = (each for each in found({})[0] if each.peer.name == "opencv")
    image = np.asarray(Image.open(photos / "a.png"))
    sources = (image // 3, image)
    way = opencv.peer.ways[1]
    fused = PeerRow(opencv, way).fuse(None, Made(sources, None, None, (0.0, 0.0)))
    # Files are read as blue, green, red, and contrast is one of grey: the order counts a little.
    expected = tools.mertens([each[..., ::-1] for each in sources], exposure=1)[..., ::-1]
    assert np.abs(fused.pixels.astype(int) - expected.astype(int)).max() <= 1


def test_every_way_names_its_files():
    sources = [Path("/s/0.png"), Path("/s/1.png")]
    for peer in installed.PEERS:
        for way in peer.ways:
            line = way.command("program", sources, Path("/o.png"))
            assert line[0] == "program"
            assert "/o.png" in " ".join(line)
            assert {"/s/0.png", "/s/1.png"} <= set(line) or "/s" in line
            assert not any("{" in part for part in line)
    assert Installed(peer, "program", "1").peer is peer


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--peer", "openfocs=python"], "unknown peer. Did you mean openfocus"),
        (["--peer", "openfocus"], "expected NAME=PATH"),
        (["--peer", "openfocus=/nowhere/python"], "is not a Python that has openfocus"),
        (["--peer", "enfuse=/nowhere/enfuse"], "is not the enfuse program"),
        (["--peer", "enfuse=a", "--peer", "enfuse=b"], "given twice"),
        (["--families", "focs"], "unknown 'focs'"),
        (["--counts", "1"], "2 or more"),
        (["--size", "0"], "--size must be at least 1"),
        (["--kernel", "square"], "unknown 'square'"),
        (["--families", "none"], "nothing to do"),
    ],
)
def test_mistakes_are_named(flags, said, tmp_path, capsys):
    assert main(["bench", "peers", "-o", str(tmp_path / "out"), "--quiet", *flags]) == 2
    assert said in capsys.readouterr().err


def test_the_middle_of_a_photograph():
    pixels = np.arange(60).reshape(6, 10)
    assert np.array_equal(middle_of(lambda: pixels, 4), pixels[1:5, 3:7])
    assert middle_of(lambda: pixels, 8).shape == (6, 8)
