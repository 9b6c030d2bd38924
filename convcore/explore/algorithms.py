"""The algorithms of convolution, step by step on a small case, and their times on this machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.autograd import wrap
from convcore.explore import fields
from convcore.inspect.cost import measure
from convcore.inspect.filters import FILTERS
from convcore.inspect.steps import TRACES, trace
from kernels.threads import get_num_threads

# A bright square on a dark background, with values that are easy to follow.
IMAGE = np.pad(np.full((3, 3), 4.0), ((1, 2), (2, 1))) + np.arange(6) % 2

CASES = {
    "early": ("56x56 pixels, 64 channels to 64", (1, 64, 56, 56), 64),
    "middle": ("28x28 pixels, 128 channels to 128", (1, 128, 28, 28), 128),
    "late": ("7x7 pixels, 512 channels to 512", (1, 512, 7, 7), 512),
}
"""Layers with 3x3 filters from ResNet-18, for one image."""


def choices() -> list[dict[str, Any]]:
    """The layers that a page can measure."""
    return [{"name": name, "title": title} for name, (title, _, _) in CASES.items()]


def steps(body: dict[str, Any]) -> dict[str, Any]:
    """The steps of an algorithm with Sobel's filter on a small image. Request: algorithm."""
    found = trace(IMAGE, FILTERS["sobel_x"].kernel, fields.choice(body, "algorithm", tuple(TRACES)))
    return {
        "grids": [{"name": name, "rows": rows, "columns": columns} for name, (rows, columns) in found.grids.items()],
        "given": {name: values.tolist() for name, values in found.given.items()},
        "steps": [
            {
                "text": step.text,
                "reads": step.reads,
                "writes": [(*place, value) for place, value in step.writes],
                "multiplications": step.multiplications,
            }
            for step in found.steps
        ],
        "multiplications": found.multiplications,
    }


def measured(body: dict[str, Any]) -> dict[str, Any]:
    """The cost of a layer by each algorithm, measured now. Request: case, one of `CASES`."""
    _, shape, c_out = CASES[fields.choice(body, "case", tuple(CASES))]
    draw = np.random.default_rng(0)
    x = draw.standard_normal(shape, np.float32)
    weight = draw.standard_normal((c_out, shape[1], 3, 3), np.float32)
    return {
        "threads": get_num_threads(),
        "costs": [
            {"algorithm": cost.algorithm, "multiplications": cost.multiplications, "seconds": cost.seconds}
            for cost in measure(wrap(x), wrap(weight), padding=1)
        ],
    }
