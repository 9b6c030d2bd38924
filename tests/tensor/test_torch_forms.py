"""Forms of calls that torch takes beside the usual ones: shapes by keyword, devices, questions about memory."""

import warnings

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


NUMPY_NAMES = {
    "sum": lambda m, x: m.sum(x, axis=1, keepdims=True),
    "mean": lambda m, x: x.mean(axis=(0, 2), keepdims=True),
    "std": lambda m, x: x.std(axis=-1),
    "max": lambda m, x: x.max(axis=1).values,
    "argmax": lambda m, x: m.argmax(x, axis=1),
    "cumsum": lambda m, x: x.cumsum(axis=2),
    "cumsum_": lambda m, x: x.clone().cumsum_(axis=2),
    "softmax": lambda m, x: x.softmax(axis=1),
    "cat": lambda m, x: m.cat((x, x), axis=2),
    "stack": lambda m, x: m.stack([x, x], axis=1),
    "concatenate": lambda m, x: m.concatenate([x, x], axis=-1),
    "unsqueeze": lambda m, x: x.unsqueeze(axis=0),
    "logsumexp": lambda m, x: m.logsumexp(x, axis=0, keepdims=False),
}


@pytest.mark.parametrize("name", NUMPY_NAMES)
def test_names_of_numpy(name):
    array = np.random.default_rng(0).standard_normal((2, 3, 4))
    ours, theirs = NUMPY_NAMES[name](cc, cc.tensor(array)), NUMPY_NAMES[name](torch, torch.tensor(array))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


def test_names_of_numpy_hide_no_error():
    with pytest.raises(TypeError, match="axes"):
        cc.ones(2).sum(axes=0)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="dim"):
        cc.ones(2).sum(0, axis=0)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="axis"):
        cc.exp(cc.ones(2), axis=0)  # pyright: ignore[reportCallIssue]


def test_functions_of_networks_stand_beside_the_others_as_in_torch():
    """Those that torch.nn.functional takes over from torch, but for what only torch's own code calls."""
    both = [n for n in dir(torch.nn.functional) if getattr(torch.nn.functional, n) is getattr(torch, n, None)]
    missing = [n for n in both if n in F.__all__ and not n.endswith("_") and not hasattr(cc, n)]
    assert missing == []
    assert len(both) > 15
    assert cc.conv2d is F.conv2d or cc.conv2d.__wrapped__ is F.conv2d.__wrapped__


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_guesses_the_axis_as_old_programs_want(name, shape):
    array = np.random.default_rng(0).standard_normal(shape)
    layer = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "softmin": "Softmin"}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(torch.nn.functional, name)(torch.tensor(array)).numpy()
    with pytest.warns(UserWarning, match="softmax: no `dim` was given, and guessing it is deprecated"):
        np.testing.assert_allclose(getattr(F, name)(cc.tensor(array)).numpy(), expected, rtol=1e-12)
    with pytest.warns(UserWarning, match="say which axis"):
        np.testing.assert_allclose(getattr(cc.nn, layer)()(cc.tensor(array)).numpy(), expected, rtol=1e-12)


def test_questions_about_types():
    kinds = {n: (getattr(cc, n), getattr(torch, n)) for n in ("bool", "uint8", "int8", "int32", "int64", "float32")}
    kinds["float64"] = (cc.float64, torch.float64)
    for a, torch_a in kinds.values():
        assert isinstance(a, cc.dtype)
        for b, torch_b in kinds.values():
            assert str(cc.promote_types(a, b)) == str(torch.promote_types(torch_a, torch_b)).removeprefix("torch.")
            assert cc.can_cast(a, b) == torch.can_cast(torch_a, torch_b)
    x, y = cc.ones(2, 3, dtype=cc.int32), torch.ones(2, 3, dtype=torch.int32)
    assert str(cc.result_type(x, 1.5)) == str(torch.result_type(y, 1.5)).removeprefix("torch.")
    assert cc.numel(x) == torch.numel(y)
    assert cc.is_floating_point(x) is torch.is_floating_point(y) is False
    assert cc.is_tensor(x)
    assert not cc.is_tensor(x.numpy())
    assert cc.is_nonzero(x[0, 0])
    assert not cc.zeros(1).is_nonzero()
    assert cc.get_default_dtype() == cc.float32 == cc.tensor(0.5).dtype
    for name in ("bits", "eps", "max", "min", "tiny"):
        assert getattr(cc.finfo(cc.float32), name) == getattr(torch.finfo(torch.float32), name)
    assert cc.iinfo(cc.int8).max == torch.iinfo(torch.int8).max


def test_as_tensor_copies_nothing_that_fits():
    array = np.arange(3.0)
    assert np.shares_memory(cc.as_tensor(array).numpy(), array)
    assert not np.shares_memory(cc.as_tensor(array, dtype=cc.float32).numpy(), array)
    x = cc.ones(2, requires_grad=True)
    assert cc.as_tensor(x) is x
    assert cc.as_tensor(x, dtype=cc.float64).requires_grad
    assert cc.as_tensor([1, 2]).dtype == cc.int64
    assert cc.as_tensor([1, 2], dtype=cc.float32, device="cpu").tolist() == [1.0, 2.0]


def test_leaving_the_graph():
    x = cc.ones(3, requires_grad=True)
    y = x * 2
    assert cc.detach(y).is_leaf
    assert not y.is_leaf
    assert y.detach_() is y
    assert y.is_leaf
    assert not y.requires_grad
    assert y.tolist() == [2.0] * 3


def test_inference_mode():
    x = cc.ones(2, requires_grad=True)
    with cc.inference_mode():
        assert not (x * 2).requires_grad
        with cc.inference_mode(False):
            assert (x * 2).requires_grad

    @cc.inference_mode
    def doubled(v):
        return v * 2

    @cc.inference_mode()
    def tripled(v):
        return v * 3

    @cc.no_grad
    def halved(v):
        """Half."""
        return v / 2

    for function in (doubled, tripled, halved):
        assert not function(x).requires_grad
    assert halved.__doc__ == "Half."
    assert (x * 2).requires_grad


def test_places_of_a_condition():
    array = np.array([[0, 2, 0], [1, 0, 3]])
    for ours, theirs in zip(cc.where(cc.tensor(array)), torch.where(torch.tensor(array)), strict=True):
        assert ours.tolist() == theirs.tolist()
    with pytest.raises(DTypeError, match="where: needs both input and other, or neither"):
        cc.where(cc.tensor(array) > 0, 1.0)


def test_activations_as_methods():
    array, weight = np.linspace(-2, 2, 9), np.array([0.25])
    assert cc.tensor(array).hardshrink(0.7).tolist() == torch.tensor(array).hardshrink(0.7).tolist()
    expected = torch.tensor(array).prelu(torch.tensor(weight)).numpy()
    np.testing.assert_allclose(cc.tensor(array).prelu(cc.tensor(weight)).numpy(), expected)
