"""SD, SF, AG and EI of the fused image; CC and SCD, its correlation with the sources."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit.ops import MOST, psnr

from .filters import gradients, strips
from .measure import INFINITE, Local, Measure, Pixelwise, mean

# A standard deviation below 1e-8 grey levels is rounding: the image is constant.
_CONSTANT = 1e-16

_ROOT_SUM = "root of the summed squared error by the number of pixels"


class StandardDeviation(Pixelwise):
    """SD = √(mean (F - mean F)²). Rao (1997)."""

    name = "sd"
    convention = "population standard deviation of the luma, 0-255"
    bounds = (0.0, 127.5)
    reference = "Rao, Meas. Sci. Technol. 8 (1997) 355"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        return fused.flatten(1).std(1, correction=0)


class SpatialFrequency(Local):
    """SF = √(mean (F[y, x+1] - F[y, x])² + mean (F[y+1, x] - F[y, x])²).

    Eskicioglu and Fisher (1995). The means are over the differences that there
    are, H (W - 1) and (H - 1) W.

    Parameters
    ----------
    divisor
        ``differences``: how many there are. ``pixels``: H W, as in VIFB, which gives less.
    """

    name = "sf"
    bounds = (0.0, 255.0 * 2**0.5)
    reference = "Eskicioglu, Fisher, IEEE Trans. Commun. 43 (1995) 2959-2965"

    def __init__(self, divisor: str = "differences") -> None:
        self.divisor = divisor
        over = "the existing differences" if divisor == "differences" else "all pixels"
        self.convention = f"root of the mean squared differences, means over {over}"

    def measure(self, fused: Tensor, sources: Tensor, where: Tensor | None = None) -> Tensor:
        """Return (B,)."""
        across, down = fused.diff(dim=-1).square_(), fused.diff(dim=-2).square_()
        if where is None:
            if self.divisor == "pixels":
                height, width = fused.shape[-2:]
                across, down = across * ((width - 1) / width), down * ((height - 1) / height)
            return (mean(across) + mean(down)).sqrt()
        both = where[..., 1:] & where[..., :-1], where[..., 1:, :] & where[..., :-1, :]
        if self.divisor == "pixels":
            pixels = where.sum((-2, -1), keepdim=True)
            across = across * (both[0].sum((-2, -1), keepdim=True) / pixels)
            down = down * (both[1].sum((-2, -1), keepdim=True) / pixels)
        return (mean(across, both[0]) + mean(down, both[1])).sqrt()


class SpatialFrequencyError(Measure):
    """Q_SF = |SF_F - SF_R| / SF_R, SF of four directions, R of the strongest source at each place.

    Zheng, Essock, Hansen and Haun (2007): SF² is the sum of the mean squared differences along
    rows, columns and both diagonals, these weighted by 1/√2; R's differences are the largest in
    magnitude of the sources'. The paper keeps the sign, below 0 where detail is lost and above
    where something is added: here it is the distance from the ideal, 0. Where no source has any
    detail it is 0 for a fused image without, and 1 otherwise.
    """

    name = "qsf"
    higher_is_better = False
    convention = (
        "magnitude of the ratio of spatial frequency error, four directions, diagonals weighted "
        "1/sqrt(2), means over the existing differences"
    )
    bounds = (0.0, INFINITE)
    reference = "Zheng, Essock, Hansen, Haun, Inf. Fusion 8 (2007) 177-192"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        of_fused = _frequency(fused[None])
        wanted = _frequency(sources)
        ratio = (of_fused - wanted).abs() / wanted.where(wanted > 0, 1.0)
        return ratio.where(wanted > 0, (of_fused > 0).double())


def _frequency(images: Tensor) -> Tensor:
    """Return the spatial frequency of the strongest differences of (K, B, H, W), (B,)."""
    across, down = images.diff(dim=-1), images.diff(dim=-2)
    falling = images[..., 1:, 1:] - images[..., :-1, :-1]
    rising = images[..., 1:, :-1] - images[..., :-1, 1:]
    weighted = ((across, 1.0), (down, 1.0), (falling, 0.5**0.5), (rising, 0.5**0.5))
    total = sum(weight * mean(d.abs().amax(0).square()) for d, weight in weighted)
    return torch.as_tensor(total).sqrt()


class AverageGradient(Local):
    """AG = mean √((g_x² + g_y²) / 2), gradients central, one-sided at the border.

    Cui and others (2015); the gradients are those of ``numpy.gradient``.

    Parameters
    ----------
    divisor
        ``pixels``: the mean. ``intervals``: the mean times H W / ((H - 1) (W - 1)), as in VIFB.
    """

    name = "ag"
    bounds = (0.0, 4 * 255.0)  # an image of 2 x 2 pixels has one interval
    reference = "Cui, Feng, Xu, Li, Chen, Opt. Commun. 341 (2015) 199-209"

    def __init__(self, divisor: str = "pixels") -> None:
        self.divisor = divisor
        said = "" if divisor == "pixels" else ", times H W / ((H - 1) (W - 1))"
        self.convention = f"mean of sqrt((gx^2 + gy^2) / 2), gradients as numpy.gradient{said}"

    def measure(self, fused: Tensor, sources: Tensor, where: Tensor | None = None) -> Tensor:
        """Return (B,)."""
        g_y, g_x = torch.gradient(fused, dim=(-2, -1))
        found = mean(g_x.square_().add_(g_y.square_()).mul_(0.5).sqrt_(), where)
        if self.divisor == "intervals":
            height, width = fused.shape[-2:]
            found = found * (height * width / ((height - 1) * (width - 1)))
        return found


class EdgeIntensity(Local):
    """EI = mean √(s_x² + s_y²), Sobel, replicated border.

    Rajalingam and Priya (2018). The operator's weights are 1 2 1, not divided.
    """

    name = "ei"
    convention = "mean magnitude of Sobel's operator (weights 1 2 1), replicated border"
    bounds = (0.0, 1020.0 * 2**0.5)
    reference = "Rajalingam, Priya, Int. J. Eng. Sci. Invent. 7 (2018) 52-60"

    def measure(self, fused: Tensor, sources: Tensor, where: Tensor | None = None) -> Tensor:
        """Return (B,)."""
        return mean(torch.hypot(*gradients(fused, "replicate")), where)


class Correlation(Pixelwise):
    """CC = mean_k r(k, F), r Pearson's; 0 where one of the two images is constant.

    Deshmukh and Bhosale (2010).
    """

    name = "cc"
    convention = "mean over sources of Pearson's correlation; 0 with a constant image"
    bounds = (-1.0, 1.0)
    reference = "Deshmukh, Bhosale, Int. J. Image Process. 4 (2010) 484-508"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        return pearson(fused, sources).mean(0)


class SumOfCorrelations(Pixelwise):
    """SCD = r(F - B, A) + r(F - A, B); r with a constant image is 0.

    Aslantas and Bendes (2015). What the fused image has beyond one source
    should be the other.
    """

    name = "scd"
    convention = "r(F-B, A) + r(F-A, B), Pearson's r, 0 with a constant image; two sources"
    sources: str | int = 2
    bounds = (-2.0, 2.0)
    reference = "Aslantas, Bendes, AEU Int. J. Electron. Commun. 69 (2015) 1890-1896"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        return pearson(fused - sources.flip(0), sources).sum(0)


def pearson(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation over the pixels, in [-1, 1]; 0 where one is constant."""
    means = [images.mean((-2, -1), keepdim=True) for images in (first, second)]
    xy, xx, yy = (first.new_zeros(second.shape[:-2]) for _ in range(3))
    for part in strips(*first.shape[-2:]):
        x, y = (images[..., part, :] - m for images, m in zip((first, second), means, strict=True))
        for total, products in ((xy, x * y), (xx, x.square_()), (yy, y.square_())):
            total += products.sum((-2, -1)) / (first.shape[-2] * first.shape[-1])
    defined = (xx > _CONSTANT) & (yy > _CONSTANT)
    r = xy / (xx * yy).where(defined, 1.0).sqrt()
    return r.clamp(-1, 1).where(defined, torch.zeros_like(r))


