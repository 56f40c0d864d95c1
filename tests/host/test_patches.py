"""Large images in patches: what comes out is what the whole image gives, and is the same anyhow."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import fusionkit
from fusionkit.ops import in_patches, patches, patching
from fusionkit.sampling.run import Run

GRADIENTS = {"name": "gradients", "base": "weights", "psi": 2.0, "gain": 2.0, "strength": 0}
LOCAL = [
    ("learned", GRADIENTS),
    ({"name": "saliency", "measure": "contrast", "window": 5, "consistency": 9}, GRADIENTS),
    ({"name": "saliency", "measure": "gradient", "window": 7}, {"name": "mse", "strength": 0}),
    ({"name": "fixed", "weights": [1, 2, 1]}, {**GRADIENTS, "gain": 0.0}),
]


@pytest.fixture(scope="module")
def stack() -> NDArray[np.uint8]:
    """Three frames in colour, (3, 300, 420, 3), each sharp in another part, with a dark place."""
    photo = skimage.data.astronaut()[:300, 60:480].copy()
    photo[20:30, 400:410] = 0
    soft = scipy.ndimage.gaussian_filter(photo, (2, 2, 0))
    column = np.arange(420)[:, None]
    sharp = [column < 150, (column >= 150) & (column < 290), column >= 290]
    return np.stack([np.where(here, photo, soft) for here in sharp])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches of 96 pixels."""
    monkeypatch.setattr(patching, "AREA", 0)
    monkeypatch.setattr(patching, "SMALLEST", 96)


@pytest.mark.parametrize("reach", [0, 5, 64])
@pytest.mark.parametrize("size", [(97, 333), (3000, 4000)])
def test_patches_make_up_an_image(size: tuple[int, int], reach: int) -> None:
    count = np.zeros(size, int)
    for patch in patches(*size, 2, reach):
        count[patch.place] += 1
        seen = np.zeros(size, bool)
        seen[patch.seen] = True
        assert seen[patch.seen][patch.inside].shape == count[patch.place].shape
        rows, columns = patch.place
        around = [slice(max(0, part.start - reach), part.stop + reach) for part in (rows, columns)]
        assert seen[*around].all()
        marked = np.zeros(size, bool)
        marked[patch.seen][patch.inside] = True
        assert marked[patch.place].all()
        assert marked.sum() == marked[patch.place].size
        assert all(part.start % patching.ALIGNED == 0 for part in (*patch.place, *patch.seen))
    assert (count == 1).all()


def test_patches_are_smaller_of_more_images_but_not_tiny() -> None:
    sides = []
    for images in (2, 8, 40, 1000):
        first = next(patches(6000, 6000, images, 0))
        sides.append(first.place[0].stop)
    assert sides == sorted(sides, reverse=True)
    assert patching.LARGEST >= sides[0] > sides[2] >= sides[3] >= patching.SMALLEST - 32
    assert in_patches(6000, 4000, 2)
    assert not in_patches(640, 480, 2)
    # What is seen of a patch is no reason for patches again.
    for images in (2, 8, 20, 1000):
        seen = next(iter(list(patches(6000, 6000, images, 64))[8:])).seen
        assert not in_patches(*(part.stop - part.start for part in seen), images)


def test_around_patches_of_tall_stacks_hardly_more_is_looked_at() -> None:
    def looked_at(images: int) -> float:
        """Return how many pixels are looked at for each of 24 million."""
        seen = [patch.seen for patch in patches(4000, 6000, images, 64)]
        sizes = [[part.stop - part.start for part in place] for place in seen]
        return sum(height * width for height, width in sizes) / (4000 * 6000)

    assert 1.2 < looked_at(2) < 1.45
    assert looked_at(20) < 1.05 * looked_at(2)
    assert looked_at(40) < 1.2 * looked_at(2)


def test_only_what_is_local_is_fused_in_patches() -> None:
    shape = (3, 1, 1, 6000, 4000)
    for weighting, objective in LOCAL:
        pipe = fusionkit.compose(weighting=weighting, objective=objective)
        assert pipe.reach is not None
        assert pipe.patchy(shape)
        assert not pipe.patchy((3, 1, 1, 400, 300))
    for weighting, objective in (
        ("dig", GRADIENTS),
        ("learned", {**GRADIENTS, "psi": 2000.0}),
        ("learned", {**GRADIENTS, "base": "mean"}),
        ("learned", {**GRADIENTS, "targets": 0.5}),
        ("learned", {**GRADIENTS, "outlines": True}),
        ("learned", {**GRADIENTS, "hidden": 0.1}),
        ("learned", {**GRADIENTS, "strength": 0.1}),
        ({"name": "learned", "dig": 1.0}, GRADIENTS),
        ("saliency", GRADIENTS),
    ):
        pipe = fusionkit.compose(weighting=weighting, objective=objective)
        assert pipe.reach is None
        assert not pipe.patchy(shape)


