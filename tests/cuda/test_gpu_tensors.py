"""Tensors on a GPU, simulated: moving, views, memory, and errors that say what to do."""

import copy
import gc
import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from simulated_device import device

import convcore as cc
from convcore import nn
from convcore.engine.cuda import memory
from convcore.errors import DeviceError, DTypeError, GraphError, OutOfMemoryError, UnsupportedError
from convcore.nn import functional as F


def nothing(kernel, grid, args):
    """Kernels are not run where only their memory matters."""


@pytest.fixture
def gpu():
    with device() as driver:
        yield driver


def test_a_tensor_goes_there_and_back(gpu, floats):
    x = cc.tensor(floats(2, 3, 4, 5)).to(memory_format=cc.channels_last)
    there = x.cuda()
    assert (str(there.device), there.device.type, there.device.index, there.is_cuda) == ("cuda:0", "cuda", 0, True)
    assert there.stride() == x.stride()
    assert there.to("cuda") is there
    assert x.cpu() is x
    back = there.cpu()
    assert back.device == "cpu"
    np.testing.assert_array_equal(back.numpy(), x.numpy())
    assert x.to(there).is_cuda
    assert repr(there[0, 0, 0, :1]) == repr(x[0, 0, 0, :1])[:-1] + ", device='cuda:0')"
    assert cc.tensor([3]).cuda().tolist() == [3]


def test_copies_and_pickles_stay_there(gpu):
    there = cc.tensor([1.0, 2.0], requires_grad=True).cuda().detach()
    twin, again = copy.copy(there), pickle.loads(pickle.dumps(there))
    assert twin.is_cuda
    assert again.is_cuda
    assert twin.version is there.version
    assert twin.tolist() == again.tolist() == [1, 2]


def test_gradients_move_back(gpu):
    x = cc.ones(3, requires_grad=True)
    (x.cuda() * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.device == "cpu"
    np.testing.assert_array_equal(x.grad.numpy(), 2)


def test_a_model_moves_with_its_gradients_and_stays_the_same_object(gpu):
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    parameters = list(net.parameters())
    net(cc.ones(2, 2)).sum().backward()
    net.cuda()
    assert all(p is q and p.is_cuda for p, q in zip(parameters, net.parameters(), strict=True))
    assert all(p.grad is not None and p.grad.is_cuda for p in parameters)
    assert net[1].running_mean.is_cuda
    assert copy.deepcopy(net)[0].weight.is_cuda
    assert not any(tensor.is_cuda for tensor in net.cpu().state_dict().values())


def test_loaded_weights_go_to_the_device(gpu):
    weights = nn.Linear(3, 2).state_dict()
    net = nn.Linear(3, 2).cuda()
    net.load_state_dict(weights)
    np.testing.assert_array_equal(net.weight.detach().cpu().numpy(), weights["weight"].numpy())


VIEWS = [
    lambda x: x.permute(2, 0, 1),
    lambda x: x.transpose(0, 1).reshape(3, -1),
    lambda x: x.unsqueeze(1).expand(2, 5, 3, 4).contiguous(),
    lambda x: x.flatten(1),
    lambda x: x.permute(2, 0, 1).clone(),
    lambda x: x.sum((0, 2)),
    lambda x: x.sum(1, keepdim=True) / x,
    lambda x: x.sum(),
    lambda x: -x + 0.5 * x.permute(0, 1, 2) - x.sum(0),
    lambda x: x.mean(),
]


@pytest.mark.parametrize("function", VIEWS, ids=range(len(VIEWS)))
def test_views_and_arithmetic_are_those_of_the_cpu(gpu, function, floats):
    x: Any = cc.tensor(floats(2, 3, 4)).requires_grad_()
    there = x.detach().cuda().requires_grad_()
    expected, got = function(x), function(there)
    before = cc.cuda.copies()
    (expected * expected).sum().backward()
    (got * got).sum().backward()
    assert cc.cuda.copies() == before
    assert got.is_cuda
    np.testing.assert_allclose(got.detach().cpu().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(there.grad.cpu().numpy(), x.grad.numpy(), rtol=2e-5, atol=2e-5)


def test_changes_in_place(gpu, floats):
    values = floats(3, 4)
    x, there = cc.tensor(values), cc.tensor(values).cuda()
    for tensor in (x, there):
        part = tensor.detach()
        part += 2
        part.mul_(tensor)
        part.clone().fill_(7)
        part.zero_() if tensor.sum().item() == 0 else part.copy_(part * 3)
    np.testing.assert_allclose(there.cpu().numpy(), x.numpy(), rtol=1e-6)


def test_tensors_on_two_devices_are_refused_by_name(gpu):
    x, weight = cc.ones(1, 2, 3, 3), cc.ones(4, 2, 1, 1).cuda()
    fix = re.escape('Conv: all tensors must lie on one device; move them with .to("cuda") or .cpu()')
    table = re.escape("\n  x (1, 2, 3, 3) on cpu\n  weight (4, 2, 1, 1) on cuda:0")
    with pytest.raises(DeviceError, match=fix + table):
        F.conv2d(x, weight)
    with pytest.raises(DeviceError, match=r"Add: .*\n  a \(2,\) on cpu\n  b \(2,\) on cuda:0"):
        cc.add(cc.ones(2), cc.ones(2).cuda())


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x.exp(), "Exp"),
        (lambda x: x.softmax(0), "Softmax"),
        (lambda x: F.interpolate(x.reshape(1, 1, 2, 2), scale_factor=2), "Interpolate|Resample|Nearest|Expand|index"),
        (lambda x: x > 0, "numpy|greater"),
        (lambda x: x.max(), "Extremum|numpy|max"),
        (lambda x: F.conv2d(x.reshape(1, 1, 2, 2), x.reshape(1, 1, 2, 2), algorithm="direct"), 'conv2d: .*"direct"'),
        (lambda x: x.double(), "Convert"),
        (lambda x: x.reshape(1, 2, 2) @ x.reshape(1, 2, 2), "matmul: cuda:0 multiplies matrices"),
        (lambda x: F.explain_matmul(x, x), "explain_matmul: on cuda:0"),
    ],
)
def test_what_has_no_kernel_is_refused(gpu, function, name):
    with pytest.raises(UnsupportedError, match=f"({name}).*(cuda:0|cpu)"):
        function(cc.ones(4).cuda())


