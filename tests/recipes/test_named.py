"""Recipes by name: ours and plugins', listed, printed, selected, measured by their metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusionkit
from fusionkit import UsageError, load_plugins
from fusionkit.cli import main
from fusionkit.recipes.finding import base_layers
from fusionkit.recipes.layers import merged

PLUGIN = '''
from pathlib import Path

from fusionkit import Component, Recipe, hookimpl

TEXT = """
metrics = ["sd", "ag"]
chroma = "none"
estimator = "diffusion:gaussian"

[weighting]
name = "fixed:fixed"
weights = [0.75, 0.25]

[objective]
name = "objectives:mse"
"""

@hookimpl
def fusionkit_weightings():  # of a name that another plugin has, too
    yield Component("dig", "not that one", lambda options, context: None)

@hookimpl
def fusionkit_recipes():
    yield Recipe("own", "a component of its own", 'weighting = "dig"')
    yield Recipe("three-to-one", "three parts of the first", TEXT)
    yield Recipe("medical", "of a name that is taken", TEXT)
    yield Recipe("in-a-file", "kept beside the plugin", Path(__file__).with_name("kept.toml"))
    yield Recipe("absent", "its file is not there", Path(__file__).with_name("absent.toml"))
    yield Recipe("broken", "no TOML", "steps = = 3")
    yield Recipe("mistyped", "an unknown key", "stesp = 3")
    yield Recipe("unmeasured", "no metrics", "metrics = 3")
'''


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    (tmp_path / "kept.toml").write_text('metrics = "multi-focus"\nsteps = 7\n')
    return str(path)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), dtype=int)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_ours_are_listed_with_their_provider(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = [line.split(None, 2) for line in capsys.readouterr().out.splitlines()]
    assert [name for name, of, _ in lines if of == "tasks"] == list(fusionkit.tasks())
    methods = [name for name, of, _ in lines if of == "published"]
    assert methods == ["ccf", "ddfm", "dig2dig", "dig2dig-scaled"]
    assert {provider for _, provider, _ in lines} == {"published", "tasks"}
    assert all(len(summary) > 20 and "#" not in summary for _, _, summary in lines)


def test_a_name_that_two_provide_is_listed_in_full(
    plugin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", "--plugin", plugin]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"mine:medical", "tasks:medical", "three-to-one", "general"} <= set(names)


@pytest.mark.parametrize("task", fusionkit.tasks())
def test_one_of_ours_printed_is_a_recipe_file_of_the_same_meaning(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", task]) == 0
    file = tmp_path / "printed.toml"
    file.write_text(capsys.readouterr().out)
    registry = load_plugins()
    by_file, by_name, by_recipe = (
        merged(base_layers(registry=registry, **how), registry)
        for how in ({"recipe": file}, {"task": task}, {"recipe": f"tasks:{task}"})
    )
    assert by_file.recipe == by_name.recipe == by_recipe.recipe
    assert by_file.metrics == by_name.metrics == ("" if task == "general" else task)


def test_a_plugins_recipe_is_selected_by_task_and_by_recipe(
    plugin: str, pair: tuple[str, str], tmp_path: Path
) -> None:
    left, right = (read(Path(path)) for path in pair)
    for flag in ("--task", "--recipe"):
        for name in ("three-to-one", "mine:three-to-one"):
            out = tmp_path / f"{flag}-{name.partition(':')[0]}.png"
            asked = ["run", *pair, "-o", str(out), "--quiet", "--plugin", plugin, flag, name]
            assert main(asked) == 0
            assert np.abs(read(out) - (0.75 * left + 0.25 * right)).max() <= 1
            record = json.loads(Path(f"{out}.json").read_text())
            assert record["recipe"]["weighting"]["name"] == "fixed:fixed"
            assert record["recipe"]["chroma"] == "none"
            assert record["metrics"] == ["sd", "ag"]


def test_a_bare_name_is_a_component_of_its_own_plugin(plugin: str) -> None:
    registry = load_plugins(inline=[plugin])
    found = merged(base_layers("own", registry=registry), registry).recipe
    assert found["weighting"] == {"name": "mine:dig"}
    assert found["objective"] == merged(base_layers(), registry).recipe["objective"]


def test_what_a_recipe_leaves_out_is_the_default_tasks(plugin: str) -> None:
    registry = load_plugins(inline=[plugin])
    default = merged(base_layers(), registry)
    found = merged(base_layers("in-a-file", registry=registry), registry)
    assert found.recipe == {**default.recipe, "steps": 7}
    assert found.metrics == "multi-focus"
    assert found.origins["steps"].text == "from recipe mine:in-a-file"
    assert found.origins["weighting"].text == "from task general"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("medical", "is provided by several plugins: say mine:medical or tasks:medical"),
        ("medicla", "unknown recipe 'medicla'. Did you mean"),
        ("mine:nothing", "unknown recipe 'mine:nothing'"),
        ("absent", "recipe absent (plugin mine, "),
        ("broken", "is not valid: "),
        ("mistyped", "unknown key 'stesp'. Did you mean steps"),
        ("unmeasured", "metrics is a preset, or a list of metrics, not 3"),
    ],
)
@pytest.mark.parametrize("flag", ["--task", "--recipe"])
def test_what_is_no_recipe_is_one_line(
    plugin: str,
    pair: tuple[str, str],
    flag: str,
    name: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = fails(capsys, "run", *pair, "-o", "x.png", "--plugin", plugin, flag, name)
    assert expected in said


def test_ours_can_be_disabled_but_for_the_default() -> None:
    registry = load_plugins(disabled=["tasks"])
    with pytest.raises(UsageError, match=r"Plugin tasks .* is disabled"):
        base_layers("medical", registry=registry)
    assert merged(base_layers(registry=registry), registry).recipe["weighting"]["name"] == "dig:dig"


def test_a_recipe_of_a_taken_name_gets_in_nobodys_way(plugin: str) -> None:
    registry = load_plugins(inline=[plugin])
    ours = merged(base_layers("tasks:medical", registry=registry), registry).recipe
    assert ours == merged(base_layers("medical"), registry).recipe
    assert ours["weighting"]["name"] == "dig:dig"


def test_python_takes_names_too(plugin: str) -> None:
    registry = load_plugins(inline=[plugin])
    for how in ({"task": "three-to-one"}, {"recipe": "mine:three-to-one"}):
        pipeline = fusionkit.compose(device="cpu", registry=registry, **how)
        assert pipeline.parts["weighting"].built.weights == (0.75, 0.25)
    with pytest.raises(UsageError, match="unknown recipe 'three-to-on'"):
        fusionkit.compose(device="cpu", registry=registry, recipe="three-to-on")


def test_a_file_of_the_current_folder_needs_no_extension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("steps = 3")
    monkeypatch.chdir(tmp_path)
    assert base_layers(recipe="mine")[1] == {"steps": 3}


# What results are measured by

LIGHT = ("--estimator", "gaussian", "--weighting", "fixed", "--objective", "mse")


def test_evaluate_measures_what_the_recipe_of_the_results_names(
    plugin: str, pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(out: Path, *flags: str) -> tuple[list[str], str]:
        capsys.readouterr()
        asked = ["evaluate", str(out), "--sources", *pair, "--json", *flags]
        assert main(asked) in (0, 1)  # of so small an image, VIF is not defined
        shown = capsys.readouterr()
        return sorted(json.loads(shown.out)["metrics"]), shown.err

    focus, mine, plain = (tmp_path / f"{name}.png" for name in ("focus", "mine", "plain"))
    run = ["run", *pair, "--quiet", *LIGHT]
    assert main([*run, "-o", str(focus), "--task", "multi-focus"]) == 0
    assert main([*run, "-o", str(mine), "--task", "three-to-one", "--plugin", plugin]) == 0
    assert main([*run, "-o", str(plain)]) == 0
    names, said = measured(focus)
    assert names == sorted(("qabf", "vif", "ssim", "qw", "qcv", "mi"))
    assert "measuring preset multi-focus, which the recipe names" in said
    names, said = measured(mine)
    assert names == ["ag", "sd"]
    assert "measuring sd, ag, which the recipe names" in said
    default, said = measured(plain)
    assert "scd" in default
    assert "names" not in said
    # Who asks is answered, and results of two recipes are measured by neither's.
    assert measured(focus, "--metric", "en") == (["en"], "")
    assert "names" not in measured(focus, "--preset", "medical")[1]
    names, said = measured(mine, "--metric", "+en")
    assert names == ["ag", "en", "sd"]
    assert "measuring sd, ag, which the recipe names" in said
    names, said = measured(focus, "--method", f"other={mine}")
    assert names == default
    assert "names" not in said


def test_recipes_are_an_axis_of_a_study(
    plugin: str, pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, role in zip(pair, ("a", "b"), strict=True):
        (tmp_path / role).mkdir()
        Path(path).rename(tmp_path / role / "one.png")
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    study = ["ablate", *folders, "-o", str(tmp_path / "study"), "--baseline", "none"]
    tasks = ["--task", "three-to-one,mine:in-a-file", "--plugin", plugin, "--estimator", "gaussian"]
    assert main([*study, *tasks, "--weighting.window", "3,5", "--metric", "sd"]) == 0
    labels = {
        cell["label"]
        for cell in json.loads((tmp_path / "study" / "study.json").read_text())["cells"]
    }
    windows = {f"mine:in-a-file, gaussian, window {side}" for side in (3, 5)}
    assert labels == {"three-to-one, gaussian", *windows}
    assert "in more than the axes" not in capsys.readouterr().out
    one = ["ablate", *folders, "-o", str(tmp_path / "one"), "--baseline", "none"]
    assert main([*one, "--recipe", "mine:three-to-one", "--plugin", plugin]) == 0
    assert "measuring sd, ag, which the recipe names" in capsys.readouterr().err
    assert json.loads((tmp_path / "one" / "study.json").read_text())["metrics"] == ["sd", "ag"]


def test_what_to_cite_is_printed_for_recipes_that_say_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, key in (("ddfm", "zhao2023ddfm"), ("ccf", "cao2024ccf"), ("dig2dig", "2503.18627")):
        assert main(["recipes", name, "--bibtex"]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith("@")
        assert key in printed
        assert printed.count("{") == printed.count("}")
        assert main(["recipes", name]) == 0
        assert "arXiv" in capsys.readouterr().out.partition("steps =")[0]
    assert "names nothing to cite" in fails(capsys, "recipes", "general", "--bibtex")
    assert "--bibtex goes with the NAME" in fails(capsys, "recipes", "--bibtex")
