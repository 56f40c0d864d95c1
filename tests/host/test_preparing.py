"""Preparations in a run: their order, their say in the record, and recipes that ask for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fusionkit
from fusionkit import FusionkitWarning, PluginError, Registry, UsageError, load_plugins
from fusionkit.cli import main

PLUGIN = """
from dataclasses import dataclass, replace
import numpy as np
import fusionkit
from fusionkit import BasePreparation, Component, Prepared, hookimpl, option


@dataclass(frozen=True)
class GainOptions:
    gain: float = option(1.0, "By what values are multiplied.", above=0)
    only: int = option(0, "The source that it concerns, from 1; 0 for all.", minimum=0)


class Gain(BasePreparation):
    stage = "radiometry"

    def __init__(self, options):
        self.options = options

    def prepare(self, sources, prior):
        planes = sources.planes.copy()
        some = slice(None) if not self.options.only else self.options.only - 1
        planes[some] *= self.options.gain
        note = f"{sources.names[0]}: multiplied by {self.options.gain:g}"
        record = {"mean": round(float(planes.mean()), 4)}
        return Prepared(replace(sources, planes=planes), record, [note])


class Shift(BasePreparation):
    stage = "geometry"

    def prepare(self, sources, prior):
        planes = np.roll(sources.planes, 1, -1)
        shown = np.ones((len(planes), *planes.shape[2:]), bool)
        shown[:, :, 0] = False
        record = {"mean": round(float(planes.mean()), 4)}
        return Prepared(replace(sources, planes=planes, shown=shown), record)


class Late(Gain):
    stage = "someday"


class Failing(Gain):
    def prepare(self, sources, prior):
        raise KeyError("gain")


@hookimpl
def fusionkit_preparations():
    return [
        Component("gain", "more light", lambda o, c: Gain(o), GainOptions),
        Component("a-shift", "by one pixel", lambda o, c: Shift()),
        Component("late", "never", lambda o, c: Late(o), GainOptions),
        Component("failing", "fails", lambda o, c: Failing(o), GainOptions),
        Component("output", "called as a flag", lambda o, c: Gain(o), GainOptions),
    ]


@hookimpl
def fusionkit_recipes():
    text = "weighting = 'saliency:saliency'\\n[preparations.gain]\\ngain = 0.5\\n"
    return [fusionkit.Recipe("darker", "half the light", text)]
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("plugin") / "prep.py"
    file.write_text(PLUGIN)
    return str(file)


@pytest.fixture(scope="module")
def registry(plugin: str) -> Registry:
    return load_plugins(inline=[plugin])


@pytest.fixture
def pair() -> list[Any]:
    rows, columns = np.mgrid[:40, :48]
    first = (100 + 60 * np.sin(columns / 5)).astype(np.uint8)
    return [first, (100 + 60 * np.cos(rows / 5)).astype(np.uint8)]


QUICK: dict[str, Any] = {"weighting": "saliency", "estimator": "gaussian"}


def fused(pair: list[Any], registry: Registry, **how: Any) -> fusionkit.Result:
    return fusionkit.fuse(pair, registry=registry, **QUICK, **how)


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
def test_what_is_prepared_is_fused(pair: list[Any], registry: Registry) -> None:
    plain = fused(pair, registry)
    dark = fused(pair, registry, recipe={"preparations": {"gain": 0.5}})
    assert np.abs(dark.image.astype(float) - plain.image / 2).max() < 4
    mean = np.mean([image.mean() for image in pair]) / 255
    assert dark.record["preparations"]["gain"]["mean"] == pytest.approx(mean / 2, abs=1e-3)
    assert dark.record["recipe"]["preparations"] == {
        "gain": {"name": "prep:gain", "gain": 0.5, "only": 0}
    }
    assert dark.record["components"]["gain"]["plugin"] == "prep"


def test_notes_are_told_and_recorded(pair: list[Any], registry: Registry) -> None:
    with pytest.warns(FusionkitWarning, match="source 1: multiplied by 0.5"):
        result = fused(pair, registry, recipe={"preparations": {"gain": {"gain": 0.5}}})
    assert result.record["warnings"] == ["source 1: multiplied by 0.5"]


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
def test_they_are_made_by_stage(pair: list[Any], registry: Registry) -> None:
    both = {"gain": {"only": 2, "gain": 0.5}, "a-shift": True}
    pipeline = fusionkit.compose(registry=registry, recipe={"preparations": both}, **QUICK)
    assert list(pipeline.preparations) == ["a-shift", "gain"]
    record = fusionkit.fuse(pair, pipeline=pipeline).record["preparations"]
    assert record["a-shift"]["mean"] > 1.2 * record["gain"]["mean"]


