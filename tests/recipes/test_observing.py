"""How sources were measured, read from text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionkit import UsageError, load_plugins
from fusionkit.recipes.observing import parse_observations


def tables(*texts: str, count: int = 2) -> dict[int, list[dict[str, Any]]]:
    """Return the chains by source, without what is at its default."""
    found = {}
    for observed in parse_observations(texts, count, load_plugins()):
        found[observed.source] = [
            {key: value for key, value in table.items() if value not in (0, "", None)}
            for table in observed.as_tables()
        ]
    return found


def test_chains() -> None:
    assert list(tables("2:mask=auto", "1:downsample,noise=3")) == [0, 1]
    chain = tables("1:downsample=1.6,noise=3")[0]
    assert [table["name"] for table in chain] == ["observations:downsample", "observations:noise"]
    assert chain[0]["factor"] == 1.6
    assert chain[1]["sigma"] == "3"
    assert tables("1:noise")[0][0]["sigma"] == "auto"
    assert tables(" 1 : blur = 1.6 ")[0][0]["sigma"] == 1.6


def test_options_by_name() -> None:
    chain = tables("1:blur.motion=9,blur.angle=30,noise.gain=0.5,noise.sigma=2")[0]
    assert len(chain) == 2
    assert (chain[0]["motion"], chain[0]["angle"]) == (9.0, 30.0)
    assert (chain[1]["gain"], chain[1]["sigma"]) == (0.5, "2")
    assert len(tables("1:mask=auto,mask=clipped")[0]) == 2
    assert tables("1:downsample.kernel=gaussian,downsample.sigma=0.4")[0][0]["sigma"] == 0.4
    assert len(tables("1:observations:blur=2")[0]) == 1


def test_a_file_is_recorded_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "psf.npy").write_bytes(b"something")
    said = tables(f"1:blur={tmp_path / 'psf.npy'}")[0][0]["psf"]
    assert said["path"] == str(tmp_path / "psf.npy")
    assert len(said["sha256"]) == 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("downsample", "expected K:NAME"),
        ("x:downsample", "expected K:NAME"),
        ("1:", "expected K:NAME"),
        ("1:downsample,,noise=3", "an empty part: expected"),
        ("1:blur.=3", "expected K:NAME"),
        ("1:blur.sigma", "expected K:NAME"),
        ("1:noise=", "expected K:NAME"),
        ("3:downsample", "there is no source 3; K goes from 1 to 2"),
        ("0:downsample", "there is no source 0"),
        ("1:downsampel", "unknown observation 'downsampel'. Did you mean downsample"),
        ("1:blur.sgma=3", "blur has no option 'sgma'. Did you mean sigma?"),
        ("1:blur.sigma=wide", "blur.sigma expects a number, not 'wide'"),
        ("1:blur=-1", "blur.sigma must be at least 0, not -1.0"),
        ("1:blur=900", "blur.sigma must be at most 64, not 900.0"),
        ("1:noise=loud", "sigma is auto, or a number from 0 to 255, not 'loud'"),
        ("1:downsample=0.5", "factor is 1 or more, or 0, not 0.5"),
        ("1:blur.sigma=1,blur.disc=2", "a blur is one of"),
        ("1:blur=/nowhere/psf.npy", "/nowhere/psf.npy: there is no such file"),
    ],
)
def test_bad_input_is_said_in_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        tables(text)
    message = str(caught.value)
    assert message.startswith(f"--observe {text}: ")
    assert words in message
    assert "\n" not in message


def test_a_source_twice() -> None:
    with pytest.raises(UsageError, match="source 1 is given twice: one chain says all"):
        tables("1:downsample", "1:noise=3")
