"""The estimator ``adm``: a network of OpenAI's guided-diffusion, from a local checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from fusionkit import DiscretePrior, UsageError, checked_file, checked_hash, empty_network

from .adm_network import GROUPS, ADMNetwork, Architecture
from .schedules import linear_alpha_bar
from .weights import read_tensors

Shapes = Mapping[str, tuple[int, ...]]


class ADMEstimator(DiscretePrior):
    """The prior of an ablated diffusion model (ADM: Dhariwal and Nichol, arXiv 2105.05233).

    The architecture is read off the shapes of the checkpoint, except for what no shape
    tells. The schedule is the linear one of T = 1000. A learned variance is dropped.

    Parameters
    ----------
    checkpoint
        Path of the state dict, ``.pt`` or ``.safetensors``.
    sha256
        The hash that the file must have; empty for any.
    head_channels, attention_order
        See :class:`.adm_network.Architecture`.
    device, precision
        As of :class:`fusionkit.BuildContext`. Half precision is that of the torso; input,
        norms, time embedding and output stay in float32.

    Attributes
    ----------
    weights_sha256
        The hash of the file, for the record of a run.
    """

    # Two 256 x 256 images: each takes about 0.9 GB beside the weights of the public network.
    pixels_per_pass = 2 * 256**2

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        sha256: str = "",
        head_channels: int = 64,
        attention_order: Literal["legacy", "new"] = "legacy",
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        file = checked_file(checkpoint)
        self.weights_sha256 = checked_hash(file, sha256)
        tensors = read_tensors(file)
        shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        try:
            arch = infer_architecture(shapes, head_channels, attention_order)
            with empty_network():
                network = ADMNetwork(arch)
            check_keys({k: tuple(v.shape) for k, v in network.state_dict().items()}, shapes)
        except MismatchError as mismatch:
            raise UsageError(
                f"{file}: is not the checkpoint of an unconditional ADM network: {mismatch}"
            ) from None
        super().__init__(
            self._noise,
            linear_alpha_bar(),
            channels=arch.channels_in,
            multiple_of=2 ** (len(arch.widths) - 1),
        )
        self._dtype = torch.float64 if precision == "float64" else torch.float32
        network.to(self._dtype)
        if precision in ("bfloat16", "float16"):
            for convolution in network.torso_convolutions():
                convolution.to(getattr(torch, precision))
        # One tensor after the other leaves the mapped file, so that weights are never held twice.
        wanted = {key: tensor.dtype for key, tensor in network.state_dict().items()}
        state = {key: tensors[key].to(device, dtype, copy=True) for key, dtype in wanted.items()}
        network.load_state_dict(state, assign=True)
        self._network = network.eval().requires_grad_(False)

    def _noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the predicted noise, and the variance beside it if there is one."""
        estimate: Tensor = self._network(x.to(self._dtype), t)
        return estimate


class MismatchError(ValueError):
    """A state dict that is not that of the network; the message names the first odd key."""


def infer_architecture(
    shapes: Shapes, head_channels: int = 64, attention_order: Literal["legacy", "new"] = "legacy"
) -> Architecture:
    """Read the architecture off the shapes of a state dict.

    Numbers of levels and blocks follow from which blocks on the way up end in an
    upsampling layer; widths, attention and the rest from the blocks themselves. What is
    inferred is a guess until :func:`check_keys` has compared every key.

    Raises
    ------
    MismatchError
        A key that every ADM network has is missing, or numbers do not go together.
    """
    if "label_emb.weight" in shapes:
        raise MismatchError("it is class-conditional (key label_emb.weight)")

    def shape(key: str) -> tuple[int, ...]:
        if not shapes.get(key):
            raise MismatchError(f"key {key} is missing; its first key is {next(iter(shapes))}")
        return shapes[key]

    base = shape("time_embed.0.weight")[-1]
    channels_in = shape("input_blocks.0.0.weight")[1:2]
    channels_out = shape("out.2.weight")[:1]
    if (channels_in, channels_out) not in (((1,), (1,)), ((1,), (2,)), ((3,), (3,)), ((3,), (6,))):
        raise MismatchError(
            "it takes 1 or 3 channels and returns as many or twice that, but key "
            f"input_blocks.0.0.weight is of shape {shape('input_blocks.0.0.weight')}, "
            f"out.2.weight of shape {shape('out.2.weight')}"
        )
    total = len({key.split(".")[1] for key in shapes if key.startswith("output_blocks.")})
    residual = [key for key in shapes if _ends_upwards(key, "in_layers.0.weight")]
    levels = 1 + len(residual or [key for key in shapes if _ends_upwards(key, "conv.weight")])
    blocks = total // levels - 1
    if blocks < 1 or total % levels:
        raise MismatchError(f"{total} output_blocks do not make {levels} levels")
    first = [f"input_blocks.{1 + level * (blocks + 1)}" for level in range(levels)]
    widths = tuple(shape(f"{block}.0.out_layers.3.weight")[0] for block in first)
    attention = tuple(f"{block}.1.qkv.weight" in shapes for block in first)
    for width in widths:
        if width % GROUPS or base % 2:
            raise MismatchError(f"its widths {widths} are not all multiples of {GROUPS}")
    for width, attends in zip(widths, (*attention[:-1], True), strict=True):
        if attends and width % head_channels:
            raise MismatchError(
                f"{width} channels do not divide into attention heads of {head_channels}: "
                "set --estimator.head-channels"
            )
    return Architecture(
        base=base,
        widths=widths,
        blocks=blocks,
        attention=attention,
        head_channels=head_channels,
        attention_order=attention_order,
        residual_resampling=bool(residual) or levels == 1,
        scale_shift=shape(f"{first[0]}.0.emb_layers.1.weight")[0] == 2 * widths[0],
        channels_in=channels_in[0],
        channels_out=channels_out[0],
    )


def check_keys(expected: Shapes, found: Shapes) -> None:
    """Raise MismatchError for the first key that is missing, misshapen or too many."""
    for key, shape in expected.items():
        if key not in found:
            raise MismatchError(f"key {key} is missing")
        if found[key] != shape:
            raise MismatchError(f"key {key} is of shape {found[key]}, expected {shape}")
    for key in found:
        if key not in expected:
            raise MismatchError(f"key {key} is unexpected")


def _ends_upwards(key: str, what: str) -> bool:
    """Whether the key is that of a second or third layer on the way up that is no attention."""
    parts = key.split(".", 3)
    return parts[0] == "output_blocks" and parts[2:3] in (["1"], ["2"]) and parts[3:] == [what]
