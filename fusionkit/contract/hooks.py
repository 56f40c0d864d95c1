"""The hooks that a plugin may implement: one for each kind. All are optional and take no argument.

Each returns an iterable of records, of :class:`fusionkit.Component` in most. The host calls
every hook once, to collect them; nothing of pluggy runs inside the sampling loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pluggy

from .kind import Kind
from .kinds import KINDS

PROJECT = "fusionkit"
API = 1
"""The version of what plugins are written against.

A plugin that says ``fusionkit_api = N`` for a greater N may have hooks that this host lacks."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as its implementation of the hook of that name."""


def _spec(kind: Kind) -> Callable[[], Iterable[Any]]:
    def collect() -> Iterable[Any]:
        raise NotImplementedError("a specification is not called")

    collect.__name__ = kind.hook
    collect.__doc__ = f"Return the {kind.title}s: {kind.summary}."
    return hookspec(collect)


SPECS = type("Specs", (), {kind.hook: staticmethod(_spec(kind)) for kind in KINDS})
"""The specifications, as pluggy takes them: a class of functions."""
