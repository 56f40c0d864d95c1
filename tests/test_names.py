"""Names: whose a component is, whose options it gets, and which defaults a run begins with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import fusionkit
from fusionkit import OBJECTIVE, WEIGHTING, PluginError, UsageError, compose, load_plugins
from fusionkit.cli import main
from fusionkit.contract.options import specs
from fusionkit.recipes.finding import GIVEN, RECIPE_KINDS, Said, base_layers, task_recipe, tasks
from fusionkit.recipes.layers import merged
from fusionkit.recipes.settings import Settings

OTHER_DIG = """
from dataclasses import dataclass
from fusionkit import Component, hookimpl, option

@dataclass(frozen=True)
class Options:
    sharpness: float = option(1.0, "How sharp.")

class Half:
    uses_trajectory = False

    def start(self, run):
        weights = run.sources[:, :, :1] * 0 + 1 / len(run.sources)
        return lambda step: weights

@hookimpl
def fusionkit_weightings():
    return [Component("dig", "half and half", lambda options, context: Half(), Options)]
"""


@pytest.fixture
def other_dig(tmp_path: Path) -> str:
    """Another plugin that provides a weighting called ``dig``."""
    file = tmp_path / "own.py"
    file.write_text(OTHER_DIG)
    return str(file)


def replacement(tmp_path: Path, text: str = OTHER_DIG) -> str:
    """A file called as the first-party plugin ``dig`` is."""
    file = tmp_path / "dig.py"
    file.write_text(text)
    return str(file)


@pytest.fixture(autouse=True)
def _a_wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")  # help is not broken at hyphens


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def after(shown: str, flag: str) -> str:
    """What help says in brackets at the end of a flag's text."""
    found = re.search(rf"{re.escape(flag)} [^-].*?\(([^()]*)\)(?= --| options of| settings)", shown)
    assert found, flag
    return found[1]


# Names


@pytest.mark.parametrize("task", tasks())
def test_shipped_recipes_name_every_component_in_full(task: str) -> None:
    recipe, registry = task_recipe(task), load_plugins()
    for kind in RECIPE_KINDS:
        name = recipe[kind.group]["name"]
        assert registry.find(kind, name).qualified == name


def test_another_component_of_the_name_breaks_no_default(other_dig: str) -> None:
    registry = load_plugins(inline=[other_dig])
    recipe = merged(base_layers(), registry).recipe
    assert recipe["weighting"]["name"] == "dig:dig"
    assert compose(registry=registry, device="cpu").parts["weighting"].table["window"] == 9
    for name in ("dgi", "somebody:dig"):
        with pytest.raises(UsageError, match="Did you mean dig:dig or own:dig"):
            registry.find(WEIGHTING, name)
    with pytest.raises(UsageError, match="several plugins: say dig:dig or own:dig"):
        compose(weighting="dig", registry=registry, device="cpu")


def test_options_are_inherited_by_the_same_component_only(other_dig: str) -> None:
    registry = load_plugins(inline=[other_dig])
    own = compose(weighting="own:dig", registry=registry, device="cpu").parts["weighting"].table
    assert own == {"name": "own:dig", "sharpness": 1.0}
    same = compose(weighting={"name": "dig:dig", "scale": 2.0}, registry=registry, device="cpu")
    assert same.parts["weighting"].table["window"] == 9
    # By a bare name that means another than it used to.
    without = load_plugins(inline=[other_dig], disabled=["dig"])
    bare = compose(weighting="dig", registry=without, device="cpu").parts["weighting"].table
    assert bare == own


