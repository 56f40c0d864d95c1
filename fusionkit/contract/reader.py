"""Readers: file formats of images beside those that are built in, which may be written too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .component import Contribution
from .kind import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..imaging.decoded import Decoded
    from ..imaging.volume import Volume


def accepts_any(head: bytes, name: str) -> bool:
    """Accept every file that has one of the extensions."""
    return True


@lru_cache
def _installed(module: str) -> bool:
    return not module or find_spec(module) is not None


@dataclass(frozen=True)
class Writer:
    """How files of a reader's format are written, and what they can hold.

    Attributes
    ----------
    encode
        ``encode(image, name)`` returns the bytes of a file called ``name``, from which ``read``
        makes ``image`` again, a :class:`fusionkit.Decoded` without notes. The same image gives the
        same bytes: nothing of the time or the machine is in them.
    dtypes
        Types of values, as NumPy calls them.
    colour, alpha
        Whether RGB, and an alpha channel, can be held.
    icc
        Whether a colour profile can be.
    metadata
        The parts of :class:`fusionkit.imaging.Metadata` that are: ``resolution``, ``grid``, ...
    longest_side
        In pixels.
    volume
        ``volume(volume, file, name)`` writes a whole :class:`fusionkit.imaging.Volume` into an
        open file; None where files hold no volumes.
    no_data
        Whether files say which grey value means none, ``no_data`` of a :class:`fusionkit.Decoded`.
    """

    encode: Callable[[Decoded, str], bytes]
    dtypes: tuple[str, ...] = ("uint8", "uint16")
    colour: bool = True
    alpha: bool = False
    icc: bool = False
    metadata: tuple[str, ...] = ()
    longest_side: int = 2**31 - 1
    volume: Callable[[Volume, BinaryIO, str], None] | None = None
    no_data: bool = False


@dataclass(frozen=True)
class Reader(Contribution):
    """A file format that images are read from.

    Attributes
    ----------
    extensions
        What names of its files end in, such as ``(".nii", ".nii.gz")``: lower case, compared
        without case. A folder's files of these names are images.
    read
        ``read(data, name)`` decodes the bytes of a file, whose path is ``name``: an array,
        (H, W) or (H, W, C) with C = 1 grey, 2 grey and alpha, 3 RGB or 4 RGB and alpha, or a
        :class:`fusionkit.Decoded`, which can say more. Imports that take long belong inside it.
    accepts
        ``accepts(head, name)`` looks at the first 512 bytes of a file of these names, and says
        whether it is one; it is also asked about what nobody else reads, such as bytes without a
        name. It comes before anything is read, and has to be quick.
    parts
        What parts of a file can be asked for by ``FILE#PART``, in a few words, if any can:
        ``a slice, such as z80``. ``name`` then ends in ``#PART``, which
        :func:`fusionkit.split_part` splits off; with a part, a reader comes before what is
        built in, too.
    read_volume
        ``read_volume(name, room)`` reads a whole :class:`fusionkit.imaging.Volume`, of a file, of
        ``FILE#tN``, the N-th of several, or of a folder; what is large goes into files in the
        folder ``room``. None where files are no volumes.
    folders
        Whether a folder of such files is a volume, each of them a slice.
    needs
        The module without which it reads nothing, if there is one that need not be installed.
    install
        What ``pip install`` gets it by: ``fusionkit-imaging[formats]``.
    writer
        How its files are written; None where they are only read.
    """

    extensions: tuple[str, ...]
    read: Callable[[bytes, str], NDArray[Any] | Decoded]
    accepts: Callable[[bytes, str], bool] = accepts_any
    parts: str = ""
    writer: Writer | None = None
    read_volume: Callable[[str, Path], Volume] | None = None
    folders: bool = False
    needs: str = ""
    install: str = ""

    @property
    def there(self) -> bool:
        """Whether what it needs is installed."""
        return _installed(self.needs)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.extensions, str) or not self.extensions:
            raise ValueError(f"reader {self.name}: extensions are a tuple, such as ('.nii',)")
        for extension in self.extensions:
            if not extension.startswith(".") or extension != extension.lower():
                raise ValueError(
                    f"reader {self.name}: {extension!r} is no extension: it begins with a dot, "
                    "and is in lower case"
                )
        if not callable(self.read) or not callable(self.accepts):
            raise TypeError(f"reader {self.name}: read and accepts are functions")
        if self.writer is not None and not isinstance(self.writer, Writer):
            raise TypeError(f"reader {self.name}: writer is a fusionkit.Writer, or None")


READER = Kind(
    group="reader",
    title="reader",
    hook="fusionkit_readers",
    summary="file formats of images",
    record=Reader,
)
"""The kind of readers."""
