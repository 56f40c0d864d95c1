"""``fusionkit detect`` as a user runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from .common import CELL, SIDE, detect, label, picture, save, write_detector

RED, DIM, BLUE = (230, 0, 0), (100, 0, 0), (0, 0, 200)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A detector, boxes of two images, and results of two methods."""
    write_detector(tmp_path / "cells.onnx")
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.txt").write_text(label(0, 0, 1) + label(1, 2, 2))
    (labels / "b.txt").write_text(label(0, 3, 3))
    save(tmp_path / "good/a.png", picture((0, 1, RED), (2, 2, BLUE)))
    save(tmp_path / "good/b.png", picture((3, 3, RED)))
    save(tmp_path / "poor/a.png", picture((0, 1, DIM), (0, 3, RED)))
    save(tmp_path / "poor/b.png", picture((3, 3, RED)))
    return tmp_path


def asked(desk: Path, *words: object) -> list[object]:
    methods = [w for n in ("good", "poor") for w in ("--method", f"{n}={desk / n}")]
    known = ["--detector", desk / "cells.onnx", "--boxes", desk / "labels"]
    return [*methods, *known, *words]


def told(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    code, out, err = detect(capsys, *words, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_methods_are_scored_over_all_images(desk, capsys):
    found = told(capsys, *asked(desk))
    assert found["images"] == ["a", "b"]
    good, poor = found["methods"]["good"], found["methods"]["poor"]
    assert good == {
        "map50": 1.0, "ap50": {"0": 1.0, "1": 1.0}, "recall": 1.0, "precision": 1.0, "things": 3,
    }  # fmt: skip
    # Red by score: .9 in a, wrong, and .9 in b, right; then .39 in a, right.
    assert poor["ap50"]["1"] == 0
    assert poor["ap50"]["0"] == pytest.approx(2 / 3)
    assert poor["map50"] == pytest.approx(1 / 3)
    assert poor["recall"] == pytest.approx(2 / 3)
    assert poor["precision"] == pytest.approx(2 / 3)


def test_confidence_is_of_recall_and_precision_alone(desk, capsys):
    poor = told(capsys, *asked(desk, "--confidence", 0.5))["methods"]["poor"]
    assert poor["ap50"]["0"] == pytest.approx(2 / 3)
    assert (poor["recall"], poor["precision"]) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    none = told(capsys, *asked(desk, "--confidence", 1))["methods"]["poor"]
    assert (none["recall"], none["precision"]) == (0, None)


def test_the_table(desk, capsys):
    code, out, _ = detect(capsys, *asked(desk))
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["method", "mAP50", "class", "0", "class", "1", "recall", "precision"]
    assert lines[1] == ["good", "1.000", "1.000", "1.000", "1.000", "1.000"]
    assert "3 things in 2 images" in out


def test_classes_of_a_detector_are_named_as_the_boxes_are(desk, capsys):
    (desk / "labels/a.txt").write_text(label(7, 0, 1))
    (desk / "labels/b.txt").write_text(label(7, 3, 3))
    found = told(capsys, *asked(desk, "--classes", "0=7"))["methods"]["good"]
    assert found["ap50"] == {"7": 1.0}
    assert found["precision"] == 1.0  # what is blue does not count
    assert told(capsys, *asked(desk))["methods"]["good"]["map50"] == 0


def test_coco_boxes_are_those_of_yolo(desk, capsys):
    boxes = {
        "images": [{"id": 5, "file_name": "vi/a.png"}, {"id": 6, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 5, "category_id": 0, "bbox": [CELL, 0, CELL, CELL]},
            {"image_id": 5, "category_id": 1, "bbox": [2 * CELL, 2 * CELL, CELL, CELL]},
            {"image_id": 6, "category_id": 0, "bbox": [SIDE - CELL, SIDE - CELL, CELL, CELL]},
            {"image_id": 6, "category_id": 0, "bbox": [0, 0, SIDE, SIDE], "iscrowd": 1},
        ],
    }
    (desk / "coco.json").write_text(json.dumps(boxes))
    found = told(capsys, *asked(desk, "--boxes", desk / "coco.json"))
    assert found == told(capsys, *asked(desk))


def test_an_image_that_one_method_lacks_counts_for_none(desk, capsys):
    (desk / "good/b.png").unlink()
    save(desk / "good/c.png", picture())
    code, out, err = detect(capsys, *asked(desk, "--json"))
    assert code == 1
    assert json.loads(out)["images"] == ["a"]
    assert "good, b: no image of this name" in err
    assert "c: no boxes of this name" in err


def test_an_image_without_things_counts_what_is_found_in_it(desk, capsys):
    (desk / "labels/b.txt").write_text("")
    found = told(capsys, *asked(desk))["methods"]["good"]
    assert (found["things"], found["precision"]) == (2, pytest.approx(2 / 3))


def test_no_things_at_all(desk, capsys):
    for name in "ab":
        (desk / f"labels/{name}.txt").write_text("\n")
    code, out, err = detect(capsys, *asked(desk))
    assert (code, out) == (1, "")
    assert "no box in any image" in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--classes", "0:7"], "expected pairs of numbers"),
        (["--classes", "0=1,0=2"], "class 0 is two classes"),
        (["--confidence", 0], "above 0, and 1 at most"),
        (["--size", 8], "32 to 4096"),
        (["--method", "good=x"], "given twice"),
        (["--method", "good"], "NAME=FOLDER"),
        (["--method", "x=nowhere"], "not a folder"),
        (["--detector", "nowhere.onnx"], "no such file"),
        (["--boxes", "nowhere.json"], "cannot be read"),
    ],
)
def test_wrong_words_are_told_in_a_line(desk, capsys, words, why):
    code, _, err = detect(capsys, *asked(desk, *words))
    assert code == 2
    assert why in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [("0 .5 .5 .5", "five numbers"), ("0 32 32 8 8", "shares"), ("a .5 .5 .5 .5", "five numbers")],
)
def test_damaged_labels_are_named_with_their_line(desk, capsys, line, why):
    (desk / "labels/a.txt").write_text("\n" + line)
    code, _, err = detect(capsys, *asked(desk))
    assert code == 2
    assert "a.txt, line 2" in err
    assert why in err


