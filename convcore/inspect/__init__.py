"""Inspection: named filters, the sum over one patch, feature maps, receptive fields, and the evidence for a class.

    filters, window, steps        a filter, the sum over one patch, an algorithm step by step
    activations, attribution      feature maps, and which pixels are evidence for a class
    receptive_field, cost         what a unit sees, what a convolution costs

Everything here is plain Python on arrays and models; `convcore explore` shows it in a browser.
"""

from convcore.inspect.activations import convolutions, feature_maps, layer_filters
from convcore.inspect.attribution import Attribution, enlarged, grad_cam, last_maps, saliency
from convcore.inspect.cost import Cost, measure, multiplications
from convcore.inspect.filters import FILTERS, Filter, gabor
from convcore.inspect.receptive_field import Box, spatial_layers, unit_box
from convcore.inspect.steps import Step, Trace, trace
from convcore.inspect.window import Window, geometry_of, nearest_output, output_size, window

__all__ = [
    "FILTERS",
    "Attribution",
    "Box",
    "Cost",
    "Filter",
    "Step",
    "Trace",
    "Window",
    "convolutions",
    "enlarged",
    "feature_maps",
    "gabor",
    "geometry_of",
    "grad_cam",
    "last_maps",
    "layer_filters",
    "measure",
    "multiplications",
    "nearest_output",
    "output_size",
    "saliency",
    "spatial_layers",
    "trace",
    "unit_box",
    "window",
]
