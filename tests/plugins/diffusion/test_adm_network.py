"""The ADM network: its keys, its size, its layers computed naively, and an independent code."""

from __future__ import annotations

import importlib.util
import math
import sys
import types

import pytest
import torch
from fusionkit_diffusion.adm_network import (
    ADMNetwork,
    Architecture,
    AttentionBlock,
    ResBlock,
    time_features,
)
from torch import Tensor

from .tiny import TINY, images, network, random_state, varied

CONVOLUTION_NORM = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3")
ATTENTION = ("norm", "qkv", "proj_out")


def openai_keys() -> set[str]:
    """The keys of 256x256_diffusion_uncond.pt, from its layout: 18 blocks down, 18 up."""
    level = ["r", "r", "down"]
    down = ["conv", *level, *level, "rs", "r", "down", "ra", "ra", "down", "rsa", "ra", "down"]
    down += ["ra", "ra"]
    up = 3 * ["rsa", "rsa", "rsau"] + 2 * ["rs", "rs", "rsu"] + 3 * ["rs"]
    assert len(down) == len(up) == 18
    places = ["time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2"]
    blocks = [("middle_block", "rar")]
    blocks += [(f"input_blocks.{n}", what) for n, what in enumerate(down)]
    blocks += [(f"output_blocks.{n}", what) for n, what in enumerate(up)]
    for where, what in blocks:
        if what == "conv":
            continue
        position = -1
        for layer in "r" if what == "down" else what:
            if layer == "s":  # the skip connection of the residual block just named
                places.append(f"{where}.{position}.skip_connection")
                continue
            position += 1
            inside = ATTENTION if layer == "a" else CONVOLUTION_NORM
            places += [f"{where}.{position}.{place}" for place in inside]
    return {f"{place}.{kind}" for place in places for kind in ("weight", "bias")}


