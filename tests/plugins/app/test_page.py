"""The page in a real browser: drop two files, fuse, look, download; and who may ask for it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fusionkit.cli import main
from tests.browser import requested, resize

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("app")]

SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The app, served by its own command; when it is ended nothing is left of it."""
    pytest.importorskip("gradio")
    port, folder = free_port(), tmp_path_factory.mktemp("app")
    command = [sys.executable, "-m", "fusionkit", "app", "--no-browser", "--port", str(port)]
    # Not by SIGINT, which a process that was started in the background may have to ignore.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}
    )
    try:
        yield process.stdout.readline().split()[1]
        process.terminate()
        assert process.wait(SECONDS) == 128 + signal.SIGTERM
        assert list(folder.glob("fusionkit-app-*")) == []
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def until(found):
    """Wait until there is something, and return it."""
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

    for _ in range(SECONDS * 5):
        try:
            if value := found():
                return value
        except (NoSuchElementException, StaleElementReferenceException):
            pass
        time.sleep(0.2)
    raise AssertionError("the page did not come so far")


@pytest.fixture
def browser(chromium):
    """The browser with empty logs; at the end it must have refused the page nothing."""
    resize(chromium, 1280, 1400)
    for log in ("browser", "performance"):
        chromium.get_log(log)
    yield chromium
    refusals = [
        entry["message"]
        for entry in chromium.get_log("browser")
        if "Content Security Policy" in entry["message"] or "Failed to load" in entry["message"]
    ]
    chromium.get("about:blank")
    assert refusals == []


@pytest.fixture
def find(browser):
    return lambda css: browser.find_element("css selector", css)


def drop(find, files) -> None:
    until(lambda: find("#files input[type=file]")).send_keys("\n".join(map(str, files)))
    until(lambda: all(name in find("#files").text for name in ("near", "far")))


def test_two_files_are_fused_compared_and_downloaded(address, browser, find, frames) -> None:
    browser.get(address)
    drop(find, frames)
    find("#fuse").click()
    until(lambda: "Task " in find("#told textarea").get_attribute("value"))

    def widths() -> list[int]:
        images = browser.find_elements("css selector", "#slider img")
        return [image.get_property("naturalWidth") for image in images]

    assert until(lambda: widths() == [160, 160])

    # The handle follows the pointer.
    from selenium.webdriver import ActionChains

    handle = find("#slider [data-testid=slider]")
    before = handle.rect["x"]
    ActionChains(browser).drag_and_drop_by_offset(handle, 60, 0).perform()
    assert until(lambda: find("#slider [data-testid=slider]").rect["x"] > before + 30)

    choices = browser.find_elements("css selector", "#before label")
    assert len(choices) == 2
    choices[1].click()

    links = until(lambda: browser.find_elements("css selector", "#kept a[href]"))
    kept = {link.get_attribute("download"): link.get_attribute("href") for link in links}
    image, record = (urllib.request.urlopen(kept[name]).read() for name in sorted(kept))
    assert sorted(kept) == ["fused.png", "fused.png.json"]
    assert json.loads(record)["output"]["sha256"] == hashlib.sha256(image).hexdigest()

    assert browser.title != "hit"  # what a file is called is text
    asked = [url for url in requested(browser) if not url.startswith(("data:", "blob:"))]
    assert asked
    assert [url for url in asked if not url.startswith(address)] == []


def test_what_is_wrong_is_said_on_the_page(address, browser, find, tmp_path) -> None:
    broken = [tmp_path / "near.png", tmp_path / "far.png"]
    for path in broken:
        path.write_bytes(b"no image")
    browser.get(address)
    drop(find, broken)
    find("#fuse").click()
    said = until(lambda: find(".toast-body").text)
    assert "far.png" in said
    assert "uploads" not in said


def asked_as(address: str, host: str) -> int:
    request = urllib.request.Request(address, headers={"Host": host})
    try:
        return int(urllib.request.urlopen(request).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_answers_to_this_machine_alone(address) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    assert asked_as(address, f"localhost:{port}") == 200
    assert asked_as(address, f"example.org:{port}") == 403
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/etc/passwd", str(Path(__file__)), "../../etc/passwd"])
def test_no_file_outside_its_folder_is_served(address, path) -> None:
    for door in ("gradio_api/file=", "file=", "static/", "gradio_api/file%3D"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address.rstrip('/')}/{door}{path}")
        assert refused.value.code in (400, 403, 404, 405)


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (("--port", "0"), "--port 0"),
        (("--port", "x"), "invalid int value: 'x'"),
        (("--upload", "0"), "--upload 0"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_flags_are_a_line(flags, part, capsys) -> None:
    assert main(["app", *flags]) == 2
    error = capsys.readouterr().err
    assert part in error
    assert len(error.splitlines()) == 1


def test_a_port_that_is_taken_is_a_line(address, capsys) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    assert main(["app", "--no-browser", "--port", port]) == 2
    assert f"--port {port} is taken" in capsys.readouterr().err


def test_without_gradio_it_says_what_to_install(monkeypatch, capsys) -> None:
    monkeypatch.delitem(sys.modules, "fusionkit_app.page", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app", "--no-browser"]) == 2
    assert "pip install 'fusionkit-imaging[app]'" in capsys.readouterr().err
