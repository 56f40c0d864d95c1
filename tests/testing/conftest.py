from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fusionkit import Component, Kind, NoOptions, PluginInfo, Provided
from fusionkit.testing import run_checks


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: for images this small, threads wait longer than they work."""
    import torch  # not above: pytest reads this file first, also where it only hands out tests

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def provide() -> Callable[..., Provided]:
    """Make the component "broken" of a factory, or of a function of its options."""

    def provide(
        kind: Kind,
        factory: Callable[[], Any],
        *,
        traits: tuple[str, ...] = (),
        options: type = NoOptions,
        build: Callable[..., Any] | None = None,
    ) -> Provided:
        made = build or (lambda options, context: factory())
        component = Component("broken", "breaks one promise", made, options, frozenset(traits))
        return Provided(kind, component, PluginInfo("test", "loaded", "tests"))

    return provide


@pytest.fixture(scope="session")
def failures(provide: Callable[..., Provided]) -> Callable[..., dict[str, str]]:
    """Run all checks of a component; return the reasons of those that failed, by name."""

    def failures(*arguments: Any, **named: Any) -> dict[str, str]:
        outcomes = run_checks(provide(*arguments, **named))
        return {o.name: o.reason or "" for o in outcomes if o.status == "failed"}

    return failures
