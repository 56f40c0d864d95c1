"""Maps of a run: weights, which source counts most, depth; and what happens to their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import fusionkit
from fusionkit import UsageError
from fusionkit.cli import main
from fusionkit.host.listing import images_by_stem, sources_of
from fusionkit.host.weight_maps import WeightMaps, hold_maps

QUICK = ["--weighting", "saliency", "--objective", "mse", "--quiet"]


def maps_of(weights: np.ndarray, shown: np.ndarray | None = None) -> WeightMaps:
    names = tuple(f"{k}.png" for k in range(len(weights)))
    return WeightMaps.of(weights.astype(np.float32), names, shown, True)


def plane_of_frames(K: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Weights of a tilted plane whose sharpest frame goes from the first to the last."""
    position = np.broadcast_to(np.linspace(0, K - 1, size), (size, size))
    weights = np.exp(-2 * (np.arange(K)[:, None, None] - position) ** 2)
    return weights / weights.sum(0), position / (K - 1)


def test_depth_of_a_tilted_plane() -> None:
    weights, truth = plane_of_frames(9)
    error = np.abs(maps_of(weights).depth - truth)
    assert error[:, 4:-4].max() < 0.02
    assert error.max() < 0.06  # windows end at the border


def test_places_without_detail_have_the_depth_around_them() -> None:
    weights, truth = plane_of_frames(9)
    weights[:, 20:25, 20:25] = 1 / 9
    assert np.abs(maps_of(weights).depth - truth)[20:25, 20:25].max() < 0.06


def test_the_index_counts_from_one_and_is_none_where_nothing_is_shown() -> None:
    weights = np.zeros((3, 2, 2))
    weights[1] = 1
    shown = np.ones((3, 2, 2), bool)
    shown[:, 0, 0] = False
    shown[1, 0, 1] = False
    maps = maps_of(weights, shown)
    assert maps.index[1].tolist() == [2, 2]
    assert maps.index[0, 0] == 0
    assert maps.weights[1, 0, 1] == 0
    assert np.allclose(maps.weights.sum(0), [[0, 1], [1, 1]])
    many = np.zeros((300, 1, 1))
    many[298] = 1
    assert maps_of(many).index.tolist() == [[299]]


@pytest.fixture
def stack(tmp_path: Path) -> list[str]:
    """A focus pair whose left half is sharp in the first image."""
    scene = data.camera()[100:228, 150:278]
    blurred = np.asarray(Image.fromarray(scene).resize((16, 16)).resize((128, 128)))
    near, far = scene.copy(), scene.copy()
    near[:, 64:], far[:, :64] = blurred[:, 64:], blurred[:, :64]
    paths = [str(tmp_path / name) for name in ("near.png", "far.png")]
    for path, image in zip(paths, (near, far), strict=True):
        Image.fromarray(image).save(path)
    return paths


def test_maps_of_a_command(stack: list[str], tmp_path: Path) -> None:
    out, maps = tmp_path / "o.png", tmp_path / "maps"
    command = ["run", *stack, "-o", str(out), "--task", "multi-focus", "--maps", str(maps)]
    assert main([*command, *QUICK]) == 0
    names = ["depth.png", "index.png", "maps.json", "weight-1.png", "weight-2.png"]
    assert sorted(path.name for path in maps.iterdir()) == names
    weights = [np.asarray(Image.open(maps / f"weight-{k}.png")) for k in (1, 2)]
    assert weights[0].dtype == np.uint16
    assert np.abs(weights[0].astype(int) + weights[1] - 65535).max() <= 1
    assert weights[0][:, 16:48].mean() > 0.8 * 65535
    index = np.asarray(Image.open(maps / "index.png"))
    assert set(np.unique(index)) == {1, 2}
    assert (index[:, 16:48] == 1).mean() > 0.8
    depth = np.asarray(Image.open(maps / "depth.png"))
    assert depth[:, 16:48].mean() < 0.2 * 65535 < 0.8 * 65535 < depth[:, 80:112].mean()
    listed = json.loads((maps / "maps.json").read_text())["maps"]
    assert "near.png" in listed["weight-1.png"]["shows"]
    # They are no sources, and no results to be measured.
    assert sources_of(maps) == []
    assert images_by_stem(maps) == {}

    # The image is the same without, and nothing is written twice unasked.
    assert main(["run", *stack, "-o", str(tmp_path / "p.png"), *command[5:7], *QUICK]) == 0
    assert out.read_bytes() == (tmp_path / "p.png").read_bytes()


def test_a_task_without_focus_has_no_depth(stack: list[str]) -> None:
    fused = fusionkit.fuse(stack, task="general", weighting="saliency", objective="mse", maps=True)
    assert fused.weight_maps is not None
    assert "depth.png" not in fused.weight_maps.images()
    plain = fusionkit.fuse(stack, task="general", weighting="saliency", objective="mse")
    assert plain.weight_maps is None
    assert np.array_equal(np.asarray(plain.image), np.asarray(fused.image))


def test_existing_maps_are_refused_before_anything_is_computed(
    stack: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    (maps / "weight-2.png").write_bytes(b"mine")
    command = ["run", *stack, "-o", str(tmp_path / "o.png"), "--maps", str(maps), *QUICK]
    assert main(command) == 2
    assert "weight-2.png: this file exists" in capsys.readouterr().err
    assert not (tmp_path / "o.png").exists()
    assert (maps / "weight-2.png").read_bytes() == b"mine"
    assert main([*command, "--overwrite"]) == 0
    assert hold_maps(maps)
    assert main([*command[:5], "", *QUICK]) == 2


def test_maps_replace_no_source_and_no_result(
    stack: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(stack[0]).rename(tmp_path / "index.png")
    sources = [str(tmp_path / "index.png"), stack[1]]
    before = Path(sources[0]).read_bytes()
    flags = ["--maps", str(tmp_path), "--overwrite", *QUICK]
    assert main(["run", *sources, "-o", str(tmp_path / "o.png"), *flags]) == 2
    assert "source" in capsys.readouterr().err
    assert Path(sources[0]).read_bytes() == before
    Path(sources[0]).rename(stack[0])
    assert main(["run", *stack, "-o", str(tmp_path / "index.png"), *flags]) == 2
    assert "the maps would have this name" in capsys.readouterr().err


def test_many_scenes_have_a_folder_each(stack: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for path in stack:
            Image.open(path).save(tmp_path / "in" / name / Path(path).name)
    command = ["run", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *QUICK]
    maps = ["--maps", str(tmp_path / "maps")]
    assert main(command) == 0
    assert main([*command, *maps]) == 1  # finished, without maps
    assert main([*command, *maps, "--overwrite"]) == 0
    assert hold_maps(tmp_path / "maps" / "a")
    assert hold_maps(tmp_path / "maps" / "b")
    assert main([*command, *maps]) == 0


def test_maps_of_fewer_sources_take_the_place_of_those_of_more(tmp_path: Path) -> None:
    maps_of(np.full((3, 4, 4), 1 / 3)).save(tmp_path / "maps")
    (tmp_path / "maps" / "mine.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        maps_of(np.full((2, 4, 4), 1 / 2)).save(tmp_path / "maps")
    maps_of(np.full((2, 4, 4), 1 / 2)).save(tmp_path / "maps", overwrite=True)
    left = sorted(path.name for path in (tmp_path / "maps").glob("*.png"))
    assert left == ["depth.png", "index.png", "mine.png", "weight-1.png", "weight-2.png"]
