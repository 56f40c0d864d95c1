"""Weights from a small trained network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fusionkit import Run, StartedWeighting, Step, mirrored_index

from .network import MULTIPLE_OF, fusion_weights
from .weights_file import network_from, read_file

SHIPPED = Path(__file__).with_name("learned.safetensors")

SHIPPED_SHA256 = "7639072542740a3e224f9516e0fafc13ac7961230d00edbc766f9685f64b3d01"
"""Of the weights that come with fusionkit (docs/learned.md)."""


class Learned:
    """Weigh each source by the score that a network gives it: w = softmax over the sources.

    The network looks at the luma (mean over channels) of each source, of the mean of all and
    of the fused image's clean estimate x0, and is told the noise level, by :mod:`.network`. It
    holds nothing of a run: the same step has the same weights.

    Parameters
    ----------
    file
        Safetensors, as ``fusionkit train learned`` writes them; none for those that come
        with fusionkit.
    sha256
        The hash that ``file`` must have; empty for any.
    sharpness
        A factor of the scores.
    device, precision
        As of :class:`fusionkit.BuildContext`. The network is computed in float64 under
        ``float64`` and otherwise in float32: in a run it is a hundredth of the estimator's cost.

    Attributes
    ----------
    weights_sha256
        The hash of the file.
    metadata
        What the file says of itself: data, recipe, licence.
    """

    uses_trajectory = True

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        sha256: str = "",
        sharpness: float = 1.0,
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        path = Path(file) if file else SHIPPED
        tensors, self.metadata, self.weights_sha256 = read_file(
            path, sha256 if file else SHIPPED_SHA256
        )
        dtype = torch.float64 if precision == "float64" else torch.float32
        # In plain layout: in channels_last, the kernels of narrow layers depend on the threads.
        self._network = network_from(tensors, path, dtype).to(device).eval()
        self._network.requires_grad_(False)
        self._dtype = dtype
        self.sharpness = sharpness

    def start(self, run: Run) -> StartedWeighting:
        """Begin a run; every step is weighed by itself."""

        def weigh(step: Step) -> Tensor:
            return self.weigh(run.sources, step.x0, step.sigma)

        return weigh

    @torch.no_grad()
    def weigh(self, sources: Tensor, x0: Tensor, sigma: float) -> Tensor:
        """Return weights (K, B, 1, H, W) of sources (K, B, C, H, W) in [-1, 1].

        Parameters
        ----------
        sources
            Of any size; they are mirrored past their border as far as the network needs.
        x0
            The clean estimate of the fused image, (B, C, H, W).
        sigma
            The noise level s/a that it is of.
        """
        height, width = x0.shape[-2:]
        rows, columns = (
            mirrored_index(0, -(-side // MULTIPLE_OF) * MULTIPLE_OF, side, x0.device)
            for side in (height, width)
        )

        def luma(images: Tensor) -> Tensor:
            grey = images.mean(-3, keepdim=True).to(self._dtype)
            return grey[..., rows, :][..., columns]

        level = torch.full((len(x0),), sigma, dtype=self._dtype, device=x0.device)
        scores = self._network(luma(sources), luma(x0), level)
        weights = fusion_weights(scores[..., :height, :width], self.sharpness)
        return weights.to(sources.dtype)
