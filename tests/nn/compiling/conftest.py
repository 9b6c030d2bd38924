"""For all tests of compiled models: no gradients, a small network, and the same network compiled."""

import pytest
from compiling import network

import convcore


@pytest.fixture(autouse=True)
def in_inference():
    with convcore.inference_mode():
        yield


@pytest.fixture
def model():
    return network()


@pytest.fixture
def compiled(model):
    return convcore.compile(model)
