"""``fusionkit.study``: what the command does, from Python, of names, tables and objects."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusionkit
from fusionkit import FusionkitWarning, UsageError, study
from fusionkit.cli import main
from fusionkit.evaluation.folder import read_study
from fusionkit.evaluation.given import GivenObjects, fingerprint

FEW = pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
QUICK = {"estimator": "gaussian", "objective": "mse"}


class PowerOfBrightness:
    """Weigh each source by a power of its values."""

    uses_trajectory, levels = False, "none"

    def __init__(self, power: float) -> None:
        self.power = power

    def start(self, run):
        weights = (run.sources.mean(2, keepdim=True) + 1.01) ** self.power
        weights = weights / weights.sum(0)
        return lambda step: weights


class Darkness(fusionkit.BaseMetric):
    """How dark the fused image is."""

    higher_is_better, convention, sources = False, "255 less the mean", "any"

    def __call__(self, fused, sources):
        return 255 - fused.mean((1, 2, 3))


def images(scene: int) -> list[np.ndarray]:
    generator = np.random.default_rng(scene)
    return [generator.integers(0, 256, (20, 24), dtype=np.uint8) for _ in range(2)]


SCENES = {name: images(n) for n, name in enumerate(("one", "two"))}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[Path]]:
    folder = tmp_path / "scenes"
    folder.mkdir()
    found = {}
    for name, sources in SCENES.items():
        found[name] = [folder / f"{name}_{role}.png" for role in ("ir", "vi")]
        for path, image in zip(found[name], sources, strict=True):
            Image.fromarray(image).save(path)
    return found


def test_it_is_what_the_command_does(files, tmp_path):
    axes = {"weighting": ["fixed", "saliency"], "weighting.window": [5, 9]}
    baselines, metrics = ["trivial"], ["en", "mi"]
    table = study(
        tmp_path / "scenes", axes, baselines=baselines, metrics=metrics, seeds=[0, 1],
        folder=tmp_path / "python", **QUICK,
    )  # fmt: skip
    command = ["ablate", tmp_path / "scenes", "-o", tmp_path / "command", "--quiet"]
    command += ["--weighting", "fixed,saliency", "--weighting.window", "5,9", "--seeds", "0,1"]
    command += ["--estimator", "gaussian", "--objective", "mse"]
    assert main([*map(str, command), "--baseline", "trivial", "--metric", "en,mi"]) == 0
    mine, its = (read_study(tmp_path / name) for name in ("python", "command"))
    assert [cell.key for cell in mine.cells] == [cell.key for cell in its.cells]
    assert mine.hashes == its.hashes
    assert mine.measured == its.measured
    read = fusionkit.StudyTable.read(tmp_path / "command")
    assert [r["mi"] for r in read.records()] == [r["mi"] for r in table.records()]
    assert len(table.records()) == 2 * (2 * 3 + 5)  # scenes, seeds times rows, trivial fusions
    assert table.rows[:3] == ["fixed", "saliency, window 5", "saliency, window 9"]


def test_images_in_memory_are_measured_as_their_files(files):
    how = {"baselines": ["trivial"], "metrics": ["en", "mi"], **QUICK}
    of_files = study(files, {"weighting": ["fixed"]}, **how)
    in_memory = study(SCENES, {"weighting": ["fixed"]}, **how)
    assert [r["mi"] for r in in_memory.records()] == [r["mi"] for r in of_files.records()]


def test_a_study_without_a_folder_is_gone_with_its_table():
    table = study(SCENES, {"weighting": ["fixed"]}, metrics=["en"], baselines=[], **QUICK)
    folder = table.folder
    assert (folder / "results.jsonl").exists()
    del table
    assert not folder.exists()


def test_the_order_of_values_and_scenes_changes_no_number(tmp_path):
    axes = {"weighting": ["fixed", "saliency", PowerOfBrightness(2)], "steps": [1, 2]}
    how = {"baselines": [], "metrics": ["en", "mi"], **QUICK, "objective": "increments"}
    found = []
    for turned in (False, True):
        order = (lambda x: list(x)[::-1]) if turned else list
        table = study(
            {name: SCENES[name] for name in order(SCENES)},
            {axis: order(values) for axis, values in axes.items()},
            against="fixed, steps 1",
            **how,
        )
        values = {(r["row"], r["scene"]): (r["en"], r["mi"], r["nfe"]) for r in table.records()}
        with pytest.warns(FusionkitWarning):
            pairs = table.pairwise(margin=0.1)
        fields = ("difference", "low", "high", "p", "wilcoxon p", "equivalence p")
        tests = {(r["row"], r["metric"]): [r[name] for name in fields] for r in pairs}
        found.append((values, tests))
    assert found[0][0] == found[1][0]
    assert found[0][1].keys() == found[1][1].keys()
    for pair, tests in found[0][1].items():  # a mean over other orders rounds otherwise
        assert tests == pytest.approx(found[1][1][pair], rel=1e-12)


def test_objects_are_rows_and_columns(tmp_path):
    def table(*powers: float) -> fusionkit.StudyTable:
        axes = {"weighting": ["fixed", *map(PowerOfBrightness, powers)]}
        return study(
            SCENES, axes, metrics=["en", Darkness()], baselines=[], folder=tmp_path / "s", **QUICK
        )

    found = table(1.0, 9.0)
    assert found.rows == ["fixed", "power-of-brightness", "power-of-brightness-2"]
    assert found.metrics == ["en", "given:darkness"]
    assert found.best("given:darkness") == "power-of-brightness-2"
    lines = (tmp_path / "s" / "results.jsonl").read_text().splitlines()
    table(1.0, 9.0)  # made anew, they are what they were
    assert (tmp_path / "s" / "results.jsonl").read_text().splitlines() == lines
    table(1.0, 8.0)
    assert len((tmp_path / "s" / "results.jsonl").read_text().splitlines()) == len(lines) + 2
    found.save(tmp_path / "report.html")
    assert (
        "Made from Python, with an object: given:power-of-brightness."
        in (tmp_path / "report.html").read_text()
    )


def test_what_tells_an_object_from_another():
    assert fingerprint(PowerOfBrightness(1)) == fingerprint(PowerOfBrightness(1))
    assert fingerprint(PowerOfBrightness(1)) != fingerprint(PowerOfBrightness(2))
    odd = PowerOfBrightness(1)
    odd.power = lambda: 1  # nobody knows what it does
    assert fingerprint(odd) != fingerprint(odd)
    network = PowerOfBrightness(1)
    import torch

    network.power = torch.nn.Linear(2, 2)
    before = fingerprint(network)
    assert fingerprint(network) == before
    with torch.no_grad():
        network.power.bias += 1
    assert fingerprint(network) != before


def test_one_object_has_one_name():
    given, ours = GivenObjects(fusionkit.load_plugins()), PowerOfBrightness(1)
    names = [given.name(fusionkit.WEIGHTING, ours) for _ in range(2)]
    assert names == ["given:power-of-brightness"] * 2
    assert given.registry.find(fusionkit.WEIGHTING, names[0]).build(None, None) is ours


def test_tables_and_values_of_python_are_levels(tmp_path):
    axes = {
        "weighting": [{"name": "saliency", "window": 5}, {"name": "saliency", "window": 9}],
        "sigmas": [[2.0, 1.0], [3.0]],
    }
    table = study(SCENES, axes, metrics=["en"], baselines=[], estimator="gaussian",
                  objective="increments", folder=tmp_path / "s")  # fmt: skip
    assert table.rows == [
        f"saliency window {window}, sigmas {sigmas}"
        for window, sigmas in itertools.product((5, 9), ("2.0,1.0", "3.0"))
    ]
    cells = read_study(tmp_path / "s").cells
    assert [cell.recipe["sigmas"] for cell in cells] == [[2.0, 1.0], [3.0]] * 2
    assert cells[1].levels == {"weighting": "saliency window 5", "sigmas": "3.0"}


def test_recipes_are_an_axis():
    table = study(SCENES, {}, recipe=["general", "infrared-visible"], metrics=["en"],
                  baselines=[], estimator="gaussian")  # fmt: skip
    assert [row.partition(",")[0] for row in table.rows] == ["general", "infrared-visible"]
    with pytest.warns(FusionkitWarning, match="Too few scenes"):
        (effect,) = table.effects()
    assert effect["effect"] == "recipe: general to infrared-visible"


@pytest.mark.parametrize(
    ("axes", "how", "said"),
    [
        ({"weighting": "fixed"}, {}, "axis weighting: give a list"),
        ({"weighting": []}, {}, "axis weighting: give a list"),
        ({"wieghting": ["fixed"]}, {}, "unknown setting --wieghting"),
        ({"weighting": ["fixd"]}, {}, "Did you mean fixed"),
        ({"weighting": [PowerOfBrightness]}, {}, "is neither a name, a table, nor an object"),
        ({"weighting": [Darkness()]}, {}, "is neither a name, a table, nor an object"),
        ({"steps": [0]}, {}, "--steps 0: must be at least 1"),
        ({"steps": ["two"]}, {}, "--steps two: expects a whole number"),
        ({}, {"metrics": ["nope"]}, "unknown metric 'nope'"),
        ({}, {"baselines": ["rung"]}, "unknown baseline 'rung'. Did you mean rungs"),
        ({}, {"task": "medical", "recipe": "general"}, "a task or a recipe, not both"),
        ({}, {"against": "mean"}, "--against mean: there are"),
        ({}, {"jobs": 0}, "jobs is a whole number from 1, not 0"),
        ({}, {"jobs": "2"}, "jobs is a whole number from 1, not '2'"),
        ({}, {"seeds": 3}, "seeds are a list of whole numbers from 0, not 3"),
        ({}, {"seeds": []}, "seeds are a list"),
        ({}, {"seeds": [0, -1]}, "seeds are a list"),
        ({}, {"seeds": [1.5]}, "seeds are a list"),
        ({}, {"metric_options": {"qabf": {}}}, "metric_options: 'qabf' is not among en"),
        ({3: ["fixed"]}, {}, "unknown setting --3"),
        ({"weighting": [PowerOfBrightness(1)]}, {"jobs": 2}, "in this process alone"),
    ],
)
def test_what_is_wrong_is_said(axes, how, said):
    how = {"metrics": ["en"], "baselines": [], **how}
    with pytest.raises(UsageError, match=said) as caught:
        study(SCENES, axes, **how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scenes", "said"),
    [
        ({}, "there are no scenes"),
        (None, "a mapping of names"),
        (images(0), "a mapping of names"),
        (["a.png", "b.png"], "folders, a manifest, or a mapping"),
        ({"../a": images(0)}, "cannot name a file"),
        ({"": images(0)}, "cannot name a file"),
        ({"a": None}, "scene a: give a list of two sources"),
        ({"a": "b.png"}, "scene a: give a list of two sources"),
        ({"a": images(0)[:1]}, "scene a: give a list of two sources"),
        ({"1": images(0), 1: images(1)}, "two scenes have one name"),
    ],
)
def test_scenes_that_are_none(scenes, said):
    with pytest.raises(UsageError, match=said):
        study(scenes, {"weighting": ["fixed"]}, metrics=["en"])


@FEW
def test_values_of_numpy_are_numbers():
    said = {"metrics": ["en"], "baselines": [], **QUICK}
    plain = study(SCENES, {"steps": [1, 2]}, seeds=[0, 1], **said)
    arrays = study(SCENES, {"steps": np.array([1, 2])}, seeds=np.arange(2), **said)
    scalars = study(SCENES, {"steps": list(np.array([1, 2]))}, seeds=list(np.arange(2)), **said)

    def measured(table):
        return [(each["row"], each["seed"], each["scene"], each["en"]) for each in table.records()]

    assert measured(plain) == measured(arrays) == measured(scalars)


def test_what_fails_is_warned_of(tmp_path, files):
    files["two"][1].write_bytes(b"no image")
    with pytest.warns(FusionkitWarning, match="fixed, two: .*two_vi.png"):
        table = study(files, {"weighting": ["fixed"]}, metrics=["en"], baselines=[], **QUICK)
    assert [record["scene"] for record in table.records()] == ["one"]
    assert "1 cell of 2 missing" in table.problems[0]


def test_importing_it_imports_no_torch():
    code = "import sys; from fusionkit import study, StudyTable; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
