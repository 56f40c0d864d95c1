"""A disk that fails: calls of the C library return an error, one after another, in a real run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Whether this call is the one that fails: of FAULT_CALL below FAULT_UNDER, after FAULT_AFTER. */
static int fails_at(const char *call, const char *path) {
    static int seen = 0;
    const char *asked = getenv("FAULT_CALL"), *under = getenv("FAULT_UNDER");
    if (!asked || !under || strcmp(asked, call) || strncmp(path, under, strlen(under))) return 0;
    if (seen++ < atoi(getenv("FAULT_AFTER"))) return 0;
    errno = EIO;
    return 1;
}

static int fails(const char *call, int descriptor) {
    char link[64], path[PATH_MAX + 1];
    if (!getenv("FAULT_CALL")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0) return 0;
    path[length] = 0;
    return fails_at(call, path);
}

ssize_t write(int descriptor, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return fails("write", descriptor) ? -1 : real(descriptor, data, size);
}

ssize_t read(int descriptor, void *data, size_t size) {
    ssize_t (*real)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
    return fails("read", descriptor) ? -1 : real(descriptor, data, size);
}

int fsync(int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return fails("fsync", descriptor) ? -1 : real(descriptor);
}

int linkat(int from, const char *old, int to, const char *name, int flags) {
    int (*real)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    return fails_at("link", name) ? -1 : real(from, old, to, name, flags);
}

int link(const char *old, const char *name) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "link");
    return fails_at("link", name) ? -1 : real(old, name);
}
"""

RUNS = r"""
import contextlib, io, json, os, sys
from fusionkit.cli import main

runs = json.load(sys.stdin)
whole = os.path.join(os.path.dirname(runs[0][3]), "whole")
assert main([*runs[0][4], "-o", whole]) == 0  # and loads what every run needs
for call, under, after, output, words in runs:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.environ.update(FAULT_CALL=call, FAULT_UNDER=under, FAULT_AFTER=str(after))
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = main([*words, "-o", output])
        del os.environ["FAULT_CALL"]
        os.write(writer, json.dumps([code, said.getvalue()]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as told:
        print(told.read())
    os.wait()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the shim is for Linux"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]


@pytest.fixture
def shim(tmp_path: Path) -> str:
    (tmp_path / "shim.c").write_text(SHIM)
    made = str(tmp_path / "shim.so")
    command = ["cc", "-shared", "-fPIC", "-o", made, str(tmp_path / "shim.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return made


def whole_or_absent(folder: Path) -> int:
    """Check that every result there has all its pixels and its own record; return how many."""
    images = list(folder.rglob("*.png"))
    for path in images:
        with Image.open(path) as image:
            image.load()
    assert list(folder.rglob(".fusionkit-*")) == []
    return len(images)


def test_a_call_that_fails_is_a_line_and_leaves_results_whole(
    folders: tuple[str, str],
    shim: str,
    tmp_path: Path,
) -> None:
    words = ["run", *folders, "--estimator", "gaussian", "--quiet"]
    runs: list[list[Any]] = []
    for call in ("write", "fsync", "link", "read"):
        for after in (0, 1, 2, 5, 11):
            output = tmp_path / "out" / f"{call}-{after}"
            under = folders[1] if call == "read" else str(output)
            runs.append([call, under, after, str(output), words])
    done = subprocess.run(
        [sys.executable, "-c", RUNS],
        input=json.dumps(runs),
        env={**os.environ, "LD_PRELOAD": shim},
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == len(runs), done.stderr
    failed = 0
    for (call, _, after, output, _), (code, said) in zip(runs, told, strict=True):
        what = f"{call}, after {after}: {code}: {said}"
        lines = said.splitlines()
        assert code in (0, 1, 2), what
        assert all(line.startswith("fusionkit: ") for line in lines), what
        there = whole_or_absent(Path(output))
        if code == 0:
            assert there == 6, what
        else:
            failed += 1
            assert "Input/output error" in said, what
            assert there < 6 or "failed.csv" in said, what
    assert failed >= 10  # of 20; a run may end before so many calls