def test_nothing_reads_the_device_unasked(gpu):
    x = cc.ones(4).cuda()
    before = cc.cuda.copies()
    with pytest.raises(DeviceError, match=re.escape("use x.cpu().numpy()")):
        x.numpy()
    with pytest.raises(DeviceError, match="NumPy's arrays on the CPU"):
        np.asarray(x)
    with pytest.raises(UnsupportedError, match="nothing is copied unasked"):
        np.asarray(x.array)
    assert cc.cuda.copies() == before
    assert x.sum().item() == 4
    assert cc.cuda.copies()["to the host"] == before["to the host"] + 1


def test_only_types_with_kernels_go_there(gpu):
    with pytest.raises(DTypeError, match="are of float32, int64, int32, got float64"):
        cc.ones(2, dtype=cc.float64).cuda()


MADE: dict[str, Any] = {
    "tensor": lambda **on: cc.tensor([[1.0, 2.0]], **on),
    "full": lambda **on: cc.full((2, 3), 2.5, **on),
    "zeros": lambda **on: cc.zeros(2, 3, **on),
    "empty": lambda **on: cc.empty(2, 3, **on).fill_(1),
    "empty_permuted": lambda **on: cc.empty_permuted((2, 3), (1, 0), **on).fill_(1),
    "arange": lambda **on: cc.arange(5, **on),
    "linspace": lambda **on: cc.linspace(0, 1, 5, **on),
    "logspace": lambda **on: cc.logspace(0, 1, 5, **on),
    "eye": lambda **on: cc.eye(3, **on),
    "rand": lambda **on: cc.rand(4, **on),
    "randn": lambda **on: cc.randn(4, **on),
    "randint": lambda **on: cc.randint(0, 9, (4,), **on),
    "normal": lambda **on: cc.normal(0.0, 1.0, (4,), **on),
    "mask": lambda **on: nn.Transformer.generate_square_subsequent_mask(3, **on),
}


