"""Inside a network: its classes for a picture, its feature maps, and the evidence for a class."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd import no_grad
from convcore.explore import fields
from convcore.explore.networks import Network, available, load
from convcore.inspect.activations import layer_filters, outputs_seen
from convcore.inspect.attribution import enlarged, grad_cam, saliency
from convcore.inspect.receptive_field import unit_box
from convcore.nn import functional as F
from convcore.tensor import Tensor

MOST_MAPS = 64  # the most maps of a layer, and filters of a channel, that are shown


def choices() -> list[dict[str, Any]]:
    """The networks that a page offers."""
    return [
        {"name": name, "title": choice.title, "samples": choice.samples, "kind": choice.kind}
        for name, choice in available().items()
    ]


def describe(body: dict[str, Any]) -> dict[str, Any]:
    """The layers of a network and its classes. Request: network."""
    network = _network(body)
    return {
        "labels": network.labels,
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "channels": layer.output_shape[1],
                "height": layer.output_shape[2],
                "width": layer.output_shape[3],
                "field": layer.receptive_field,
                "stride": layer.effective_stride,
            }
            for layer in network.layers.values()
        ],
    }


def look(body: dict[str, Any]) -> dict[str, Any]:
    """The probabilities of the classes for a picture, and the maps of one layer. Request: network, picture, layer."""
    network = _network(body)
    layer, x = _layer(body, network), _input(body, network)
    seen: dict[str, np.ndarray] = {}

    def see(name: str, out: Tensor) -> None:
        seen[name] = out.numpy()[0].copy()  # later layers may work in place

    with no_grad(), outputs_seen(network.model, [layer], see):
        chances = F.softmax(network.model(x), 1).numpy()[0]
    maps = seen[layer]
    count = network.choice.classes
    shown = np.argsort(-chances, kind="stable")[:count] if count else np.arange(len(chances))
    return {
        "input": fields.as_picture(network.picture(x[0])),
        "classes": [{"index": int(i), "label": network.labels[i], "chance": float(chances[i])} for i in shown],
        "best": int(chances.argmax()),
        "maps": fields.as_map(maps[:MOST_MAPS]),
        "channels": len(maps),
    }


def unit(body: dict[str, Any]) -> dict[str, Any]:
    """The receptive field and the weights of one unit. Request: network, layer, channel, row, column.

    Returns the rows and columns of the receptive field, and the filter that computed the channel, if there is one: a
    grid for each input channel of the convolution.
    """
    network = _network(body)
    layer = _layer(body, network)
    known = network.layers[layer]
    channel = fields.integer(body, "channel", 0, known.output_shape[1] - 1)
    row, column = (fields.integer(body, name, 0, 10**6) for name in ("row", "column"))
    box = unit_box(known, row, column)
    convolution = network.filters_of(layer)
    weights = None if convolution is None else layer_filters(network.model, convolution)[channel]
    return {
        "top": box.top,
        "left": box.left,
        "height": box.height,
        "width": box.width,
        "convolution": convolution,
        "inputs": 0 if weights is None else len(weights),
        "filter": None if weights is None else fields.as_map(weights[:MOST_MAPS]),
    }


def explain(body: dict[str, Any]) -> dict[str, Any]:
    """Saliency and Grad-CAM for a class. Request: network, picture, target: a class, or null for the most likely."""
    network = _network(body)
    x = _input(body, network)
    given = fields.value(body, "target")
    target = None if given is None else fields.integer(body, "target", 0, len(network.labels) - 1)
    slopes = saliency(network.model, x, target)
    cam = grad_cam(network.model, x, network.cam_layer, slopes.target)
    return {
        "target": slopes.target,
        "label": network.labels[slopes.target],
        "layer": network.cam_layer,
        "empty": not cam.values.any(),
        "saliency": fields.as_map(slopes.values),
        "cam": fields.as_map(enlarged(cam.values, (x.shape[2], x.shape[3]))),
    }


def _network(body: dict[str, Any]) -> Network:
    return load(fields.choice(body, "network", tuple(available())))


def _layer(body: dict[str, Any], network: Network) -> str:
    return fields.choice(body, "layer", tuple(network.layers))


def _input(body: dict[str, Any], network: Network) -> Tensor:
    return network.prepare(fields.image(body)).unsqueeze(0)
