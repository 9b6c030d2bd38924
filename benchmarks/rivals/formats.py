"""The memory formats of images: torch is measured in both of its own, convcore in the one it keeps."""

from __future__ import annotations

import numpy as np
import torch

from convcore.ops.core.layout import nchw, nhwc

TORCH_FORMATS = {"torch NCHW": torch.contiguous_format, "torch channels_last": torch.channels_last}


def channels_last(array: np.ndarray) -> np.ndarray:
    """The same values of a batch of images, in memory as convcore's layers hand them on."""
    return nchw(nhwc(array)) if array.ndim == 4 else array
