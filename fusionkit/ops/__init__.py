"""Operations on images that components share: windows, borders, channels, similarity."""

from .borders import mirrored_index
from .channels import distinct, weighted_sum
from .patching import Patch, in_patches, patches
from .sending import sent
from .similarity import MOST, gradient_difference, psnr, ssim_map
from .windows import box_mean, consistent_weights, image_mean, raised

__all__ = [
    "MOST",
    "Patch",
    "box_mean",
    "consistent_weights",
    "distinct",
    "gradient_difference",
    "image_mean",
    "in_patches",
    "mirrored_index",
    "patches",
    "psnr",
    "raised",
    "sent",
    "ssim_map",
    "weighted_sum",
]
