"""Receptive fields: the part of the image that one unit of a layer sees.

The unit at (i, j) of a layer sees the rows i * jump - padding to i * jump - padding + size - 1. Size, jump (the
effective stride) and padding follow from all layers before it. `convcore.summary` derives them after A. Araujo,
W. Norris and J. Sim, "Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convcore import nn
from convcore.errors import ShapeError, UnsupportedError
from convcore.summary import Layer, summary


@dataclass(frozen=True)
class Box:
    """Rows top to top + height - 1 of the image, columns left to left + width - 1; positions outside are padding."""

    top: int
    left: int
    height: int
    width: int


def spatial_layers(model: nn.Module, input_shape: Sequence[int]) -> dict[str, Layer]:
    """The layers of a network that have maps and known receptive fields, by name; `input_shape` is (N, C, H, W). For a
    module that is called several times, the last call counts.
    """
    return {
        layer.name: layer
        for layer in summary(model, input_shape).layers
        if len(layer.output_shape) == 4 and layer.field is not None
    }


def unit_box(layer: Layer, row: int, column: int) -> Box:
    """The receptive field of the unit at (row, column) of a layer's maps.

    Raises:
        UnsupportedError: the receptive field of the layer is unknown.
        ShapeError: the maps have no such position.
    """
    if layer.field is None:
        raise UnsupportedError(f"receptive field: the field of {layer.name} ({layer.kind}) is unknown")
    height, width = layer.output_shape[2:]
    if not (0 <= row < height and 0 <= column < width):
        raise ShapeError(
            f"receptive field: the maps of {layer.name} have rows 0 to {height - 1} and columns 0 to {width - 1}, "
            f"got row {row}, column {column}"
        )
    field = layer.field
    top, left = (
        place * jump - before for place, jump, before in zip((row, column), field.jump, field.padding, strict=True)
    )
    return Box(top, left, *field.size)
