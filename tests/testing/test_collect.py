"""``conformance`` as pytest collects it, and the checks of a plugin as a whole."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch._dynamo  # noqa: F401 - now: pytester has what its runs import forgotten, torch cannot

import fusionkit
from fusionkit.testing import conformance, run_checks

pytest_plugins = ["pytester"]

PLUGIN = """
import fusionkit

class Equal:
    uses_trajectory = False

    def start(self, run):
        K, B, _, H, W = run.sources.shape
        weights = run.sources.new_ones(K, B, 1, H, W) / {divisor}
        return lambda step: weights

@fusionkit.hookimpl
def fusionkit_weightings():
    return [fusionkit.Component("equal", "equal weights", lambda options, context: Equal())]
"""
CONFIGURED = """
from dataclasses import dataclass
import fusionkit

@dataclass(frozen=True)
class Options:
    file: str = fusionkit.option("", "Where the weights are.")

def build(options, context):
    if not options.file:
        raise fusionkit.UsageError("say --weighting.file FILE")
    from fusionkit.testing import ConstantWeights
    return ConstantWeights()

@fusionkit.hookimpl
def fusionkit_weightings():
    return [fusionkit.Component("stored", "weights of a file", build, Options)]
"""


def case_ids(test: object) -> list[str]:
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    return [parameter.id for parameter in mark.args[1]]


def run_two_lines(pytester: pytest.Pytester, plugin: str, call: str) -> pytest.RunResult:
    path = pytester.path / "mine.py"
    path.write_text(plugin)
    pytester.makepyfile(
        "from fusionkit.testing import conformance\n"
        f"test_conformance = conformance({str(path)!r}{call})\n"
    )
    return pytester.runpytest_inprocess("-v", "-rfs", "-p", "no:cacheprovider")


def test_importing_the_kit_imports_neither_torch_nor_pytest() -> None:
    code = (
        "import sys, fusionkit.testing as t; "
        "print(t.conformance, t.run_checks, sorted({'torch', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


def test_a_case_is_named_after_component_and_promise() -> None:
    ids = case_ids(conformance("dig"))
    assert "plugin-dig-light_import" in ids
    assert "weighting-dig-on_the_simplex" in ids
    assert len(set(ids)) == len(ids)


def test_a_registry_may_be_given() -> None:
    registry = fusionkit.load_plugins(disabled=["dig"])
    assert case_ids(conformance("fixed", registry=registry)) == case_ids(conformance("fixed"))
    assert case_ids(conformance("dig", registry=registry)) == [
        "plugin-dig-loads",
        "plugin-dig-light_import",
    ]


@pytest.mark.slow
def test_a_sound_inline_plugin_passes(pytester: pytest.Pytester) -> None:
    result = run_two_lines(pytester, PLUGIN.format(divisor="K"), "")
    result.assert_outcomes(passed=len(case_ids(conformance("fixed"))))
    result.stdout.fnmatch_lines(["*::test_conformance?weighting-equal-on_the_simplex? PASSED*"])


@pytest.mark.slow
def test_a_broken_promise_fails_its_case(pytester: pytest.Pytester) -> None:
    result = run_two_lines(pytester, PLUGIN.format(divisor="2"), "")
    result.stdout.fnmatch_lines(
        [
            "*ConformanceError: weighting equal returned weights that do not sum to 1 over the "
            "sources at step 1 of 3 *",
            "FAILED *test_conformance?weighting-equal-any_number_of_sources?*",
        ]
    )


def test_a_plugin_that_fails_to_load_fails_one_case(pytester: pytest.Pytester) -> None:
    result = run_two_lines(pytester, "import no_such_library\n", "")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*plugin mine *failed to load: ModuleNotFoundError: *library'*"])


def test_a_plugin_that_is_not_installed_fails_one_case(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from fusionkit.testing import conformance as c; test = c('objectivs')")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no plugin is called 'objectivs'. Did you mean objectives?*"])


def test_a_plugin_without_components_fails(pytester: pytest.Pytester) -> None:
    result = run_two_lines(pytester, "x = 1\n", "")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*plugin mine provides no components at all*"])


def test_a_component_that_must_be_configured_is_skipped(pytester: pytest.Pytester) -> None:
    result = run_two_lines(pytester, CONFIGURED, "")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 6
    assert "failed" not in outcomes
    result.stdout.fnmatch_lines(["*weighting stored needs to be configured: say *file FILE*"])


@pytest.mark.slow
def test_and_is_tested_with_the_options_given(pytester: pytest.Pytester) -> None:
    result = run_two_lines(pytester, CONFIGURED, ", options={'stored': {'file': 'w.pt'}}")
    result.assert_outcomes(passed=len(case_ids(conformance("fixed"))))


def test_options_for_nobody_fail(pytester: pytest.Pytester) -> None:
    result = run_two_lines(pytester, CONFIGURED, ", options={'sotred': {'file': 'w.pt'}}")
    result.stdout.fnmatch_lines(["*plugin mine provides no component 'sotred'*"])
    assert result.parseoutcomes()["failed"] == 1


@pytest.mark.slow
def test_a_waived_case_is_skipped_as_waived(pytester: pytest.Pytester) -> None:
    broken = PLUGIN.format(divisor="2")
    everything = len(case_ids(conformance("fixed")))
    outcomes = run_two_lines(pytester, broken, "").parseoutcomes()
    result = run_two_lines(pytester, broken, ", waive=('any_number_of_sources', 'any_size')")
    result.stdout.fnmatch_lines(["SKIPPED * waived"])
    now = result.parseoutcomes()
    assert outcomes == {"failed": 1, "passed": everything - 1}
    assert now == {"skipped": 2, "passed": everything - 2}


@pytest.mark.slow
def test_waiving_what_no_component_promises_fails(pytester: pytest.Pytester) -> None:
    sound = PLUGIN.format(divisor="K")
    result = run_two_lines(pytester, sound, ", waive=('denoises_a_smooth_image',)")
    result.stdout.fnmatch_lines(["*waive: plugin mine gets no check 'denoises_a_smooth_image'*"])
    assert result.parseoutcomes()["failed"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("place", ["top", "hook"])
def test_a_heavy_import_is_found(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = PLUGIN.format(divisor="K")
    if place == "top":
        code, line = "import torch\n" + code, 1
    else:
        head, mark, body = code.partition("    return [fusionkit.Component")
        code, line = head + "    import torch.nn\n" + mark + body, head.count("\n") + 1
    (tmp_path / "heavy_plugin.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    registry = fusionkit.load_plugins(
        entry_points=[EntryPoint("heavy", "heavy_plugin", "fusionkit")]
    )
    loads, light = run_checks(registry.plugin("heavy"))
    assert loads.status == "passed"
    assert light.name == "light_import"
    assert light.status == "failed"
    assert f"heavy_plugin.py:{line} leads to" in (light.reason or "")


def test_a_plugin_that_only_loads_here_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leans on what this process happens to have imported; users' processes have not."""
    code = "import sys\nassert 'pytest' in sys.modules\n" + PLUGIN.format(divisor="K")
    (tmp_path / "leaning_plugin.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("leaning", "leaning_plugin", "fusionkit")
    registry = fusionkit.load_plugins(entry_points=[point])
    _, light = run_checks(registry.plugin("leaning"))
    assert "cannot be loaded by a fresh interpreter" in (light.reason or "")


def test_a_disabled_plugin_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSIONKIT_DISABLE_PLUGINS", "dig")
    registry = fusionkit.load_plugins()
    assert run_checks(registry.plugin("dig"))[0].status == "failed"
