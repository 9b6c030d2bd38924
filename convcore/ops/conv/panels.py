"""Filters in panels, as the micro-kernel reads them, and where its accumulators start."""

from __future__ import annotations

import numpy as np

from convcore import memory
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.layout import contiguous, zeros
from kernels.cpu.micro.pack import pack_filters
from kernels.cpu.vector.target import tile_columns


def packed(weight: np.ndarray, geometry: ConvGeometry, transposed: bool, rows, columns) -> np.ndarray:
    """The panels of all filters with taps (rows[t], columns[t]); the rows of a volume's planes follow each other.

    The panels' columns are the filters and their rows the channels; if `transposed`, the other way round, as the
    gradient of the input needs it.
    """
    groups, taps = geometry.groups, geometry.taps
    filters, channels = geometry.c_out // groups, geometry.c_in // groups
    strides = channels * taps, taps  # of a filter and of a channel in the contiguous weight
    c_dst, c_src = filters, channels
    if transposed:
        strides, c_dst, c_src = strides[::-1], channels, filters
    panel_columns = tile_columns(weight.itemsize)
    panels = memory.empty((groups, ceil_div(c_dst, panel_columns), rows.size, c_src, panel_columns), weight.dtype)
    flat = contiguous(weight).reshape(-1)
    pack_filters(flat, filters * channels * taps, *strides, geometry.k_w, rows, columns, c_dst, panels)
    return panels


def start_at_bias(bias: np.ndarray | None, geometry: ConvGeometry, panels: np.ndarray) -> np.ndarray:
    """The start of the forward pass, (groups, n_panels * PC): the bias."""
    if bias is None:
        return start_at_zero(panels)
    filters = geometry.c_out // geometry.groups
    start = np.zeros((panels.shape[0], panels.shape[1] * panels.shape[4]), panels.dtype)
    start[:, :filters] = bias.reshape(geometry.groups, filters)
    return start


def start_at_zero(panels: np.ndarray) -> np.ndarray:
    """The start of a sum without a bias."""
    return zeros((panels.shape[0], panels.shape[1] * panels.shape[4]), panels.dtype)
