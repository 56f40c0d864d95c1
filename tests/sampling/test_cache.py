"""Source estimates kept on disk: the same bits without the work, and never the wrong ones."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from torch import Tensor

import fusionkit
from fusionkit import FusionkitWarning, UsageError, compose
from fusionkit.cli import main
from fusionkit.sampling.cache import EstimateCache
from tests.host.test_pipeline import reading_back_refused

pytestmark = pytest.mark.usefixtures("a_light_default")

N = 3


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * 2 - 1


def pipeline(folder: Path | None, objective: Any = "increments", **more: Any) -> Any:
    """Compose it; an objective of which only the name is given looks at the trajectory."""
    if isinstance(objective, str):
        objective = {"name": objective, "strength": 0.1}
    settings = {"weighting": "dig", "steps": N, "device": "cpu", **more}
    return compose(objective=objective, cache=folder, **settings)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# As a dictionary


def test_what_is_put_is_got(tmp_path: Path) -> None:
    cache = EstimateCache(tmp_path / "some" / "where")
    array = draw(3, 5, 7).numpy()
    key = "ab" + "0" * 62
    assert cache.get(key, (3, 5, 7), array.dtype) is None
    cache.put(key, array[:, ::-1])
    assert files(tmp_path) == [tmp_path / "some" / "where" / "ab" / f"{key}.safetensors"]
    again = EstimateCache(tmp_path / "some" / "where").get(key, (3, 5, 7), array.dtype)
    assert again is not None
    assert np.array_equal(again, array[:, ::-1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:-3],
        lambda data: data + b"x",
        lambda data: b"\xff" * len(data),
        lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],  # one bit
    ],
)
def test_a_damaged_file_is_warned_of_and_made_anew(damage: Any, tmp_path: Path) -> None:
    sources = draw(2, 1, 1, 9, 8)
    cold = pipeline(tmp_path, weighting="fixed")(sources)
    victim = files(tmp_path)[0]
    whole = victim.read_bytes()
    victim.write_bytes(damage(whole))
    with pytest.warns(FusionkitWarning, match="is damaged") as caught:
        mended = pipeline(tmp_path, weighting="fixed")(sources)
    (message,) = (str(warning.message) for warning in caught)
    assert str(victim) in message
    assert "\n" not in message
    assert (
        mended.image - cold.image
    ).abs().max() < 1e-5  # made in another batch, and weighed alike
    assert mended.nfe == N + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pipeline(tmp_path, weighting="fixed")(sources).nfe == N


def test_a_file_of_another_shape_is_damaged(tmp_path: Path) -> None:
    cache = EstimateCache(tmp_path)
    cache.put("ab", draw(1, 4, 4).numpy())
    with pytest.warns(FusionkitWarning, match=r"it holds float32 \(1, 4, 4\)"):
        assert cache.get("ab", (1, 4, 5), np.dtype("float32")) is None


def test_files_that_have_changed_names_are_damaged(tmp_path: Path) -> None:
    sources = draw(2, 1, 1, 9, 8)
    cold = pipeline(tmp_path, weighting="fixed")(sources)
    first, second = files(tmp_path)[:2]
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())  # sound by itself, and of the same shape
    second.write_bytes(whole)
    with pytest.warns(FusionkitWarning, match="that of another estimate") as caught:
        mended = pipeline(tmp_path, weighting="fixed")(sources)
    assert len(caught) == 2
    assert (mended.image - cold.image).abs().max() < 1e-5
    assert mended.nfe == N + 2


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cache .*file: this folder cannot be made"):
        pipeline(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be made"):
        pipeline(tmp_path / "file" / "below")


def test_a_disk_that_refuses_is_warned_of_once_and_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise UsageError("no space left on device")

    pipe = pipeline(tmp_path)
    monkeypatch.setattr("fusionkit.sampling.cache.atomic_write", refuse)
    with pytest.warns(FusionkitWarning, match=r"nothing more is kept: no space") as caught:
        fused = pipe(draw(2, 1, 1, 9, 8))
    assert len(caught) == 1
    assert torch.equal(fused.image, pipeline(None)(draw(2, 1, 1, 9, 8)).image)


def test_processes_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    array = draw(1, 64, 64).numpy()

    def both(_: int) -> bool:
        cache = EstimateCache(tmp_path)
        cache.put("abc", array)
        got = cache.get("abc", array.shape, array.dtype)
        return got is not None and np.array_equal(got, array)

    with ThreadPoolExecutor(8) as pool, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(pool.map(both, range(64)))
    assert len(files(tmp_path)) == 1


# In a run


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("weighting", "objective", "trajectory"),
    [
        ("dig", "increments", 5),
        ({"name": "dig", "resolution": 2}, "mse", 5),
        ({"name": "dig", "loss": "l2", "resolution": 2, "stride": 2}, "increments", 5),
        ("fixed", {"name": "increments", "strength": 0}, 0),
    ],
)
def test_warm_cold_and_without_are_the_same_bit_for_bit(
    weighting: Any, objective: Any, trajectory: float, precision: str, tmp_path: Path
) -> None:
    sources = draw(2, 2, 1, 66, 64)
    settings: dict[str, Any] = {"weighting": weighting, "precision": precision, "steps": 5}
    plain = pipeline(None, objective, **settings)(sources, seed=[4, 5])
    runs = [pipeline(tmp_path, objective, **settings)(sources, seed=[4, 5]) for _ in range(2)]
    for fused in runs:
        assert torch.equal(fused.image, plain.image)
        assert torch.equal(fused.weights, plain.weights)
    cold, warm = runs
    assert (plain.nfe, plain.cached) == (cold.nfe, 0)
    assert cold.cached == 0
    assert warm.nfe == trajectory
    assert warm.cached == cold.nfe - trajectory > 0


def test_the_variants_of_a_weighting_share_their_estimates(tmp_path: Path) -> None:
    sources = draw(2, 1, 1, 9, 8)
    pipeline(tmp_path, weighting="fixed")(sources)
    for table in ("dig", {"name": "dig", "loss": "l1"}, {"name": "dig", "stride": 2}):
        fused = pipeline(tmp_path, weighting=table)(sources)
        assert (fused.nfe, fused.cached) == (N, 2 * N)
    fused = pipeline(tmp_path, "mse")(sources)  # images too small to be shrunk
    assert (fused.nfe, fused.cached) == (N, 2 * N)


def test_an_image_is_found_in_any_batch_beside_any_source(tmp_path: Path) -> None:
    sources = draw(3, 2, 1, 9, 8)
    pipeline(tmp_path)(sources, seed=[1, 2])
    alone = pipeline(tmp_path)(sources[[2, 0], 1:], seed=2)
    assert (alone.nfe, alone.cached) == (N, 2 * N)
    longer = pipeline(tmp_path)(sources, seed=[1, 7])  # only one of the two noises is known
    assert (longer.nfe, longer.cached) == (N + 3 * N / 2, 3 * N / 2)


def test_two_sources_alike_are_estimated_once_for_all_later_runs(tmp_path: Path) -> None:
    sources = draw(1, 1, 1, 9, 8).expand(2, 1, 1, 9, 8)
    pipeline(tmp_path)(sources)
    assert len(files(tmp_path)) == N


CHANGES: dict[str, dict[str, Any]] = {
    "an option": {"estimator": {"name": "gaussian", "exponent": 1.9}},
    "precision": {"precision": "float64"},
    "levels": {"sigmas": [81.0, 6.0, 1.0]},
    "seed": {"seed": 1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_an_estimate_changes_its_key(change: str, tmp_path: Path) -> None:
    sources = draw(2, 1, 1, 9, 8)
    pipeline(tmp_path)(sources)
    fused = pipeline(tmp_path, **CHANGES[change])(sources)
    assert (fused.nfe, fused.cached) == (3 * N, 0)


def test_so_does_the_image(tmp_path: Path) -> None:
    sources = draw(2, 1, 1, 9, 8)
    pipeline(tmp_path)(sources)
    other = sources.clone()
    other[0, 0, 0, 3, 3] = torch.nextafter(other[0, 0, 0, 3, 3], torch.tensor(2.0))
    fused = pipeline(tmp_path)(other)
    assert (fused.nfe, fused.cached) == (2 * N, N)
    # The same bytes in another shape are another image.
    assert pipeline(tmp_path)(sources.view(2, 1, 1, 8, 9)).cached == 0


class Weighted(GaussianEstimator):
    def __init__(self, digest: str) -> None:
        super().__init__()
        self.weights_sha256 = digest


class Plugin:
    """A plugin whose estimator has weights, and a version."""

    def __init__(self, digest: str = "0" * 64, version: str = "1.0") -> None:
        info = fusionkit.PluginInfo("toy", "loaded", "toy", "toy-dist", version)
        toy: Any = fusionkit.Component("toy", "a toy", lambda options, context: Weighted(digest))
        installed = fusionkit.load_plugins()
        provided = fusionkit.Provided(fusionkit.ESTIMATOR, toy, info)
        self.registry = fusionkit.Registry([*installed.plugins, info], [*installed.all(), provided])


@pytest.mark.parametrize(
    ("plugin", "found"),
    [(Plugin(), 2 * N), (Plugin(digest="1" * 64), 0), (Plugin(version="1.1"), 0)],
)
def test_weights_and_version_are_part_of_the_key(
    plugin: Plugin, found: int, tmp_path: Path
) -> None:
    sources = draw(2, 1, 1, 9, 8)
    pipeline(tmp_path, estimator="toy", registry=Plugin().registry)(sources)
    assert pipeline(tmp_path, estimator="toy", registry=plugin.registry)(sources).cached == found


def test_so_is_the_code_of_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = draw(2, 1, 1, 9, 8)
    pipeline(tmp_path)(sources)
    assert pipeline(tmp_path)(sources).cached == 2 * N
    monkeypatch.setattr(
        "fusionkit.host.caching.code_of_plugin", lambda plugin: plugin.name + "other"
    )
    assert pipeline(tmp_path)(sources).cached == 0


def test_an_estimator_that_is_an_object_has_no_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="given as an object, which cannot be told from another"):
        pipeline(tmp_path / "cache", estimator=GaussianEstimator())
    assert not (tmp_path / "cache").exists()


def test_nothing_is_read_back_in_the_loop(tmp_path: Path) -> None:
    sources = draw(2, 1, 1, 9, 8)
    for _ in ("cold", "warm"):
        steps = pipeline(tmp_path).steps(sources)
        for _ in range(N):
            with reading_back_refused():
                next(steps)
        assert next(steps, None) is None  # where the cache is written
    assert len(files(tmp_path)) == 2 * N


def test_a_device_without_values_caches_nothing(tmp_path: Path) -> None:
    pipeline(tmp_path, device="meta")(draw(2, 1, 1, 9, 8))
    assert files(tmp_path) == []


def test_what_waits_to_be_written_is_bounded(tmp_path: Path) -> None:
    class Watching(EstimateCache):
        written = 0

        def put(self, key: str, array: Any) -> None:
            Watching.written += 1
            super().put(key, array)

    pipe = pipeline(None)
    pipe.cache = Watching(tmp_path)
    sources = draw(2, 1, 1, 9, 8)
    steps = pipe.steps(sources)
    next(steps)
    assert Watching.written == 0
    list(steps)
    assert Watching.written == 2 * N
    cache = fusionkit.sampling.cache.RunCache(Watching(tmp_path), {}, sources, [0], room=100)
    cache.put("ab", sources[0, 0])
    assert Watching.written == 2 * N + 1


def test_what_is_not_finite_is_not_kept(tmp_path: Path) -> None:
    class Broken(GaussianEstimator):
        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            broken = torch.where(sigma < 50, torch.nan, 1.0).view(-1, 1, 1, 1)
            return super().denoise(x, sigma) * broken

    cache = fusionkit.sampling.cache.RunCache(EstimateCache(tmp_path), {}, draw(2, 1, 1, 4, 4), [0])
    for key, value in (("ab", 1.0), ("cd", torch.nan)):
        cache.put(key, torch.full((1, 4, 4), value))
    cache.write()
    assert [path.parent.name for path in files(tmp_path)] == ["ab"]
    pipe = pipeline(None)
    pipe.cache = EstimateCache(tmp_path / "other")
    pipe.parts["estimator"] = fusionkit.host.pipeline.Part(Broken(), "it", {"name": "broken"})
    with pytest.raises(fusionkit.PluginError, match="not finite"):
        pipe(draw(2, 1, 1, 9, 8))
    assert files(tmp_path / "other") == []


# From outside


def test_fuse_and_its_record(pair: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cold, warm = (fusionkit.fuse(pair, cache=folder, steps=N) for _ in range(2))
    assert np.array_equal(cold.image, warm.image)
    counts = [(r.record["run"]["nfe"], r.record["run"]["cached"]) for r in (cold, warm)]
    assert counts == [(3 * N, 0), (N, 2 * N)]
    assert "cache" not in json.dumps(cold.record["recipe"])  # a place, no part of the result
    again = fusionkit.fuse(pair, recipe=warm.record["recipe"])
    assert np.array_equal(again.image, warm.image)
    with pytest.raises(UsageError, match="only seed"):
        fusionkit.fuse(pair, pipeline=pipeline(None), cache=folder)


EVERY_LEVEL = ["--weighting.dynamic", "yes", "--weighting.stride", "1", "--objective.strength", "1"]


def test_the_command_line(pair: tuple[str, str], tmp_path: Path) -> None:
    folder = str(tmp_path / "cache")
    for name in ("one.png", "two.png"):
        arguments = ["run", *pair, "-o", str(tmp_path / name), "--steps", "3", "--cache", folder]
        assert main([*arguments, *EVERY_LEVEL]) == 0
    one, two = (tmp_path / name for name in ("one.png", "two.png"))
    assert one.read_bytes() == two.read_bytes()
    record = json.loads((tmp_path / "two.png.json").read_text())
    assert (record["run"]["nfe"], record["run"]["cached"]) == (3, 6)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_variants_of_a_study_share_a_cache(
    jobs: str, pair: tuple[str, str], tmp_path: Path
) -> None:
    manifest = tmp_path / "scenes.csv"
    manifest.write_text(f"scene,a,b\nleft,{pair[0]},{pair[1]}\n")
    folder = tmp_path / "cache"
    arguments = ["ablate", str(manifest), "-o", str(tmp_path / "study"), "--cache", str(folder)]
    arguments += ["--estimator", "gaussian", "--objective", "increments"]
    arguments += ["--weighting", "fixed,dig", "--steps", "3", "--metric", "sd", "--quiet"]
    assert main([*arguments, "--baseline", "none", "--jobs", jobs]) == 0
    lines = (tmp_path / "study" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["nfe"] for line in lines] == [9, 9]  # what each costs by itself
    records = (tmp_path / "study" / "images").rglob("*.json")
    counts = sorted(json.loads(path.read_text())["run"]["nfe"] for path in records)
    assert counts[0] == 3 or jobs == "2"
    assert len(files(folder)) == 6


def test_the_command_line_warns_in_one_line(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cache"
    arguments = ["run", *pair, "-o", str(tmp_path / "out.png"), "--steps", "3", "--overwrite"]
    assert main([*arguments, "--cache", str(folder)]) == 0
    files(folder)[0].write_bytes(b"?")
    capsys.readouterr()
    assert main([*arguments, "--cache", str(folder)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fusionkit: warning: cache file ")


def test_a_study_refuses_a_folder_that_cannot_be_made(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "scenes.csv"
    manifest.write_text(f"scene,a,b\nleft,{pair[0]},{pair[1]}\n")
    arguments = ["ablate", str(manifest), "-o", str(tmp_path / "study"), "--metric", "sd"]
    arguments += ["--steps", "2", "--baseline", "none", "--cache", pair[0]]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--cache: {pair[0]} is a file" in said
