"""Peers: where each is installed, which version, and the command lines of its methods."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionkit.contract.options import suggest
from fusionkit.errors import UsageError

from ..quality.tools import FOCUS_FLAGS

TIMEOUT = 60
"""Seconds within which a peer says its version."""


@dataclass(frozen=True)
class Way:
    """One way to call a peer: a row of the tables.

    Attributes
    ----------
    name
        The row's name.
    family
        What it is for: ``focus`` or ``exposure``.
    arguments
        The command line after the program. ``{out}`` stands for the fused file, ``{folder}`` for
        the folder that holds the sources and nothing else, and ``{sources}``, alone, for
        their files.
    of_folders
        The same from many folders, one a scene, to a folder of results: ``{sources}`` stands for
        the folders then; empty if it takes one scene at a time.
    """

    name: str
    family: str
    arguments: tuple[str, ...]
    of_folders: tuple[str, ...] = ()

    def command(self, program: str, sources: Sequence[Path], out: Path) -> list[str]:
        """Return the whole command line for sources that lie in one folder."""
        return self._line(self.arguments, program, sources, out)

    def command_of_folders(self, program: str, folders: Sequence[Path], out: Path) -> list[str]:
        """Return that for folders, one a scene, to a folder of results."""
        return self._line(self.of_folders, program, folders, out)

    @staticmethod
    def _line(
        arguments: Sequence[str], program: str, sources: Sequence[Path], out: Path
    ) -> list[str]:
        line = [program]
        for argument in arguments:
            if argument == "{sources}":
                line += map(str, sources)
            else:
                places = {"{out}": str(out), "{folder}": str(sources[0].parent)}
                for mark, place in places.items():
                    argument = argument.replace(mark, place)
                line.append(argument)
        return line


@dataclass(frozen=True)
class Peer:
    """A program, or a package for Python, that fuses.

    Attributes
    ----------
    name
        As ``--peer NAME=PATH`` has it.
    program
        The name of the program on the PATH; None for a package, which a Python runs.
    version
        Arguments with which the program, or the Python, prints the version.
    ways
        The rows.
    """

    name: str
    program: str | None
    version: tuple[str, ...]
    ways: tuple[Way, ...]

    @property
    def usual_place(self) -> str | None:
        """Where it is looked for without ``--peer``: the PATH, or the Python that runs this."""
        return shutil.which(self.program) if self.program else sys.executable

    def version_at(self, place: str) -> str | None:
        """Return what it says about its version, or None if it is not there."""
        try:
            done = subprocess.run(
                [place, *self.version], capture_output=True, text=True, check=True, timeout=TIMEOUT
            )
        except (OSError, subprocess.SubprocessError):
            return None
        lines = done.stdout.strip().splitlines()
        return lines[0] if lines else None


@dataclass(frozen=True)
class Installed:
    """A peer that can be run: the program or Python, and the version that it told."""

    peer: Peer
    place: str
    version: str


def found(places: Mapping[str, str]) -> tuple[list[Installed], list[str]]:
    """Return the peers that are installed, and one line about each that is not.

    Parameters
    ----------
    places
        Paths by name of peer, as given; others are looked for where they usually are.

    Raises
    ------
    UsageError
        There is no peer of a name, or it is not where it was said to be.
    """
    names = [peer.name for peer in PEERS]
    for name in places:
        if name not in names:
            hint = suggest(name, names) or f" There are {', '.join(names)}."
            raise UsageError(f"--peer {name}: unknown peer.{hint}")
    there, absent = [], []
    for peer in PEERS:
        place = places.get(peer.name, peer.usual_place)
        version = peer.version_at(place) if place else None
        what = f"the {peer.program} program" if peer.program else f"a Python that has {peer.name}"
        if place and version:
            there.append(Installed(peer, place, version))
        elif peer.name in places:
            raise UsageError(f"--peer {peer.name}={place}: this is not {what}")
        else:
            absent.append(f"{peer.name} is not installed: rows left out; --peer {peer.name}=PATH")
    return there, absent


def _package(
    name: str,
    start: str,
    ways: Sequence[tuple[str, str, Sequence[str]]],
    of_folders: Sequence[tuple[str, ...]] = (),
) -> Peer:
    """Return a package whose command is started by a line of Python.

    ``of_folders`` are the arguments of each way for many folders, if it has any.
    """
    told = f"from importlib.metadata import version; print('{name} ' + version('{name}'))"
    run = f"import sys; {start}; sys.exit(main())"
    many = [("-c", run, *flags) for flags in of_folders] or [()] * len(ways)
    listed = tuple(
        Way(row, family, ("-c", run, *flags), folders)
        for (row, family, flags), folders in zip(ways, many, strict=True)
    )
    return Peer(name, None, ("-c", told), listed)


_METHODS = (
    *("stackmffv3", "stackmffv2", "stackmff", "openfocus_a", "openfocus_b", "openfocus_c"),
    *("guided_filter", "gfgfgf", "dct", "dtcwt"),
)
_REGISTERED = ("--no-exposure-match", "--cpu", "--method")
_OPENFOCUS = ("-i", "{sources}", "-o", "{out}", *_REGISTERED)
_OPENFOCUS_BATCH = ("-i", "{sources}", "-d", "{out}", *_REGISTERED)
_MERTENS = str(Path(__file__).with_name("mertens.py"))

PEERS: tuple[Peer, ...] = (
    _package(
        "openfocus",
        "from core.cli import main",
        [(f"openfocus {method}", "focus", (*_OPENFOCUS, method)) for method in _METHODS],
        [(*_OPENFOCUS_BATCH, method) for method in _METHODS],
    ),
    _package(
        "focusweave",
        "from focusweave.main import main",
        [("focusweave", "focus", ("{folder}", "--no-align", "--output", "{out}"))],
    ),
    _package(
        "exposure-fusion",
        "from exposure_fusion.cli import main",
        [("exposure-fusion", "exposure", ("{sources}", "-o", "{out}"))],
    ),
    Peer(
        "enfuse",
        "enfuse",
        ("--version",),
        (
            Way("enfuse", "exposure", ("--depth=8", "--output={out}", "{sources}")),
            Way(
                "enfuse-focus",
                "focus",
                ("--depth=8", *FOCUS_FLAGS, "--output={out}", "{sources}"),
            ),
        ),
    ),
    Peer(
        "opencv",
        None,
        ("-c", "import cv2; cv2.createMergeMertens; print('OpenCV', cv2.__version__)"),
        (
            Way("mertens", "exposure", (_MERTENS, "1", "1", "0", "{out}", "{sources}")),
            Way("mertens-exposed", "exposure", (_MERTENS, "1", "1", "1", "{out}", "{sources}")),
        ),
    ),
)
"""All peers. Sources are registered and equally bright, or a bracket: nothing is asked to align
them, or to make them equally bright."""
