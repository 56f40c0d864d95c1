"""What the decoders of the single formats take."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from fusionkit.errors import FusionkitError, ImageError

MAX_PIXELS_VARIABLE = "FUSIONKIT_MAX_PIXELS"

_codec_lock = threading.RLock()
_LOGGERS = ("imagecodecs", "PIL", "tifffile")


@dataclass(frozen=True)
class Raw:
    """The bytes of an image file, and the name that messages call it by."""

    name: str
    data: bytes
    max_pixels: int

    def error(self, what: str) -> ImageError:
        """Make an error about this file."""
        return ImageError(f"{self.name}: {what}")

    def damaged(self, format_name: str, cause: object = None) -> ImageError:
        """Make the error for a file that does not decode."""
        reason = "it ends too early" if cause is None else " ".join(str(cause).split())
        reason = reason or "its content is malformed"
        return self.error(
            f"this {format_name} file is damaged or truncated ({reason[:120]}): get it anew"
        )

    def check_size(self, width: int, height: int) -> None:
        """Refuse what the header claims before anything of that size is decoded."""
        if width < 1 or height < 1:
            raise self.error(f"the header claims {width}x{height} pixels: get it anew")
        if width * height > self.max_pixels:
            raise self.error(
                f"the header claims {width}x{height} pixels, over the limit of {self.max_pixels}: "
                f"if that is right, raise the limit with the environment variable "
                f"{MAX_PIXELS_VARIABLE}"
            )

    @contextlib.contextmanager
    def decoding(self, format_name: str) -> Iterator[None]:
        """Run a decoder: whatever it raises becomes one ImageError, what it warns is dropped.

        Codecs raise nearly every built-in exception on malformed data, so all are caught.
        The lock is held because warning filters and loggers are global to the process.
        """
        with _codec_lock, warnings.catch_warnings(), _silence():
            warnings.simplefilter("ignore")
            try:
                yield
            except (FusionkitError, MemoryError):
                raise
            except Exception as cause:
                raise self.damaged(format_name, cause or type(cause).__name__) from cause


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep codecs from logging: a picture is right, or its ImageError says what is wrong."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
