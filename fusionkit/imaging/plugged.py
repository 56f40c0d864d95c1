"""Formats that plugins read and write: which reader takes a file, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fusionkit.contract.reader import Reader, accepts_any
from fusionkit.contract.reading import readers, readers_of, writers_of
from fusionkit.contract.registry import Provided
from fusionkit.contract.stray import prints_on_stderr
from fusionkit.errors import ImageError
from fusionkit.imaging._encode import Beside, FileFormat
from fusionkit.imaging._raw import Raw
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.making import split_alpha
from fusionkit.imaging.volume import Volume

Decoder = tuple[str, Callable[[Raw], Decoded]]
"""The name of a format, and what decodes it."""


def decoder_by_name(name: str, head: bytes) -> Decoder | None:
    """Return the decoder of a reader that takes files of this name, and accepts this one."""
    return _only(name, [each for each in readers_of(name) if _accepts(each, name, head)])


def decoder_of_part(name: str, head: bytes) -> Decoder | None:
    """Return the decoder of a reader that reads parts of files of this name."""
    found = [each for each in readers_of(name) if each.component.parts]
    return _only(name, [each for each in found if _accepts(each, name, head)])


def decoder_by_content(name: str, head: bytes) -> Decoder | None:
    """Return that of a reader that knows its files by their content, whatever they are called."""
    knowing = [each for each in readers() if each.component.accepts is not accepts_any]
    asked = []
    for each in knowing:
        with suppress(ImageError):  # one that fails at a file of another name does not read it
            asked += [each] if _accepts(each, name, head) else []
    return _only(name, asked)


def format_by_name(name: str) -> FileFormat | None:
    """Return the format of a reader that files of this name are written in; None if there is none.

    Raises
    ------
    ImageError
        There are several.
    """
    found = writers_of(name)
    if not found:
        return None
    if len(found) > 1:
        listed = " and ".join(each.qualified for each in found)
        raise ImageError(f"{name}: {listed} both write such files: leave one out, --no-plugin NAME")
    writer = found[0].component.writer
    return FileFormat(
        found[0].component.name,
        writer.dtypes,
        writer.alpha,
        writer.longest_side,
        _encode_by(found[0], name),
        icc=writer.icc,
        metadata=writer.metadata,
        colour=writer.colour,
        no_data=writer.no_data,
        volume=None if writer.volume is None else _volume_by(found[0], name),
    )


def _encode_by(provided: Provided, name: str) -> Callable[[NDArray[Any], Beside], bytes]:
    def encode(samples: NDArray[Any], beside: Beside) -> bytes:
        pixels, alpha = split_alpha(samples)
        image = Decoded(
            pixels,
            alpha,
            beside.icc,
            stored_range=beside.stored_range,
            metadata=beside.metadata,
            no_data=beside.no_data,
        )
        with _explained(provided, name):
            return bytes(provided.component.writer.encode(image, name))

    return encode


def _volume_by(provided: Provided, name: str) -> Callable[[Volume, BinaryIO], None]:
    def write(volume: Volume, file: BinaryIO) -> None:
        with _explained(provided, name, (MemoryError, OSError)):  # of the disk
            provided.component.writer.volume(volume, file, name)

    return write


@contextmanager
def _explained(
    provided: Provided, name: str, passing: tuple[type[Exception], ...] = (MemoryError,)
) -> Iterator[None]:
    """Turn what a writer raises into one line."""
    try:
        with prints_on_stderr(f"plugin {provided.plugin.name}"):
            yield
    except passing:
        raise
    except (Exception, SystemExit) as error:
        raise ImageError(f"{name}: {provided.label} cannot write it: {_said(error)}") from error


def _read(reader: Reader, raw: Raw) -> Any:
    return reader.read(raw.data, raw.name)


def _only(
    name: str, found: Sequence[Provided], read: Callable[[Any, Raw], Any] = _read
) -> Decoder | None:
    """Return the decoder of the only reader that accepts a file; None if none does."""
    if len(found) > 1:
        listed = " and ".join(each.qualified for each in found)
        plugins = " or ".join(f"--no-plugin {each.plugin.name}" for each in found)
        raise ImageError(f"{name}: {listed} both read this file: leave one out, {plugins}")
    return (found[0].component.name, _decode_by(found[0], read)) if found else None


def _accepts(provided: Provided, name: str, head: bytes) -> bool:
    try:
        with prints_on_stderr(f"plugin {provided.plugin.name}"):
            return bool(provided.component.accepts(head, name))
    except (Exception, SystemExit) as error:
        raise ImageError(f"{name}: {provided.label} cannot look at it: {_said(error)}") from error


def _decode_by(provided: Provided, read: Callable[[Any, Raw], Any]) -> Callable[[Raw], Decoded]:
    def decode(raw: Raw) -> Decoded:
        try:
            with prints_on_stderr(f"plugin {provided.plugin.name}"):
                found = read(provided.component, raw)
                decoded = found if isinstance(found, Decoded) else _from_array(found)
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            raise raw.error(f"{provided.label} cannot read it: {_said(error)}") from error
        pixels, alpha = decoded.pixels, decoded.alpha
        colour = pixels.ndim == 3 and pixels.shape[2] == 3
        if not (pixels.ndim == 2 or colour) or (
            alpha is not None and alpha.shape != pixels.shape[:2]
        ):
            raise raw.error(
                f"{provided.label} made an array {pixels.shape} of it, which is no image: "
                "(H, W) is grey and (H, W, 3) is RGB; alpha is (H, W)"
            )
        raw.check_size(pixels.shape[1], pixels.shape[0])
        return replace(decoded, reader=f"{provided.qualified}, {provided.plugin.source}")

    return decode


def _from_array(found: object) -> Decoded:
    samples = np.asarray(found)
    if samples.ndim not in (2, 3) or (samples.ndim == 3 and not 1 <= samples.shape[2] <= 4):
        return Decoded(samples, None)
    return Decoded(*split_alpha(samples))


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
