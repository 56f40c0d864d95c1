"""Sources and results at URLs: those of files, whoever is killed, and no secret told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

import fusionkit
from fusionkit.cli import main
from fusionkit.contract.paths import without_secrets
from fusionkit.errors import UsageError
from fusionkit.host import remote
from fusionkit.host.keeping import Kept
from fusionkit.host.remote import local_name
from tests.cli.test_jobs import results
from tests.cli.test_run import fails

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.slow
QUICK = ["--estimator", "gaussian", "--quiet"]


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder of temporary files, which is to be empty in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def store(temporary) -> Iterator[fsspec.AbstractFileSystem]:
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    assert list(temporary.iterdir()) == []


@pytest.fixture
def folders(pair, tmp_path) -> tuple[str, str]:
    for name, source in zip(("ir", "vi"), pair, strict=True):
        (tmp_path / name / "below").mkdir(parents=True)
        for n in ("0", "1", "below/2"):
            with Image.open(source) as image:
                image.crop((0, 0, 52 - int(n[-1]), 40)).save(tmp_path / name / f"{n}.png")
    return str(tmp_path / "ir"), str(tmp_path / "vi")


def uploaded(store: fsspec.AbstractFileSystem, folders: tuple[str, str]) -> list[str]:
    for folder in folders:
        for path in Path(folder).rglob("*.png"):
            place = f"/shelf/{Path(folder).name}/{path.relative_to(folder).as_posix()}"
            store.pipe_file(place, path.read_bytes())
    return ["memory://shelf/ir", "memory://shelf/vi"]


def results_of(store: fsspec.AbstractFileSystem, folder: str = "/shelf/out") -> dict[str, bytes]:
    found = [name for name in store.find(folder) if name.endswith(".png")]
    return {name.removeprefix(f"{folder}/"): store.cat_file(name) for name in found}


def recorded(text: bytes) -> dict:
    record = json.loads(text)
    del record["run"]["seconds"]
    return record


def test_folders_of_a_store_are_those_of_files(store, folders, tmp_path, capsys):
    alone = tmp_path / "alone"
    assert main(["run", *folders, "-o", str(alone), *QUICK]) == 0
    command = ["run", *uploaded(store, folders), "-o", "memory://shelf/out", *QUICK]
    assert main(command) == 0
    made = results_of(store)
    assert made == {**results(alone), "below/2.png": (alone / "below" / "2.png").read_bytes()}
    record = recorded(store.cat_file("/shelf/out/1.png.json"))
    assert [each["name"] for each in record["inputs"]] == [
        "memory://shelf/ir/1.png",
        "memory://shelf/vi/1.png",
    ]
    expected = recorded((alone / "1.png.json").read_bytes())
    for each in (record, expected):
        del each["inputs"], each["metadata"]["from"]
    assert record == expected
    # What is finished is left alone; what is half finished is made, and what is else is kept.
    times = {name: store.created(name) for name in store.find("/shelf/out")}
    store.rm_file("/shelf/out/1.png.json")
    assert main(command[:-1]) == 0
    assert "2 of 3 scenes are finished already" in capsys.readouterr().err
    assert results_of(store) == made
    again = {name for name in store.find("/shelf/out") if store.created(name) != times.get(name)}
    assert again == {"/shelf/out/1.png", "/shelf/out/1.png.json"}
    assert main([*command, "--weighting", "fixed"]) == 1
    assert "memory://shelf/out/0.png is of another recipe" in capsys.readouterr().err
    assert store.cat_file("/shelf/out/failed.csv").startswith(b'scene,why\n0,"memory://shelf')
    assert results_of(store) == made
    assert main([*command, "--weighting", "fixed", "--overwrite"]) == 0
    assert not store.exists("/shelf/out/failed.csv")
    assert results_of(store).keys() == made.keys()
    assert results_of(store) != made


def test_files_manifests_and_stacks(store, pair, tmp_path, capsys):
    for path in pair:
        store.pipe_file(f"/shelf/{Path(path).name}", Path(path).read_bytes())
    urls = [f"memory://shelf/{Path(path).name}" for path in pair]
    out = tmp_path / "out.png"
    assert main(["run", *pair, "-o", str(tmp_path / "alone.png"), *QUICK]) == 0
    assert main(["run", urls[0], pair[1], "-o", str(out), *QUICK]) == 0
    assert out.read_bytes() == (tmp_path / "alone.png").read_bytes()
    names = [each["name"] for each in recorded(Path(f"{out}.json").read_bytes())["inputs"]]
    assert names == [urls[0], pair[1]]
    assert main(["run", *urls, "-o", "memory://shelf/one.png", *QUICK]) == 0
    assert store.cat_file("/shelf/one.png") == out.read_bytes()
    assert "exists" in fails(capsys, 2, "run", *urls, "-o", "memory://shelf/one.png", *QUICK)
    assert urls[0] in fails(capsys, 2, "run", *urls, "-o", urls[0], *QUICK, "--overwrite")
    # A manifest here names URLs; one there names what lies beside it.
    rows = f"scene,a,b\none,{urls[0]},{urls[1]}\ntwo,{urls[1]},file://{pair[0]}\n"
    (tmp_path / "scenes.csv").write_text(f"{rows}gone,memory://shelf/gone.png,{urls[0]}\n")
    listed = ["run", str(tmp_path / "scenes.csv"), "-o", "memory://shelf/many", *QUICK]
    assert main(listed) == 1
    said = capsys.readouterr().err
    assert "gone: memory://shelf/gone.png: there is no such file" in said
    assert sorted(results_of(store, "/shelf/many")) == ["one.png", "two.png"]
    store.pipe_file("/shelf/scenes.csv", b"scene,a,b\none,left.png,right.png\n")
    there = ["run", "memory://shelf/scenes.csv", "-o", f"file://{tmp_path}/there/", *QUICK]
    assert main(there) == 0
    assert (tmp_path / "there" / "one.png").read_bytes() == out.read_bytes()
    with Image.open(pair[0]) as first, Image.open(pair[1]) as second:
        first.save(tmp_path / "stack.tif", save_all=True, append_images=[second])
    store.pipe_file("/shelf/stack.tif", (tmp_path / "stack.tif").read_bytes())
    assert main(["run", "memory://shelf/stack.tif", "-o", "memory://shelf/s.png", *QUICK]) == 0
    assert store.isfile("/shelf/s.png.json")


def test_urls_that_cannot_be_used(store, folders, tmp_path, capsys, monkeypatch):
    urls = uploaded(store, folders)
    out = ["-o", str(tmp_path / "out"), *QUICK]
    assert "shelf/nothing" in fails(capsys, 2, "run", urls[0], "memory://shelf/nothing", *out)
    assert "no such" in fails(
        capsys, 2, "run", "memory://shelf/a.png", "memory://shelf/b.png", "-o", "memory://x.png"
    )
    assert "web is read alone" in fails(capsys, 2, "run", *urls, "-o", "https://example.org/out")
    assert "nowhere" in fails(capsys, 2, "run", "nowhere://a/b", urls[1], *out)
    assert "nowhere" in fails(capsys, 2, "run", *urls, "-o", "nowhere://a/b", *QUICK)
    if find_spec("s3fs") is None:
        assert "s3fs" in fails(capsys, 2, "run", *urls, "-o", "s3://a/b", *QUICK)
    assert not list(Path().glob("*:"))
    assert "of fusionkit run" in fails(
        capsys, 2, "run", *urls, "-o", "memory://o", "--trace", "s3://t"
    )
    assert "of fusionkit run" in fails(capsys, 2, "evaluate", urls[0], "--sources", *folders)
    assert "folder holds sources" in fails(capsys, 2, "run", *urls, "-o", urls[0], *QUICK)
    monkeypatch.setattr(remote, "_MOST", 100)
    assert main(["run", *urls, *out]) == 1
    assert "memory://shelf/ir/0.png: more than" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert "fusionkit-imaging[remote]" in fails(capsys, 2, "run", *urls, *out)


class Asking(SimpleHTTPRequestHandler):
    """Gives files to who knows the password, or has a signature."""

    asked: list[str]

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "Basic bWU6c2VjcmV0MQ=="  # me:secret1
        if self.path.startswith("/cut/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"few")
        elif known or "signature=secret2" in self.path:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="shelf"')
            self.end_headers()

    def log_message(self, *said: object) -> None:
        pass


@pytest.fixture
def server(tmp_path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Asking, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_web_is_read_and_no_secret_is_told(temporary, server, pair, tmp_path, capsys):
    urls = [f"http://me:secret1@{server}/left.png", f"http://{server}/right.png?signature=secret2"]
    out = tmp_path / "out.png"
    assert main(["run", *pair, "-o", str(tmp_path / "alone.png"), *QUICK]) == 0
    assert main(["run", *urls, "-o", str(out), *QUICK]) == 0
    assert out.read_bytes() == (tmp_path / "alone.png").read_bytes()
    written = Path(f"{out}.json").read_text()
    wrong = [f"http://me:secret3@{server}/left.png", f"http://{server}/gone.png?signature=secret2"]
    said = [fails(capsys, 2, "run", pair[0], url, "-o", f"{out}.png", *QUICK) for url in wrong]
    assert "HTTPError 401" in said[0]
    assert "HTTPError 404" in said[1]
    cut = fails(capsys, 2, "run", f"http://{server}/cut/a.png", urls[1], "-o", "no.png", *QUICK)
    assert "3 bytes came, of 1000" in cut
    (tmp_path / "scenes.csv").write_text(f"scene,a,b\none,{urls[0]},{wrong[1]}\n")
    assert main(["run", str(tmp_path / "scenes.csv"), "-o", str(tmp_path / "many"), *QUICK]) == 1
    failed = (tmp_path / "many" / "failed.csv").read_text()
    assert f"http://{server}/gone.png" in failed
    for text in (written, failed, *said, cut, capsys.readouterr().err):
        assert "secret" not in text
        assert "fusionkit-remote-" not in text
    assert f'"name": "http://{server}/right.png"' in written
    assert list(temporary.iterdir()) == []


def test_messages_of_sources_that_are_kept_tell_no_secret():
    kept = Kept([])
    kept.add("s3://me:secret1@shelf/a.png?signature=secret2", "source")
    with pytest.raises(UsageError, match=r"source s3://shelf/a\.png") as error:
        kept.refuse("s3://me:secret3@shelf/a.png")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://me:secret@host:80/x@2x.png?k=secret#secret", "http://host:80/x@2x.png"),
        ("http://host:80/a/x@2x.png", "http://host:80/a/x@2x.png"),
        ("http://host/a:b@c.png", "http://host/a:b@c.png"),
        ("http://me:a/secret#b?c@host/x.png", "http://host/x.png"),
        ("http://secret@host/x.png", "http://host/x.png"),
        ("zip://a.png::http://me:secret@host/x.zip?secret", "zip://a.png::http://host/x.zip"),
        ("s3:/me:secret@shelf/a", "s3:/shelf/a"),
        ("memory:///a/b.png", "memory:///a/b.png"),
        ("http://[::1/a.png", "http://[::1/a.png"),
    ],
)
def test_urls_are_shown_without_secrets(url, seen):
    assert without_secrets(url) == seen


def test_what_urls_cannot_say_is_refused(temporary, server, pair, tmp_path, capsys):
    out = tmp_path / "o.png"
    for url, why in {
        "http://[::1/a.png": "this is no URL",
        "file://me:secret@host/a.png": "another machine",
        f"http://{server}/": "names no file",
        f"http://{server}/left.png#3": "parts are of files on this machine",
    }.items():
        assert why in (said := fails(capsys, 2, "run", url, pair[1], "-o", str(out), *QUICK))
        assert "secret" not in said
    result = fusionkit.fuse(list(pair), weighting="fixed")
    for place in ("http://me:secret@host/o.png", "s3://me:secret@shelf/o.png"):
        with pytest.raises(UsageError, match="this is a URL") as error:
            result.save(place)
        assert "secret" not in str(error.value)


def test_a_part_of_a_file_url_is_that_of_the_file(tmp_path):
    assert local_name(f"file://{tmp_path}/v.nii.gz#z3") == f"{tmp_path}/v.nii.gz#z3"


SHELF = """
import os, time
from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem

