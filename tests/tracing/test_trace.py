"""Traces: their numbers against a plain recomputation, what they leave alone, what they write."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import fusionkit
from fusionkit import Pipeline, Run, Step, Trace, UsageError, compose
from fusionkit.cli import main
from fusionkit.sampling.guide import SampledStep, sample
from fusionkit.sampling.levels import Schedule, choose_levels
from fusionkit.sampling.run import Run as HostRun
from fusionkit.testing.doubles import (
    ConstantWeights,
    EulerSampler,
    WeightedMean,
    WhiteGaussian,
    synthetic_sources,
)
from fusionkit.tracing import source_names
from fusionkit.tracing.diagnostics import windowed_mean
from tests.cli.test_run import fails

FILES = ["curves.png", "strip.png", "trace.json"]
QUANTITIES = ("gain", "residual", "contribution")
DEVIATION = 0.5


class Nearest:
    """A third party's weighting: the source that is nearest to the estimate counts most.

    It writes every step's weights into one tensor, as is allowed.
    """

    weighs_by: str | None = None

    def start(self, run: Run) -> Callable[[Step], Tensor]:
        kept = torch.empty_like(run.sources[:, :, :1])

        def weigh(step: Step) -> Tensor:
            distance = (step.x0 - run.sources).square().mean(2, keepdim=True)
            return kept.copy_(torch.softmax(-5 * distance - step.index * run.sources[:, :, :1], 0))

        return weigh


class Late:
    """A weighting that asks for every second level when it comes to it, and announces two."""

    uses_trajectory = False

    def start(self, run: Run) -> Callable[[Step], Tensor]:
        run.announce([2, 4])

        def weigh(step: Step) -> Tensor:
            estimate = run.sources if step.index % 2 else run.source_estimate(step.index)
            return torch.softmax(estimate.mean(2, keepdim=True), 0)

        return weigh


class BatchMinded(WhiteGaussian):
    """An estimator whose last digits depend on how many images it gets, as a network's do."""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return super().denoise(x, sigma) * (1 + 1e-3 * len(x))


def composed(weighting: Any, objective: Any = None, **settings: Any) -> Pipeline:
    return compose(
        estimator=WhiteGaussian(DEVIATION),
        weighting=weighting,
        objective=WeightedMean(0.5) if objective is None else objective,
        **{"device": "cpu", "precision": "float64", "steps": 4, **settings},
    )


def traced(pipeline: Pipeline, sources: Tensor, seed: int = 0) -> Trace:
    trace = Trace(pipeline)
    pipeline(sources, seed, trace)
    return trace


