"""Results: an image and the record of that image, whatever is killed, raced or in the way."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fusionkit.errors import UsageError
from fusionkit.host.keeping import Kept
from fusionkit.host.saving import (
    check_result,
    finished,
    is_result,
    made_of,
    record_of,
    save_result,
)
from fusionkit.imaging import files


def record(**recipe: Any) -> dict[str, Any]:
    return {"fusionkit": "0", "recipe": recipe, "inputs": [], "output": {}}


def parts(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".part")]


def test_a_record_holds_the_hash_of_its_image(tmp_path):
    path = tmp_path / "o.png"
    save_result(path, b"image", record(steps=1))
    assert record_of(path)["output"]["sha256"] == hashlib.sha256(b"image").hexdigest()
    assert finished(path) == record_of(path)
    assert is_result(path)
    path.write_bytes(b"retouched")
    assert finished(path) is None
    assert is_result(path)  # and still no source
    path.unlink()
    assert finished(path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": {}}', "\xff", "[" * 100000])
def test_what_lies_beside_need_not_be_a_record(tmp_path, text):
    path = tmp_path / "o.png"
    path.write_bytes(b"photograph")
    Path(f"{path}.json").write_text(text, "latin-1")
    assert not is_result(path)
    assert finished(path) is None


def test_pictures_of_a_trace_are_results(tmp_path):
    for name in ("strip.png", "curves.png"):
        (tmp_path / name).write_bytes(b"")
        assert not is_result(tmp_path / name)
    (tmp_path / "trace.json").write_text('{"fusionkit": "0"}')
    assert is_result(tmp_path / "strip.png")
    assert is_result(tmp_path / "curves.png")


def test_made_of_compares_recipe_and_sources(tmp_path):
    sources = [tmp_path / name for name in "ab"]
    for source in sources:
        source.write_text(source.name)
    made = record(steps=1)
    made["inputs"] = [{"sha256": hashlib.sha256(name.encode()).hexdigest()} for name in "ab"]
    assert made_of(made, {"steps": 1}, sources)
    assert not made_of(made, {"steps": 2}, sources)
    assert not made_of(made, {"steps": 1}, sources[::-1])
    sources[1].write_text("changed")
    assert not made_of(made, {"steps": 1}, sources)


def test_nothing_is_replaced_unasked(tmp_path):
    path = tmp_path / "o.png"
    save_result(path, b"first", record())
    with pytest.raises(UsageError, match="exists"):
        check_result(path)
    with pytest.raises(UsageError, match="exists"):
        save_result(path, b"second", record())
    assert path.read_bytes() == b"first"
    save_result(path, b"second", record(steps=2), overwrite=True)
    assert path.read_bytes() == b"second"
    assert finished(path)["recipe"] == {"steps": 2}
    assert len(os.listdir(tmp_path)) == 2


def test_what_an_interrupted_run_left_is_completed(tmp_path):
    path, beside = tmp_path / "o.png", tmp_path / "o.png.json"
    save_result(path, b"image", record(steps=1))
    path.unlink()  # killed between the two names: the record comes first
    check_result(path, resume=True)
    with pytest.raises(UsageError, match="exists"):
        save_result(path, b"other", record(steps=2))
    assert json.loads(beside.read_text())["recipe"] == {"steps": 1}
    save_result(path, b"image", record(steps=1))
    assert finished(path)

    beside.unlink()
    check_result(path, resume=True)
    with pytest.raises(UsageError, match="exists"):
        check_result(path)
    with pytest.raises(UsageError, match=r"without its record.*--overwrite"):
        save_result(path, b"other", record(steps=2))
    assert path.read_bytes() == b"image"
    assert not beside.exists()
    save_result(path, b"image", record(steps=1))
    assert finished(path)


def test_what_is_no_record_is_kept(tmp_path):
    beside = tmp_path / "o.png.json"
    beside.write_text("precious")
    with pytest.raises(UsageError, match=r"o\.png\.json"):
        check_result(tmp_path / "o.png", resume=True)
    with pytest.raises(UsageError, match=r"o\.png\.json"):
        save_result(tmp_path / "o.png", b"image", record())
    assert os.listdir(tmp_path) == ["o.png.json"]
    assert beside.read_text() == "precious"


def test_an_image_that_appears_meanwhile_takes_no_record(tmp_path, monkeypatch):
    path = tmp_path / "o.png"

    class Overtaken(files.Part):
        def take_name(self, *, overwrite: bool = False) -> None:
            if self.name == str(path):
                path.write_bytes(b"theirs")
            super().take_name(overwrite=overwrite)

    monkeypatch.setattr(files, "Part", Overtaken)
    with pytest.raises(UsageError, match="exists"):
        save_result(path, b"mine", record())
    assert os.listdir(tmp_path) == ["o.png"]
    assert path.read_bytes() == b"theirs"


def test_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "o.png"
    check_result(path)
    assert os.listdir(tmp_path) == []
    save_result(path, b"image", record())
    assert finished(path)
    for below in (path / "c" / "o.png", path / "o.png"):
        with pytest.raises(UsageError, match=r"o\.png is a file, not a folder"):
            check_result(below)
    with pytest.raises(UsageError, match=r"^/proc/new/a/o\.png: it cannot be written"):
        check_result("/proc/new/a/o.png")
    for folder in (f"{tmp_path}/new/", f"{tmp_path}/a/", str(tmp_path)):
        with pytest.raises(UsageError, match="folder: give the name of a file in it"):
            check_result(folder)


def test_a_source_is_known_by_any_name(tmp_path):
    source = tmp_path / "a.png"
    source.write_bytes(b"source")
    (tmp_path / "link.png").symlink_to(source)
    os.link(source, tmp_path / "hard.png")
    kept = Kept([source, tmp_path / "missing.png", "a\0b"])
    up = f"./../{tmp_path.name}/a.png"
    for name in ("a.png", "link.png", "hard.png", up, "missing/../a.png"):
        with pytest.raises(UsageError, match=r"source .*a\.png"):
            kept.refuse(tmp_path / "other.png", tmp_path / name)
    kept.refuse(tmp_path / "other.png", tmp_path / "missing.png")


def test_names_that_are_not_unicode_are_recorded(tmp_path):
    written = record()
    written["inputs"] = [{"name": os.fsdecode(b"caf\xe9.png")}]
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.png"))
    save_result(path, b"image", written)
    assert finished(path)["inputs"][0]["name"] == os.fsdecode(b"caf\xe9.png")


@pytest.mark.skipif(files.fcntl is None, reason="needs file locks")
def test_parts_that_killed_processes_left_are_swept(tmp_path):
    left = tmp_path / ".fusionkit-0123456789abcdef.part"
    left.write_bytes(b"half")
    other = tmp_path / ".hidden.part"
    other.write_bytes(b"not ours")
    with files.part_of(tmp_path / "being written") as part:
        save_result(tmp_path / "o.png", b"image", record())
        assert os.path.exists(part.temporary)
        part.file.write(b"whole")
        part.take_name()
    assert (tmp_path / "being written").read_bytes() == b"whole"
    assert not left.exists()
    assert parts(tmp_path) == [".hidden.part"]


WRITER = """
import sys
from pathlib import Path
from fusionkit.host.saving import save_result
name = sys.argv[2]
record = {"fusionkit": "0", "recipe": {"by": name}, "inputs": [], "output": {}}
print("ready", flush=True)
while True:
    save_result(sys.argv[1], name.encode() * 1000, record, overwrite=True)
"""


def writer(path: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.skipif(files.fcntl is None, reason="needs file locks")
def test_killed_and_racing_writers_leave_no_record_of_another_image(tmp_path):
    path = tmp_path / "o.png"
    for _ in range(3):
        racing = [writer(path, name) for name in ("one", "two")]
        for process in racing:
            assert process.stdout.readline() == "ready\n"
        seen = set()
        while len(seen) < 2 and all(process.poll() is None for process in racing):
            with files.locked(tmp_path):  # between two results
                if (found := record_of(path)) is not None:
                    assert finished(path) is not None
                    seen.add(found["recipe"]["by"])
        for process in racing:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        assert len(seen) == 2
        # A kill may take the record, and never leaves another's.
        assert record_of(path) is None or finished(path) is not None
    save_result(path, b"last", record(), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["o.png", "o.png.json"]
