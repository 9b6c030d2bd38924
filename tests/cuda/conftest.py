"""Both orders in which the simulator runs the threads of a block, and random arrays."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from simulator import FORWARD, REVERSE, simulated


@pytest.fixture(params=[FORWARD, REVERSE], ids=["forward", "reverse"])
def gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Kernels that are called run in the simulator, in one order of threads and then in the other."""
    with simulated(request.param):
        yield


@pytest.fixture
def forward_gpu() -> Iterator[None]:
    """The first of these orders."""
    with simulated(FORWARD):
        yield


@pytest.fixture
def reverse_gpu() -> Iterator[None]:
    """The second."""
    with simulated(REVERSE):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def floats(rng: np.random.Generator) -> Callable[..., np.ndarray]:
    """Normally distributed float32 of a shape."""
    return lambda *shape: rng.standard_normal(shape, dtype=np.float32)