def test_messages_say_a_shared_name_in_full(
    other_dig: str, pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", *pair, "-o", str(tmp_path / "o.png"), "--plugin", other_dig]
    for more, expected in (
        (["--weighting.granularity", "image"], "give --weighting dig:dig"),
        (["--weighting.granularity", "image"], "but weighting own:dig is selected"),
        (["--weighting.sharpnes", "1"], "weighting own:dig has no option 'sharpnes'"),
    ):
        assert main([*run, "--weighting", "own:dig", *more]) == 2
        assert expected in capsys.readouterr().err
    assert main([*run, "--weighting", "nope"]) == 2
    said = capsys.readouterr().err
    assert "There are dig-residual, dig:dig, fixed, learned, own:dig, saliency." in said


def test_a_name_that_is_not_chosen_in_the_end_is_no_error(other_dig: str) -> None:
    registry = load_plugins(inline=[other_dig])
    for name in ("dig", "gone:away", "nobody"):
        layers = [{"weighting": {"name": name, "x": 1}}, {"weighting": "fixed"}]
        assert merged(layers, registry).recipe["weighting"] == {"name": "fixed:fixed"}


@pytest.mark.slow
def test_clashes_are_listed(other_dig: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_plugins().clashes() == []
    clashes = load_plugins(inline=[other_dig]).clashes()
    assert clashes == [(WEIGHTING, "dig", ("dig:dig", "own:dig"))]
    assert main(["doctor", "--quick", "--plugin", other_dig]) == 0
    shown = capsys.readouterr().out
    assert "note  weighting 'dig' is provided by several: say dig:dig or own:dig" in shown


def test_a_file_wins_over_an_installed_plugin_of_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = replacement(tmp_path)
    registry = load_plugins(inline=[file])
    assert registry.find(WEIGHTING, "dig:dig").plugin.origin == file
    assert registry.find(WEIGHTING, "dig").plugin.origin == file
    assert registry.plugin("dig").status == "loaded"
    assert [p.status for p in registry.plugins if p.name == "dig"] == ["loaded", "replaced"]
    # The same file twice is one plugin, two files of one name are none.
    assert load_plugins(inline=[file, file]).plugin("dig").origin == file
    (tmp_path / "elsewhere").mkdir()
    second = replacement(tmp_path / "elsewhere")
    with pytest.raises(fusionkit.PluginLoadError, match="rename one of the files"):
        load_plugins(inline=[file, second])
    # Switching the installed one off by name leaves the file, which was asked for.
    both = load_plugins(inline=[file], disabled=["dig"])
    assert both.find(WEIGHTING, "dig").plugin.origin == file

    # The default recipe sets options that the file's component lacks: it says whence they come.
    assert main(["run", "a.png", "b.png", "-o", "c.png", "--plugin", file]) == 2
    said = capsys.readouterr().err
    assert f"plugin dig, {file}" in said
    assert "has no option 'window' (which comes from task general). It has sharpness." in said


def test_plugins_finds_a_component(other_dig: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "gradients"]) == 0
    shown = capsys.readouterr().out
    assert "objectives  fusionkit-imaging" in shown
    assert "--objective.psi NUMBER" in shown
    assert "increments" not in shown
    assert main(["plugins", "own:dig", "--plugin", other_dig, "--json"]) == 0
    (plugin,) = json.loads(capsys.readouterr().out)
    assert (plugin["name"], [c["name"] for c in plugin["components"]]) == ("own", ["dig"])
    assert main(["plugins", "gardients"]) == 2
    assert "no plugin and no component is called 'gardients'. Did you mean gradients" in (
        capsys.readouterr().err
    )


# Optional members


def _typo(kind: str, **members: Any) -> type:
    return type("Mine", (), {"start": lambda self, run: None, **members})


@pytest.mark.parametrize(
    ("members", "near"),
    [
        ({"use_trajectory": False}, "uses_trajectory"),
        ({"uses_trajectories": False}, "uses_trajectory"),
        ({"usesTrajectory": False}, "uses_trajectory"),
        ({"source": 2}, "sources"),
        ({"weighs_with": "gain", "weight_by": "gain"}, "weighs_by"),
    ],
)
def test_a_mistyped_optional_member_is_refused(members: dict[str, Any], near: str) -> None:
    made = _typo("weighting", **members)()
    with pytest.raises(UsageError, match=f"weighting: its Mine has .* Did you mean {near}"):
        compose(weighting=made, estimator="gaussian", device="cpu")
    provided = fusionkit.Provided(
        WEIGHTING,
        fusionkit.Component("mine", "a toy", lambda options, context: made),
        fusionkit.PluginInfo("mine", "loaded", "mine.py"),
    )
    with pytest.raises(PluginError, match=f"plugin mine, mine.py.* Did you mean {near}"):
        provided.build(fusionkit.NoOptions(), fusionkit.BuildContext())


def test_names_that_only_look_like_optional_members_are_left_alone() -> None:
    import torch

    registry = load_plugins()
    for provided in registry.all():
        if not isinstance(provided.component, fusionkit.Component):  # recipes, readers, commands
            continue
        try:
            built = provided.build(provided.make_options({}), fusionkit.BuildContext())
        except UsageError:  # needs a file
            continue
        assert provided.kind.misspelt(built) == ""

    class Network(torch.nn.Module):  # inherits ``compile``, which is almost ``compiled``
        channels, multiple_of = 1, 1

        def __init__(self) -> None:
            super().__init__()
            self.compile_mode, self._flop = "default", 3

    assert fusionkit.ESTIMATOR.misspelt(Network()) == ""
    both = _typo("objective", sources=2, source="infrared")()  # its author knows the member
    assert OBJECTIVE.misspelt(both) == ""


# One source of defaults


@pytest.mark.slow
@pytest.mark.parametrize("task", [None, "multi-focus"])
def test_help_shows_what_the_command_line_would_use(
    task: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = help_of(capsys, "run", *(["--task", task] if task else []))
    name = task or "general"
    recipe = compose(task=task, device="cpu").as_recipe()
    own, registry = task_recipe(name), load_plugins()
    assert after(shown, "--steps INT") == f"4, from task {name}"
    for kind in (WEIGHTING, OBJECTIVE):
        used = recipe[kind.group]
        assert after(shown, f"--{kind.group} NAME") == f"{used['name']}, from task {name}"
        said = []
        for spec in specs(registry.find(kind, used["name"]).component.options):
            value = spec.as_text(spec.check(used[spec.name]))
            here = f"{value}, from task {name}" if spec.name in own[kind.group] else None
            said.append(here is not None)
            flag = f"--{kind.group}.{spec.name} {spec.kind}"
            assert after(shown, flag) == (here or f"default: {value}")
        assert True in said
        assert False in said
    assert after(shown, "--sampler.eta NUMBER") == "default: 0.0"


def test_help_says_where_a_value_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('steps = 7\n[weighting]\nscale = 2\n[objective]\nname = "mse"\n')
    flags = ["--recipe", str(recipe), "--weighting.window", "3", "--range", "1:0,9"]
    shown = help_of(capsys, "run", *flags)
    assert after(shown, "--steps INT") == "7, from recipe mine.toml"
    assert after(shown, "--weighting.scale NUMBER") == "2.0, from recipe mine.toml"
    assert after(shown, "--weighting.window INT") == "3, as given"
    assert after(shown, "--range K:LO,HI") == "1:0,9, as given"
    assert after(shown, "--weighting.consistency INT") == "21, from task general"
    assert after(shown, "--objective NAME") == "objectives:mse, from recipe mine.toml"
    assert after(shown, "--objective.strength NUMBER") == "default: 0.0"
    record = tmp_path / "fused.png.json"
    record.write_text(json.dumps({"recipe": {"steps": 9, "weighting": {"name": "fixed:fixed"}}}))
    shown = help_of(capsys, "run", "--recipe", str(record), "--weighting.weights", "1,2")
    assert after(shown, "--steps INT") == "9, from record fused.png.json"
    assert after(shown, "--weighting NAME") == "fixed:fixed, from record fused.png.json"
    assert after(shown, "--weighting.weights NUMBER[,NUMBER...]") == "1.0,2.0, as given"


def test_origins_follow_the_component_that_is_chosen() -> None:
    registry = load_plugins()
    layers = [*base_layers("multi-focus"), Said({"weighting": "saliency", "init": "noise"}, GIVEN)]
    origins = merged(layers, registry).origins
    assert origins["weighting"] is origins["init"] is GIVEN
    assert not [flag for flag in origins if flag.startswith("weighting.")]
    assert origins["objective.psi"].text == "from task multi-focus"
    again = merged([*layers, {"weighting": {"window": 7}}], registry)
    assert again.recipe["weighting"] == {"name": "saliency:saliency", "window": 7}


def test_a_recipe_says_its_options_of_a_component_that_lacks_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[weighting]\nname = "dig"\nwindwo = 5\n')
    assert main(["run", "a.png", "b.png", "-o", "c.png", "--recipe", str(recipe)]) == 2
    said = capsys.readouterr().err
    assert "has no option 'windwo' (which comes from recipe mine.toml)" in said
    assert "Did you mean window?" in said


# Options that are yes or no


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--metadata"], ["--metadata=yes"]),
        (["--no-metadata", "a.png"], ["--metadata=no", "a.png"]),
        (["--metadata", "a.png"], ["--metadata=yes", "a.png"]),
        (["--metadata", "no"], ["--metadata", "no"]),
        (["--metadata", "yes,no"], ["--metadata", "yes,no"]),
        (["--metadata=off"], ["--metadata=off"]),
        (["--stretch"], ["--stretch=yes"]),
        (["--stretch", "a.png"], ["--stretch=yes", "a.png"]),
        (["--stretch", "1,2"], ["--stretch", "1,2"]),
        (["--stretch", "1", "--no-stretch"], ["--stretch", "1", "--stretch=no"]),
        (["--weighting.dynamic"], ["--weighting.dynamic=yes"]),
        (["--no-weighting.dynamic"], ["--weighting.dynamic=no"]),
        (["--no-plugin", "dig"], ["--no-plugin", "dig"]),
        (["--steps", "3"], ["--steps", "3"]),
    ],
)
def test_every_switch_is_given_alike(words: list[str], expected: list[str]) -> None:
    from fusionkit.cli.arguments import spelled_out

    dig = load_plugins().find(WEIGHTING, "dig:dig").component.options
    known = {f"--{spec.name}": spec for spec in specs(Settings)}
    known |= {f"--weighting.{spec.name}": spec for spec in specs(dig)}
    switches = {flag: spec for flag, spec in known.items() if spec.is_switch}
    assert spelled_out(words, switches) == expected


@pytest.mark.parametrize(
    ("flags", "metadata", "dynamic"),
    [
        (["--metadata", "--weighting.dynamic"], True, True),
        (["--metadata", "yes", "--weighting.dynamic", "on"], True, True),
        (["--no-metadata", "--no-weighting.dynamic"], False, False),
        (["--metadata=no", "--weighting.dynamic=no"], False, False),
    ],
)
def test_switches_of_settings_and_components(
    flags: list[str], metadata: bool, dynamic: bool
) -> None:
    from fusionkit.cli.selection import select

    recipe = select(["a.png", "b.png", *flags], "fusionkit run").recipe
    assert (recipe["metadata"], recipe["weighting"]["dynamic"]) == (metadata, dynamic)


def test_a_switch_takes_yes_or_no(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "a.png", "b.png", "-o", "c.png", "--metadata=maybe"]) == 2
    assert "--metadata: expects yes or no, not 'maybe'" in capsys.readouterr().err
    assert main(["run", "a.png", "b.png", "-o", "c.png", "--stretch=maybe"]) == 2
    assert "--stretch: expects yes, no, or whole numbers, not 'maybe'" in capsys.readouterr().err