class MeanSquaredError(Pixelwise):
    """MSE = mean over sources and pixels of (k - F)²; with one source, against a ground truth."""

    name = "mse"
    higher_is_better = False
    convention = "mean over sources and pixels, squared grey levels, 0-255"
    bounds = (0.0, 255.0**2)
    reference = "Jagalingam, Hegde, Aquat. Procedia 4 (2015) 133-142"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        return squared_error(fused, sources)


class RootMeanSquaredError(Pixelwise):
    """RMSE = mean over sources of √(mean over pixels of (k - F)²).

    Parameters
    ----------
    error
        ``mean-square``: as above. ``root-sum``: √(Σ (k - F)²) / (H W), as in VIFB, which depends
        on the size of the image.
    """

    name = "rmse"
    higher_is_better = False
    bounds = (0.0, 255.0)
    reference = "Jagalingam, Hegde, Aquat. Procedia 4 (2015) 133-142"

    def __init__(self, error: str = "mean-square") -> None:
        self.error = error
        said = (
            "the root of the mean squared error" if error == "mean-square" else f"the {_ROOT_SUM}"
        )
        self.convention = f"mean over sources of {said}, grey levels, 0-255"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        if self.error == "root-sum":
            return root_sum(fused, sources)
        return mean((sources - fused).square_()).sqrt().mean(0)


class PeakSignalToNoise(Pixelwise):
    """PSNR = 10 log10(255² / MSE), of the mean MSE over sources, and at most 100 dB.

    See :func:`fusionkit.ops.similarity.psnr` for why there is a cap.

    Parameters
    ----------
    peak
        ``range``: 255. ``fused``: the largest value of the fused image, 1 at least.
    error
        ``mean-square``: the MSE. ``root-sum``: √(Σ (k - F)²) / (H W) instead of it, as in VIFB.
    """

    name = "psnr"
    reference = "Jagalingam, Hegde, Aquat. Procedia 4 (2015) 133-142"

    def __init__(self, peak: str = "range", error: str = "mean-square") -> None:
        self.peak, self.error = peak, error
        top = "255" if peak == "range" else "the largest value of the fused image"
        of = "MSE" if error == "mean-square" else _ROOT_SUM
        self.convention = f"dB, peak {top}, of the mean {of} over sources; capped at 100 dB"
        # A dark image has a peak below the error.
        self.bounds = (0.0 if peak == "range" else -INFINITE, MOST)

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        error = root_sum if self.error == "root-sum" else squared_error
        found = error(fused, sources)
        if self.peak == "fused":
            found = found * (255 / fused.amax((-2, -1)).clamp_min(1.0)).square()
        return psnr(found, 255)


def root_sum(fused: Tensor, sources: Tensor) -> Tensor:
    """Mean over sources of √(Σ (k - F)²) / (H W), (B,)."""
    squares = (sources - fused).square_()
    return squares.sum((-2, -1)).sqrt().mean(0) / (fused.shape[-2] * fused.shape[-1])


def squared_error(fused: Tensor, sources: Tensor) -> Tensor:
    """Mean over sources and pixels of (k - F)², (B,)."""
    return mean((sources - fused).square_()).mean(0)
