"""How many Python frames lie between the user's call and the kernel: small networks pay for each of them."""

import sys

import pytest

import convcore
from convcore import nn
from kernels.launch import Kernel


def frames_to_kernels(call, monkeypatch):
    """For each kernel that `call` reaches, the number of frames from `call` to it; `Kernel.__call__` counts, too."""
    found: dict[str, int] = {}
    run = Kernel.__call__

    def counted(kernel, *args):
        depth, frame = 1, sys._getframe(1)
        while frame.f_code is not call.__code__:
            assert frame.f_back is not None
            depth, frame = depth + 1, frame.f_back
        found[kernel.__name__] = max(depth, found.get(kernel.__name__, 0))
        run(kernel, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Kernel, "__call__", counted)
        call()
    return found


def image(channels=16):
    return convcore.randn(2, channels, 12, 12, requires_grad=True)


# A layer, its input, the kernel, and the number of frames down to it.
FORWARD = {
    "Conv2d": (lambda: nn.Conv2d(16, 24, 5), image, "conv_forward_direct", 7),
    "Linear": (lambda: nn.Linear(64, 96), lambda: convcore.randn(40, 64), "gemm", 9),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(16), image, "batch_norm_statistics", 7),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), image, "max_pool2d_forward", 7),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), image, "avg_pool2d_forward", 7),
    "ReLU": (nn.ReLU, image, "relu_forward", 7),
}


@pytest.mark.parametrize("name", FORWARD)
def test_a_layer_in_training(name, monkeypatch):
    make, make_input, kernel, frames = FORWARD[name]
    layer, x = make(), make_input()

    def call():
        layer(x)

    assert frames_to_kernels(call, monkeypatch)[kernel] <= frames


def test_backward_of_a_convolution(monkeypatch):
    loss = nn.Conv2d(16, 24, 5)(image()).sum()

    def call():
        loss.backward()

    assert frames_to_kernels(call, monkeypatch)["conv_grad_weight_direct"] <= 9
