"""Options that name files: found again from another folder, and by their hash."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fusionkit import UsageError, compose, load_plugins, option
from fusionkit.cli import main
from fusionkit.contract.options import from_mapping, specs, to_mapping

PLUGIN = """
from dataclasses import dataclass
from pathlib import Path
from fusionkit import Component, hookimpl, option

@dataclass(frozen=True)
class Options:
    shares: Path | None = option(None, "A file with the weight of the first source.")
    more: tuple[Path, ...] = option((), "Files that are not read.")

class Shares:
    uses_trajectory = False
    levels = "none"

    def __init__(self, first):
        self.first = first

    def start(self, run):
        weights = run.sources[:, :, :1] * 0 + (1 - self.first) / (len(run.sources) - 1)
        weights[0] = self.first
        return lambda step: weights

def build(options, context):
    return Shares(float(options.shares.read_text()) if options.shares else 0.5)

@hookimpl
def fusionkit_weightings():
    return [Component("shares", "of a file", build, Options)]
"""


@dataclass(frozen=True)
class Paths:
    one: Path | None = option(None, "A file.")
    many: tuple[Path, ...] = option((), "Files.")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders, of which the first holds images, a plugin, weights and a recipe."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    here = tmp_path / "here"
    generator = np.random.default_rng(1)
    for name in ("a.png", "b.png"):
        Image.fromarray(generator.integers(0, 256, (40, 44), np.uint8)).save(here / name)
    (here / "own.py").write_text(PLUGIN)
    (here / "shares.txt").write_text("0.8")
    (here / "mine.toml").write_text('[weighting]\nname = "own:shares"\nshares = "shares.txt"\n')
    monkeypatch.chdir(here)
    return here


def run(output: str, *flags: str, sources: Path = Path(), plugin: Path = Path("own.py")) -> int:
    images = [str(sources / "a.png"), str(sources / "b.png")]
    return main(["run", *images, "-o", output, "--plugin", str(plugin), "--quiet", *flags])


def table_of(output: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(f"{output}.json").read_text())["recipe"]["weighting"]
    return table


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# The type


def test_a_path_is_absolute_whatever_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    one, many = specs(Paths)
    assert (one.type, one.kind, many.kind) == (Path, "PATH", "PATH[,PATH...]")
    assert one.parse("w.bin") == tmp_path / "w.bin"
    assert one.parse("a/../w.bin") == tmp_path / "w.bin"
    assert one.parse("~/w.bin") == tmp_path / "home" / "w.bin"
    assert (
        one.check(Path("w.bin"))
        == one.check({"path": "w.bin", "sha256": "00"})
        == (tmp_path / "w.bin")
    )
    assert one.parse("none") is one.parse("") is one.check("") is one.check(None) is None
    assert one.parse("./none") == tmp_path / "none"
    assert one.as_text(None) == "none"
    assert many.parse("a,b") == (tmp_path / "a", tmp_path / "b")
    for wrong in (3, True, ["a"], {"path": 3}, {"file": "a"}, {"path": "a", "x": 1}, "a\0b"):
        with pytest.raises(ValueError, match="expects a path, not"):
            one.check(wrong)
    with pytest.raises(UsageError, match="toy: one expects a path, not 3"):
        from_mapping(Paths, {"one": 3}, "toy")


def test_paths_survive_toml_and_json(tmp_path: Path) -> None:
    assert to_mapping(Paths()) == {"one": "", "many": []}
    paths = Paths(tmp_path / "a", (tmp_path / "b",))
    assert from_mapping(Paths, json.loads(json.dumps(to_mapping(paths))), "toy") == paths


def test_a_path_may_be_left_out() -> None:
    @dataclass(frozen=True)
    class Bare:
        one: Path = option(Path("weights"), "A file.")

    @dataclass(frozen=True)
    class Set:
        one: Path | None = option(Path("weights"), "A file.")

    with pytest.raises(TypeError, match=r"write Path \| None"):
        specs(Bare)
    with pytest.raises(TypeError, match="write its default as"):  # not the same everywhere
        specs(Set)


# Runs


def test_a_record_finds_its_file_from_another_folder(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("first.png", "--weighting", "own:shares", "--weighting.shares", "shares.txt") == 0
    assert table_of(desk / "first.png")["shares"] == {
        "path": str(desk / "shares.txt"),
        "sha256": hash_of("0.8"),
    }
    assert table_of(desk / "first.png")["more"] == []
    elsewhere = desk.parent / "elsewhere"
    monkeypatch.chdir(elsewhere)
    record = ("--recipe", str(desk / "first.png.json"))
    assert run("again.png", *record, sources=desk, plugin=desk / "own.py") == 0
    assert (elsewhere / "again.png").read_bytes() == (desk / "first.png").read_bytes()
    assert table_of(elsewhere / "again.png") == table_of(desk / "first.png")


def test_a_recipe_names_files_beside_it(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = desk.parent / "elsewhere"
    monkeypatch.chdir(elsewhere)
    (elsewhere / "shares.txt").write_text("0.1")  # is not meant
    recipe = ("--recipe", str(desk / "mine.toml"))
    assert run("out.png", *recipe, sources=desk, plugin=desk / "own.py") == 0
    assert table_of(elsewhere / "out.png")["shares"]["path"] == str(desk / "shares.txt")
    # What flags and Python say is relative to where one is.
    flags = (*recipe, "--weighting.shares", "shares.txt")
    assert run("own.png", *flags, sources=desk, plugin=desk / "own.py") == 0
    assert table_of(elsewhere / "own.png")["shares"]["sha256"] == hash_of("0.1")
    registry = load_plugins(inline=[str(desk / "own.py")])
    how: dict[str, Any] = {"estimator": "gaussian", "registry": registry, "device": "cpu"}
    read = compose(recipe=desk / "mine.toml", **how).parts["weighting"]
    assert read.built.first == 0.8
    said = compose(weighting={"name": "own:shares", "shares": Path("shares.txt")}, **how)
    assert said.parts["weighting"].built.first == 0.1
    # A recipe over another, and lists.
    (desk / "more.toml").write_text(
        '[weighting]\nname = "shares"\nmore = ["shares.txt", "~/x", "/y"]\n'
    )
    with pytest.raises(UsageError, match=r"weighting shares: more: .*: there is no such file"):
        compose(recipe=desk / "more.toml", **how)


def test_a_file_that_has_changed_is_refused(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("first.png", "--recipe", "mine.toml") == 0
    (desk / "shares.txt").write_text("0.7")
    assert run("again.png", "--recipe", "first.png.json") == 2
    said = capsys.readouterr().err
    assert f"weighting shares: shares: {desk / 'shares.txt'}: its SHA-256 is" in said
    assert f"not {hash_of('0.8')}" in said
    assert "give --weighting.shares PATH to use it all the same" in said
    assert not (desk / "again.png").exists()
    flags = ("--recipe", "first.png.json", "--weighting.shares", "shares.txt")
    assert run("again.png", *flags) == 0
    assert table_of(desk / "again.png")["shares"]["sha256"] == hash_of("0.7")
    (desk / "shares.txt").write_text("0.8")  # of the same size, a moment later
    assert run("third.png", "--recipe", "first.png.json") == 0
    (desk / "shares.txt").unlink()
    assert run("gone.png", "--recipe", "first.png.json") == 2
    assert "weighting shares: shares: " in (said := capsys.readouterr().err)
    assert "there is no such file" in said


def test_a_folder_has_a_hash_too(desk: Path) -> None:
    folder = desk / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "weights.bin").write_bytes(b"1")
    registry = load_plugins(inline=["own.py"])
    how: dict[str, Any] = {"estimator": "gaussian", "registry": registry, "device": "cpu"}
    first = compose(weighting={"name": "own:shares", "more": ["model"]}, **how).as_recipe()
    (entry,) = first["weighting"]["more"]
    assert entry["path"] == str(folder)
    assert compose(recipe=first, registry=registry).as_recipe() == first
    shutil.copytree(folder, desk / "copy")
    moved = {"name": "own:shares", "more": [{**entry, "path": "copy"}]}
    compose(weighting=moved, **how)
    (folder / "config.json").write_text("[]")
    with pytest.raises(UsageError, match=r"weighting shares: more: .*model: its SHA-256"):
        compose(recipe=first, registry=registry)


def test_a_component_is_built_anew_when_its_file_is(desk: Path) -> None:
    registry, built = load_plugins(inline=["own.py"]), {}
    how: dict[str, Any] = {"estimator": "gaussian", "registry": registry, "device": "cpu"}
    table = {"name": "own:shares", "shares": "shares.txt"}
    first, same = (compose(weighting=table, built=built, **how) for _ in range(2))
    assert first.parts["weighting"] is same.parts["weighting"]
    (desk / "shares.txt").write_text("0.25")
    assert compose(weighting=table, built=built, **how).parts["weighting"].built.first == 0.25


def test_help_and_listing_show_paths(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--plugin", "own.py", "--recipe", "mine.toml", "--help"])
    shown = capsys.readouterr().out
    assert "--weighting.shares PATH" in shown
    assert str(desk / "shares.txt") in "".join(shown.split()).replace("\n", "")
    assert main(["plugins", "shares", "--plugin", "own.py", "--json"]) == 0
    (plugin,) = json.loads(capsys.readouterr().out)
    one, many = plugin["components"][0]["options"]
    assert (one["type"], one["default"]) == ("Path", None)
    assert (many["type"], many["default"]) == ("list of Path", [])


def test_the_priors_take_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusionkit_diffusion import COMPACT

    shutil.copy(COMPACT, tmp_path / "mine.safetensors")
    (tmp_path / "r.toml").write_text(
        '[estimator]\nname = "compact"\ncheckpoint = "mine.safetensors"\n'
    )
    monkeypatch.chdir("/")
    pipeline = compose(recipe=tmp_path / "r.toml", device="cpu")
    table = pipeline.as_recipe()["estimator"]
    assert table["checkpoint"]["path"] == str(tmp_path / "mine.safetensors")
    assert table["checkpoint"]["sha256"] == pipeline.parts["estimator"].built.weights_sha256
