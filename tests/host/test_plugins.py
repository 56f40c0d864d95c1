"""Finding and loading plugins: isolation, blocking, names."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from fusionkit import (
    API,
    ESTIMATOR,
    METRIC,
    OBJECTIVE,
    WEIGHTING,
    BuildContext,
    FusionkitWarning,
    NoOptions,
    PluginInfo,
    PluginLoadError,
    Registry,
    UsageError,
    load_plugins,
)
from fusionkit.cli import main

Make = Callable[..., EntryPoint]

GOOD = """
    from fusionkit import Component, hookimpl

    @hookimpl
    def fusionkit_weightings():
        return [Component("{component}", "a toy", lambda options, context: "built {component}")]
"""

# How plugins break, and what the record must say of each.
BROKEN = {
    "imports what is not there": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "exits on import": ("raise SystemExit('no licence')", "SystemExit: no licence"),
    "raises on import": ("1 / 0", "ZeroDivisionError"),
    "has a syntax error": ("def", "SyntaxError"),
    "misspells a hook": (
        """
        from fusionkit import Component, hookimpl

        @hookimpl
        def fusionkit_weightingz():
            return []
        """,
        "there is no hook fusionkit_weightingz: did you mean fusionkit_weightings?",
    ),
    "misspells a hook, though it asks for a newer host": (
        """
        from fusionkit import Component, hookimpl

        fusionkit_api = 1000

        @hookimpl
        def fusionkit_weightingz():
            return []
        """,
        "there is no hook fusionkit_weightingz: did you mean fusionkit_weightings?",
    ),
    "has a hook that nobody knows": (
        """
        from fusionkit import hookimpl

        @hookimpl
        def fusionkit_telescopes():
            return []
        """,
        "there is no hook fusionkit_telescopes: there are fusionkit_",
    ),
    "says no number of an API": (
        "fusionkit_api = 'two'",
        "fusionkit_api must be a number from 1 on, not 'two'",
    ),
    "wraps a hook": (
        """
        from fusionkit import hookimpl

        @hookimpl(wrapper=True)
        def fusionkit_weightings():
            return (yield)
        """,
        "fusionkit_weightings wraps a hook",
    ),
    "forgets the mark": (
        """
        def fusionkit_weightings():
            return []
        """,
        "fusionkit_weightings is not marked",
    ),
    "returns no component": (
        """
        from fusionkit import hookimpl

        @hookimpl
        def fusionkit_weightings():
            return ["dig"]
        """,
        "fusionkit_weightings returned str, not fusionkit.Component",
    ),
    "returns nothing": (
        """
        from fusionkit import hookimpl

        @hookimpl
        def fusionkit_weightings():
            pass
        """,
        "TypeError: fusionkit_weightings returned None, not a list",
    ),
    "yields, then raises": (
        """
        from fusionkit import Component, hookimpl

        @hookimpl
        def fusionkit_weightings():
            yield Component("half", "a toy", lambda options, context: None)
            raise RuntimeError("out of components")
        """,
        "RuntimeError: out of components",
    ),
    "exits in a hook": (
        """
        from fusionkit import hookimpl

        @hookimpl
        def fusionkit_metrics():
            raise SystemExit(3)
        """,
        "SystemExit: 3",
    ),
    "has a hook with an argument": (
        """
        from fusionkit import hookimpl

        @hookimpl
        def fusionkit_weightings(registry):
            return []
        """,
        "registry",
    ),
    # Two faults at once: the typo must not stay behind when the argument is refused.
    "misspells one hook, gives another an argument": (
        """
        from fusionkit import hookimpl

        @hookimpl
        def fusionkit_metricz():
            return []

        @hookimpl
        def fusionkit_weightings(registry):
            return []
        """,
        "",
    ),
    "has a bad component name": (
        """
        from fusionkit import Component, hookimpl

        @hookimpl
        def fusionkit_weightings():
            return [Component("Not Good", "a toy", lambda options, context: None)]
        """,
        "component name 'Not Good'",
    ),
    "promises what means nothing for its kind": (
        """
        from fusionkit import IDENTITY_PRESERVING, Component, hookimpl

        @hookimpl
        def fusionkit_weightings():
            yield Component(
                "toy", "a toy", lambda options, context: None, traits={IDENTITY_PRESERVING}
            )
        """,
        "the weighting 'toy' declares the trait identity-preserving",
    ),
    "provides one name twice": (
        """
        from fusionkit import Component, hookimpl

        @hookimpl
        def fusionkit_weightings():
            toy = Component("twice", "a toy", lambda options, context: None)
            return [toy, toy]
        """,
        "it provides the weighting 'twice' twice",
    ),
}


def _dedent(body: str, **names: str) -> str:
    import textwrap

    return textwrap.dedent(body.format(**names) if names else body)


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUSIONKIT_STRICT", raising=False)
    monkeypatch.delenv("FUSIONKIT_DISABLE_PLUGINS", raising=False)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Write a plugin module, and if asked a distribution, and return its entry point."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(
        name: str,
        body: str = GOOD,
        *,
        component: str | None = None,
        distribution: str | None = None,
        version: str = "1.2",
    ) -> EntryPoint:
        module = f"fk_toy_{distribution or 'none'}_{name}".replace("-", "_").lower()
        text = _dedent(body, component=component or name) if body is GOOD else _dedent(body)
        (tmp_path / f"{module}.py").write_text(text)
        importlib.invalidate_caches()
        if distribution is None:
            return EntryPoint(name, module, "fusionkit")
        folder = tmp_path / f"{distribution}-{version}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (folder / "entry_points.txt").write_text(f"[fusionkit]\n{name} = {module}\n")
        (point,) = importlib.metadata.Distribution.at(folder).entry_points
        return point

    yield write
    for module in set(sys.modules) - before:
        if module.startswith(("fk_toy_", "fusionkit_inline_")):
            del sys.modules[module]


def names(registry: Registry) -> list[str]:
    return [provided.qualified for provided in registry.all()]


def status(registry: Registry) -> dict[str, str]:
    return {plugin.name: plugin.status for plugin in registry.plugins}


# Isolation


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("first", [True, False], ids=["broken first", "broken last"])
def test_a_broken_plugin_is_recorded_and_breaks_nothing_else(
    make: Make, fault: str, first: bool
) -> None:
    body, reason = BROKEN[fault]
    broken, good = make("broken", body, distribution="Sad-Dist", version="0.3"), make("good")
    registry = load_plugins(entry_points=[broken, good] if first else [good, broken])
    assert names(registry) == ["good:good"]
    plugin = registry.plugin("broken")
    assert (plugin.status, plugin.distribution, plugin.version) == ("failed", "Sad-Dist", "0.3")
    assert plugin.error is not None
    assert reason in plugin.error
    assert "\n" not in plugin.error
    assert registry.plugin("good") == PluginInfo("good", "loaded", good.value)


def test_all_broken_plugins_together_leave_the_good_one_usable(make: Make) -> None:
    points = [
        make(f"broken{n}", body, distribution=f"d{n}")
        for n, (body, _) in enumerate(BROKEN.values())
    ]
    points.insert(len(points) // 2, make("good"))
    registry = load_plugins(entry_points=points)
    assert names(registry) == ["good:good"]
    assert [p.name for p in registry.plugins if p.status == "loaded"] == ["good"]


@pytest.mark.parametrize("fault", BROKEN)
def test_strict_raises_at_once(make: Make, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    body, reason = BROKEN[fault]
    points = [make("good"), make("broken", body, distribution="sad", version="0.3")]
    with pytest.raises(PluginLoadError) as caught:
        load_plugins(entry_points=points, strict=True)
    assert "plugin broken (sad 0.3) failed to load: " in str(caught.value)
    assert reason in str(caught.value)
    monkeypatch.setenv("FUSIONKIT_STRICT", "1")
    with pytest.raises(PluginLoadError):
        load_plugins(entry_points=points)
    # What the caller says goes before the environment.
    assert status(load_plugins(entry_points=points, strict=False))["broken"] == "failed"


NEWER = """
    from fusionkit import API, Component, hookimpl

    fusionkit_api = API + 1

    @hookimpl
    def fusionkit_weightings():
        return [Component("toy", "a toy", lambda options, context: None)]

    @hookimpl
    def fusionkit_telescopes():
        raise RuntimeError("never called")