@pytest.mark.parametrize("name", MADE)
def test_tensors_are_made_there(gpu, name):
    cc.manual_seed(3)
    expected = MADE[name]()
    cc.manual_seed(3)
    made = MADE[name](device="cuda")
    assert made.is_cuda
    assert (made.dtype, made.stride()) == (expected.dtype, expected.stride())
    np.testing.assert_array_equal(made.cpu().numpy(), expected.numpy())


LIKE: dict[str, Any] = {
    "ones_like": lambda x, **on: cc.ones_like(x, **on),
    "zeros_like": lambda x, **on: cc.zeros_like(x, **on),
    "full_like": lambda x, **on: cc.full_like(x, 7, **on),
    "rand_like": lambda x, **on: cc.rand_like(x, **on),
    "randint_like": lambda x, **on: cc.randint_like(x, 9, **on),
    "new_zeros": lambda x, **on: x.new_zeros(4, **on),
    "new_ones": lambda x, **on: x.new_ones(4, **on),
    "new_full": lambda x, **on: x.new_full((4,), 5, **on),
    "new_empty": lambda x, **on: x.new_empty(4, **on).fill_(1),
    "new_tensor": lambda x, **on: x.new_tensor([1.0, 2.0], **on),
}


@pytest.mark.parametrize("name", LIKE)
def test_likenesses_are_made_where_the_model_lies(gpu, name):
    x = cc.zeros(3, 2).T
    cc.manual_seed(3)
    expected = LIKE[name](x)
    cc.manual_seed(3)
    made = LIKE[name](x.cuda())
    assert made.is_cuda
    assert made.stride() == expected.stride()
    np.testing.assert_array_equal(made.cpu().numpy(), expected.numpy())
    assert not LIKE[name](x.cuda(), device="cpu").is_cuda


def test_a_leaf_that_is_made_there_gets_its_gradient_there(gpu):
    x = cc.ones(3, device="cuda", requires_grad=True)
    (x * 2).sum().backward()
    assert x.is_leaf
    assert x.grad is not None
    assert x.grad.is_cuda


LAYERS: dict[str, Any] = {
    "Linear": lambda **on: nn.Linear(3, 2, **on),
    "Conv2d": lambda **on: nn.Conv2d(2, 3, 3, **on),
    "ConvTranspose2d": lambda **on: nn.ConvTranspose2d(2, 3, 3, **on),
    "BatchNorm2d": lambda **on: nn.BatchNorm2d(3, **on),
    "LayerNorm": lambda **on: nn.LayerNorm(3, **on),
    "Embedding": lambda **on: nn.Embedding(3, 2, **on),
    "MultiheadAttention": lambda **on: nn.MultiheadAttention(4, 2, **on),
    "PReLU": lambda **on: nn.PReLU(**on),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_made_there(gpu, name):
    """With the weights that they get on the CPU."""
    cc.manual_seed(3)
    expected = LAYERS[name]().state_dict()
    cc.manual_seed(3)
    made = LAYERS[name](device="cuda")
    assert all(tensor.is_cuda for tensor in (*made.parameters(), *made.buffers()))
    for key, value in made.state_dict().items():
        np.testing.assert_array_equal(value.cpu().numpy(), expected[key].numpy())


def test_numbers_are_written_where_they_lie(gpu, floats):
    """Also integers, and where the memory has another order of axes."""
    values, weight, labels = floats(2, 3), cc.zeros(3, 2).cuda(), cc.tensor([1, 2]).cuda()
    transposed = weight.T
    transposed.copy_(cc.tensor(values).cuda())
    np.testing.assert_array_equal(weight.cpu().numpy(), values.T)
    transposed.array[...] = values + 1
    np.testing.assert_array_equal(weight.cpu().numpy(), values.T + 1)
    labels.array[...] = 7
    assert labels.tolist() == [7, 7]


@pytest.mark.parametrize("wrong", ["cuda:1", "mps"])
def test_other_devices_are_refused(wrong):
    with pytest.raises(UnsupportedError, match=f'there are "cpu", "cuda:0" and "auto", got \'{wrong}\''):
        cc.device(wrong)


# Memory


def test_memory_is_used_again():
    with device(nothing) as driver:
        x = cc.zeros(1000).cuda()
        assert cc.cuda.memory_allocated() == 4096
        for _ in range(5):
            y = x + x
        assert cc.cuda.memory_allocated() == 8192
        assert driver.free == driver.total - 3 * 4096
        del x, y
        assert (cc.cuda.memory_allocated(), cc.cuda.max_memory_allocated()) == (0, 3 * 4096)
        cc.cuda.empty_cache()
        assert driver.free == driver.total
        assert "held by tensors         0 B" in cc.cuda.memory_summary()


def test_out_of_memory_names_the_tensor_and_leaves_everything_usable():
    with device(nothing, total=300 * 1024) as driver:
        net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()).cuda()
        held = cc.cuda.memory_allocated()
        x = cc.zeros(4, 1, 32, 32).cuda()
        with pytest.raises(OutOfMemoryError) as caught:
            net(x).sum().backward()
        assert re.fullmatch(
            r"(in [01]: )?cuda:0 has no room for a float32 tensor of shape \(4, 32, 32, 8\), 128 KiB: .* of 300 KiB "
            "are free, .* are held by tensors; take a smaller batch, or let tensors go that are not needed",
            str(caught.value),
        )
        del caught, x
        gc.collect()
        assert cc.cuda.memory_allocated() == held
        net(cc.zeros(1, 1, 32, 32).cuda()).sum().backward()
        net.zero_grad()
        assert driver.free >= 0


