"""Objects given from Python: components and metrics that no plugin provides, under names of ours.

A registry with them in it finds an object as it finds a component, so that a study treats both
alike. What an object is made of is hashed, so that a study runs its cells again when that has
changed: the code that it comes from, and its attributes.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..contract.component import BuildContext, Component
from ..contract.kind import Kind
from ..contract.options import NoOptions
from ..contract.registry import PluginInfo, Provided, Registry
from ..errors import UsageError
from .report.texts import GIVEN


class GivenObjects:
    """Names for objects, and the registry in which these are found beside all others."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._provided: dict[int, Provided] = {}
        self._kept: list[Any] = []  # an object that goes would leave its id to another

    def name(self, kind: Kind, thing: Any) -> Any:
        """Return what a recipe calls a component: a name or a table as it is, an object by ours.

        Raises
        ------
        UsageError
            It does not do what the kind's protocol says.
        """
        if isinstance(thing, (str, Mapping)):
            return thing
        if id(thing) not in self._provided:
            self._provided[id(thing)] = self._made(kind, thing)
            self._kept.append(thing)
        return self._provided[id(thing)].qualified

    @property
    def registry(self) -> Registry:
        """The registry with all objects that have been named."""
        if not self._provided:
            return self._registry
        info = PluginInfo(GIVEN, "loaded", GIVEN, "Python")
        provided = [*self._registry.all(), *self._provided.values()]
        return Registry([*self._registry.plugins, info], provided)

    def __len__(self) -> int:
        return len(self._provided)

    def _made(self, kind: Kind, thing: Any) -> Provided:
        if isinstance(thing, type) or not isinstance(thing, kind.protocol):
            raise UsageError(
                f"{kind.group}: {thing!r} is neither a name, a table, nor an object that does what "
                f"fusionkit.{kind.protocol.__name__} says"
            )
        mistake = kind.misspelt(thing)
        if mistake:
            raise UsageError(f"{kind.group}: {mistake}")

        def build(options: NoOptions, context: BuildContext) -> Any:
            return thing

        cls = type(thing)
        component = Component(self._free(kind, cls), f"a {cls.__name__}, given from Python", build)
        # In the place of a version: what tells this object from others of its class.
        info = PluginInfo(GIVEN, "loaded", cls.__module__, "Python", fingerprint(thing))
        return Provided(kind, component, info)

    def _free(self, kind: Kind, cls: type) -> str:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
        base = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
        base = base if base[:1].isalpha() else f"object-{base}".rstrip("-")
        taken = {p.component.name for p in [*self._registry.all(kind), *self._provided.values()]}
        names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)


def fingerprint(thing: Any) -> str:
    """Return a hash of an object's class and attributes; a new one each time where these are none.

    Attributes that can be told are numbers, texts, arrays, tensors, networks, and lists, tuples,
    sets and mappings of them. Anything else makes the object one that is never known again.
    """
    digest = hashlib.sha256(f"{type(thing).__module__}.{type(thing).__qualname__}".encode())
    try:
        digest.update(inspect.getsource(type(thing)).encode())
        _add(digest, getattr(thing, "__dict__", {}))
    except (OSError, TypeError):
        return uuid.uuid4().hex[:12]
    return digest.hexdigest()[:12]


def _add(digest: Any, value: Any) -> None:
    """Add a value to a hash; raise TypeError if it cannot be told from others."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        digest.update(f"{type(value).__name__} {value!r};".encode())
    elif isinstance(value, Mapping):
        digest.update(b"{")
        for key in sorted(value, key=str):
            _add(digest, key)
            _add(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"[{len(value)}".encode())
        for each in value:
            _add(digest, each)
    elif isinstance(value, (set, frozenset)):
        _add(digest, sorted(map(repr, value)))
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    elif hasattr(value, "state_dict"):  # a network
        digest.update(repr(value).encode())
        _add(digest, dict(value.state_dict()))
    elif hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor; torch may be absent
        _add(digest, value.detach().cpu().float().numpy())
    else:
        raise TypeError(f"{type(value).__name__} cannot be told from others")