@pytest.mark.parametrize(("weighting", "objective"), LOCAL)
def test_a_fusion_in_patches_is_that_of_the_whole(weighting, objective, stack, request) -> None:
    pipe = fusionkit.compose(weighting=weighting, objective=objective)
    sources = torch.from_numpy(stack[..., 1] / 127.5 - 1).float()[:, None, None]
    sources = torch.cat([sources, sources.flip(-1)], 1)  # a batch of two
    whole = pipe(sources)
    request.getfixturevalue("small")
    asked: list[tuple[int, ...]] = []
    start = pipe.parts["weighting"].built.start

    def watched(run: Run):
        asked.append(tuple(run.sources.shape[-2:]))
        assert (run.least == sources.amin((-2, -1), keepdim=True)).all()
        return start(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipe.parts["weighting"].built, "start", watched, raising=False)
        parts = pipe(sources)
    assert len(asked) == 20
    assert max(max(size) for size in asked) < 300
    assert parts.image.shape == whole.image.shape
    assert (parts.image - whole.image).abs().max() < 0.01
    assert (parts.image - whole.image).square().mean().sqrt() < 1e-3
    assert (parts.weights - whole.weights).abs().max() < 0.05
    assert parts.steps == whole.steps


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kept", [0, 2**26])
@pytest.mark.parametrize("grey", [False, True])
def test_pictures_are_read_by_patches_to_the_same_bits(stack, grey, kept, monkeypatch) -> None:
    monkeypatch.setattr("fusionkit.imaging.luma.KEPT", kept)
    assert len(list(patches(200, 290, 3, 0))) == 12  # two of them amid others
    sources = [frame[..., 1] if grey else frame for frame in stack[:, :200, 125:415]]
    how = {"weighting": "learned", "objective": GRADIENTS}
    alone = fusionkit.fuse(sources, **how)
    seen: list[Tensor] = []
    watched = fusionkit.fuse(sources, on_step=lambda done: seen.append(done.weights), **how)
    mapped = fusionkit.fuse(sources, maps=True, **how)
    assert np.array_equal(alone.image, watched.image)
    assert np.array_equal(alone.image, mapped.image)
    assert alone.image.dtype == np.uint8
    (weights,) = seen
    assert weights.shape == (3, 1, 1, 200, 290)
    assert mapped.weight_maps is not None
    for result in (alone, watched, mapped):
        result.record["run"].pop("seconds", None)
    assert json.loads(json.dumps(alone.record)) == json.loads(json.dumps(watched.record))


@pytest.mark.usefixtures("small")
def test_masks_and_other_depths_are_fused_as_ever(stack) -> None:
    how = {"weighting": {"name": "saliency", "measure": "contrast"}, "objective": GRADIENTS}
    frames = [frame.astype(np.float32) / 255 for frame in stack]
    frames[0][40:60, 40:60] = np.nan
    result = fusionkit.fuse(frames, **how)
    assert result.image.dtype == np.float32
    assert np.isfinite(result.image).all()
    one = fusionkit.fuse([frame.astype(np.uint16) * 257 for frame in stack], **how).image
    two = fusionkit.fuse(list(stack), **how).image
    assert np.abs(one / 257 - two).max() <= 1


@pytest.mark.usefixtures("small")
def test_what_one_patch_spoils_is_said() -> None:
    class Broken:
        uses_trajectory = False
        levels = "none"
        reach = 0

        def start(self, run):
            weights = torch.full_like(run.sources[:, :, :1], 1 / len(run.sources))
            where = run.sources[:, :, :1] > 0.99
            return lambda step: weights.masked_fill(where, torch.nan)

    sources = torch.zeros(2, 1, 1, 300, 300)
    pipe = fusionkit.compose(weighting=Broken(), objective={"name": "mse", "strength": 0})
    assert pipe(sources).image.abs().max() == 0
    sources[0, 0, 0, 250, 250] = 1
    with pytest.raises(fusionkit.PluginError, match=r"Broken.*not finite"):
        pipe(sources)
    pictures = ((sources[:, 0, 0] + 1) * 127.5).byte().numpy()
    with pytest.raises(fusionkit.PluginError, match=r"Broken.*not finite"):
        fusionkit.fuse(list(pictures), pipeline=pipe)


def test_who_looks_too_far_is_given_the_whole_image() -> None:
    class Far:
        uses_trajectory = False
        levels = "none"

        def start(self, run):
            weights = torch.full_like(run.sources[:, :, :1], 1 / len(run.sources))
            return lambda step: weights

    for reach, expected in ((np.int64(2), 2), (192, 192), (193, None)):
        Far.reach = reach
        pipe = fusionkit.compose(weighting=Far(), objective={"name": "mse", "strength": 0})
        assert pipe.reach == expected


@pytest.mark.parametrize(
    ("reach", "levels"), [(-1, "none"), (2.5, "none"), (True, "none"), (4, "first")]
)
def test_a_reach_that_is_none_is_refused(reach, levels) -> None:
    class Odd:
        uses_trajectory = False

        def start(self, run):
            return lambda step: run.sources[:, :, :1]

    Odd.reach, Odd.levels = reach, levels
    with pytest.raises(fusionkit.PluginError, match=f"reach is .*{reach}"):
        fusionkit.compose(weighting=Odd(), objective={"name": "mse", "strength": 0})


@pytest.mark.slow
def test_a_large_pair_takes_little_memory_beside_its_pixels(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 400), np.uint8)
    for name, zoom in (("near", 10), ("far", 12)):
        image = Image.fromarray(noise).resize((400 * zoom, 300 * zoom)).crop((0, 0, 4000, 3000))
        image.save(tmp_path / f"{name}.png", compress_level=1)
    import subprocess
    import sys

    code = (
        "import re, sys\n"
        "from fusionkit.cli import main\n"
        "sys.argv = ['fusionkit', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        # Of this program: what rusage says began with what the tests' process had.
        "print(*re.findall(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read()))\n"
    )
    files = [str(tmp_path / name) for name in ("near.png", "far.png", "fused.png")]
    command = [sys.executable, "-c", code, "run", *files[:2], "-o", files[2]]
    out = subprocess.run(
        [*command, "--task", "multi-focus"], capture_output=True, text=True, check=True
    )
    # 12 megapixels: 24 MB of pixels, 96 of luma; all else was 1.1 GB before there were patches.
    assert int(out.stdout.split()[-1]) / 1024 < 1000
