"""Value ranges of ``evaluate`` and ``compare``: said, recorded, declared, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionkit import UsageError
from fusionkit.cli import main
from fusionkit.evaluation.meter import luma_of_picture
from fusionkit.evaluation.ranges import Ranges, parse_ranges
from fusionkit.imaging import from_unit, read_picture, write_picture
from fusionkit.imaging.profiles import srgb_profile

ROLES = ("ir", "vi", "fused")
QUICK = ["--estimator", "gaussian", "--objective", "increments", "--steps", "2", "--quiet"]


def images() -> dict[str, np.ndarray]:
    """Two smooth sources with detail of their own, and their mean, in [0, 1]."""
    rows, columns = np.mgrid[:64, :80]
    generator = np.random.default_rng(3)
    noise = generator.normal(0, 0.02, (2, 64, 80))
    ir = 0.3 + 0.5 * np.exp(-((columns - 30) ** 2 + (rows - 30) ** 2) / 200) + noise[0]
    vi = 0.5 + 0.2 * np.sin(columns / 3.0) * np.cos(rows / 5.0) + noise[1]
    return {"ir": ir.clip(0, 1), "vi": vi.clip(0, 1), "fused": ((ir + vi) / 2).clip(0, 1)}


@pytest.fixture
def eight(tmp_path: Path) -> dict[str, str]:
    """The images in 8 bits."""
    return {name: _saved(tmp_path / f"{name}8.png", image, 255) for name, image in images().items()}


@pytest.fixture
def twelve(tmp_path: Path) -> dict[str, str]:
    """The same, with the same steps, in 12 bits of 16."""
    return {
        name: _saved(tmp_path / f"{name}12.tif", np.rint(image * 255) / 255, 4095)
        for name, image in images().items()
    }


def _saved(path: Path, image: np.ndarray, top: int) -> str:
    stored = np.rint(image * top)
    if top == 255:
        Image.fromarray(stored.astype(np.uint8)).save(path)
    else:
        tifffile.imwrite(path, stored.astype(np.uint16))
    return str(path)


def measured(capsys, arguments: list[str], code: int = 0) -> dict[str, float]:
    assert main(["evaluate", *arguments, "--preset", "all", "--json", "--quiet"]) == code
    means = json.loads(capsys.readouterr().out)["methods"]["fused"]["mean"]
    return {name: value for name, value in means.items() if value is not None}  # no target


def of(names: dict[str, str]) -> list[str]:
    return [names["fused"], "--sources", names["ir"], names["vi"]]


def test_twelve_bits_and_their_twin_agree_in_every_metric(eight, twelve, capsys):
    expected = measured(capsys, of(eight))
    assert len(expected) > 20
    spans = [f"--range={name}:0,4095" for name in ("1", "2", "fused")]
    found = measured(capsys, [*of(twelve), *spans])
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.01), name
    # A result of the sources' type is in their range, as a run writes it.
    assert measured(capsys, [*of(twelve), *spans[:2]]) == found


def test_sixteen_bits_and_colour_agree_too(eight, tmp_path, capsys):
    expected = measured(capsys, of(eight))
    deep = {}
    for name, image in images().items():
        deep[name] = str(tmp_path / f"{name}16.tif")
        stored = np.repeat(np.rint(image * 65535).astype(np.uint16)[..., None], 3, -1)
        tifffile.imwrite(deep[name], stored, photometric="rgb")
    found = measured(capsys, of(deep))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.01), name


def test_a_record_tells_the_ranges_of_its_result_and_sources(eight, twelve, tmp_path, capsys):
    fused8, fused12 = str(tmp_path / "o8.png"), str(tmp_path / "o12.tif")
    assert main(["run", eight["ir"], eight["vi"], "-o", fused8, *QUICK]) == 0
    spans = ["--range", "1:0,4095", "--range", "2:0,4095"]
    assert main(["run", twelve["ir"], twelve["vi"], "-o", fused12, *QUICK, *spans]) == 0
    expected = measured(capsys, of({**eight, "fused": fused8}))
    found = measured(capsys, of({**twelve, "fused": fused12}))
    for name in ("en", "sd", "ag", "mi", "scd", "vif", "qabf", "ssim", "psnr"):
        assert found[name] == pytest.approx(expected[name], rel=0.01), name


def test_a_stretched_run_is_measured_as_it_was_fused(tmp_path):
    narrow = np.rint(30000 + 900 * images()["ir"]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "ir.tif", narrow)
    tifffile.imwrite(tmp_path / "vi.tif", np.rint(65535 * images()["vi"]).astype(np.uint16))
    sources = [tmp_path / "ir.tif", tmp_path / "vi.tif"]
    fused = tmp_path / "o.tif"
    assert main(["run", *map(str, sources), "-o", str(fused), *QUICK, "--stretch"]) == 0
    for ranges, results in ((Ranges(), [fused]), (Ranges(stretch=(0,)), [])):
        first, second = ranges.sources(sources, results)
        assert (first.low, first.high) == (narrow.min(), narrow.max())
        assert luma_of_picture(first).max() == luma_of_picture(second).max() == 255
    with pytest.raises(UsageError, match=r"give --range 1:LO,HI"):
        Ranges().sources(sources)


def test_a_record_of_another_image_is_not_believed(twelve, eight, tmp_path):
    fused = tmp_path / "o.tif"
    spans = ["--range", "1:0,4095", "--range", "2:0,4095"]
    assert main(["run", twelve["ir"], twelve["vi"], "-o", str(fused), *QUICK, *spans]) == 0
    tifffile.imwrite(fused, np.asarray(Image.open(eight["fused"])))  # under the name of the old one
    picture = Ranges().result("fused", fused)
    assert (picture.low, picture.high) == (0, 255)
    record = Path(f"{fused}.json")
    whole = record.read_bytes()
    for damaged in (b"", whole[:-200], b"[]", b'{"recipe": 1}', whole.replace(b"4095", b'"x"')):
        record.write_bytes(damaged)
        assert Ranges().result("fused", fused).high == 255


def test_records_that_differ_are_not_chosen_from(twelve, tmp_path, capsys):
    methods = []
    for top in (4095, 8191):
        fused = str(tmp_path / f"o{top}.tif")
        spans = [f"--range=1:0,{top}", f"--range=2:0,{top}"]
        assert main(["run", twelve["ir"], twelve["vi"], "-o", fused, *QUICK, *spans]) == 0
        methods.append(f"--method=m{top}={fused}")
    arguments = ["evaluate", *methods, "--sources", twelve["ir"], twelve["vi"], "--metric", "en"]
    assert main([*arguments, "--quiet"]) == 1
    assert "tell different ranges" in capsys.readouterr().err
    assert main([*arguments, "--quiet", "--range=1:0,4095", "--range=2:0,4095"]) == 0


@pytest.mark.parametrize(
    ("name", "stored", "words"),
    [
        ("ir", np.uint16(4000), "uint16 values from 4000 to 4000"),
        ("ir", np.int16(-30), "int16 values have no range"),
        ("ir", np.float32(37.5), "float values go from"),
        ("fused", np.int32(7), "int32 values have no range"),
        ("fused", np.float32(-2), "float values go from"),
        ("fused", np.uint16(900), "uint16 values from 900"),
    ],
)
def test_what_cannot_be_scaled_is_refused_by_an_option_that_exists(
    eight, tmp_path, capsys, name, stored, words
):
    path = str(tmp_path / "odd.tif")
    tifffile.imwrite(path, np.full((64, 80), stored))
    option = "--range fused:LO,HI" if name == "fused" else "--range 1:LO,HI"
    arguments = ["evaluate", *of({**eight, name: path}), "--metric", "en", "--quiet"]
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert option in line
    said = option.replace("LO,HI", f"{float(stored) - 1},{float(stored) + 1}").split()
    assert main([*arguments, *said]) == 0


def test_a_result_of_full_scale_sources_is_not_taken_for_a_dark_one(tmp_path, twelve, capsys):
    sources = []
    for name in ("ir", "vi"):
        sources.append(str(tmp_path / f"{name}16.tif"))
        tifffile.imwrite(sources[-1], np.rint(images()[name] * 65535).astype(np.uint16))
    arguments = ["evaluate", twelve["fused"], "--sources", *sources, "--metric", "en", "--quiet"]
    assert main(arguments) == 1
    assert "give --range fused:LO,HI" in capsys.readouterr().err
    assert main([*arguments, "--range", "fused:0,65535"]) == 0


def test_black_deep_images_are_black_in_any_range(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "black.tif", np.zeros((64, 80), np.uint16))
    black = str(tmp_path / "black.tif")
    assert main(["evaluate", black, "--sources", black, black, "--metric", "sd", "--quiet"]) == 0


def test_compare_scales_each_image(eight, twelve, tmp_path, capsys):
    sheet = str(tmp_path / "sheet.png")
    arguments = ["compare", eight["ir"], twelve["ir"], "-o", sheet, "--zoom", "4,4,16"]
    assert main(arguments) == 2
    assert "give --range 2:LO,HI" in capsys.readouterr().err
    assert main([*arguments, "--range", "2:0,4095"]) == 0
    pixels = read_picture(sheet).pixels.astype(int)
    gap, width = 4, 80
    left = pixels[gap + 24 : gap + 60, gap : gap + width]
    right = pixels[gap + 24 : gap + 60, 2 * gap + width : 2 * (gap + width)]
    assert abs(left - right).max() <= 1
    assert main([*arguments, "--overwrite", "--stretch"]) == 0
    assert main([*arguments, "--overwrite", "--range", "3:0,4095"]) == 2


def test_ranges_are_said_by_number_or_name():
    said = parse_ranges(["2:0,4095", "fused:-5,35", "a:b:0,1"], 2, ["fused", "a:b"])
    assert said == {"2": (0, 4095), "fused": (-5, 35), "a:b": (0, 1)}
    for text in ("3:0,1", "nobody:0,1", "0,4095", "1:5,5", "fused:x,1", "1:0", ":0,1"):
        with pytest.raises(UsageError, match=f"--range {text}"):
            parse_ranges([text], 2, ["fused"])


# --- one profile ---------------------------------------------------------------------------------


@pytest.fixture
def colours(tmp_path: Path) -> dict[tuple[str, str], str]:
    """Two sources and a result, each in sRGB and in Adobe RGB, in 16 bits."""
    adobe = bytes(imagecodecs.cms_profile("adobergb"))
    paths = {}
    for name, grey in images().items():
        srgb = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1) * 0.5 + 0.2
        converted = imagecodecs.cms_transform(
            srgb.astype(np.float32), srgb_profile(), adobe, colorspace="rgb", outcolorspace="rgb"
        )
        for kind, pixels, icc in (("srgb", srgb, None), ("adobe", converted, adobe)):
            paths[name, kind] = str(tmp_path / f"{name}-{kind}.tif")
            write_picture(paths[name, kind], from_unit(pixels, np.uint16, 0, 65535), icc=icc)
    return paths


@pytest.mark.parametrize("other", ["vi", "fused"])
def test_images_of_another_profile_are_measured_in_that_of_the_first(colours, capsys, other):
    def said(adobe: str = "") -> list[str]:
        kinds = {name: "adobe" if name == adobe else "srgb" for name in ROLES}
        ir, vi, fused = (colours[name, kinds[name]] for name in ROLES)
        return [fused, "--sources", ir, vi]

    expected = measured(capsys, said())
    found = measured(capsys, said(other))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.01, abs=1e-3), name
    assert main(["evaluate", *said(other), "--metric", "sd"]) == 0
    assert "Adobe RGB" in capsys.readouterr().err


def test_a_sheet_shows_all_images_in_one_profile(colours, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    pair = [colours["vi", "srgb"], colours["vi", "adobe"]]
    for order in (pair, pair[::-1]):
        assert main(["compare", *order, "-o", str(out), "--overwrite"]) == 0
        assert "converted from" in capsys.readouterr().err
        sheet = read_picture(out)
        assert sheet.icc == read_picture(order[0]).icc
        gap = (sheet.width - 2 * 80) // 3
        tiles = [sheet.pixels[gap : gap + 64, x : x + 80].astype(int) for x in (gap, 2 * gap + 80)]
        assert np.abs(tiles[0] - tiles[1]).max() <= 2
