"""The command: what it writes, prints and refuses."""

import numpy as np
import pytest
from fusionkit_alignment.motion import still
from PIL import Image

from fusionkit.cli import main
from fusionkit.imaging import read_picture

from .common import photograph, seen


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo, shift = photograph("camera"), np.eye(3)
    shift[:2, 2] = 6, -4
    for name, matrix in (("a", still()), ("b", shift)):
        image = np.rint(65535 * seen(photo, matrix)).astype(np.uint16)
        Image.fromarray(image).save(f"{name}.png")
        Image.fromarray((image >> 8).astype(np.uint8)).save(f"{name}.jpg", quality=95)
    return tmp_path


def test_files_are_written_in_their_format_what_they_do_not_show_transparent(desk, capsys):
    assert main(["align", "a.png", "b.png", "-o", "out"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("a.png: the reference")
    assert "b.png: shifted by +6.0" in said[1]
    assert (desk / "out/a.png").read_bytes() == (desk / "a.png").read_bytes()
    here, there = read_picture("a.png"), read_picture("out/b.png", masks=True)
    assert there.dtype == np.uint16
    opaque = there.alpha == 65535
    assert opaque[8:-8, 8:-8].all()
    assert not opaque[:, -5:].any()
    difference = abs(here.pixels.astype(float) - there.pixels)[8:-8, 8:-8] / 65535
    assert np.median(difference) < 0.01


def test_a_format_without_transparency_gets_a_mask(desk):
    assert main(["align", "a.jpg", "b.jpg", "-o", "out", "--model", "translation"]) == 0
    mask = np.asarray(Image.open("out/b.jpg.mask.png"))
    assert mask[8:-8, 8:-8].min() == 255
    assert mask[:, -5:].max() == 0
    assert not (desk / "out/a.jpg.mask.png").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.png", "b.png", "-o", "."], "a.png: this is an image that is read"),
        (["a.png", "-o", "out"], "one image only"),
        (["a.png", "out/a.png", "-o", "new"], "out/a.png"),
        (["a.png", "b.png", "-o", "a.png"], "a.png: no folder"),
        (["a.png", "small.png", "-o", "out"], "small.png is 20x20"),
    ],
)
def test_what_cannot_be_done_is_one_line(desk, capsys, arguments, says):
    Image.fromarray(np.zeros((20, 20), np.uint8)).save("small.png")
    before = {path.name: path.read_bytes() for path in desk.glob("*.*")}
    assert main(["align", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert before == {path.name: path.read_bytes() for path in desk.glob("*.*")}


@pytest.mark.slow
def test_files_are_replaced_when_asked_to(desk, capsys):
    assert main(["align", "a.png", "b.png", "-o", "out"]) == 0
    assert main(["align", "a.png", "b.png", "-o", "out"]) == 2
    assert "overwrite" in capsys.readouterr().err
    assert main(["align", "a.png", "b.png", "-o", "out", "--overwrite"]) == 0


def test_a_wrong_flag_is_one_line(capsys) -> None:
    assert main(["align", "a.png", "b.png", "-o", "out", "--nonsense"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--nonsense (see fusionkit align --help)" in line
