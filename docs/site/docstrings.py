"""Docstrings as the site's Markdown: references become links, and ``::`` before code a colon."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Module, NameResolutionError, Object

ROLE = re.compile(r":\w+:`(?P<short>~)?(?P<name>[\w.]+)`")


class ReadableDocstrings(Extension):
    """Runs over every docstring of a package once all of it is known."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Rewrite the docstrings of a package."""
        self._rewrite(pkg)

    def _rewrite(self, item: Object) -> None:
        if item.docstring:
            text = ROLE.sub(lambda role: _link(role, item), item.docstring.value)
            item.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)
        for member in item.members.values():
            if not member.is_alias:
                self._rewrite(member)


def _link(role: re.Match[str], item: Object) -> str:
    """Return a link that is plain code if what it names is on no page."""
    name = role["name"]
    try:
        target = name if name.startswith("fusionkit") else item.resolve(name)
    except NameResolutionError:
        target = name
    shown = name.rpartition(".")[2] if role["short"] else name
    return f'<autoref identifier="{target}" optional><code>{shown}</code></autoref>'
