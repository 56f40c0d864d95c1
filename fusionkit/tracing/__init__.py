"""Traces: what each source had to do with a fused image, step by step, as numbers and pictures."""

from ..host.saving import check_folder
from .collect import Trace
from .maps import Maps
from .traced import Traced, source_names, trace

__all__ = ["Maps", "Trace", "Traced", "check_folder", "source_names", "trace"]
