"""What plugins provide, and the registry in which it is found by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import FusionkitError, PluginError, PluginLoadError, UsageError
from .component import BuildContext
from .kind import Kind
from .options import did_you_mean, from_mapping, nearest, specs, suggest
from .stray import prints_on_stderr


@dataclass(frozen=True)
class PluginInfo:
    """One plugin as it was found: where it comes from and what became of it.

    ``status`` is ``loaded``, ``failed`` (``error`` says why), ``disabled``, or ``replaced``
    (``error`` says by which file).
    """

    name: str
    status: str
    origin: str
    distribution: str | None = None
    version: str | None = None
    error: str | None = None

    @property
    def source(self) -> str:
        """The distribution and version, or the file, that it comes from."""
        return f"{self.distribution} {self.version}" if self.distribution else self.origin


@dataclass(frozen=True)
class Provided:
    """A component, or the record of another kind, together with the plugin that provides it.

    ``shares_name`` says that another plugin provides one of this kind and name.
    """

    kind: Kind
    component: Any
    plugin: PluginInfo
    shares_name: bool = False

    @property
    def qualified(self) -> str:
        """``provider:name``, which is never ambiguous."""
        return f"{self.plugin.name}:{self.component.name}"

    @property
    def called(self) -> str:
        """What a person types: the bare name, or ``provider:name`` where that is shared."""
        return self.qualified if self.shares_name else str(self.component.name)

    @property
    def label(self) -> str:
        """What messages call it."""
        plugin = f"plugin {self.plugin.name}, {self.plugin.source}"
        return f"{self.kind.title} {self.called} ({plugin})"

    def make_options(self, values: Mapping[str, Any]) -> Any:
        """Validate a mapping into this component's options object."""
        return from_mapping(self.component.options, values, f"{self.kind.title} {self.called}")

    def refuse_unsaid(self, options: Any) -> None:
        """Raise UsageError for an option without which nothing can be built, and nobody said."""
        for spec in specs(self.component.options):
            if spec.required and getattr(options, spec.field) == spec.default:
                flag = f"--{self.kind.group}.{spec.name} {spec.kind}"
                raise UsageError(f"{self.kind.title} {self.called} needs {flag}: {spec.help}")

    def build(self, options: Any, context: BuildContext) -> Any:
        """Build the component; anything it raises is reported in its name.

        Raises
        ------
        UsageError
            A required option is not said.
        PluginError
            It could not be built, or has an attribute that looks like a mistyped optional member.
        """
        self.refuse_unsaid(options)
        try:
            with prints_on_stderr(f"plugin {self.plugin.name}"):
                built = self.component.build(options, context)
        except FusionkitError:
            raise
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            raise PluginError(f"{self.label} could not be built: {reason}") from error
        mistake = self.kind.misspelt(built)
        if mistake:
            raise PluginError(f"{self.label}: {mistake}")
        return built


class Registry:
    """All components of one set of loaded plugins. Nothing in it depends on plugin order."""

    def __init__(self, plugins: Iterable[PluginInfo], provided: Iterable[Provided]) -> None:
        # Of two plugins of one name, the one that is in use comes first.
        self.plugins = tuple(sorted(plugins, key=lambda p: (p.name, p.status != "loaded")))
        found = sorted(provided, key=lambda p: (p.kind.group, p.qualified))
        counts = Counter((p.kind, p.component.name) for p in found)
        self._provided = tuple(
            replace(p, shares_name=counts[p.kind, p.component.name] > 1) for p in found
        )
        self._by_group: dict[str, list[Provided]] = {}  # a study looks names up by the thousand
        for each in self._provided:
            self._by_group.setdefault(each.kind.group, []).append(each)

    def all(self, kind: Kind | None = None) -> tuple[Provided, ...]:
        """Return the components of one kind, or of all, sorted by provider and name."""
        return self._provided if kind is None else tuple(self._by_group.get(kind.group, ()))

    def plugin(self, name: str) -> PluginInfo:
        """Return a plugin by its name; raise UsageError with suggestions if there is none."""
        for plugin in self.plugins:
            if plugin.name == name:
                return plugin
        names = [plugin.name for plugin in self.plugins]
        hint = suggest(name, names) or f" There are {', '.join(names)}."
        raise UsageError(f"no plugin is called {name!r}.{hint}")

    def find(self, kind: Kind, name: str) -> Provided:
        """Find a component by its bare name or as ``provider:name``.

        Raises
        ------
        UsageError
            Nobody provides the name (the message suggests near ones), or two
            plugins do (it lists them).
        PluginLoadError
            The plugin asked for is installed but failed to load, or is disabled.
        """
        provider, colon, bare = name.rpartition(":")
        if colon:
            self._require_loaded(provider, name)
        matches = self._matches(kind, name)
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = " or ".join(p.qualified for p in matches)
            raise UsageError(f"{kind.title} {name!r} is provided by several plugins: say {listed}")
        there = self.all(kind)
        near = nearest(name, (p.qualified if colon else p.component.name for p in there))
        near = near or [p.qualified for p in there if p.component.name == bare]
        meant = near
        if not colon:
            meant = [p.called for word in near for p in self._matches(kind, word)]
        listed = ", ".join(p.called for p in sorted(there, key=lambda p: p.called)) or "none"
        hint = did_you_mean(meant) or f" There are {listed}."
        raise UsageError(f"unknown {kind.title} {name!r}.{hint}{self.failures()}")

    def named(self, kind: Kind, name: Any) -> Provided | None:
        """Return the component that a name means; None if there is none, or several."""
        matches = self._matches(kind, name) if isinstance(name, str) else []
        return matches[0] if len(matches) == 1 else None

    def full_name(self, kind: Kind, name: Any) -> Any:
        """Return ``provider:name`` where one component is meant; any other name as it is."""
        found = self.named(kind, name)
        return name if found is None else found.qualified

    def short_name(self, kind: Kind, full: str) -> str:
        """Return the bare name of ``provider:name``, if it means that one component."""
        found = self.named(kind, full)
        return full if found is None else found.called

    def clashes(self) -> list[tuple[Kind, str, tuple[str, ...]]]:
        """Return the bare names that several plugins provide, each with its full names."""
        found = {(p.kind, p.component.name) for p in self.all()}
        several = [(kind, name, self._matches(kind, name)) for kind, name in found]
        return sorted(
            (
                (kind, name, tuple(p.qualified for p in matches))
                for kind, name, matches in several
                if len(matches) > 1
            ),
            key=lambda clash: (clash[0].group, clash[1]),
        )

    def _matches(self, kind: Kind, name: str) -> list[Provided]:
        return [p for p in self.all(kind) if name in (p.component.name, p.qualified)]

    def _require_loaded(self, provider: str, name: str) -> None:
        plugin = next((p for p in self.plugins if p.name == provider), None)
        if plugin is None or plugin.status == "loaded":
            return
        if plugin.status == "disabled":
            raise PluginLoadError(f"{name}: plugin {plugin.name} ({plugin.source}) is disabled")
        raise PluginLoadError(
            f"{name}: plugin {plugin.name} ({plugin.source}) failed to load: {plugin.error}"
        )

    def failures(self) -> str:
        """Say which plugins may lack in a search, since they failed to load or are disabled."""
        reasons = {"failed": "failed to load: {}", "disabled": "is disabled"}
        return "".join(
            f" Plugin {p.name} ({p.source}), which may provide it, "
            + reasons[p.status].format(p.error)
            for p in self.plugins
            if p.status in reasons
        )