def test_damaged_coco_is_named(desk, capsys):
    (desk / "coco.json").write_text('{"images": 3}')
    code, _, err = detect(capsys, *asked(desk, "--boxes", desk / "coco.json"))
    assert code == 2
    assert "this is no COCO file" in err


def test_files_that_are_no_detectors(desk, capsys):
    (desk / "cells.onnx").write_bytes(b"nothing")
    code, _, err = detect(capsys, *asked(desk))
    assert (code, len(err.strip().splitlines())) == (2, 1)
    write_detector(desk / "cells.onnx", outputs=2)
    code, _, err = detect(capsys, *asked(desk))
    assert code == 2
    assert "2 outputs, not one" in err


def test_without_onnxruntime_it_says_what_to_install(desk, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = detect(capsys, *asked(desk))
    assert code == 2
    assert "fusionkit-imaging[detect]" in err


def test_maps_of_results_are_no_images(desk, capsys):
    before = told(capsys, *asked(desk))
    save(desk / "good/a.std.tif", picture())
    assert told(capsys, *asked(desk)) == before


def test_grey_and_deep_images(desk, capsys):
    import numpy as np
    from PIL import Image

    for name in "ab":
        (desk / f"labels/{name}.txt").write_text(label(0, 0, 1))
        grey = picture((0, 1, (240, 240, 240)))[..., 0]
        Image.fromarray(grey).save(desk / f"good/{name}.png")
        Image.fromarray(grey.astype(np.uint16) * 257).save(desk / f"poor/{name}.png")
    found = told(capsys, *asked(desk))["methods"]
    assert found["good"] == found["poor"]
    assert found["good"]["recall"] == 1
