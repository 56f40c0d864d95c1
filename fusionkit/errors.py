"""What fusionkit raises, and the exit code that the command line gives for it.

Every message is one line for the person who typed the command: it names the
file, option or plugin, says what is wrong, and what to do about it.
"""

from __future__ import annotations

import unicodedata

_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories of Unicode


class FusionkitError(Exception):
    """Base of everything that fusionkit raises on purpose."""

    exit_code = 1


class UsageError(FusionkitError):
    """The request cannot be carried out as given: change the request."""

    exit_code = 2


class ImageError(UsageError):
    """An image cannot be read, written, or fused with the others."""


class PluginLoadError(UsageError):
    """A plugin that the request needs could not be loaded."""


class PluginError(FusionkitError):
    """A plugin raised, or broke the contract of its protocol, during a run."""


class FusionkitWarning(UserWarning):
    """Something that the person should know about but that does not stop the run."""


class Ended(BaseException):
    """A signal asks this process to end; no ``Exception``, so that no scene is blamed for it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def one_line(said: object, most: int = 200) -> str:
    r"""Return what an error says, in one line of at most so many characters; else what it is.

    Examples
    --------
    >>> one_line(ValueError("It holds\n  no image."))
    'It holds no image.'
    >>> one_line(MemoryError())
    'MemoryError'
    """
    return " ".join(str(said).split())[:most] or type(said).__name__


def visible(text: str) -> str:
    """Return text that a terminal shows and does not obey: names of files may hold anything.

    Control characters, those that turn the direction of writing and what is no Unicode are
    written as Python escapes.
    """
    return "".join(
        c if unicodedata.category(c) not in _STEERING else c.encode("unicode_escape").decode()
        for c in text
    )
