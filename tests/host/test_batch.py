"""Finding scenes: in folders, of stacks, by name, by number, by time, and in manifests."""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionkit.errors import UsageError
from fusionkit.host import listing
from fusionkit.host.batch import Stacking, check_name, find_scenes
from fusionkit.host.listing import MOST_WAYS, ignores_case, natural

PIXELS = np.zeros((8, 8), np.uint8)


def put(folder: Path, *names: str) -> Path:
    """Put images of these names into a folder, and return it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS).save(path)
    return folder


def put_result(folder: Path, name: str) -> None:
    """Put a fused image and its record into a folder."""
    put(folder, name)
    (folder / f"{name}.json").write_text(json.dumps({"fusionkit": "0", "recipe": {}}))


def names(scenes: dict[str, tuple[Path, ...]]) -> dict[str, list[str]]:
    return {name: [path.name for path in paths] for name, paths in scenes.items()}


def found(*sources: Path, how: Stacking | None = None) -> dict[str, list[str]]:
    """Find scenes, all without problems."""
    scenes = find_scenes(sources, how or Stacking())
    assert scenes.problems == {}
    return names(scenes.found)


# --- several folders -----------------------------------------------------------------------------


def test_folders_are_paired_by_stem_whatever_the_format(tmp_path):
    ir, vi = put(tmp_path / "ir", "7.png", "8.png"), put(tmp_path / "vi", "7.jpg", "8.PNG")
    assert found(ir, vi) == {"7": ["7.png", "7.jpg"], "8": ["8.png", "8.PNG"]}


def test_folders_below_are_paired_if_all_have_them(tmp_path):
    ir, vi = put(tmp_path / "ir", "day/1.png", "night/1.png", "old/1.png"), tmp_path / "vi"
    put(vi, "day/1.png", "night/1.png", "@eaDir/1.png", ".thumbs/1.png")
    scenes = find_scenes([ir, vi])
    assert list(scenes.found) == ["day/1", "night/1"]
    assert scenes.problems == {}
    assert len(scenes.notes) == 1
    assert "old" in scenes.notes[0]


def test_names_compare_in_composed_form(tmp_path):
    name = "café 01.png"
    ir = put(tmp_path / "ir", unicodedata.normalize("NFC", name))
    vi = put(tmp_path / "vi", unicodedata.normalize("NFD", name))
    assert list(find_scenes([ir, vi]).found) == [unicodedata.normalize("NFC", "café 01")]
    assert list(find_scenes([vi, ir]).found) == [unicodedata.normalize("NFC", "café 01")]


def test_case_counts_where_it_does_in_the_file_system(tmp_path, monkeypatch):
    ir, vi = put(tmp_path / "ir", "DSC_7.PNG", "a.png"), put(tmp_path / "vi", "dsc_7.png", "a.png")
    if ignores_case(ir):
        pytest.skip("this file system ignores case")
    scenes = find_scenes([ir, vi])
    assert list(scenes.found) == ["a"]
    assert "differ in case" in scenes.problems["DSC_7"]
    monkeypatch.setattr("fusionkit.host.batch.ignores_case", lambda folder: True)
    assert list(find_scenes([ir, vi]).found) == ["DSC_7", "a"]


def test_whether_case_counts_is_tried_out(tmp_path):
    put(tmp_path, "a.png", "A.PNG")
    assert not ignores_case(tmp_path)
    (tmp_path / "A.PNG").unlink()
    os.link(tmp_path / "a.png", tmp_path / "A.PNG")  # as a file system without case shows it
    assert ignores_case(tmp_path)
    (tmp_path / "empty").mkdir()
    assert not ignores_case(tmp_path / "empty")


def test_what_is_not_paired_is_told(tmp_path):
    ir = put(tmp_path / "ir", "1.png", "2.png", "3.png", "3.jpg", "sub.png/x.png")
    vi = put(tmp_path / "vi", "1.png", "3.png", "4.png")
    scenes = find_scenes([ir, vi])
    assert list(scenes.found) == ["1"]
    assert "3.jpg and 3.png" in scenes.problems["3"]
    assert "no image of this name" in scenes.problems["2"]
    assert "no image of this name" in scenes.problems["4"]
    assert set(scenes.problems) == {"2", "3", "4"}


def test_one_folder_twice_is_a_mistake(tmp_path):
    ir = put(tmp_path / "ir", "1.png")
    (tmp_path / "link").symlink_to(ir)
    with pytest.raises(UsageError, match="one folder"):
        find_scenes([ir, tmp_path / "link"])


def test_results_of_earlier_runs_are_no_sources(tmp_path):
    ir, vi = put(tmp_path / "ir", "1.png"), put(tmp_path / "vi", "1.png")
    put_result(ir, "2.png")
    put_result(vi, "2.png")
    put_result(ir, "fused/1.png")
    put(vi, "strip.png", "curves.png")
    (vi / "trace.json").write_text('{"fusionkit": "0"}')
    scenes = find_scenes([ir, vi])
    assert list(scenes.found) == ["1"]
    assert scenes.problems == {}
    assert scenes.notes == ()


# --- one folder ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "scenes"),
    [
        ("7_ir 7_vi 8_ir 8_vi", {"7": "7_ir 7_vi", "8": "8_ir 8_vi"}),
        ("a-01-A a-01-B a-02-A a-02-B", {"a-01": "a-01-A a-01-B", "a-02": "a-02-A a-02-B"}),
        ("x_t1_IR x_t1_vi y_ir y_vi", {"x_t1": "x_t1_IR x_t1_vi", "y": "y_ir y_vi"}),
        ("7_near 7_far", {"7": "7_far 7_near"}),
        ("near far", {"all": "far near"}),
        ("IMG_011 IMG_012 IMG_013", {"all": "IMG_011 IMG_012 IMG_013"}),
        ("07_ir 07_vi 08_ir 08_vi DSC_1 DSC_2", None),
    ],
)
def test_names_that_say_which_belong_together(tmp_path, files, scenes):
    folder = put(tmp_path / "all", *(f"{name}.png" for name in files.split()))
    if scenes is not None:
        assert found(folder) == {
            name: [f"{each}.png" for each in of.split()] for name, of in scenes.items()
        }
        return
    partly = find_scenes([folder])  # numbers are no roles
    assert list(partly.found) == ["07", "08"]
    assert set(partly.problems) == {"DSC_1", "DSC_2"}


@pytest.mark.parametrize(
    "files",
    [
        "DSC_0001 DSC_0002 DSC_0003 DSC_0004",
        "ir_001 ir_002 vi_001 vi_002",
        "c_01_1 c_01_2 c_02_1 c_02_2",
        "1 2 3 4 5",
        "a b c d",
        "trip_beach trip_town trip_hill trip_hut",
    ],
)
def test_names_that_do_not_are_an_error_that_says_how_to(tmp_path, files):
    folder = put(tmp_path / "card", *(f"{name}.png" for name in files.split()))
    with pytest.raises(UsageError) as caught:
        find_scenes([folder])
    said = str(caught.value)
    for part in ("card", "--stack-by all", "--stack-gap", "a folder of its own"):
        assert part in said
    if len(files.split()) == 4:
        first, second, *_ = sorted(files.split())
        assert f"--stack-by 2 makes ({first}.png {second}.png)" in said


def test_stacks_as_they_are_said_to_be(tmp_path):
    numbers = [1, 2, 3, 9, 10, 11]
    folder = put(tmp_path / "card", *(f"DSC_{n}.JPG" for n in numbers))
    assert list(found(folder, how=Stacking("all"))) == ["card"]
    assert found(folder, how=Stacking(3)) == {
        "DSC_1": ["DSC_1.JPG", "DSC_2.JPG", "DSC_3.JPG"],
        "DSC_9": ["DSC_9.JPG", "DSC_10.JPG", "DSC_11.JPG"],
    }
    with pytest.raises(UsageError, match=r"--stack-by 4: 6 images .*DSC_10\.JPG"):
        find_scenes([folder], Stacking(4))
    pairs = put(tmp_path / "pairs", *(f"c_0{n}_{k}.png" for n in (1, 2) for k in (1, 2)))
    assert list(found(pairs, how=Stacking("name"))) == ["c_01", "c_02"]
    files = sorted(folder.iterdir(), key=natural)
    assert set(found(*files, how=Stacking(2))) == {"DSC_1", "DSC_3", "DSC_10"}
    for sources in ([folder, pairs], [put(tmp_path, "s.csv.png") / "s.csv"]):
        with pytest.raises(UsageError, match="of one folder"):
            find_scenes(sources, Stacking(2))


def put_dated(folder: Path, taken: dict[str, str]) -> Path:
    folder.mkdir()
    for name, time in taken.items():
        image = Image.fromarray(PIXELS)
        exif = image.getexif()
        exif[0x0110] = "camera"
        if time:
            second, _, fraction = time.partition(".")
            exif.get_ifd(0x8769)[0x9003] = f"2024:05:01 12:00:{second}"
            exif.get_ifd(0x8769)[0x9291] = fraction
        image.save(folder / name, exif=exif)
    return folder


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_stacks_by_the_time_they_were_taken(tmp_path, extension):
    times = {"d": "01.10", "c": "01.60", "b": "02.00", "a": "09.90", "e": "10.20"}
    folder = put_dated(tmp_path / "card", {f"{n}.{extension}": t for n, t in times.items()})
    expected = {"d": ["d", "c", "b"], "a": ["a", "e"]}
    for gap in (0.6, 7.9):
        stacks = found(folder, how=Stacking(gap=gap))
        assert {k: [Path(n).stem for n in v] for k, v in stacks.items()} == expected
    with pytest.raises(UsageError) as caught:
        find_scenes([folder])
    assert "--stack-gap 4.2 (seconds, by Exif) makes" in str(caught.value)


def test_images_without_a_time_are_named(tmp_path):
    folder = put_dated(tmp_path / "card", {"a.jpg": "01", "b.jpg": "", "c.jpg": "03", "d.jpg": "9"})
    (folder / "e.jpg").write_bytes(b"\xff\xd8\xff damaged")
    with pytest.raises(UsageError, match=r"b\.jpg does not say when"):
        find_scenes([folder], Stacking(gap=1))


def test_a_folder_of_folders_is_a_stack_in_each(tmp_path):
    stacks = put(tmp_path / "stacks", *(f"{s}/IMG_{n}.png" for s in ("b1", "b2") for n in range(5)))
    put(stacks, "more/b3/x.png", "more/b3/y.png", "@eaDir/x.png")
    put_result(stacks, "fused/b1.png")
    (stacks / "b1" / "up").symlink_to(stacks)
    assert [*found(stacks)] == ["b1", "b2", "more/b3"]
    assert found(stacks)["b1"] == [f"IMG_{n}.png" for n in range(5)]
    assert found(tmp_path / "stacks", how=Stacking("all")) == found(stacks)
    put(stacks, "set/1_ir.png", "set/1_vi.png", "set/2_ir.png", "set/2_vi.png", "one/a.png")
    scenes = find_scenes([stacks])
    assert "several scenes" in scenes.problems["set"]
    assert "only source" in scenes.problems["one"]


def test_images_beside_folders_are_taken_and_the_folders_told(tmp_path):
    folder = put(tmp_path / "all", "near.png", "far.png", "raw/near.png", "empty/x.txt.png")
    (folder / "empty" / "x.txt.png").unlink()
    scenes = find_scenes([folder])
    assert list(scenes.found) == ["all"]
    assert len(scenes.notes) == 1
    assert "raw" in scenes.notes[0]


@pytest.fixture
def closed(monkeypatch):
    """Make folders of some name ones that nobody may list, whoever runs the test."""
    list_of = Path.iterdir

    def close(name):
        def iterdir(folder):
            if folder.name == name:
                raise PermissionError(errno.EACCES, "Permission denied")
            return list_of(folder)

        monkeypatch.setattr(Path, "iterdir", iterdir)

    return close


def test_a_folder_that_nobody_may_list_stops_no_other(tmp_path, closed):
    stacks = put(tmp_path / "stacks", "one/1.png", "one/2.png", "two/1.png", "two/2.png")
    (tmp_path / "near").mkdir()
    near = put(tmp_path / "near", "1.png", "two/1.png")
    far = put(tmp_path / "far", "1.png")
    closed("two")
    scenes = find_scenes([stacks])
    assert list(scenes.found) == ["one"]
    assert scenes.problems == {"two": f"{stacks / 'two'}: cannot be listed: Permission denied"}
    for sources in ([near, far], [put(stacks, "left.png", "right.png")]):
        scenes = find_scenes(sources)
        assert scenes.problems == {}
        assert any("two: cannot be listed" in note for note in scenes.notes)


def test_files_of_several_pages_are_stacks(tmp_path):
    folder = put(tmp_path / "all", "over.png")
    for name in ("z1.tif", "z2.tiff"):
        tifffile.imwrite(folder / name, np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    np.save(folder / "z3.npy", np.zeros((4, 8, 8)))
    scenes = find_scenes([folder])
    assert names(scenes.found) == {"z1": ["z1.tif"], "z2": ["z2.tiff"], "z3": ["z3.npy"]}
    assert "only source" in scenes.problems["over"]
    with pytest.raises(UsageError, match="holds several images"):
        scenes.of_files()
    put(folder, "7_a.png", "7_b.png", "8_a.png", "8_b.png")
    files = find_scenes([folder]).of_files()
    assert list(files.found) == ["7", "8"]
    assert set(files.problems) == {"over", "z1", "z2", "z3"}


def test_links_of_two_folders_to_one_another_end(tmp_path):
    ir, vi = put(tmp_path / "ir", "1.png"), put(tmp_path / "vi", "1.png")
    (ir / "other").symlink_to(vi)
    (vi / "other").symlink_to(ir)
    assert sorted(find_scenes([ir, vi]).found) == ["1", "other/1"]
    for folder in (ir, vi):  # what holds no image is looked through as well
        (folder / "1.png").unlink()
    with pytest.raises(UsageError, match="there are no images"):
        find_scenes([tmp_path])


def put_diamond(folder, levels):
    """Put folders, in each of which two links lead to the next; return the first, and the last."""
    inner = [folder / f"{n:02}" for n in range(levels)]
    for one in inner:
        one.mkdir(parents=True)
    for one, other in pairwise(inner):
        (one / "a").symlink_to(other)
        (one / "b").symlink_to(other)
    return inner[0], inner[-1]


@pytest.fixture
def listed(monkeypatch):
    """Count the folders that are listed."""
    list_of, counted = Path.iterdir, []

    def iterdir(folder):
        counted.append(folder)
        return list_of(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    return counted


def test_links_that_lead_on_in_many_ways_are_few_walks(tmp_path, listed):
    levels = 15  # by every way, 16,384 folders
    near, last = put_diamond(tmp_path / "near", levels)
    with pytest.raises(UsageError, match="there are no images"):
        find_scenes([near])
    assert len(listed) < 20 * levels
    put(last, "1.png", "2.png")
    far, other = put_diamond(tmp_path / "far", levels)
    put(other, "1.png", "2.png")
    for sources, ways in (([near], 1), ([near, far], 2)):
        listed.clear()
        scenes = find_scenes(sources)
        assert {path.resolve().parent for path in scenes.sources} <= {last, other}
        assert len(scenes.found) == ways * 2 * MOST_WAYS
        assert scenes.problems == {}
        (note,) = scenes.notes
        assert "links lead here in more than 16 ways" in note
        assert len(listed) < 200 * levels


def test_a_folder_that_many_link_to_is_found_in_each(tmp_path):
    common = put(tmp_path / "common", "1.png", "2.png")
    subjects = [f"s{n:02}" for n in range(3 * MOST_WAYS)]
    for name in subjects:
        put(tmp_path / "all", f"{name}/own/1.png", f"{name}/own/2.png")
        (tmp_path / "all" / name / "flat").symlink_to(common)
    names = [f"{name}/{each}" for name in subjects for each in ("flat", "own")]
    assert [*found(tmp_path / "all")] == names
    (tmp_path / "links").mkdir()
    for name in ("again", "once"):
        (tmp_path / "links" / name).symlink_to(tmp_path / "all")
    scenes = find_scenes([tmp_path / "links"])
    assert [*scenes.found] == [f"{link}/{name}" for link in ("again", "once") for name in names]
    assert scenes.notes == ()


def test_nothing_to_fuse(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    (tmp_path / "empty" / "IMG_1.PSD").write_text("")
    with pytest.raises(UsageError, match=r"no scene.*no images \(PNG.*but \.psd, \.txt"):
        find_scenes([tmp_path / "empty"])
    put_result(tmp_path / "done", "1.png")
    with pytest.raises(UsageError, match=r"no scene.* there are but results of fusionkit"):
        find_scenes([tmp_path / "done"])
    with pytest.raises(UsageError, match="not some of each"):
        find_scenes([put(tmp_path / "a", "1.png"), tmp_path / "a" / "1.png"])


# --- manifests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-mark"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_manifests_as_spreadsheets_write_them(tmp_path, encoding, mark, end):
    put(tmp_path, "sub/a, é.png", "sub/b.png", "c.png")
    rows = [
        ["scene", "ir", "vi"],
        ["ö", '"sub/a, é.png"', "sub\\b.png"],
        ["two", "c.png", ".\\c.png"],
    ]
    text = end.join(mark.join(row) for row in [*rows, [""], ["", "", ""]]) + end
    data = (
        text.encode(encoding) if "mark" not in encoding else b"\xfe\xff" + text.encode("utf-16-be")
    )
    (tmp_path / "s.csv").write_bytes(data)
    assert found(tmp_path / "s.csv") == {"ö": ["a, é.png", "b.png"], "two": ["c.png", "c.png"]}


@pytest.mark.parametrize("above", ["", "\n\n", "sep=;\n", '"sep=;"\n', "sep=;;;\n", "\nsep=;\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_write_above_the_header(tmp_path, above, end):
    put(tmp_path, "a, b.png", "c.png")
    text = f"{above}scene;ir, near;vi\none;a, b.png;c.png\n\ntwo;c.png;c.png\nalone;;\n"
    (tmp_path / "s.csv").write_bytes(text.replace("\n", end).encode())
    scenes = find_scenes([tmp_path / "s.csv"])
    assert {name: [p.name for p in paths] for name, paths in scenes.found.items()} == {
        "one": ["a, b.png", "c.png"],
        "two": ["c.png", "c.png"],
    }
    assert f"line {5 + above.count(chr(10))}" in scenes.problems["alone"]


def test_a_file_whose_name_has_a_backslash_is_meant_as_it_is(tmp_path):
    put(tmp_path, "a\\b.png", "c.png")
    (tmp_path / "s.csv").write_text("scene,ir,vi\none,a\\b.png,c.png\n")
    assert found(tmp_path / "s.csv") == {"one": ["a\\b.png", "c.png"]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "header"),
        (b"scene\none\n", "header"),
        (b"a.png,b.png\n", "names files"),
        (b"one,a.png,b.png\n", "names files"),
        ("scene,ir\n".encode("utf-16-le"), "UTF-16 without its mark"),
        ("scène,ir\n".encode("latin-1"), "neither UTF-8 nor UTF-16"),
        (b'scene,ir,vi\none,"' + b"x" * 200_000 + b'",b\n', "field larger"),
        (b"scene,ir,vi\n\n", "no scene under its header"),
        (b"sep=;\nscene;ir;vi\n", "no scene under its header"),
        (b"\n\n", "header"),
    ],
)
def test_manifests_that_do_not_work_say_why(tmp_path, data, said):
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "s.csv").write_bytes(data)
    with pytest.raises(UsageError, match=said):
        find_scenes([tmp_path / "s.csv"])


def test_a_bad_line_leaves_the_others(tmp_path):
    put(tmp_path, "a.png", "b.png")
    lines = ["good,a.png,b.png", "twice,a.png,b.png", "twice,b.png,a.png", "..,a.png,b.png"]
    lines += ["n\0l,a.png,b.png", "../up,a.png,b.png", "alone,a.png", ",a.png,b.png", "empty,,"]
    (tmp_path / "s.csv").write_text("\n".join(["scene,ir,vi", *lines]))
    scenes = find_scenes([tmp_path / "s.csv"])
    assert list(scenes.found) == ["good"]
    assert len(scenes.problems) == 7
    assert "named twice" in scenes.problems["twice"]
    assert "only source" in scenes.problems["alone"]
    for name in ("..", "n\0l", "../up"):
        assert "cannot name a file" in scenes.problems[name]


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "day/1", "пара, №2: (a=b)", "..a", "a.b", "日本 語"])
def test_names_for_files(name):
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/..", "/a", "a//b", "a\\b", "a\0", "a\nb"]
)
def test_names_for_no_file(name):
    with pytest.raises(UsageError, match="cannot name a file"):
        check_name(name)


def test_numbers_in_names_are_in_order():
    paths = [Path(f"p_{n}.png") for n in ("10", "9", "1", "09b", "x")]
    assert [path.stem for path in sorted(paths, key=natural)] == [
        "p_1", "p_9", "p_09b", "p_10", "p_x",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_listed(tmp_path):
    with pytest.raises(UsageError, match="cannot be listed"):
        listing.images_by_stem(tmp_path / "missing")
