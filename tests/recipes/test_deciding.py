"""The task of a scene, decided from its sources: made scenes whose task is known, and real ones."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

import fusionkit
from fusionkit import UsageError
from fusionkit.cli import main
from fusionkit.imaging import plan_colour
from fusionkit.imaging.sources import source_pictures
from fusionkit.recipes.deciding import decide, statistics
from tests.conftest import real_scenes

TASKS = {
    "mff": "multi-focus",
    "mef": "multi-exposure",
    "ivif": "infrared-visible",
    "nir": "infrared-visible",
    "medical": "medical",
}
"""The right answer, by what the folder of a set's task begins with."""


def texture(seed: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """Return a picture in [0, 1] with detail of several widths."""
    random = np.random.default_rng(seed)
    layers = [gaussian_filter(random.standard_normal(size), width) * width for width in (1, 3, 9)]
    picture = sum(layers)
    return ((picture - picture.min()) / np.ptp(picture)).astype(np.float32)


def focus(count: int = 2) -> np.ndarray:
    scene = texture(1)
    blurred = gaussian_filter(scene, 2)
    part = np.arange(scene.shape[1]) * count // scene.shape[1]
    return np.stack([np.where(part == k, scene, blurred) for k in range(count)])


def bracket(count: int = 2) -> np.ndarray:
    return np.stack([np.clip(texture(2) * 2.0 ** (k - 1), 0, 1) for k in range(count)])


def modalities() -> np.ndarray:
    """Return one scene seen twice: objects with the same outlines, of unrelated brightness."""
    objects = np.floor(texture(3) * 12).astype(int)
    random = np.random.default_rng(7)
    seen = random.uniform(0.05, 0.95, (2, 13))
    return np.stack([gaussian_filter(levels[objects], 0.7) for levels in seen]).astype(np.float32)


def slices() -> np.ndarray:
    """Return modalities inside a disc, on black ground."""
    rows, columns = np.mgrid[-1:1:96j, -1:1:128j]
    return modalities() * (np.hypot(rows, columns) < 0.6)


MADE = {
    "multi-focus": [focus(2), focus(4)],
    "multi-exposure": [bracket(2), bracket(4)],
    "infrared-visible": [modalities()],
    "medical": [slices(), np.concatenate([slices(), slices()[:1] ** 2])],
}
ALIKE = {
    "copies": np.stack([texture(4)] * 3),
    "noise": texture(4) + np.random.default_rng(1).normal(0, 0.05, (3, 96, 128)),
    "one blurred": np.stack([texture(4), gaussian_filter(texture(4), 2)]),
    "constant": np.stack([np.full((80, 80), value) for value in (0.2, 0.7)]),
    "black": np.zeros((2, 80, 80)),
    "white": np.ones((2, 80, 80)),
    "unrelated noise": np.random.default_rng(2).random((2, 96, 128)),
    "three kinds": np.concatenate([modalities(), texture(5)[None]]),
}


@pytest.mark.parametrize(("task", "planes"), [(t, p) for t in MADE for p in MADE[t]])
def test_a_made_scene_is_of_its_task(task, planes):
    planes = planes.astype(np.float32)
    found = decide(planes, ["grey"] * len(planes))
    assert found.task == task, found
    for order in itertools.islice(itertools.permutations(range(len(planes))), 4):
        assert decide(planes[list(order)], ["grey"] * len(planes)) == found


@pytest.mark.parametrize("name", ALIKE)
def test_general_when_unsure(name):
    planes = np.clip(ALIKE[name], 0, 1).astype(np.float32)
    assert decide(planes, ["grey"] * len(planes)).task == "general"


@pytest.mark.parametrize("side", [(1, 1), (8, 8), (63, 200), (200, 63)])
def test_what_is_too_small_is_not_measured(side):
    planes = np.random.default_rng(0).random((2, *side), np.float32)
    found = decide(planes, ["grey", "grey"])
    assert (found.task, found.statistics) == ("general", None)
    assert "too small" in found.why


def test_twelve_bits_in_sixteen_are_told_as_well():
    for task, (planes, *_) in MADE.items():
        assert decide(planes.astype(np.float32) / 16, ["grey"] * len(planes)).task == task


def test_colour_tells_modalities_apart():
    mild = np.stack([texture(6), texture(6) ** 0.5]).astype(np.float32)
    mild[1] = np.where(np.arange(128) < 64, mild[1], mild[0] ** 2)
    assert decide(mild, ["grey", "colour"]).task == "infrared-visible"
    assert decide(mild, ["tint", "colour"]).task == "infrared-visible"
    assert decide(modalities(), ["colour", "colour"]).task == "general"  # neither is infrared
    assert decide(focus(), ["grey", "colour"]).task == "general"  # no stack, though alike
    assert decide(bracket(), ["tint", "colour"]).task == "multi-exposure"  # a dark frame is grey


def test_statistics_have_known_values():
    planes = bracket()
    found = statistics(planes)
    assert found.ratio == pytest.approx(planes[0].mean() / planes[1].mean(), rel=1e-5)
    assert found.order == 1
    flipped = statistics(np.stack([texture(4), 1 - texture(4)]))
    assert flipped.agreement == pytest.approx(-1, abs=1e-3)
    assert statistics(np.stack([texture(4)] * 2)).agreement == pytest.approx(1, abs=1e-3)
    ground = np.zeros((2, 64, 64), np.float32)
    ground[:, 16:48, 16:48] = 1
    assert (statistics(ground).ground, statistics(ground).border) == (0.75, 1)


@pytest.mark.parametrize("name", real_scenes())
def test_real_scenes_are_of_their_task(name):
    paths = real_scenes()[name]
    pictures = source_pictures(paths)
    hues = ["colour" if p.is_colour and not p.is_tinted else "grey" for p in pictures]
    folder = paths[0].parent.parent.name
    right = next(TASKS[prefix] for prefix in TASKS if folder.startswith(prefix))
    assert decide(plan_colour(pictures).luma, hues).task == right


def save(folder: Path, scene: str, planes: np.ndarray) -> list[str]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{scene}_{role}.png" for role in "abcd"[: len(planes)]]
    for path, plane in zip(paths, planes, strict=True):
        Image.fromarray((plane * 255).round().astype(np.uint8)).save(path)
    return list(map(str, paths))


def record(path: Path) -> dict:
    return json.loads(Path(f"{path}.json").read_text())


def test_a_run_decides_says_so_and_is_not_decided_again(tmp_path, capsys):
    paths = save(tmp_path / "in", "near", focus())
    first, again, named, by_hand = (tmp_path / f"{name}.png" for name in "abcd")
    assert main(["run", *paths, "-o", str(first)]) == 0
    said = capsys.readouterr().out
    assert "multi-focus (one brightness, and each is sharper somewhere)" in said
    task = record(first)["task"]
    assert task["name"] == "multi-focus"
    assert task["statistics"]["sharper"] > 0.1
    assert record(first)["recipe"]["weighting"]["name"] == "learned:learned"
    assert record(first)["metrics"] == "multi-focus"
    assert main(["run", *paths, "-o", str(again), "--recipe", f"{first}.json"]) == 0
    assert main(["run", *paths, "-o", str(named), "--task", "multi-focus"]) == 0
    assert first.read_bytes() == again.read_bytes() == named.read_bytes()
    assert "task" not in record(again)
    assert "task" not in record(named)
    for flags in (["--task", "general"], ["--weighting.window", "7"], ["--objective", "mse"]):
        assert main(["run", *paths, "-o", str(by_hand), "--overwrite", *flags]) == 0
        assert "task" not in record(by_hand)
        assert record(by_hand)["recipe"]["weighting"]["name"] == "dig:dig"


def test_settings_and_the_estimator_leave_the_task_open(tmp_path):
    paths = save(tmp_path / "in", "lit", bracket())
    out = tmp_path / "out.png"
    flags = ["--estimator", "gaussian", "--seed", "3", "--depth", "16", "--task", "auto"]
    assert main(["run", *paths, "-o", str(out), *flags]) == 0
    made = record(out)
    assert made["task"]["name"] == "multi-exposure"
    assert made["recipe"]["estimator"]["name"] == "diffusion:gaussian"
    assert made["recipe"]["objective"]["base"] == "tone"
    assert (made["recipe"]["chroma"], made["recipe"]["depth"]) == ("distance", "16")


def test_a_folder_is_decided_scene_by_scene_and_resumed(tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    for task, planes in (("lit", bracket()), ("near", focus()), ("brain", slices())):
        save(folder, task, planes)
    command = ["run", str(folder), "-o", str(out), "--estimator", "gaussian", "--steps", "2"]
    assert main(command) == 0
    said = capsys.readouterr().err.splitlines()
    idle = [line for line in said if "--steps changes nothing" in line]
    assert len(idle) == len(set(idle)) == 2  # once for each reason
    names = {name: record(out / f"{name}.png")["task"]["name"] for name in ("lit", "near", "brain")}
    assert names == {"lit": "multi-exposure", "near": "multi-focus", "brain": "medical"}
    bytes_before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "near.png").unlink()
    assert main(command) == 0
    assert "2 of 3 scenes are finished already; 1 to go" in capsys.readouterr().err
    assert (out / "near.png").read_bytes() == bytes_before["near.png"]
    assert main([*command, "--task", "general"]) == 1
    assert capsys.readouterr().err.count("is of another recipe") == 3


def test_in_python_too():
    near, far = (np.round(plane * 255).astype(np.uint8) for plane in focus())
    made = fusionkit.fuse([near, far])
    assert made.record["task"]["name"] == "multi-focus"
    named = fusionkit.fuse([near, far], task="multi-focus")
    assert np.array_equal(made.image, named.image)
    assert "task" not in named.record
    how = {
        "objective": "mse",
        "estimator": "gaussian",
    }  # a component is said: the rest is general's
    by_hand = fusionkit.fuse([near, far], task="auto", **how)
    assert "task" not in by_hand.record
    assert by_hand.record["recipe"]["weighting"]["name"] == "dig:dig"
    with pytest.raises(UsageError, match="not both"):
        fusionkit.fuse([near, far], task="auto", recipe="medical")
    dark, light = (np.round(plane * 255).astype(np.uint8) for plane in bracket())
    both = fusionkit.fuse_batch([np.stack([near, dark]), np.stack([far, light])])
    assert [one.record["task"]["name"] for one in both] == ["multi-focus", "multi-exposure"]
    assert np.array_equal(both[0].image, made.image)
    pipeline = fusionkit.compose()
    assert "task" not in fusionkit.fuse([near, far], pipeline=pipeline).record
    bands = np.random.default_rng(0).random((2, 3, 80, 80)).astype(np.float32)
    told = fusionkit.fuse(list(bands), colour="bands", estimator="gaussian").record["task"]
    assert told["name"] == "general"


def test_where_there_are_no_images_a_task_is_named(tmp_path, capsys):
    with pytest.raises(UsageError, match="name one, such as general"):
        fusionkit.compose(task="auto")
    save(tmp_path / "in", "near", focus())
    study = ["ablate", str(tmp_path / "in"), "-o", str(tmp_path / "study"), "--task", "auto"]
    assert main(study) == 2
    assert "name one, such as general" in capsys.readouterr().err
