"""Weights from a small trained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from fusionkit import Run, StartedWeighting, Step, UsageError, Weighting, mirrored_index
from fusionkit.ops import in_patches, patches

from .gains import FACTOR, gains_of, sigmas_of
from .network import MULTIPLE_OF, to_fusion_weights
from .weights_file import network_from, read_file

SHIPPED = {
    "focus": (
        Path(__file__).with_name("focus.safetensors"),
        "e8369cd2f381d376f9a37f089ee3da3e7a3025587aa700deeb8fd2f14abc163e",
    ),
    "exposure": (
        Path(__file__).with_name("exposure.safetensors"),
        "1e26ab8021adb89de7bee4f5e184a5e2bf0ab30a20738ca951138b4a664b4316",
    ),
}
"""The weights that come with fusionkit, by what they are for, and their SHA-256
(docs/learned.md)."""

REACH = 48
"""What the network is shown around a patch of a large image, in pixels. What lies farther away has
some influence on flat parts: with this, results differ from the whole image's by less than 0.01 of
255 in the root mean square, and by a level at most (docs/performance.md)."""

LEAST_GAIN = 1e-6
"""Added to the shares of the gains, so that they do not overrule the network altogether."""


class Learned:
    """Weigh each source by the score that a network gives it: w = softmax over the sources.

    The network looks at the luma (mean over channels) of all sources, by :mod:`.network`, and at
    nothing else: one weighting for all steps, and no evaluation of the prior. What the prior
    knows besides can be added, w_k ∝ exp(s_k) g_k: see ``gains``.

    Parameters
    ----------
    file
        Safetensors, as ``fusionkit train learned`` writes them; none for those that come
        with fusionkit.
    subject
        Which of those: :data:`SHIPPED`.
    sha256
        The hash that ``file`` must have; empty for any.
    sharpness
        A factor of the scores.
    gains
        A weighting whose weights g_k are a factor of these, such as the prior's information gains;
        it reads no trajectory. None for none.
    device, precision
        As of :class:`fusionkit.BuildContext`. The network is computed in float64 under
        ``float64`` and otherwise in float32.

    Attributes
    ----------
    weights_sha256
        The hash of the file.
    metadata
        What the file says of itself: data, recipe, licence.
    """

    uses_trajectory = False

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        subject: str = "focus",
        sha256: str = "",
        sharpness: float = 1.0,
        gains: Weighting | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        path, known = (Path(file), sha256) if file else SHIPPED[subject]
        tensors, self.metadata, self.weights_sha256 = read_file(path, known)
        dtype = torch.float64 if precision == "float64" else torch.float32
        self._network = network_from(tensors, path, dtype).to(device).eval()
        if torch.device(device).type == "cpu":  # channels side by side: nothing is sorted anew
            convert_conv2d_weight_memory_format(self._network, torch.channels_last)
        self._network.requires_grad_(False)
        self._dtype = dtype
        self.sharpness = sharpness
        self.gains = gains
        self.sigmas = sigmas_of(self.metadata, path)
        if len(self.sigmas) != self._network.levels:
            raise UsageError(
                f"{path}: its network is shown gains at {self._network.levels} noise levels, of "
                f"which its metadata name {len(self.sigmas)}"
            )
        asks = "none" if gains is None else str(getattr(gains, "levels", "all"))
        self.levels = "all" if self.sigmas else asks
        self.reach = REACH if self.levels == "none" and gains is None else None

    def start(self, run: Run) -> StartedWeighting:
        """Begin a run: weigh its sources, once for all steps."""
        shown = gains_of(run, self.sigmas) if self.sigmas else None
        weights = self.weigh(run.sources, shown)
        if self.gains is None:
            return lambda step: weights
        gains = self.gains.start(run)

        def weigh(step: Step) -> Tensor:
            both = weights * (gains(step) + LEAST_GAIN)
            return both / both.sum(0)

        return weigh

    @torch.no_grad()
    def weigh(self, sources: Tensor, gains: Tensor | None = None) -> Tensor:
        """Return weights (K, B, 1, H, W) of sources (K, B, C, H, W) in [-1, 1].

        Images of any size will do. Large ones are weighed patch by patch. ``gains`` are those of
        :func:`.gains.gains_of`, where the network is shown any.
        """
        K, B, _, height, width = sources.shape
        if not in_patches(height, width, K * B):
            return self._weights(sources, gains)
        weights = sources.new_empty((K, B, 1, height, width))
        for patch in patches(height, width, K * B, REACH):
            rows, columns = patch.seen
            shown = None if gains is None else _part(gains, rows, columns)
            found = self._weights(sources[..., rows, columns], shown)
            weights[..., *patch.place] = found[..., *patch.inside]
        return weights

    def _weights(self, sources: Tensor, gains: Tensor | None) -> Tensor:
        luma = sources if sources.shape[-3] == 1 else sources.mean(-3, keepdim=True)
        luma = luma.to(self._dtype)
        return to_fusion_weights(self._scores(luma, gains), self.sharpness).to(sources.dtype)

    def _scores(self, luma: Tensor, gains: Tensor | None = None) -> Tensor:
        """Return the scores of images of any size, mirrored past their right and lower border."""
        height, width = luma.shape[-2:]
        sides = [-(-side // MULTIPLE_OF) * MULTIPLE_OF for side in (height, width)]
        if gains is not None:
            gains = _mirrored(gains, [side // FACTOR for side in sides]).to(luma.dtype)
        scores = torch.empty_like(luma, memory_format=torch.contiguous_format)
        found = self._network.scores(_mirrored(luma, sides), gains)
        for one, score in zip(scores.unbind(), found, strict=True):
            one.copy_(score[..., :height, :width])
        return scores


def _mirrored(maps: Tensor, sides: Sequence[int]) -> Tensor:
    """Return maps (..., H, W) that go on past their right and lower border, to these sides."""
    for dim, side in zip((-2, -1), sides, strict=True):
        if side > maps.shape[dim]:
            maps = maps.index_select(dim, mirrored_index(0, side, maps.shape[dim], maps.device))
    return maps


def _part(gains: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return the gains of a part of the sources, which begins at even pixels."""
    height, width = (slice(part.start // 2, -(-part.stop // 2)) for part in (rows, columns))
    return gains[..., height, width]
