"""The filter playground: one grey picture, one filter, then ReLU and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd import no_grad, wrap
from convcore.data.pictures import PICTURES
from convcore.explore import fields
from convcore.explore.pictures import DIGITS
from convcore.inspect.filters import FILTERS
from convcore.inspect.window import geometry_of, nearest_output, output_size, window
from convcore.nn import functional as F

MAX_STRIDE = MAX_DILATION = 8
MAX_POOL = 8


def choices() -> dict[str, Any]:
    """The pictures and filters that the page offers."""
    return {
        "pictures": [{"name": name, "title": title} for name, title in PICTURES.items()],
        "digits": [{"name": name, "title": title} for name, title in DIGITS.items()],
        "filters": [
            {
                "name": f.name,
                "title": f.title,
                "detects": f.detects,
                "kernel": [[float(f"{weight:.4g}") for weight in row] for row in f.kernel.tolist()],
            }
            for f in FILTERS.values()
        ],
    }


def convolve(body: dict[str, Any]) -> dict[str, Any]:
    """The response map of a filter, the sizes, and the results of ReLU and pooling.

    Request: picture, kernel, stride, padding, dilation; relu (true or false), pool (size and stride of the windows).
    """
    image, weight, settings = _convolution(body)
    pool = fields.integer(body, "pool", 1, MAX_POOL)
    geometry = geometry_of(image, weight, **settings)
    with no_grad():
        response = F.conv2d(wrap(image[None, None]), wrap(weight[None, None]), **settings)
        rectified = F.relu(response) if fields.value(body, "relu") is True else response
        pooled = min(pool, *response.shape[2:])  # a window cannot be larger than the map
        highest = F.max_pool2d(rectified, pooled)
        average = F.avg_pool2d(rectified, pooled)
    return {
        "response": _map(response),
        "rectified": _map(rectified),
        "max": _map(highest),
        "average": _map(average),
        "pool": pooled,
        "height": output_size(geometry.height),
        "width": output_size(geometry.width),
        "multiplications": geometry.h_out * geometry.w_out * weight.size,
    }


def take_apart(body: dict[str, Any]) -> dict[str, Any]:
    """The patch, the products and the sum of one output.

    Request: as for `convolve`, plus row, column and `of`: "response" if row and column are those of an output; "input"
    if they are those of a pixel, which selects the output whose window is centred nearest to it.
    """
    image, weight, settings = _convolution(body)
    row, column = (fields.integer(body, name, 0, 10**6) for name in ("row", "column"))
    if fields.choice(body, "of", ("response", "input")) == "input":
        row, column = nearest_output(geometry_of(image, weight, **settings), row, column)
    found = window(image, weight, row, column, **settings)
    return {
        "row": row,
        "column": column,
        "rows": found.rows.tolist(),
        "columns": found.columns.tolist(),
        "patch": found.patch.tolist(),
        "kernel": weight.tolist(),
        "products": found.products.tolist(),
        "total": found.total,
    }


def _convolution(body: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """The picture, the filter and the settings in a request."""
    settings = {
        "stride": fields.integer(body, "stride", 1, MAX_STRIDE),
        "padding": fields.padding(body),
        "dilation": fields.integer(body, "dilation", 1, MAX_DILATION),
    }
    return fields.picture(body), fields.kernel(body), settings


def _map(out: Any) -> dict[str, Any]:
    return fields.as_map(out.numpy()[0, 0])
