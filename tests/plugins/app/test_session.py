"""What the page asks for: fusing, cancelling, what is shown and what is kept."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from fusionkit_app.session import MOST_FILES, SHOWN, Asked, CancelledError, Session
from PIL import Image
from skimage import data

import fusionkit
from fusionkit.cli import main


@pytest.fixture
def session(tmp_path) -> Session:
    return Session(tmp_path, fusionkit.load_plugins())


def fuse(session: Session, frames: list[Path], **asked: str):
    return session.fuse([str(path) for path in frames], Asked(**asked))


def test_files_are_fused_shown_and_kept(session, frames) -> None:
    steps = []
    asked = Asked(task="multi-focus")
    made = session.fuse(
        [str(path) for path in frames], asked, lambda done, of: steps.append((done, of))
    )
    assert steps[-1][0] == steps[-1][1]
    assert np.array_equal(np.asarray(Image.open(made.image)), made.fused)
    assert [shown.shape for shown in made.sources] == [(128, 160, 3)] * 2
    first, second = (weights.astype(int) for weights in made.weights)
    assert np.abs(first + second - 255).max() <= 1
    assert first[:, :60].mean() > 230 > 25 > first[:, 100:].mean()
    assert json.loads(made.record.read_text())["output"]["sha256"]
    assert json.loads(made.recipe)["weighting"]["name"] == "learned:learned"
    assert made.decided == "as chosen"
    names = dict(session.measure(made))
    assert names
    assert all(isinstance(value, float) for value in names.values())


def test_the_task_is_decided_and_said(session, frames) -> None:
    made = fuse(session, frames)
    task = json.loads(made.record.read_text())["task"]
    assert made.decided == f"{task['name']}: {task['why']}"


def test_the_command_that_is_shown_makes_the_same_image(
    session, frames, tmp_path, monkeypatch
) -> None:
    made = fuse(session, frames, task="multi-focus", noise="1:3", align="translation")
    program, *words = shlex.split(made.command)
    assert program == "fusionkit"
    monkeypatch.chdir(frames[0].parent)
    words[words.index("-o") + 1] = str(tmp_path / "again.png")
    assert main(words) == 0
    again = np.asarray(Image.open(tmp_path / "again.png"))
    assert np.array_equal(again, np.asarray(Image.open(made.image)))


def test_every_control_is_an_argument_of_the_command() -> None:
    controls = ("general", "dig", "auto", "auto", "auto", "auto")
    asked = Asked(*controls, "1:blur=1,noise=2\n\n 2:mask=auto ")
    assert asked.command(["a b.png", "-c.png"], "fused.png") == (
        "fusionkit run 'a b.png' ./-c.png -o fused.png --task general --weighting dig "
        "--align auto --noise auto --match auto --radiance auto "
        "--observe 1:blur=1,noise=2 --observe 2:mask=auto"
    )
    assert Asked().command(["a", "b"], "c.png") == "fusionkit run a b -o c.png --task auto"


def test_temperatures_have_a_palette_and_a_scale(session, tmp_path) -> None:
    pytest.importorskip("flyr")
    from tests.plugins.formats.test_parts import RAW, celsius, flir

    path = flir(tmp_path / "IR_1.jpg", data.astronaut()[:240, :320])
    made = fuse(session, [path], task="infrared-visible", weighting="saliency")
    assert [Path(file).name for file in made.files] == ["IR_1.jpg#visible", "IR_1.jpg#thermal"]
    assert "'IR_1.jpg#visible' 'IR_1.jpg#thermal'" in made.command
    assert list(made.warm) == [1]
    inferno, bar = made.warm[1]["inferno"]
    grey, _ = made.warm[1]["grey"]
    assert inferno.shape == made.sources[1].shape
    thermal = celsius(RAW)
    coldest, hottest = (
        np.unravel_index(at, RAW.shape) for at in (thermal.argmin(), thermal.argmax())
    )
    assert inferno[coldest].sum() < 30  # inferno begins black, and ends in light yellow
    assert inferno[hottest].min() > 140
    assert (np.ptp(grey.astype(int), axis=-1) == 0).all()
    assert (bar.shape[-1], bar.dtype) == (3, np.uint8)
    assert len(np.unique(bar.reshape(-1, 3), axis=0)) > 100
    pytest.importorskip("gradio")
    from fusionkit_app.page import _beside

    (source, fused), shown, choice = _beside(made, 1, "grey")
    assert np.array_equal(source, grey)
    assert np.array_equal(fused, made.fused)
    assert (shown["visible"], choice["visible"], choice["value"]) == (True, True, "grey")
    assert not any(each["visible"] for each in _beside(made, 0, "grey")[1:])
    other = tmp_path / "photo.png"
    Image.fromarray(data.astronaut()[:30, :40]).save(other)
    made = fuse(session, [path, other], task="infrared-visible", weighting="saliency")
    assert [Path(file).name for file in made.files] == ["IR_1.jpg#thermal", "photo.png"]
    assert list(made.warm) == [0]


def test_it_ends_at_the_next_step_when_cancelled(session, frames) -> None:
    files = [str(path) for path in frames]
    with pytest.raises(CancelledError):
        session.fuse(files, Asked(task="ccf"), lambda done, of: session.cancel())
    assert list(session._folder.iterdir()) == []
    assert session.fuse(files, Asked(task="multi-focus")).image.exists()  # and then again


def test_what_a_visitor_made_goes_when_they_leave(session, frames) -> None:
    made = fuse(session, frames, task="multi-focus")
    session.close()
    assert not made.image.exists()


@pytest.mark.parametrize(
    ("count", "asked", "part"),
    [
        (0, {}, "two images or more"),
        (1, {}, ""),
        (MOST_FILES // 2 + 1, {}, f"{MOST_FILES} at most"),
        (1, {"task": "no-such"}, "no-such"),
        (1, {"observe": "nonsense"}, "nonsense"),
        (1, {"noise": "much"}, "much"),
    ],
)
def test_what_cannot_be_is_a_line(session, frames, count, asked, part) -> None:
    files = [str(path) for path in frames] * count if asked or count != 1 else [str(frames[0])]
    with pytest.raises(fusionkit.FusionkitError) as refused:
        session.fuse(files, Asked(**asked))
    assert part in str(refused.value)


def test_large_and_deep_images_are_shown_small_and_kept_whole(session, tmp_path) -> None:
    y, x = np.mgrid[:40, : SHOWN + 200]
    wave = (30000 + 20000 * np.sin(x / 9.0) * np.cos(y / 7.0)).astype(np.uint16)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, image in zip(paths, (wave, wave // 2), strict=True):
        Image.fromarray(image).save(path)
    made = fuse(session, paths, task="general")
    assert made.fused.shape[1] == SHOWN
    assert made.fused.dtype == np.uint8
    kept = np.asarray(Image.open(made.image))
    assert kept.shape == wave.shape
    assert kept.max() > 255


def test_floats_are_kept_in_tiff(session, tmp_path) -> None:
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for n, path in enumerate(paths):
        np.save(path, np.random.default_rng(n).random((32, 40)).astype(np.float32))
    assert fuse(session, paths, task="general").image.suffix == ".tif"


def test_what_a_source_does_not_show_is_white(session, tmp_path) -> None:
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for n, path in enumerate(paths):
        image = np.random.default_rng(n).random((32, 40)).astype(np.float32)
        image[: 8 * (1 - n)] = np.nan
        np.save(path, image)
    first, second = fuse(session, paths, task="general").sources
    assert first[:8].min() == 255
    assert second[:8].min() < 200
