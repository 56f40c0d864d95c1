"""Operations on images that components share: windows, borders, channels, similarity."""

from .borders import mirrored_index
from .channels import distinct, weighted_sum
from .sending import sent
from .similarity import MOST, psnr, ssim_map
from .windows import box_mean, consistent_weights, image_mean, raised

__all__ = [
    "MOST",
    "box_mean",
    "consistent_weights",
    "distinct",
    "image_mean",
    "mirrored_index",
    "psnr",
    "raised",
    "sent",
    "ssim_map",
    "weighted_sum",
]
