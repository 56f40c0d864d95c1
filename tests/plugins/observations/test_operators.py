"""``downsample`` and ``blur``: what they measure, their adjoint and their minimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fusionkit_observations.blur import Blur
from fusionkit_observations.downsample import Downsample
from fusionkit_observations.psf import disc, gaussian, line, read_psf
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fusionkit import OBSERVATION, BaseObservation, StartedObservation, UsageError, load_plugins
from fusionkit.contract.chain import start_chain
from fusionkit.testing import checks_for

H, W = 36, 52
SKEW = np.array([[0.0, 0.1, 0.3], [0.0, 0.4, 0.1], [0.1, 0.0, 0.0]])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def blank(h: int, w: int) -> Tensor:
    return torch.zeros(1, 1, h, w, dtype=torch.float64)


class Gradients(BaseObservation):
    """Another, without its closed form, if it has one."""

    iterations = 300

    def __init__(self, other: StartedObservation) -> None:
        self.A = other.A  # type: ignore[method-assign]
        self.adjoint = other.adjoint  # type: ignore[method-assign]


STARTED: dict[str, Callable[[], StartedObservation]] = {
    "x2": lambda: Downsample().start(blank(18, 26), (H, W)),
    "x1.6": lambda: Downsample().start(blank(22, 32), (H, W)),
    "x4 gaussian": lambda: Downsample(4, "gaussian").start(blank(9, 13), (H, W)),
    "x4 psf": lambda: Downsample(0, "point", psf=SKEW).start(blank(9, 13), (H, W)),
    "gaussian 1.6": lambda: Blur(gaussian(1.6)).start(blank(H, W), (H, W)),
    "disc 3": lambda: Blur(disc(3)).start(blank(H, W), (H, W)),
    "motion 9": lambda: Blur(line(9, 30)).start(blank(H, W), (H, W)),
    "skew": lambda: Blur(SKEW).start(blank(H, W), (H, W)),
}


@pytest.mark.parametrize("name", STARTED)
def test_the_adjoint_is_exact(name: str) -> None:
    started = STARTED[name]()
    c = drawn(2, 3, H, W)
    y = drawn(*started.A(c).shape, seed=1)
    left, right = (started.A(c) * y).sum(), (c * started.adjoint(y)).sum()
    scale = (started.A(c).square().sum() * y.square().sum()).sqrt()
    assert abs(left - right) / scale < 1e-12


@pytest.mark.parametrize("rho", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("name", STARTED)
def test_the_minimiser_is_what_conjugate_gradients_find(name: str, rho: float) -> None:
    started = STARTED[name]()
    z = drawn(2, 1, H, W)
    y = started.A(drawn(2, 1, H, W, seed=1)) + 0.1
    found = started.prox(z, y, rho)
    slope = started.adjoint(started.A(found) - y) + rho * (found - z)
    assert slope.abs().max() < 1e-5
    assert (found - Gradients(started).prox(z, y, rho)).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", STARTED)
def test_it_computes_in_the_precision_of_images(name: str, dtype: torch.dtype) -> None:
    started = STARTED[name]()
    c = drawn(1, 1, H, W)
    y, found = started.A(c.to(dtype)), started.prox(c.to(dtype), started.A(c.to(dtype)), 0.1)
    assert y.dtype == found.dtype == dtype
    assert (y - started.A(c)).abs().max() < 1e-5


def test_whole_factors_are_means_over_blocks() -> None:
    c = drawn(1, 1, 480, 640)
    started = Downsample().start(blank(120, 160), (480, 640))
    assert (started.A(c) - avg_pool2d(c, 4)).abs().max() < 1e-12


def test_other_factors_share_the_pixel_between() -> None:
    started = Downsample().start(blank(5, 5), (8, 8))
    column = torch.arange(8, dtype=torch.float64)
    seen = started.A(column.view(1, 1, 8, 1).expand(1, 1, 8, 8))[0, 0, :, 0]
    # The second of five sees 1.6 to 3.2: 0.4 of pixel 1, all of 2, 0.2 of 3.
    assert float(seen[1]) == pytest.approx((0.4 * 1 + 2 + 0.2 * 3) / 1.6)


@pytest.mark.parametrize("kernel", ["box", "gaussian", "point"])
@pytest.mark.parametrize("small", [(9, 13), (22, 32), (36, 52)])
def test_a_grey_scene_stays_grey_and_a_ramp_a_ramp(kernel: str, small: tuple[int, int]) -> None:
    started = Downsample(0, kernel).start(blank(*small), (H, W))
    assert (started.A(blank(H, W) + 0.3) - 0.3).abs().max() < 1e-12
    ramp = (torch.arange(W, dtype=torch.float64) + 0.5).expand(1, 1, H, W)
    seen = started.A(ramp)[0, 0, 0]
    centres = (torch.arange(small[1]) + 0.5) * W / small[1]
    inside = slice(3, -3)  # a Gaussian at the border sees more on one side
    # At 1.6, a box sees parts of pixels whose own ramp is not in them.
    most = 0.1 if kernel == "box" else 0.02
    assert (seen - centres)[inside].abs().max() < most


@pytest.mark.parametrize("small", [(9, 13), (9, 14), (10, 13), (36, 52)])
def test_sizes_that_agree_within_a_pixel(small: tuple[int, int]) -> None:
    assert Downsample().start(blank(*small), (H, W)).A(blank(H, W)).shape[-2:] == small


@pytest.mark.parametrize(
    ("small", "words"),
    [
        (
            (13, 13),
            "13 x 13 pixels are no smaller form of 52 x 36: their aspect ratios, 1 and 1.444",
        ),
        ((72, 104), "104 x 72 pixels are more than the 52 x 36"),
    ],
)
def test_sizes_that_do_not(small: tuple[int, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Downsample().start(blank(*small), (H, W))


def test_a_factor_that_the_sizes_do_not_have() -> None:
    with pytest.raises(UsageError, match="so measured as 26 x 18 pixels, but the source has 13 x"):
        start_chain([Downsample(2)], blank(9, 13), (H, W))


def test_psfs_have_the_shapes_that_they_say() -> None:
    for psf in (gaussian(1.6), disc(3), line(9, 30), gaussian(0)):
        assert psf.sum() == pytest.approx(1)
        assert psf.shape[0] % 2 == psf.shape[1] % 2 == 1
        middle = (psf.shape[0] - 1) / 2
        assert (psf.sum(1) @ np.arange(len(psf))) == pytest.approx(middle)  # centred
    at = np.arange(-7, 8)
    assert (gaussian(1.6).sum(0) @ at**2) == pytest.approx(1.6**2, rel=1e-2)
    assert 1 / disc(3).max() == pytest.approx(np.pi * 9, rel=1e-2)
    along = line(9, 0)
    assert np.count_nonzero(along.sum(1)) == 1
    span = np.arange(along.shape[1]) - along.shape[1] // 2
    assert (along.sum(0) @ span**2) == pytest.approx(9**2 / 12, rel=0.05)
    up = line(9, 45)  # anticlockwise: to the right is up, and rows count downwards
    assert up[0, -1] + up[1, -2] + up[2, -3] > 0
    assert up[-1, -1] + up[-2, -2] + up[-3, -3] == pytest.approx(0)


def test_a_blur_is_a_convolution_of_the_mirrored_image() -> None:
    from scipy.ndimage import convolve

    c = drawn(1, 1, H, W)
    for psf in (gaussian(1.6), SKEW):
        seen = Blur(psf).start(c, (H, W)).A(c)[0, 0].numpy()
        expected = convolve(c[0, 0].numpy(), psf, mode="reflect")
        assert np.abs(seen - expected).max() < 1e-12


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    wrong = {
        "sums to 1, not 1.5": SKEW * 1.5,
        "odd sides": np.full((4, 4), 1 / 16),
        "nowhere below 0": np.array([[1.5, -0.5, 0.0]] * 3) / 3,
        "one channel": np.full((3, 3, 3), 1 / 9),
    }
    for words, values in wrong.items():
        path = folder / f"{len(list(folder.iterdir()))}.npy"
        np.save(path, values)
        yield words, path


def test_psf_files(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", SKEW)
    assert np.abs(read_psf(tmp_path / "good.npy") - SKEW).max() < 1e-12
    np.save(tmp_path / "whole.npy", np.array([[0, 0, 0], [1, 2, 1], [0, 0, 0]], np.uint8))
    assert read_psf(tmp_path / "whole.npy")[1].tolist() == [0.25, 0.5, 0.25]
    for words, path in files(tmp_path):
        with pytest.raises(UsageError, match=words):
            read_psf(path)
    with pytest.raises(UsageError, match="the PSF, 65 x 65 pixels, is larger than the image, 52 x"):
        Blur(gaussian(8)).start(blank(H, W), (H, W))


OPTIONS = [
    ("blur", {"sigma": 1.6}),
    ("blur", {"disc": 2.5}),
    ("blur", {"motion": 5.0, "angle": 20.0}),
    ("downsample", {"factor": 1.6}),
    ("noise", {"sigma": "3", "gain": 0.5}),
    ("mask", {"where": "clipped"}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_conformance(name: str, options: dict[str, object]) -> None:
    provided = load_plugins().find(OBSERVATION, f"observations:{name}")
    for check in checks_for(provided, options):
        if check.name != "other_options":  # of which there is one each
            check.run()
