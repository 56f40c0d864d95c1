"""What commands print: on full disks, and of names that would steer a terminal."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fusionkit.cli import main, print_line
from fusionkit.errors import visible

FULL = Path("/dev/full")
STEERING = {
    "\x1b[31m": "\\x1b[31m",
    "\x9b31m": "\\x9b31m",
    "\r\x07\x7f": "\\r\\x07\\x7f",
    "\u202egnp.exe": "\\u202egnp.exe",
    "\u2028": "\\u2028",
    "\udce9": "\\udce9",
}
HARMLESS = ["plain", "Äpfel, 図　x", "narrow\u202fspace", "<img src=x>"]


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", ["--version", "--help", "run --help", "plugins --json"])
def test_a_full_disk_for_stdout_is_one_line(words):
    command = [sys.executable, "-m", "fusionkit", *words.split()]
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "fusionkit: error: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.slow
def test_a_reader_who_leaves_is_no_error():
    command = [sys.executable, "-m", "fusionkit", "doctor", "fixed"]  # flushes as it goes
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as doctor:
        doctor.stdout.close()
        said = doctor.stderr.read().decode()
    assert doctor.returncode == 0
    assert "error" not in said.lower()


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize(("stream", "code"), [("stdout", 1), ("stderr", 0)])
def test_a_full_disk_for_lines_ends_no_folder(pair, tmp_path, stream, code):
    for folder, source in zip("ab", pair, strict=True):
        (tmp_path / folder).mkdir()
        for scene in "12":
            shutil.copy(source, tmp_path / folder / f"{scene}.png")
    command = [sys.executable, "-m", "fusionkit", "run", "a", "b", "-o", "out"]
    command += ["--weighting", "fixed", "--estimator", "gaussian", "--objective", "mse"]
    command += ["--steps", "9"]  # which is idle, as stderr is told
    other = "stderr" if stream == "stdout" else "stdout"
    with FULL.open("w") as full:
        pipes = {stream: full, other: subprocess.PIPE}
        done = subprocess.run(command, cwd=tmp_path, text=True, check=False, **pipes)
    assert done.returncode == code
    assert all((tmp_path / "out" / f"{scene}.png.json").is_file() for scene in "12")
    if stream == "stdout":
        assert done.stderr.count("error:") == 1
        assert "standard output cannot be written" in done.stderr
    else:
        assert done.stdout.count("52x40") == 2


@pytest.mark.parametrize("name", STEERING)
def test_what_steers_a_terminal_is_shown(name, capsys):
    assert visible(f"a{name}b") == f"a{STEERING[name]}b"
    print_line(f"a{name}b", sys.stdout)
    assert capsys.readouterr().out == f"a{STEERING[name]}b\n"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_is_left(name):
    assert visible(name) == name


def test_names_in_errors_and_results(pair, tmp_path, capsys):
    odd = tmp_path / "\x1b[31m"
    for folder, source in zip("ab", pair, strict=True):
        (odd / folder).mkdir(parents=True)
        shutil.copy(source, odd / folder / "1.png")
        shutil.copy(source, odd / folder / "\u202e2.png")
        (odd / folder / "\x07.png").write_bytes(b"no image")
    sources = [str(odd / "a"), str(odd / "b")]
    out = str(odd / "out")
    quick = ["--weighting", "fixed", "--estimator", "gaussian", "--objective", "mse"]
    assert main(["run", *sources, "-o", out, *quick]) == 1
    measured = ["evaluate", out, sources[0], "--sources", *sources, "--metric", "en"]
    for form in ([], ["--markdown"]):
        main([*measured, *form])
    assert main(["run", str(odd / "no.png"), pair[1], "-o", out]) == 2
    assert main(["align", *pair, "-o", str(odd / "aligned")]) == 0
    assert main(["compare", *pair, "-o", str(odd / "sheet.png")]) == 0
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert text == "\n".join(map(visible, text.split("\n")))
    assert "\\x1b[31m" in shown.out
    assert "\\x1b[31m" in shown.err