def boxed(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over 11 x 11 pixels, the image mirrored with its edge repeated."""
    around = [(0, 0)] * (maps.ndim - 2) + [(5, 5), (5, 5)]
    windows = sliding_window_view(np.pad(maps, around, "symmetric"), (11, 11), axis=(-2, -1))
    return windows.mean((-2, -1))


def covariance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float((a * b).mean() - a.mean() * b.mean())


def source_estimates(run: Run, level: int) -> NDArray[np.float64]:
    """The exact posterior mean of every source noised to a level, in closed form."""
    sources = run.sources.numpy()
    if level == run.steps:
        return sources
    x = sources + run.sigma[level] * run.noise("fusionkit/sources").numpy()
    return DEVIATION**2 * x / (DEVIATION**2 + run.sigma[level] ** 2)


def recomputed(pipeline: Pipeline, sources: Tensor, seed: int) -> Iterator[dict[str, Any]]:
    """What the summary says of each step, from the steps alone and by plain arithmetic."""
    before: NDArray[np.float64] | None = None
    for done in pipeline.steps(sources, seed):
        run, i = done.step.run, done.step.index
        c, w = run.sources.numpy(), done.weights.numpy()[:, :, 0]
        corrected = done.corrected.numpy().copy()
        start = done.step.x0.numpy() if done.step.has_trajectory else before
        errors = [boxed(((source_estimates(run, level) - c) ** 2).mean(2)) for level in (i, i + 1)]
        maps: dict[str, Any] = {"gain": errors[0] - errors[1], "residual": None}
        maps["contribution"] = None
        if start is not None:
            maps["residual"] = boxed(((c - start) ** 2).mean(2))
            maps["contribution"] = boxed(((corrected - start) * (c - start)).mean(2))
        K, B = c.shape[:2]

        def per_source(of: Callable[[int, int], float], K: int = K, B: int = B) -> list[float]:
            return [float(np.mean([of(k, b) for b in range(B)])) for k in range(K)]

        row: dict[str, Any] = {"weight": per_source(lambda k, b, w=w: w[k, b].mean())}
        row["covariance"] = {}
        for name, found in maps.items():
            row[name] = row["covariance"][name] = None
            if found is not None:
                row[name] = per_source(lambda k, b, m=found: m[k, b].mean())
                row["covariance"][name] = per_source(
                    lambda k, b, m=found, w=w: covariance(w[k, b], m[k, b])
                )
        yield row
        before = corrected


def close(found: Any, expected: Any) -> None:
    if expected is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    ("weighting", "K", "B"),
    [
        *((Nearest(), 2, 1), (Nearest(), 3, 2), ("dig", 2, 1)),
        ({"name": "dig", "dynamic": True}, 2, 1),
        *((ConstantWeights(), 4, 1), ("fixed", 6, 1)),
    ],
    ids=["nearest", "nearest-3-2", "dig", "dynamic", "constant", "fixed-6"],
)
@pytest.mark.parametrize("strength", [0.5, 0.0])
def test_every_number_is_what_its_definition_gives(
    weighting: Any, K: int, B: int, strength: float
) -> None:
    pipeline = composed(weighting, WeightedMean(strength))
    sources = synthetic_sources(K, B, H=13, W=9)
    summary = traced(pipeline, sources, seed=5).summary()
    expected = list(recomputed(pipeline, sources, 5))
    assert len(summary["steps"]) == len(expected)
    known = {name: [row[name] for row in expected if row[name] is not None] for name in QUANTITIES}
    sums = {name: 0.0 if rows else None for name, rows in known.items()}
    for found, row in zip(summary["steps"], expected, strict=True):
        close(found["weight"], row["weight"])
        for name in QUANTITIES:
            close(found[name], row[name])
            close(found["covariance"][name], row["covariance"][name])
            if row[name] is not None:
                sums[name] += sum(row["covariance"][name])
    for name in QUANTITIES:
        close(summary["totals"][name], sums[name])
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_gains_of_a_source_sum_to_its_first_error() -> None:
    pipeline = composed("fixed")
    sources = synthetic_sources()
    trace = traced(pipeline, sources)
    run = next(pipeline.steps(sources, 0)).step.run
    first = boxed(((source_estimates(run, 0) - sources.numpy()) ** 2).mean(2))
    close(trace.numbers()["gain"].sum(0), first.mean((-2, -1)))


def test_a_target_only_run_counts_from_the_step_before() -> None:
    dynamic = {"name": "dig", "dynamic": True}
    summary = traced(composed(dynamic, WeightedMean(0.0)), synthetic_sources()).summary()
    assert summary["target_only"] is True
    assert len(summary["steps"]) == 4
    assert summary["estimate"] == "corrected, step before"
    first, *others = summary["steps"]
    for name in ("residual", "contribution"):
        assert first[name] is first["covariance"][name] is None
        assert all(len(step[name]) == 2 for step in others)
    assert len(first["gain"]) == 2
    summary = traced(composed("fixed"), synthetic_sources()).summary()
    assert (summary["target_only"], summary["estimate"]) == (False, "clean, before correction")


def test_one_step_without_an_estimate_has_no_totals(tmp_path: Path) -> None:
    trace = traced(composed("fixed", WeightedMean(0.0), steps=1), synthetic_sources())
    totals = trace.summary()["totals"]
    assert (totals["residual"], totals["contribution"]) == (None, None)
    assert totals["gain"] == pytest.approx(0, abs=1e-15)
    trace.save(tmp_path / "trace")


def test_what_is_said_of_the_run() -> None:
    pipeline = composed("dig", {"name": "increments", "strength": 0.1})
    summary = traced(pipeline, synthetic_sources(3, 2), seed=7).summary()
    schedule = pipeline.schedule
    assert [step["index"] for step in summary["steps"]] == [0, 1, 2, 3]
    assert [step["sigma"] for step in summary["steps"]] == list(schedule.sigma[:-1])
    assert summary["components"]["weighting"] == "dig:dig"
    assert summary["sources"] == ["source 1", "source 2", "source 3"]
    assert (summary["images"], summary["height"], summary["width"]) == (2, 17, 23)
    assert summary["seeds"] == [7, 7]
    assert (summary["nfe"], summary["nfe_of_trace"]) == (4 + 3 * 4, 0)


@pytest.mark.parametrize(
    ("weights_by", "said"), [(None, None), ("residual", "residual"), ("magic", None)]
)
def test_a_weighting_says_what_it_weighs_by(weights_by: str | None, said: str | None) -> None:
    weighting = Nearest()
    weighting.weighs_by = weights_by
    trace = traced(composed(weighting), synthetic_sources())
    assert trace.summary()["weighs_by"] == said


@pytest.mark.parametrize("weighting", ["dig", {"name": "dig", "stride": 3}, "fixed", Nearest()])
@pytest.mark.parametrize(
    "objective",
    [{"name": "increments", "strength": 0.1}, {"name": "mse", "strength": 0.1}, "mse"],
    ids=str,
)
@pytest.mark.parametrize("start_sigma", [80.0, 3.4])
def test_the_run_is_what_it_would_be_without(
    weighting: Any, objective: Any, start_sigma: float
) -> None:
    pipeline = composed(weighting, objective, start_sigma=start_sigma, precision="float32", steps=5)
    sources = synthetic_sources(3, 2).float()
    plain = pipeline(sources, 3)
    trace = Trace(pipeline)
    watched = pipeline(sources, 3, trace)
    assert torch.equal(watched.image, plain.image)
    assert torch.equal(watched.weights, plain.weights)
    assert watched.nfe == plain.nfe == trace.summary()["nfe"]
    assert 0 <= trace.summary()["nfe_of_trace"] <= 3 * 5


@pytest.mark.parametrize(("weighting", "extra"), [(Late(), 3), ("dig", 0), ("fixed", 6)])
@pytest.mark.parametrize("levels_held", [1, 2, 9])
def test_batches_and_counts_are_the_components_own(
    weighting: Any, extra: int, levels_held: int
) -> None:
    """Where memory is short, what the trace looks at must not be what the run makes next."""
    sources = synthetic_sources()
    if weighting == "dig":
        weighting = {"name": "dig", "dynamic": True, "stride": 1}
    built = composed(weighting).parts["weighting"].built
    estimator = BatchMinded(DEVIATION)
    schedule = Schedule.of(choose_levels(6, 80.0))

    def runs_to(watch: Callable[[SampledStep], None]) -> tuple[Tensor, float, list[Tensor]]:
        budget = levels_held * sources.numel() * sources.element_size()
        run = HostRun(sources, (0,), estimator, schedule, memory_budget=budget)
        weights = []
        for done in sample(run, built, WeightedMean(), EulerSampler()):
            watch(done)
            weights.append(done.weights.clone())
        return done.corrected, run.nfe, weights

    plain, plain_nfe, plain_weights = runs_to(lambda done: None)
    trace = Trace()
    watched, nfe, weights = runs_to(trace)
    assert torch.equal(watched, plain)
    assert all(torch.equal(a, b) for a, b in zip(weights, plain_weights, strict=True))
    assert nfe == plain_nfe == trace.summary()["nfe"]
    assert trace.summary()["nfe_of_trace"] == 2 * extra


def test_nothing_is_read_from_the_device_during_the_run() -> None:
    # The meta device has no values to read.
    pipeline = composed(ConstantWeights(), device="meta", precision="float32")
    trace = Trace(pipeline)
    pipeline(torch.empty(2, 1, 1, 12, 14, device="meta"), 0, trace)
    assert trace.finished_run().steps == 4


def test_a_trace_is_of_one_run_to_its_end() -> None:
    pipeline = composed(Nearest())
    sources = synthetic_sources()
    trace = Trace()
    with pytest.raises(UsageError, match="nothing has been traced"):
        trace.summary()
    steps = list(pipeline.steps(sources))
    trace(steps[0])
    for early in (trace.summary, trace.numbers, trace.maps, lambda: trace.save("nowhere")):
        with pytest.raises(UsageError, match="up to step 1 of 4"):
            early()
    with pytest.raises(UsageError, match="one run, in order"):
        trace(steps[2])
    with pytest.raises(UsageError, match="one for each run"):
        trace(next(pipeline.steps(sources)))


def test_maps_are_small_area_averages_of_the_steps_shown() -> None:
    pipeline = composed("fixed", steps=20)
    sources = synthetic_sources(2, 1, H=96, W=400)
    maps = traced(pipeline, sources).maps()
    assert len(maps.steps) == 8
    assert (maps.steps[0], maps.steps[-1]) == (0, 19)
    assert maps.sources.shape == (2, 58, 240, 1)
    assert maps.estimates.shape == (8, 58, 240, 1)
    assert maps.weights.shape == maps.gains.shape == (8, 2, 58, 240)
    np.testing.assert_allclose(maps.weights, 0.5)
    small = traced(composed("fixed"), synthetic_sources()).maps()
    np.testing.assert_allclose(small.sources[..., 0], synthetic_sources()[:, 0, 0], atol=1e-7)
    even = traced(composed("fixed"), synthetic_sources(H=200, W=400)).maps()
    assert max(even.sources.shape) < 240


def test_the_window_is_mirrored_however_small_the_image() -> None:
    maps = torch.rand(2, 3, 1, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(windowed_mean(maps), boxed(maps.numpy()), rtol=1e-12)


# Files


@pytest.mark.slow
def test_files_are_written_whole_and_the_same_again(tmp_path: Path) -> None:
    trace = traced(composed("dig"), synthetic_sources(3))
    trace.names = ("a", "x$y$_{", "\u96ea" * 60)
    folder = tmp_path / "trace"
    trace.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert json.loads((folder / "trace.json").read_text("utf-8")) == trace.summary()
    for name in ("strip.png", "curves.png"):
        with Image.open(folder / name) as picture:
            picture.load()
            assert picture.width > 800
            assert len(picture.convert("RGB").getcolors(2**24) or ()) > 50
    first = {name: (folder / name).read_bytes() for name in FILES}
    with pytest.raises(UsageError, match=r"trace\.json: this file exists"):
        trace.save(folder)
    trace.save(folder, overwrite=True)
    assert {name: (folder / name).read_bytes() for name in FILES} == first


def test_where_no_trace_can_be_written(tmp_path: Path) -> None:
    trace = traced(composed("fixed"), synthetic_sources())
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UsageError, match="this is a file"):
        trace.save(tmp_path / "file")
    with pytest.raises(UsageError, match="make it first"):
        trace.save(tmp_path / "no" / "where")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "strip.png").write_text("precious")
    with pytest.raises(UsageError, match=r"strip\.png: this file exists"):
        trace.save(tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["strip.png"]


@pytest.mark.parametrize("shape", [(2, 90), (90, 2), (64, 64), (300, 31)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_shape(shape: tuple[int, int], channels: int, tmp_path: Path) -> None:
    pipeline = compose(
        estimator=WhiteGaussian(channels=channels), weighting="dig", objective="mse", steps=3
    )
    trace = traced(pipeline, synthetic_sources(2, 1, channels, *shape).float())
    trace.save(tmp_path)
    with Image.open(tmp_path / "strip.png") as strip:
        assert max(strip.size) < 4000


# From Python


def test_fusing_with_a_trace(pair: tuple[str, str], tmp_path: Path) -> None:
    pipeline = compose(weighting="dig", steps=3)
    done = fusionkit.trace(pipeline, pair, seed=2)
    plain = fusionkit.fuse(pair, pipeline=pipeline, seed=2)
    assert np.array_equal(done.fused.image, plain.image)
    assert done.fused.record["run"]["nfe"] == plain.record["run"]["nfe"]
    assert done.fused.record["recipe"] == plain.record["recipe"]
    assert done.summary()["sources"] == ["left", "right"]
    assert done.summary()["seeds"] == [2]
    done.save(tmp_path / "trace")
    assert sorted(path.name for path in (tmp_path / "trace").iterdir()) == FILES
    by_itself = Trace()
    fusionkit.fuse(pair, pipeline=pipeline, seed=2, on_step=by_itself)
    assert by_itself.summary()["steps"] == done.summary()["steps"]
    assert fusionkit.trace(pipeline, pair).summary()["seeds"] == [0]


def test_arrays_are_named_by_number_and_files_by_what_tells_them_apart() -> None:
    assert source_names([np.zeros((2, 2)), torch.zeros(2, 2)]) == ("source 1", "source 2")
    assert source_names(["a/near.png", Path("b/far.png")]) == ("near", "far")
    assert source_names(["ir/07.png", "vi/07.jpg"]) == ("ir/07", "vi/07")
    assert source_names(["x.png", np.zeros((2, 2))]) == ("x", "source 2")


# From the command line


def run_command(*arguments: str) -> int:
    return main(["run", *arguments, "--steps", "3"])


@pytest.mark.slow
def test_the_command_writes_a_trace_and_the_same_image(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    plain, watched = tmp_path / "plain.png", tmp_path / "watched.png"
    assert run_command(*pair, "-o", str(plain), "--weighting", "fixed") == 0
    flags = ["--weighting", "fixed", "--trace", str(tmp_path / "why")]
    assert run_command(*pair, "-o", str(watched), *flags) == 0
    assert plain.read_bytes() == watched.read_bytes()
    records = [json.loads(Path(f"{path}.json").read_text()) for path in (plain, watched)]
    assert records[0]["run"]["nfe"] == records[1]["run"]["nfe"]
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == FILES
    summary = json.loads((tmp_path / "why" / "trace.json").read_text())
    assert summary["sources"] == ["left", "right"]
    assert summary["nfe"] == records[1]["run"]["nfe"]


def test_a_trace_is_not_overwritten_unasked(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "why", tmp_path / "o.png"
    folder.mkdir()
    (folder / "curves.png").write_text("precious")
    arguments = ["run", *pair, "-o", str(out), "--steps", "1", "--trace", str(folder)]
    assert "curves.png" in fails(capsys, 2, *arguments)
    assert (folder / "curves.png").read_text() == "precious"
    assert not out.exists()
    assert main([*arguments, "--overwrite"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_bad_folders_for_a_trace(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "o.png")
    assert "left.png" in fails(capsys, 2, "run", *pair, "-o", out, "--trace", pair[0])
    nowhere = str(tmp_path / "no" / "where")
    assert "make it first" in fails(capsys, 2, "run", *pair, "-o", out, "--trace", nowhere)
    (tmp_path / "t").mkdir()
    same = ["-o", str(tmp_path / "t" / "strip.png"), "--trace", str(tmp_path / "t"), "--overwrite"]
    assert "another folder" in fails(capsys, 2, "run", *pair, *same)
    assert not Path(out).exists()
    assert list((tmp_path / "t").iterdir()) == []


def test_scenes_have_a_trace_each(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
    for stem in ("1", "2"):
        Image.open(pair[0]).convert("RGB").save(tmp_path / "near" / f"{stem}.png")
        Image.open(pair[1]).save(tmp_path / "far" / f"{stem}.bmp")
    folders = [str(tmp_path / "near"), str(tmp_path / "far")]
    traces = tmp_path / "why"
    (traces / "2").mkdir(parents=True)
    (traces / "2" / "strip.png").write_text("precious")
    flags = ["-o", str(tmp_path / "out"), "--trace", str(traces)]
    assert run_command(*folders, *flags) == 1
    assert "1 of 2 fused" in capsys.readouterr().err
    assert sorted(path.name for path in (traces / "1").iterdir()) == FILES
    assert sorted(path.name for path in (traces / "2").iterdir()) == ["strip.png"]
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["1.png", "1.png.json", "failed.csv"]
    summary = json.loads((traces / "1" / "trace.json").read_text())
    assert summary["sources"] == ["near/1", "far/1"]


@pytest.mark.slow
def test_matplotlib_is_imported_when_pictures_are_drawn_only(pair: tuple[str, str]) -> None:
    code = f"""
import sys, fusionkit
assert "torch" not in sys.modules and "matplotlib" not in sys.modules
traced = fusionkit.trace(fusionkit.compose(steps=1), {pair!r})
traced.summary()
assert "matplotlib" not in sys.modules
traced.save("why")
assert "matplotlib.pyplot" not in sys.modules
"""
    folder = Path(pair[0]).parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "why" / "strip.png").is_file()