"""


def test_a_hook_of_a_newer_host_is_a_warning_and_the_rest_of_the_plugin_works(make: Make) -> None:
    point = make("early", NEWER, distribution="early-dist", version="9")
    wanted = (
        rf"early \(early-dist 9\): fusionkit_telescopes is a hook of API {API + 1}.* API {API}:"
    )
    with pytest.warns(FusionkitWarning, match=wanted):
        registry = load_plugins(entry_points=[point, make("good")])
    assert names(registry) == ["early:toy", "good:good"]


def test_a_newer_api_alone_is_no_matter(make: Make, recwarn: pytest.WarningsRecorder) -> None:
    registry = load_plugins(entry_points=[make("early", f"fusionkit_api = {API + 1}")])
    assert status(registry) == {"early": "loaded"}
    assert not recwarn.list


def test_what_a_plugin_marks_as_optional_need_not_be_a_hook(make: Make) -> None:
    lines = NEWER.replace("fusionkit_api = API + 1", "").splitlines()
    lines[-3] = lines[-3].replace("@hookimpl", "@hookimpl(optionalhook=True)")
    body = "\n".join(lines)
    assert "optionalhook" in body
    assert names(load_plugins(entry_points=[make("mild", body)])) == ["mild:toy"]


def test_hooks_are_called_once_for_all_plugins_together(make: Make) -> None:
    counting = """
        import sys
        from fusionkit import Component, hookimpl

        @hookimpl
        def fusionkit_weightings():
            sys.fk_toy_calls = getattr(sys, "fk_toy_calls", 0) + 1
            return []
    """
    sys.__dict__.pop("fk_toy_calls", None)
    load_plugins(entry_points=[make(name, counting) for name in ("a", "b", "c")])
    assert sys.__dict__.pop("fk_toy_calls") == 3


def test_an_interrupt_is_no_plugin_failure(make: Make) -> None:
    # A shell's background job, as some CI runs tests, would ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pressed = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)"
    try:
        with pytest.raises(KeyboardInterrupt):
            load_plugins(entry_points=[make("slow", pressed)])
    finally:
        signal.signal(signal.SIGINT, before)
    (plugin,) = load_plugins(entry_points=[make("pretends", "raise KeyboardInterrupt")]).plugins
    assert plugin.status == "failed"


def test_a_distribution_without_metadata_breaks_nothing_else(make: Make, tmp_path: Path) -> None:
    # What a half-finished uninstall leaves behind.
    point = make("orphan", distribution="orphan-dist")
    (tmp_path / "orphan-dist-1.2.dist-info" / "METADATA").unlink()
    registry = load_plugins(entry_points=[point, make("good")])
    assert "good:good" in names(registry)


def test_an_entry_point_may_name_an_object_in_a_module(make: Make) -> None:
    point = make(
        "holder",
        """
        from fusionkit import Component, hookimpl

        class Plugin:
            @hookimpl
            def fusionkit_objectives(self):
                return [Component("toy", "a toy", lambda options, context: None)]

        plugin = Plugin()
        """,
    )
    registry = load_plugins(entry_points=[EntryPoint("holder", f"{point.value}:plugin", "x")])
    assert names(registry) == ["holder:toy"]
    missing = EntryPoint("holder", f"{point.value}:nothing", "x")
    assert status(load_plugins(entry_points=[missing])) == {"holder": "failed"}


NOISY = """
    import logging, sys
    from fusionkit import Component, hookimpl

    print("hello from", "a plugin")
    print("no end of line", end="")
    logger = logging.getLogger("noisy")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.propagate = False

    class Loud:
        higher_is_better, convention, sources = True, "loud", "any"

        def __call__(self, fused, sources):
            print("measuring")
            logger.warning("logged")
            return fused.mean((1, 2, 3))

    def build(options, context):
        print("building")
        return Loud()

    @hookimpl
    def fusionkit_metrics():
        print("collecting")
        return [Component("loud", "a toy", build)]