def test_idle_memory_of_other_sizes_is_given_back_before_there_is_no_room():
    with device(nothing, total=10 * 4096):
        del_me = cc.zeros(5 * 1024).cuda()
        del del_me
        assert memory.pool().idle == 5 * 4096
        assert cc.zeros(8 * 1024).cuda().is_cuda


def test_moving_a_model_that_has_no_room_changes_nothing():
    with device(nothing, total=8 * 1024):
        net = nn.Sequential(nn.Linear(10, 10), nn.Linear(100, 100))
        with pytest.raises(OutOfMemoryError, match=r"of shape \(100, 100\), 40 KiB"):
            net.cuda()
        assert not any(p.is_cuda for p in net.parameters())


# Other libraries


def test_memory_is_shared_with_others(gpu, floats):
    values = floats(2, 3, 4)
    x = cc.tensor(values).cuda().permute(2, 0, 1)
    for shared in (torch.from_dlpack(x), np.from_dlpack(x)):
        np.testing.assert_array_equal(np.asarray(shared), values.transpose(2, 0, 1))
    torch.from_dlpack(x)[0, 0, 0] = 77  # the simulated device's memory is that of the CPU
    assert x[0, 0, 0].item() == 77
    assert (cc.cuda.as_tensor(x) + 1)[0, 0, 0].item() == 78
    interface = x.__cuda_array_interface__
    assert (interface["shape"], interface["typestr"], interface["strides"]) == ((4, 2, 3), "<f4", (4, 48, 16))
    x.__dlpack__()  # nobody takes it


def test_what_others_hold_stays(gpu):
    x = cc.ones(300).cuda()
    taken = torch.from_dlpack(x)
    held = cc.cuda.memory_allocated()
    del x
    gc.collect()
    assert cc.cuda.memory_allocated() == held
    assert taken.sum() == 300
    del taken
    gc.collect()
    assert cc.cuda.memory_allocated() == 0


def test_tensors_of_the_graph_are_not_lent(gpu):
    x = cc.ones(3).cuda().requires_grad_()
    with pytest.raises(GraphError, match=re.escape("use x.detach()")):
        x.__dlpack__()
    assert not hasattr(cc.ones(1), "__cuda_array_interface__")
    np.testing.assert_array_equal(np.from_dlpack(cc.ones(2)), 1)


@pytest.mark.parametrize("wrong", [np.ones(2), cc.ones(2)])
def test_only_arrays_on_a_gpu_are_taken(gpu, wrong):
    with pytest.raises(DTypeError, match="needs an array on a GPU, with __cuda_array_interface__"):
        cc.cuda.as_tensor(wrong)
