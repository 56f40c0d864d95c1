"""The estimator ``diffusers``: an unconditional ``UNet2DModel`` from a local folder."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fusionkit import DiscretePrior, UsageError, checked_hash, one_line

from .unet2d_config import ModelFolder, read_folder

INSTALL = "pip install 'fusionkit-imaging[diffusers]'"

_PREDICTIONS: dict[str, Literal["epsilon", "velocity", "sample"]] = {
    "epsilon": "epsilon",
    "v_prediction": "velocity",
    "sample": "sample",
}


class UNet2DEstimator(DiscretePrior):
    """The prior of a ``UNet2DModel`` of the diffusers library.

    Such as those of Ho et al., Denoising Diffusion Probabilistic Models, arXiv 2006.11239.
    It may predict noise, x0 (``sample``) or v = a eps - s x0 (``v_prediction``, arXiv
    2202.00512). A learned variance is dropped. Nothing is fetched from the network.

    Parameters
    ----------
    folder
        What ``save_pretrained`` of the model or of its pipeline wrote.
    sha256
        The hash that the file of weights must have; empty for any.
    device, precision
        As of :class:`fusionkit.BuildContext`. Half precision is by autocast; norms, time
        embedding and the first and last convolution stay in float32.

    Attributes
    ----------
    weights_sha256
        The hash of the file of weights, for the record of a run.
    """

    pixels_per_pass = 2 * 256**2  # as of a network of this kind's 256 x 256 images

    def __init__(
        self,
        folder: str | Path,
        *,
        sha256: str = "",
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        found = read_folder(folder)
        self.weights_sha256 = checked_hash(found.weights, sha256)
        self._dtype = torch.float64 if precision == "float64" else torch.float32
        model = _load(found, self._dtype)
        super().__init__(
            self._output,
            found.alpha_bar,
            _PREDICTIONS[found.prediction],
            channels=int(found.config.get("in_channels", 3)),
            multiple_of=2 ** (len(found.config["down_block_types"]) - 1),
        )
        self._autocast = getattr(torch, precision) if "16" in precision else None
        if self._autocast is not None:
            for name in ("conv_in", "time_embedding", "conv_out"):
                setattr(model, name, _Full(getattr(model, name)))
        self._model = model.to(device).eval().requires_grad_(False)

    def _output(self, x: Tensor, t: Tensor) -> Tensor:
        """Return what the model predicts, and a variance beside it if there is one."""
        image = x.to(self._dtype)
        if self._autocast is None:
            predicted: Tensor = self._model(image, t, return_dict=False)[0]
            return predicted
        with torch.autocast(x.device.type, self._autocast):
            half: Tensor = self._model(image, t, return_dict=False)[0]
        return half


class _Full(nn.Module):
    """A module in the precision of its parameters, whatever autocast says around it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            out: Tensor = self.inner(x.to(next(self.inner.parameters()).dtype))
        return out


def _library() -> Any:
    # The library looks at this when it is imported: no load may reach for the network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        return importlib.import_module("diffusers")
    except ImportError as error:
        raise UsageError(
            f"noise estimator diffusers needs the diffusers library: {INSTALL} ({error})"
        ) from error


def _load(found: ModelFolder, dtype: torch.dtype) -> Any:
    """Load the model; every weight must come from the file, and none be left over."""
    library = _library()
    try:
        model, told = library.UNet2DModel.from_pretrained(
            str(found.network),
            local_files_only=True,
            torch_dtype=dtype,
            use_safetensors=found.weights.suffix == ".safetensors",
            low_cpu_mem_usage=False,  # True needs another library
            output_loading_info=True,
        )
    except MemoryError:
        raise
    except Exception as error:  # whatever the library makes of a damaged file
        raise UsageError(
            f"{found.weights}: cannot be loaded as a UNet2DModel: {one_line(error)}"
        ) from error
    for what in ("missing", "unexpected", "mismatched"):
        for key in told.get(f"{what}_keys", ()):
            raise UsageError(
                f"{found.weights}: is not of the model that config.json describes: "
                f"key {key} is {what}"
            )
    return model