"""


def test_what_a_plugin_prints_goes_to_stderr_in_its_name(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = load_plugins(entry_points=[make("noisy", NOISY)])
    registry.find(METRIC, "loud").build(NoOptions(), BuildContext())
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "plugin noisy: hello from a plugin",
        "plugin noisy: no end of linecollecting",
        "plugin noisy: building",
    ]


def test_a_plugin_that_prints_spoils_no_json(
    tmp_path: Path, pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "noisy.py"
    file.write_text(_dedent(NOISY))
    assert main(["plugins", "--json", "--plugin", str(file)]) == 0
    assert "noisy" in [plugin["name"] for plugin in json.loads(capsys.readouterr().out)]
    measure = ["evaluate", pair[0], "--sources", *pair, "--metric", "loud,sd", "--json"]
    assert main([*measure, "--plugin", str(file)]) == 0
    shown = capsys.readouterr()
    json.loads(shown.out)
    assert "metric loud: measuring" in shown.err
    assert "logged" in shown.err


def test_an_entry_point_that_is_none_says_so(make: Make) -> None:
    point = EntryPoint("odd", "json:loads:x", "fusionkit")
    (plugin,) = load_plugins(entry_points=[point]).plugins
    assert plugin.status == "failed"
    assert "'json:loads:x', not MODULE or MODULE:OBJECT" in str(plugin.error)


# Blocking


@pytest.mark.parametrize(
    "name", ["the-plugin", "The_Plugin", "foo-bar", "Foo_Bar", "foo.bar", "FOO--bar"]
)
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_blocking_happens_before_import(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str, by: str
) -> None:
    flag = "import sys\nsys.fk_toy_imported = True"
    monkeypatch.setattr(sys, "fk_toy_imported", False, raising=False)
    points = [make("the-plugin", flag, distribution="Foo_Bar"), make("good")]
    if by == "environment":
        monkeypatch.setenv("FUSIONKIT_DISABLE_PLUGINS", f" {name} ,, other")
        registry = load_plugins(entry_points=points)
    else:
        registry = load_plugins(entry_points=points, disabled=[name])
    assert status(registry) == {"good": "loaded", "the-plugin": "disabled"}
    assert sys.fk_toy_imported is False  # type: ignore[attr-defined]
    load_plugins(entry_points=points) if by == "argument" else None
    assert sys.fk_toy_imported is (by == "argument")  # type: ignore[attr-defined]


def test_disabling_what_is_not_there_is_refused_with_a_suggestion(make: Make) -> None:
    with pytest.raises(UsageError, match=r"no plugin 'goood' to disable\. Did you mean good\?"):
        load_plugins(entry_points=[make("good")], disabled=["goood"])


def test_a_disabled_plugin_cannot_be_selected(make: Make) -> None:
    registry = load_plugins(entry_points=[make("good", distribution="d")], disabled=["good"])
    with pytest.raises(PluginLoadError, match=r"good:good: plugin good \(d 1.2\) is disabled"):
        registry.find(WEIGHTING, "good:good")
    with pytest.raises(UsageError, match="unknown weighting 'good'"):
        registry.find(WEIGHTING, "good")


# Names


def test_two_plugins_of_one_name_both_fail_until_one_distribution_is_disabled(make: Make) -> None:
    points = [
        make("same", component="from-a", distribution="dist-a"),
        make("same", component="from-b", distribution="dist-b"),
    ]
    for order in (points, points[::-1]):
        registry = load_plugins(entry_points=order)
        assert names(registry) == []
        assert [p.status for p in registry.plugins] == ["failed", "failed"]
        errors = {p.distribution: p.error or "" for p in registry.plugins}
        assert "dist-b has a plugin of this name too" in errors["dist-a"]
        assert "dist-a has a plugin of this name too" in errors["dist-b"]
    healed = load_plugins(entry_points=points, disabled=["dist-b"])
    assert names(healed) == ["same:from-a"]
    assert names(load_plugins(entry_points=points, disabled=["dist-a"])) == ["same:from-b"]
    # The name stands for a plugin that works, whatever else bore it.
    assert healed.find(WEIGHTING, "same:from-a").component.name == "from-a"
    assert healed.plugin("same").status == "loaded"


def test_one_component_name_of_two_plugins_is_ambiguous_but_qualified_names_work(
    make: Make,
) -> None:
    points = [make("one", component="toy"), make("two", component="toy")]
    registry = load_plugins(entry_points=points)
    with pytest.raises(UsageError) as caught:
        registry.find(WEIGHTING, "toy")
    assert "weighting 'toy' is provided by several plugins: say one:toy or two:toy" in str(
        caught.value
    )
    assert registry.find(WEIGHTING, "two:toy").plugin.name == "two"


def test_misses_suggest(make: Make) -> None:
    registry = load_plugins(entry_points=[make("maker", component="saliency")])
    for wrong in ("salency", "maker:salency", "makr:saliency"):
        with pytest.raises(UsageError, match=r"Did you mean .*saliency"):
            registry.find(WEIGHTING, wrong)
    with pytest.raises(UsageError, match=r"There are saliency\."):
        registry.find(WEIGHTING, "q")
    with pytest.raises(UsageError, match=r"unknown objective 'saliency'.* none\."):
        registry.find(OBJECTIVE, "saliency")
    with pytest.raises(UsageError, match=r"no plugin is called 'makr'\. Did you mean maker\?"):
        registry.plugin("makr")


def test_selecting_from_a_failed_plugin_says_why_it_failed(make: Make) -> None:
    broken = make("broken", "raise OSError('no weights')", distribution="sad", version="2")
    registry = load_plugins(entry_points=[broken, make("good")])
    with pytest.raises(PluginLoadError, match=r"\(sad 2\) failed to load: OSError: no weights"):
        registry.find(WEIGHTING, "broken:anything")
    with pytest.raises(UsageError) as caught:
        registry.find(WEIGHTING, "anything")
    assert "Plugin broken (sad 2), which may provide it, failed to load" in str(caught.value)
    assert registry.find(WEIGHTING, "good").qualified == "good:good"


@pytest.mark.slow
def test_the_order_of_entry_points_does_not_matter(make: Make) -> None:
    alias = make("zeta")
    points = [
        alias,
        # The same module again under another name: neither may win by coming first.
        EntryPoint("alias", alias.value, "fusionkit"),
        make("beta", component="zeta"),
        make("broken", "1 / 0"),
        make("typo", BROKEN["misspells one hook, gives another an argument"][0]),
    ]
    listings = {
        (tuple(names(registry)), tuple(sorted(status(registry).items())))
        for order in itertools.permutations(points)
        for registry in [load_plugins(entry_points=order)]
    }
    assert len(listings) == 1
    ((found, _),) = listings
    assert "beta:zeta" in found


# Inline files

INLINE = """
    from __future__ import annotations

    from dataclasses import dataclass
    from typing import Literal

    from fusionkit import Component, hookimpl, option

    @dataclass(frozen=True)
    class Options:
        size: int = option(3, "A size.", minimum=1)
        mode: Literal["a", "b"] = option("a", "A mode.")

    @hookimpl
    def fusionkit_weightings():
        return [Component("inline", "a toy", lambda options, context: options, Options)]
