"""Names that are going away: they work on, and say what to use instead."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])


def deprecated(instead: str, *, since: str, until: str) -> Callable[[T], T]:
    """Mark a function or a class that will be removed: each call warns, and works as before.

    Parameters
    ----------
    instead
        What to use, as a reader would write it: ``"box_mean(maps, window)"``.
    since
        The version that was the first to warn.
    until
        The version that will be the first without it.

    Returns
    -------
    Callable
        A decorator. Of a class it returns the class itself, of which every instance made warns,
        those of subclasses too.

    Warns
    -----
    DeprecationWarning
        When what is decorated is called. Python shows it in code that is run directly, and pytest
        in tests; elsewhere with ``python -W default``.

    Examples
    --------
    >>> import warnings
    >>> @deprecated("box_mean(maps, window)", since="0.2", until="0.4")
    ... def window_mean(maps, window):
    ...     return maps
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     window_mean([1, 2], 3)
    [1, 2]
    >>> print(caught[0].message)
    window_mean is deprecated since 0.2 and will be removed in 0.4: use box_mean(maps, window)
    """

    def decorate(what: T) -> T:
        message = (
            f"{what.__qualname__} is deprecated since {since} and will be removed in {until}: "
            f"use {instead}"
        )
        if isinstance(what, type):
            what.__init__ = _warning(what.__init__, message)  # type: ignore[misc]
            return what
        return _warning(what, message)

    return decorate


def _warning(function: T, message: str) -> T:
    @functools.wraps(function)
    def warns(*arguments: Any, **keywords: Any) -> Any:
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return function(*arguments, **keywords)

    return warns  # type: ignore[return-value]
