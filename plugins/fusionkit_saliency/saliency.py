"""Weights from classical saliency: local contrast, and distance from the image's mean."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from fusionkit import Run, StartedWeighting, box_mean, consistent_weights, image_mean, raised

FLOOR = 1e-3
"""Counts as no saliency, of values in [-1, 1]: an eighth of a grey level of 8 bits."""


LOCAL = ("contrast", "gradient")
"""The measures for which a source matters no farther away than a few pixels."""


class Saliency:
    """Weigh each source by how much it stands out, as fusion did before there were networks.

    With L the 5-point Laplacian, B the 5 x 5 binomial blur, and | | over channels,

        contrast:   M_k = |L c_k|             (mean of absolute values),
        intensity:  M_k = |mean(c_k) - B c_k|  (Euclidean, divided by the root of C),
        gradient:   M_k = |∇c_k|²             (forward differences; mean over channels);

    G the mean over a window; with S_k = G M_k + FLOOR (its square for ``gradient``) the weights
    are S_k^p / Σ_j S_j^p. For ``both``, S is the sum of the first two, each first divided by its
    mean over sources and pixels, as they differ in size.

    The first is the saliency of Li, Kang and Hu, "Image fusion with guided filtering",
    IEEE Trans. Image Process. 22 (2013) 2864-2875, eq. 3 and 4, there with a Gaussian in
    place of G; their choice of the maximum, eq. 5, is the limit of large p, and the window is
    what smooths the weights here: no guided filter follows. The second is the frequency-tuned
    saliency of Achanta, Hemami, Estrada and Süsstrunk, CVPR 2009, 1597-1604,
    eq. 4, in the estimator's channels instead of CIELAB.

    It knows neither prior nor noise level, and is the same at every step.

    Parameters
    ----------
    measure
        ``contrast``, ``intensity``, ``both`` or ``gradient``.
    window
        Side of the averaging window in pixels, odd; 1 for none.
    sharpness
        p; 0 for equal weights.
    consistency
        Side of the window in which neighbours are made to agree on a source
        (:func:`fusionkit.consistent_weights`); 1 for none.
    """

    uses_trajectory = False
    levels = "none"

    def __init__(
        self,
        measure: str = "both",
        window: int = 11,
        sharpness: float = 4.0,
        consistency: int = 1,
    ) -> None:
        self.consistency = consistency
        self.measure = measure
        self.window = window
        self.sharpness = sharpness
        self.reach = 1 + window // 2 + consistency // 2 if measure in LOCAL else None

    def start(self, run: Run) -> StartedWeighting:
        """Weigh the sources once; every step gets the same (K, B, 1, H, W)."""
        salient = self.saliency(run.sources)
        # Relative to the largest, so that no power underflows for all sources.
        share = raised(salient / salient.amax(0), self.sharpness)
        weights = consistent_weights(share / share.sum(0), self.consistency)
        return lambda step: weights

    def saliency(self, sources: Tensor) -> Tensor:
        """Return S_k of (K, B, C, H, W): above zero, (K, B, 1, H, W)."""
        if self.measure == "contrast":
            return self._smoothed(contrast, sources) + FLOOR
        if self.measure == "gradient":
            return self._smoothed(gradient_energy, sources) + FLOOR**2
        if self.measure == "intensity":
            return self._smoothed(intensity, sources) + FLOOR
        parts = (self._smoothed(m, sources) + FLOOR for m in (contrast, intensity))
        first, second = (part / image_mean(part, (0, -2, -1), keepdim=True) for part in parts)
        return first + second

    def _smoothed(self, measure: Callable[[Tensor], Tensor], sources: Tensor) -> Tensor:
        """Return a measure over windows, made of one source after another: there may be many."""
        each = (sources[k : k + 1] for k in range(len(sources)))
        return torch.cat([box_mean(measure(source), self.window) for source in each])


def contrast(sources: Tensor) -> Tensor:
    """Absolute 5-point Laplacian, mean over channels, the border replicated."""
    around = _replicated(sources, 1)
    beside = around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
    above = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
    return (beside + above - 4 * sources).abs().mean(-3, keepdim=True)


def gradient_energy(sources: Tensor) -> Tensor:
    """Squared differences to the next pixel, to the right and below, mean over channels."""
    right = functional.pad(sources.diff(dim=-1).square(), (0, 1))
    below = functional.pad(sources.diff(dim=-2).square(), (0, 0, 0, 1))
    return (right + below).mean(-3, keepdim=True)


def intensity(sources: Tensor) -> Tensor:
    """Distance of the blurred image from its mean, root mean square over channels."""
    blurred = _replicated(sources, 2)
    for _ in range(2):  # 1 2 1 twice is 1 4 6 4 1
        rows = (blurred[..., :-2, :] + 2 * blurred[..., 1:-1, :] + blurred[..., 2:, :]) / 4
        blurred = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4
    distance = blurred - image_mean(sources, keepdim=True)
    return distance.square().mean(-3, keepdim=True).sqrt()


def _replicated(images: Tensor, margin: int) -> Tensor:
    """Continue images (K, B, C, H, W) past their border by its own values."""
    flat = functional.pad(images.flatten(0, 1), (margin,) * 4, mode="replicate")
    return flat.view(*images.shape[:-2], *flat.shape[-2:])
