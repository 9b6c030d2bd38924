"""Forms of calls that torch takes beside the usual ones: shapes by keyword, devices, questions about memory."""

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import DTypeError, UnsupportedError
from convcore.nn import functional as F

BY_KEYWORD = {
    "reshape": lambda x: x.reshape(shape=(3, 4)),
    "permute": lambda x: x.permute(dims=(2, 0, 1)),
    "expand": lambda x: x.expand(size=(5, 2, 3, 2)),
    "repeat": lambda x: x.repeat(repeats=(2, 1, 1)),
    "tile": lambda x: x.tile(dims=(2,)),
    "flip": lambda x: x.flip(dims=(0, 1)),
    "new_zeros": lambda x: x.new_zeros(size=(2, 3)),
    "new_ones": lambda x: x.new_ones(size=(2, 3)),
}


@pytest.mark.parametrize("name", BY_KEYWORD)
def test_shapes_and_axes_by_keyword(name):
    array = np.arange(12.0).reshape(2, 3, 2)
    ours, theirs = BY_KEYWORD[name](cc.tensor(array)), BY_KEYWORD[name](torch.tensor(array))
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "rand", "randn"])
def test_new_tensors_by_keyword(name):
    make = getattr(cc, name)
    for made in (make(size=(2, 3), dtype=cc.float64, device="cpu"), make(2, 3, dtype=cc.float64), make((2, 3))):
        assert made.shape == (2, 3)
    with pytest.raises(UnsupportedError, match=r'device: there are "cpu", "cuda:0" and "auto", got .mps.'):
        make(2, device="mps")


@pytest.mark.parametrize(
    "layer", ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]
)
def test_devices_and_dtypes_of_convolutions(layer):
    made = getattr(cc.nn, layer)(1, 2, 3, device="cpu", dtype=cc.float64)
    assert made.weight.dtype == made.bias.dtype == cc.float64
    with pytest.raises(UnsupportedError, match=r'device: there are "cpu", "cuda:0" and "auto", got .mps.'):
        getattr(cc.nn, layer)(1, 2, 3, device="mps")


def test_questions_about_memory():
    x, y = (
        cc.zeros(2, 3, 4, dtype=cc.float64).transpose(0, 1),
        torch.zeros(2, 3, 4, dtype=torch.float64).transpose(0, 1),
    )
    assert x.stride() == y.stride()
    assert x.stride(-1) == y.stride(-1)
    for name in ("nelement", "ndimension", "is_signed", "element_size"):
        assert getattr(x, name)() == getattr(y, name)()
    for name in ("itemsize", "nbytes", "is_cpu", "is_cuda"):
        assert getattr(x, name) == getattr(y, name)
    assert not cc.zeros(2, dtype=cc.uint8).is_signed()
    for owner in (x, cc.nn.Linear(2, 2)):
        with pytest.raises(DTypeError, match=r"half: there are no floats of 16 bits; use float\(\)"):
            owner.half()


@pytest.mark.parametrize(
    "name", ["celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "rrelu_", "selu_", "threshold_"]
)
def test_activations_in_place(name):
    array = np.linspace(-3, 3, 7)
    settings = (0.5, -2.0) if name == "threshold_" else ()
    x, y = cc.tensor(array), torch.tensor(array)
    assert getattr(F, name)(x, *settings) is x
    getattr(torch.nn.functional, name)(y, *settings)
    np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-12)


def test_softmax_over_channels():
    array = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    for x in (array, array[0]):
        ours, theirs = cc.nn.Softmax2d()(cc.tensor(x)), torch.nn.Softmax2d()(torch.tensor(x))
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    with pytest.raises(ValueError, match=r"Softmax2d: input must be \(N, C, H, W\) or \(C, H, W\), got shape \(2, 3\)"):
        cc.nn.Softmax2d()(cc.zeros(2, 3))


def test_the_device_of_the_cpu():
    device = cc.device("cpu")
    assert device == "cpu" == device.type
    assert device.index is None
    assert repr(device) == repr(torch.device("cpu"))
    x = cc.zeros(2, device=device)
    assert x.device == device
    assert x.to(device) is x.to(device=device) is x.to("cpu", non_blocking=True) is x
    assert x.to(device, cc.float64).dtype == cc.float64
    assert x.to(cc.float32, copy=True) is not x
    cc.nn.Linear(2, 2, device=device).to(device=device)
    for wrong in ("cuda:1", "mps"):
        with pytest.raises(UnsupportedError, match=f'device: there are "cpu", "cuda:0" and "auto", got \'{wrong}\''):
            cc.device(wrong)
        with pytest.raises(UnsupportedError, match=f'there are "cpu", "cuda:0" and "auto", got \'{wrong}\''):
            x.to(device=wrong)


@pytest.mark.parametrize("name", ["contiguous_format", "channels_last", "channels_last_3d", "preserve_format"])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 5, 6), (2, 3)])
def test_memory_formats(name, shape):
    array = np.random.default_rng(0).standard_normal(shape)
    x, y = cc.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    if "last" in name and len(shape) != (5 if "3d" in name else 4):
        with pytest.raises(ValueError, match=f"contiguous: {name} needs"):
            x.contiguous(memory_format=getattr(cc, name))
        return
    ours, theirs = x.to(memory_format=getattr(cc, name)), y.to(memory_format=getattr(torch, name))
    assert ours.stride() == theirs.stride()
    for one in ("contiguous_format", "channels_last", "channels_last_3d"):
        given = {"memory_format": getattr(cc, one)}, {"memory_format": getattr(torch, one)}
        assert ours.is_contiguous(**given[0]) == theirs.is_contiguous(**given[1])
    (ours * 2).sum().backward()
    np.testing.assert_array_equal(np.asarray(x.grad), np.full(shape, 2.0))
    cc.nn.Conv2d(1, 1, 1).to(memory_format=cc.channels_last)
    with pytest.raises(DTypeError, match="contiguous: memory_format must be one of contiguous_format, channels_last"):
        x.contiguous(memory_format="NHWC")  # pyright: ignore[reportArgumentType]