def test_the_public_model_has_openais_keys_and_size() -> None:
    with torch.device("meta"):
        made = ADMNetwork(Architecture())
    state = made.state_dict()
    assert set(state) == openai_keys()
    assert sum(tensor.numel() for tensor in state.values()) == 552_814_086
    assert state["time_embed.2.bias"].shape == (1024,)
    assert state["middle_block.1.qkv.weight"].shape == (3072, 1024, 1)
    assert state["out.2.weight"].shape == (6, 256, 3, 3)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    B, C = x.shape[:2]
    groups = x.reshape(B, 32, -1)
    mean = groups.mean(-1, keepdim=True)
    variance = (groups - mean).square().mean(-1, keepdim=True)
    normal = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
    shape = (1, C) + (1,) * (x.ndim - 2)
    return normal * weight.view(shape) + bias.view(shape)


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3 x 3 with zeros around, as a sum of nine shifted images."""
    H, W = x.shape[-2:]
    padded = torch.zeros(*x.shape[:2], H + 2, W + 2, dtype=x.dtype)
    padded[..., 1:-1, 1:-1] = x
    out = bias.view(1, -1, 1, 1).expand(len(x), -1, H, W).clone()
    for i in range(3):
        for j in range(3):
            out += torch.einsum(
                "oc,bchw->bohw", weight[..., i, j], padded[..., i : i + H, j : j + W]
            )
    return out


def resize(x: Tensor, way: str | None) -> Tensor:
    if way == "up":
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)
    if way == "down":
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    return x


def randomised(module: torch.nn.Module) -> dict[str, Tensor]:
    module.double().requires_grad_(False)
    for n, parameter in enumerate(module.parameters()):
        parameter.copy_(0.3 * images(*parameter.shape, seed=n + 1, dtype=torch.float64))
    return module.state_dict()


@pytest.mark.parametrize("scale_shift", [True, False])
@pytest.mark.parametrize(("way", "width"), [(None, 64), (None, 32), ("up", 32), ("down", 32)])
def test_a_residual_block_is_its_definition(scale_shift, way, width) -> None:
    block = ResBlock(32, width, 20, scale_shift, way)
    p = randomised(block)
    x, told = images(2, 32, 6, 4, dtype=torch.float64), images(2, 20, dtype=torch.float64)
    h = silu(group_norm(x, p["in_layers.0.weight"], p["in_layers.0.bias"]))
    h = convolve(resize(h, way), p["in_layers.2.weight"], p["in_layers.2.bias"])
    e = silu(told) @ p["emb_layers.1.weight"].T + p["emb_layers.1.bias"]
    e = e[:, :, None, None]
    norm = p["out_layers.0.weight"], p["out_layers.0.bias"]
    if scale_shift:
        h = group_norm(h, *norm) * (1 + e[:, :width]) + e[:, width:]
    else:
        h = group_norm(h + e, *norm)
    h = convolve(silu(h), p["out_layers.3.weight"], p["out_layers.3.bias"])
    skip = resize(x, way)
    if width != 32:
        weight = p["skip_connection.weight"][..., 0, 0]
        skip = torch.einsum("oc,bchw->bohw", weight, skip)
        skip = skip + p["skip_connection.bias"].view(1, -1, 1, 1)
    assert (block(x, told) - (skip + h)).abs().max() < 1e-10


@pytest.mark.parametrize("order", ["legacy", "new"])
def test_attention_is_its_definition(order) -> None:
    C, d, heads = 32, 8, 4
    block = AttentionBlock(C, d, order)
    p = randomised(block)
    x = images(2, C, 3, 5, dtype=torch.float64)
    flat = x.reshape(2, C, 15)
    normal = group_norm(flat, p["norm.weight"], p["norm.bias"])
    qkv = torch.einsum("oc,bcl->bol", p["qkv.weight"][..., 0], normal) + p["qkv.bias"][:, None]
    attended = torch.zeros_like(flat)
    for head in range(heads):
        # Which d channels are the head's q: legacy has q k v of head 0, then of head 1 ...
        start = [3 * head * d + n * d if order == "legacy" else n * C + head * d for n in range(3)]
        q, k, v = (qkv[:, first : first + d] for first in start)
        for b in range(2):
            scores = q[b].T @ k[b] / math.sqrt(d)
            shares = scores.exp() / scores.exp().sum(1, keepdim=True)
            attended[b, head * d : (head + 1) * d] = v[b] @ shares.T
    out = torch.einsum("oc,bcl->bol", p["proj_out.weight"][..., 0], attended)
    expected = flat + out + p["proj_out.bias"][:, None]
    assert (block(x).reshape(2, C, 15) - expected).abs().max() < 1e-10


def test_time_is_told_by_cosines_then_sines() -> None:
    told = time_features(torch.tensor([0, 7]), 6, torch.float64)
    frequencies = [1.0, 10000 ** (-1 / 3), 10000 ** (-2 / 3)]
    assert told[0].tolist() == [1, 1, 1, 0, 0, 0]
    expected = [math.cos(7 * f) for f in frequencies] + [math.sin(7 * f) for f in frequencies]
    assert told[1].tolist() == pytest.approx(expected, abs=1e-12)


def test_half_precision_is_the_torsos_alone() -> None:
    net = network()
    for convolution in net.torso_convolutions():
        convolution.to(torch.bfloat16)
    half = {key for key, value in net.state_dict().items() if value.dtype == torch.bfloat16}
    kernels = {key.removesuffix(".weight") for key, v in net.state_dict().items() if v.ndim > 2}
    full = {"input_blocks.0.0", "out.2"}
    assert half == {f"{key}.{kind}" for key in kernels - full for kind in ("weight", "bias")}
    seen = []
    net.out.register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    net.middle_block[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    assert net(images(1, 3, 8, 8), torch.tensor([5])).dtype == torch.float32
    assert seen == [torch.bfloat16, torch.float32]


# The Azula package (MIT licence) contains an independent code of the network; this file of it
# needs only torch, but its package's own __init__ needs more, and is therefore left aside.
@pytest.fixture
def independent(monkeypatch):
    spec = importlib.util.find_spec("azula")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("azula is not installed (pip install --no-deps azula)")
    package = types.ModuleType("azula_adm")
    package.__path__ = [f"{spec.submodule_search_locations[0]}/plugins/adm/_src"]
    monkeypatch.setitem(sys.modules, "azula_adm", package)
    monkeypatch.delitem(sys.modules, "azula_adm.unet", raising=False)
    return importlib.import_module("azula_adm.unet").UNetModel


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch",
    [
        TINY,
        varied(attention_order="new"),
        varied(scale_shift=False, channels_out=3),
        varied(residual_resampling=False, blocks=2),
        varied(base=64, widths=(32, 32, 96), attention=(True, False, False), channels_in=1,
               channels_out=2, head_channels=32),
    ],
)  # fmt: skip
def test_it_agrees_with_an_independent_code(arch, independent) -> None:
    other = independent(
        image_size=32,
        in_channels=arch.channels_in,
        model_channels=arch.base,
        out_channels=arch.channels_out,
        num_res_blocks=arch.blocks,
        attention_resolutions={2**n for n, attends in enumerate(arch.attention) if attends},
        channel_mult=tuple(width / arch.base for width in arch.widths),
        num_head_channels=arch.head_channels,
        use_scale_shift_norm=arch.scale_shift,
        resblock_updown=arch.residual_resampling,
        use_new_attention_order=arch.attention_order == "new",
    )
    assert list(other.state_dict()) == list(network(arch).state_dict())
    other.load_state_dict(random_state(arch))
    x, t = images(2, arch.channels_in, 24, 40), torch.tensor([999, 3])
    with torch.no_grad():
        expected = other.eval()(x, t)
    got = network(arch)(x, t)
    assert expected.std() > 0.1
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()
    if arch == TINY:  # so the comparison would notice the other layout of attention
        wrong = network(varied(attention_order="new"))(x, t)
        assert (wrong - expected).abs().max() > 1e-2