def test_what_they_do_not_show_is_hidden(pair: list[Any], registry: Registry) -> None:
    result = fused(pair, registry, recipe={"preparations": {"a-shift": True}})
    assert result.image.shape == (40, 48, 2)  # no source shows the first column: transparent
    assert (result.image[:, 0, 1] == 0).all()
    assert (result.image[:, 1:, 1] == 255).all()


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
def test_a_record_prepares_again(pair: list[Any], registry: Registry, tmp_path: Path) -> None:
    first = fused(
        pair, registry, recipe={"preparations": {"gain": 0.7, "noise": {"levels": ["2:10"]}}}
    )
    (tmp_path / "record.json").write_text(json.dumps(first.record))
    again = fusionkit.fuse(pair, registry=registry, recipe=tmp_path / "record.json")
    assert np.array_equal(first.image, again.image)
    assert again.record["preparations"] == first.record["preparations"]


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
def test_later_layers_change_and_leave_out(registry: Registry) -> None:
    def tables(**how: Any) -> dict[str, Any]:
        recipe = fusionkit.compose(registry=registry, recipe="darker", **how).as_recipe()
        return recipe.get("preparations", {})

    assert tables()["gain"] == {"name": "prep:gain", "gain": 0.5, "only": 0}
    assert tables(gain={"only": 1})["gain"] == {"name": "prep:gain", "gain": 0.5, "only": 1}
    assert set(tables(noise="auto")) == {"gain", "noise"}
    assert tables(gain=False) == {}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"gian": 0.5}, "unknown preparation 'gian'. Did you mean gain"),
        ({"gain": {"gian": 0.5}}, "preparation gain has no option 'gian'. Did you mean gain"),
        ({"gain": "much"}, "preparation gain: gain expects a number"),
        ({"a-shift": 3}, "preparation a-shift has no options"),
        ("gain", "preparations is a table"),
    ],
)
def test_what_is_wrong_is_said(said: Any, words: str, registry: Registry) -> None:
    with pytest.raises(UsageError, match=words):
        fusionkit.compose(registry=registry, recipe={"preparations": said}, **QUICK)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("late", "preparation late .*: its stage is one of geometry, .*, not 'someday'"),
        ("failing", "preparation failing .* failed: KeyError: 'gain'"),
    ],
)
def test_plugins_are_blamed(name: str, words: str, pair: list[Any], registry: Registry) -> None:
    with pytest.raises(PluginError, match=words):
        fused(pair, registry, recipe={"preparations": {name: True}})


# At the command line


@pytest.fixture
def files(pair: list[Any], tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / f"{k}.png") for k in (1, 2)]
    for path, image in zip(paths, pair, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.fixture
def run(files: list[str], plugin: str, tmp_path: Path) -> Callable[..., Any]:
    def run(*words: str) -> Any:
        output = tmp_path / f"out{len(list(tmp_path.iterdir()))}.png"
        more = ["--plugin", plugin, "--weighting", "saliency", "--estimator", "gaussian", *words]
        assert main(["run", *files, "-o", str(output), *more]) == 0
        record = json.loads(Path(f"{output}.json").read_text())
        return np.asarray(Image.open(output)).astype(float), record

    return run


def test_a_flag_switches_one_on(run: Callable[..., Any]) -> None:
    plain, none = run()
    dark, record = run("--gain", "0.5", "--gain.only", "2")
    assert "preparations" not in none["recipe"]
    assert record["recipe"]["preparations"]["gain"] == {
        "name": "prep:gain",
        "gain": 0.5,
        "only": 2,
    }
    assert dark.mean() < plain.mean() - 5
    bare, _ = run("--a-shift")
    assert bare.shape == (40, 48, 2)


def test_a_flag_leaves_one_out(run: Callable[..., Any]) -> None:
    _, record = run("--recipe", "darker")
    assert set(record["preparations"]) == {"gain"}
    _, record = run("--recipe", "darker", "--no-gain")
    assert record["preparations"] == {}


def test_flags_add_up(run: Callable[..., Any]) -> None:
    _, record = run("--noise", "1:5", "--noise", "2:10")
    assert record["recipe"]["preparations"]["noise"]["levels"] == ["1:5", "2:10"]
    assert record["preparations"]["noise"] == {"taken_off": [5, 10], "of": 255}


def test_help_shows_what_a_command_line_would_use(
    plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--plugin", plugin, "--recipe", "darker", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "By what values are multiplied. (0.5, from recipe prep:darker)" in shown
    assert "called as a flag" not in shown  # --output is the command's own


def test_a_wrong_flag_is_refused(
    files: list[str], plugin: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", *files, "-o", str(tmp_path / "o.png"), "--plugin", plugin]
    for words, said in (
        (["--noise", "x"], "--noise x: expected auto, or K:SIGMA"),
        (["--noise", "1:2,1:3"], "source 1 is given twice"),
        (["--gain", "x"], "expects a number"),
    ):
        assert main([*command, *words]) == 2
        assert said in capsys.readouterr().err


def test_a_flag_of_the_command_stays_its_own(files: list[str], plugin: str, tmp_path: Path) -> None:
    output = tmp_path / "o.png"
    command = ["run", *files, "--plugin", plugin, "--estimator", "gaussian", "--quiet"]
    assert main([*command, "--output", str(output)]) == 0
    record = json.loads(Path(f"{output}.json").read_text())
    assert record["preparations"] == {}