class Shelf(LocalFileSystem):
    protocol = "shelf"

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(path.removeprefix("shelf://"))

    def put_file(self, here, there, **others):
        time.sleep(0.05)
        super().put_file(here, there + ".put")
        os.replace(there + ".put", there)  # as a store does: the whole, or nothing

register_implementation("shelf", Shelf)
"""


def test_a_series_of_slices_at_a_url_is_to_be_downloaded(store, tmp_path, capsys):
    for name in ("ct", "mr"):
        store.pipe_file(f"/shelf/{name}/1.dcm", b"")
    words = ["--slices", "all", "-o", str(tmp_path / "o.nii.gz")]
    for sources in (["memory://shelf/ct", "memory://shelf/mr"], ["memory://shelf/ct", "a.nii"]):
        said = fails(capsys, 2, "run", *sources, *words)
        assert (
            "memory://shelf/ct: at a URL, volumes are files (NIfTI, TIFF), or folders of these: "
            in said
        )
        assert not (tmp_path / "o.nii.gz").exists()


@pytest.mark.skipif(os.name != "posix", reason="processes are killed by signals")
def test_a_run_that_is_killed_leaves_nothing(folders, tmp_path):
    """In processes, too, which find the store by a plugin."""
    (tmp_path / "shelf.py").write_text(SHELF)
    (tmp_path / "temporary").mkdir()
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert main(["run", *folders, "-o", str(alone), *QUICK]) == 0
    urls = [f"shelf://{folder}" for folder in folders]
    command = [sys.executable, "-m", "fusionkit", "run", *urls, "-o", f"shelf://{out}", *QUICK]
    command += ["--plugin", str(tmp_path / "shelf.py"), "--jobs", "1"]
    told = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    for wanted in ("0.png", "0.png.json"):
        run = subprocess.Popen(command, env=told)
        while run.poll() is None and not (out / wanted).exists():
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert subprocess.run(command, env=told, check=False).returncode == 0
    assert results(out) == results(alone)
    assert len(list(out.rglob("*.png.json"))) == 3
    assert list((tmp_path / "temporary").iterdir()) == []