"""


@pytest.mark.usefixtures("make")
def test_a_file_that_provides_nothing_is_told(tmp_path) -> None:
    file = tmp_path / "empty.py"
    file.write_text("import fusionkit\n")
    with pytest.warns(FusionkitWarning, match="empty.py provides nothing: a function marked"):
        load_plugins(entry_points=[], inline=[str(file)])


def test_an_inline_file_is_a_plugin(tmp_path: Path) -> None:
    file = tmp_path / "my-plugin.py"
    file.write_text(_dedent(INLINE))
    registry = load_plugins(entry_points=[], inline=[str(file)])
    provided = registry.find(WEIGHTING, "my-plugin:inline")
    assert provided.plugin == PluginInfo("my-plugin", "loaded", str(file))
    options = provided.make_options({"size": 5, "mode": "b"})
    assert (options.size, options.mode) == (5, "b")
    with pytest.raises(UsageError, match="weighting inline: mode must be one of a, b"):
        provided.make_options({"mode": "c"})


def test_inline_files_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"plugin file .*missing.py does not exist"):
        load_plugins(entry_points=[], inline=[str(tmp_path / "missing.py")])
    with pytest.raises(UsageError, match="does not exist"):
        load_plugins(entry_points=[], inline=[str(tmp_path)])
    text = tmp_path / "notes.txt"
    text.write_text("")
    with pytest.raises(UsageError, match=r"notes.txt is not a Python file"):
        load_plugins(entry_points=[], inline=[str(text)])
    raising = tmp_path / "raising.py"
    raising.write_text("raise RuntimeError('not today')")
    modules = set(sys.modules)
    # Somebody asked for this very file, so it raises without strict.
    with pytest.raises(PluginLoadError, match=r"raising.py\) failed to load: .*not today"):
        load_plugins(entry_points=[], inline=[str(raising)])
    assert set(sys.modules) == modules


# The real ones


def test_first_party_plugins_come_in_through_entry_points() -> None:
    registry = load_plugins(strict=True)
    for kind, qualified in [
        (ESTIMATOR, "diffusion:gaussian"),
        (WEIGHTING, "dig:dig"),
        (WEIGHTING, "fixed:fixed"),
        (OBJECTIVE, "objectives:mse"),
        (OBJECTIVE, "objectives:increments"),
    ]:
        provided = registry.find(kind, qualified)
        assert provided.plugin.distribution == "fusionkit-imaging"
        assert provided.plugin.version
        assert registry.find(kind, provided.component.name) == provided
