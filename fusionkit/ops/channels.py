"""Grey images in the channels of an estimator: computed once where all channels are one."""

from __future__ import annotations

from torch import Tensor


def distinct(images: Tensor) -> Tensor:
    """Return the channels that differ: one, where all are the same memory.

    Grey sources reach components as one channel, expanded (stride 0) to those of the estimator,
    which takes no memory until somebody computes with all of them. What
    treats every channel alike can be computed with this one, and broadcasts or
    :meth:`~torch.Tensor.expand` takes it back to C.

    Parameters
    ----------
    images
        (..., C, H, W).

    Returns
    -------
    Tensor
        A view, (..., 1, H, W), if the channels are one expanded; else ``images``.

    Examples
    --------
    >>> import torch
    >>> grey = torch.zeros(1, 1, 4, 6)
    >>> distinct(grey.expand(1, 3, 4, 6)).shape
    torch.Size([1, 1, 4, 6])
    >>> distinct(grey.repeat(1, 3, 1, 1)).shape
    torch.Size([1, 3, 4, 6])
    """
    return images[..., :1, :, :] if images.stride(-3) == 0 else images


def weighted_sum(weights: Tensor, images: Tensor) -> Tensor:
    """Return Σ_k w_k c_k without the K products beside one another; expanded, if the images are.

    Parameters
    ----------
    weights
        (K, B, 1, H, W).
    images
        (K, B, C, H, W).

    Returns
    -------
    Tensor
        (B, C, H, W): do not write to it.

    Examples
    --------
    >>> import torch
    >>> weights = torch.tensor([0.25, 0.75]).view(2, 1, 1, 1, 1)
    >>> images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1).expand(2, 1, 3, 1, 1)
    >>> weighted_sum(weights, images).flatten().tolist()
    [0.75, 0.75, 0.75]
    """
    ours = distinct(images)
    total = weights[0] * ours[0]
    for weight, image in zip(weights[1:].unbind(), ours[1:].unbind(), strict=True):
        total += weight * image
    return total.expand(images.shape[1:])
