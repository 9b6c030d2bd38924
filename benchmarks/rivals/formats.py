"""The memory formats of images: torch is measured in both that it has, convcore in the one that it has."""

from __future__ import annotations

import numpy as np
import torch

from convcore.ops.core.layout import nchw, nhwc

TORCH_FORMATS = {"torch NCHW": torch.contiguous_format, "torch channels_last": torch.channels_last}


def channels_last(array: np.ndarray) -> np.ndarray:
    """A batch of images with the same values, channels-last in memory like the results of convcore's layers."""
    return nchw(nhwc(array)) if array.ndim == 4 else array
