"""The documentation is run: its commands, its Python, its tutorial. Hooks must all be in it."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import fusionkit
from fusionkit import BuildContext, Component
from fusionkit.cli import main
from fusionkit.contract.command import BUILT_IN, COMMAND, SEPARATE
from fusionkit.contract.kinds import KINDS
from fusionkit.contract.options import specs
from tests.conftest import REPOSITORY

BLOCK = re.compile(r"^```(\w+)(?: ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TUTORIAL = REPOSITORY / "docs" / "tutorial-plugin.md"


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Return (language, what follows it, text) of every fenced block."""
    return [(a, b or "", text) for a, b, text in BLOCK.findall(page.read_text("utf-8"))]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with every image that the documentation names."""
    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[:48, :56]  # VIF wants 41 pixels

    def image(name: str, colour: bool) -> None:
        scene = 120 + 60 * np.sin(columns / generator.uniform(1, 4)) + rows * 2
        stack = np.stack([scene, scene * 0.8, scene * 0.6], -1) if colour else scene
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(stack.clip(0, 255).astype(np.uint8)).save(tmp_path / name)

    for name in ("ir.png", "infrared/07.png", "infrared/08.png"):
        image(name, colour=False)
    for name in ("vi", "near", "far", "under", "mid", "over", "visible/07", "visible/08"):
        image(f"{name}.png", colour=True)
    for number in range(1, 7):
        image(f"bursts/DSC_{number:04}.png", colour=True)
    tifffile.imwrite(tmp_path / "thermal.tif", (rows * 150).astype(np.uint16))
    for name, phase in (("morning.tif", 0), ("noon.tif", 1)):  # of six bands
        bands = [30000 + 4000 * n * np.sin(columns / 3 + phase) for n in range(1, 7)]
        pages = np.stack(bands).astype(np.uint16)
        tifffile.imwrite(tmp_path / name, pages, photometric="minisblack", metadata=None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_line(line: str) -> None:
    """Run one documented command in this process; it must succeed."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "fusionkit"
    if arguments[0] in SEPARATE:
        pytest.importorskip(f"fusionkit_{SEPARATE[arguments[0]]}")
    if arguments[0] == "run":
        arguments.append("--strict")  # what is shown does something
    if arguments == ["doctor"]:
        arguments.append("--quick")  # the kit is run over everything in tests/testing
    try:
        code = main(arguments)
    except SystemExit as ended:  # --help
        code = ended.code
    assert not code, line


@pytest.mark.slow
@pytest.mark.filterwarnings("error:.* nothing here")
@pytest.mark.parametrize("page", [p for p in PAGES if p != TUTORIAL], ids=lambda p: p.name)
def test_documented_commands_and_code_run(page, desk, monkeypatch):
    commands = 0
    if page.name == "fields.md":
        pytest.importorskip("nibabel")
        monkeypatch.syspath_prepend(str(page.parent))
        importlib.import_module("fields").main(desk)
    for language, _, text in blocks(page):
        if language == "toml" and "steps" in text:
            (desk / "mine.toml").write_text(text)
        if language == "python" and "conformance" not in text:
            exec(compile(text, str(page), "exec"), {})
        for line in text.splitlines() if language == "sh" else []:
            if line.startswith("fusionkit "):
                run_line(line)
                commands += 1
    if page.name in ("README.md", "command-line.md"):
        assert commands > 5


@pytest.mark.slow
@pytest.mark.filterwarnings("error:.* nothing here")
def test_the_tutorial(desk, monkeypatch, capsys):
    for language, about, text in blocks(TUTORIAL):
        title = re.match(r'title="(.+)"', about)
        if title:
            (desk / title[1]).write_text(text)
        if title and title[1] == "look.py":
            exec(compile(text, "look.py", "exec"), {})
        if language != "sh":
            continue
        if about == "installed":
            install(desk, monkeypatch)
        for line in text.splitlines():
            run_line(line)
    assert {"fused.png", "sharp.png", "again.png"} <= {path.name for path in desk.iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_contrast.py"],
        cwd=desk,
        env={**os.environ, "PYTHONPATH": str(desk)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9]\d* passed", done.stdout)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what ``pip install -e .`` does, as far as entry points are concerned."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    name, version = project["project"]["name"], project["project"]["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = project["project"]["entry-points"]["fusionkit"]
    lines = [f"{key} = {value}" for key, value in points.items()]
    (info / "entry_points.txt").write_text("[fusionkit]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.group)
def test_every_kind_is_in_the_reference(kind):
    page = (REPOSITORY / "docs" / "hooks.md").read_text("utf-8")
    does = (kind.record if kind.protocol is object else kind.protocol).__name__
    yields = f"Component[{does}]" if kind.record is Component else does
    assert re.search(
        rf"`{kind.hook}\(\) -> Iterable\[{re.escape(yields)}\]` \| \[?`fusionkit.{does}`", page
    )
    for member in kind.optional:
        assert re.search(rf"`[^`]*\b{member}\b[^`]*`", page), member


@pytest.mark.parametrize(
    "protocol",
    [fusionkit.NoiseEstimator, fusionkit.Weighting, fusionkit.Objective, fusionkit.Metric,
     fusionkit.StartedObjective, fusionkit.Step, fusionkit.Run, fusionkit.Reader],
    ids=lambda protocol: protocol.__name__,
)  # fmt: skip
def test_every_member_of_the_contract_is_in_the_reference(protocol):
    page = (REPOSITORY / "docs" / "hooks.md").read_text("utf-8")
    members = set(getattr(protocol, "__annotations__", {})) | {
        name for name in vars(protocol) if not name.startswith("_")
    }
    for member in members:
        assert re.search(rf"`[^`]*\b{member}\b[^`]*`", page), member


def test_links_in_the_documentation_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_stands_in_the_navigation_of_the_site():
    navigation = (REPOSITORY / "mkdocs.yml").read_text("utf-8")
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert f"- {page.name}\n" in navigation, page.name


def test_every_command_stands_on_the_page_of_the_command_line():
    page = (REPOSITORY / "docs" / "command-line.md").read_text("utf-8")
    listed = re.findall(r"^\| (`[^|]+) \|", page.split("Exit codes")[0], re.MULTILINE)
    named = {name for cell in listed for name in re.findall(r"`([\w-]+)`", cell)}
    provided = {command.component.name for command in fusionkit.load_plugins().all(COMMAND)}
    assert named == {*BUILT_IN, *SEPARATE, *provided}


def test_the_readme_counts_the_metrics():
    found = len(fusionkit.load_plugins().all(fusionkit.METRIC))
    assert f"| {found} with stated conventions" in (REPOSITORY / "README.md").read_text("utf-8")


def test_every_metric_is_documented_with_its_convention():
    page = (REPOSITORY / "docs" / "metrics.md").read_text("utf-8")
    registry = fusionkit.load_plugins()
    for provided in registry.all(fusionkit.METRIC):
        if any(spec.required for spec in specs(provided.component.options)):
            assert f"`{provided.component.name}`" in page  # it is what a file of the user's says
            continue
        metric = provided.build(provided.make_options({}), BuildContext())
        arrow = "↑" if metric.higher_is_better else "↓"
        convention = metric.convention.removesuffix("; two sources").replace("|", "\\|")
        row = f"| `{provided.component.name}` | {arrow} | {metric.sources} | {convention} |"
        assert row in page
