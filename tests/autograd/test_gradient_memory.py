"""`.grad` takes no memory that anybody else holds, and costs ordinary training no copy."""

import gc
from typing import Any

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn
from convcore.autograd import Function, accumulate, grad
from convcore.nn import functional as F


class Kept(list):
    """Tensors that a user keeps, and what they were then."""

    def keep(self, tensor: Any) -> None:
        self.append((tensor, tensor.detach().numpy().copy()))

    def check(self) -> None:
        assert self
        for tensor, numbers in self:
            np.testing.assert_array_equal(tensor.detach().numpy(), numbers)


def leaf(*size: int) -> Any:
    return cc.randn(*size, requires_grad=True)


SIZES = [(2, 3), (80, 60)]  # small arrays are NumPy's, large ones the pool's

# How a gradient reaches a leaf without being computed anew.
PASSAGES = {
    "identity": lambda x: x + 0,
    "clone": lambda x: x.clone(),
    "difference": lambda x: x - cc.ones(*x.shape),
    "sum of equal shapes": lambda x: x + cc.randn(*x.shape, requires_grad=True),
    "sum with a leaf that comes later": lambda x: cc.randn(*x.shape, requires_grad=True) + x,
    "reshape": lambda x: x.reshape(x.shape[1], x.shape[0]),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.t(),
    "unsqueeze": lambda x: x[None],
    "expand": lambda x: x[None].expand(1, *x.shape),
    "part of a concatenation": lambda x: cc.cat([cc.ones(*x.shape), x]),
    "parts": lambda x: cc.stack(x.unbind(0)),
    "dropout in evaluation": lambda x: F.dropout(x, training=False) + 0,
    "contiguous": lambda x: x.t().contiguous(),
    "detached in between": lambda x: x + (x.detach() * 0),
}


class Passes(Function):
    """The identity; its backward gives the gradient on."""

    kept: Kept

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad_out):
        Passes.kept.keep(grad_out)
        return grad_out


class Returns(Function):
    """Its backward returns what it has made before."""

    kept: Kept

    @staticmethod
    def forward(ctx, x):
        ctx.made = cc.full(x.shape, 3.0)
        Returns.kept.keep(ctx.made)
        return x * 3

    @staticmethod
    def backward(ctx, grad_out):
        return ctx.made


def inner_hook(y, kept):
    y.register_hook(kept.keep)
    return y


def inner_hook_that_returns(y, kept):
    constant = cc.full(y.shape, 2.0)
    kept.keep(constant)
    y.register_hook(lambda gradient: constant)
    return y


def hook_that_keeps_a_view(y, kept):
    y.register_hook(lambda gradient: kept.keep(gradient.reshape(-1)[1:]))
    return y


def hook_that_keeps_a_detached_twin(y, kept):
    y.register_hook(lambda gradient: kept.keep(gradient.detach()))
    return y


def hook_that_keeps_an_array(y, kept):
    def hook(gradient):
        array = gradient.numpy()
        kept.append((cc.from_numpy(array), array.copy()))

    y.register_hook(hook)
    return y


def hook_that_keeps_a_buffer(y, kept):
    def hook(gradient):
        buffer = memoryview(gradient.numpy())
        kept.append((cc.from_numpy(np.asarray(buffer)), np.array(buffer)))

    y.register_hook(hook)
    return y


def full_backward_hook(y, kept):
    module = nn.Identity()
    module.register_full_backward_hook(lambda module, ins, outs: [kept.keep(g) for g in (*ins, *outs)] and None)
    return module(y)


def full_backward_pre_hook(y, kept):
    module = nn.Identity()
    module.register_full_backward_pre_hook(lambda module, outs: kept.keep(outs[0]))
    return module(y)


def full_backward_hook_that_returns(y, kept):
    module = nn.Identity()
    constant = cc.full(y.shape, 2.0)
    kept.keep(constant)
    module.register_full_backward_hook(lambda module, ins, outs: (constant,))
    return module(y)


def function_that_passes(y, kept):
    Passes.kept = kept
    return Passes.apply(y)


def function_that_returns(y, kept):
    Returns.kept = kept
    return Returns.apply(y)


HOLDERS = [
    inner_hook, inner_hook_that_returns, hook_that_keeps_a_view, hook_that_keeps_a_detached_twin,
    hook_that_keeps_an_array, hook_that_keeps_a_buffer, full_backward_hook, full_backward_pre_hook,
    full_backward_hook_that_returns, function_that_passes, function_that_returns,
]  # fmt: skip


def backward_again(x):
    (x * 2).sum().backward()


def clip(x):
    nn.utils.clip_grad_norm_([x], 0.01)


def clip_values(x):
    nn.utils.clip_grad_value_([x], 0.01)


def zero(x):
    cc.optim.SGD([x], 0.1).zero_grad(set_to_none=False)


def unscale(x):
    scaler, optimizer = cc.amp.GradScaler("cpu", init_scale=4.0), cc.optim.SGD([x], 0.1)
    scaler.scale(cc.ones(1))
    scaler.unscale_(optimizer)


def write(x):
    x.grad.numpy()[...] = 7


CHANGES = [backward_again, clip, clip_values, zero, unscale, write, lambda x: x.grad.mul_(-2)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: holder.__name__)
@pytest.mark.parametrize("passage", PASSAGES)
def test_what_somebody_holds_keeps_its_numbers(passage, holder, size):
    for change in CHANGES:
        kept, x = Kept(), leaf(*size)
        y = holder(PASSAGES[passage](x), kept)
        (y * cc.randn(*y.shape)).sum().backward()
        change(x)
        kept.check()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("returns", ["nothing", "the gradient", "a new one", "always the same"])
def test_gradients_of_leaf_hooks_keep_their_numbers(returns, change):
    kept, x, constant = Kept(), leaf(300, 40), cc.ones(300, 40)
    kept.keep(constant)

    def hook(gradient):
        kept.keep(gradient)
        result = {"the gradient": gradient, "a new one": gradient * 2, "always the same": constant}.get(returns)
        if result is not None:
            kept.keep(result)
        return result

    x.register_hook(hook)
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    expected = {"a new one": 8, "always the same": 2}.get(returns, 4)
    np.testing.assert_array_equal(x.grad.array, np.full((300, 40), expected))
    change(x)
    kept.check()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("passage", PASSAGES)
def test_seeds_results_and_retained_gradients_keep_their_numbers(passage, change, size):
    kept, x = Kept(), leaf(*size)
    y = PASSAGES[passage](x)
    y.retain_grad()
    seed = cc.randn(*y.shape)
    kept.keep(seed)
    kept.keep(grad(y, x, seed, retain_graph=True)[0])
    kept.keep(y.grad)
    y.backward(seed, retain_graph=True)
    kept.keep(y.grad)
    change(x)
    kept.check()
    y.backward(seed)
    kept.check()  # a retained sum is a new tensor each time, as in torch


@pytest.mark.parametrize("change", CHANGES[1:4])
def test_recorded_gradients_keep_their_numbers(change):
    kept, x = Kept(), leaf(2, 3)
    y = x.clone()
    y.register_hook(kept.keep)
    x.register_hook(kept.keep)
    (y * y).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    change(x)
    kept.check()


def test_memory_of_other_libraries_is_not_taken():
    """Nothing in Python refers to an array that another library lends, but its own tensor."""
    lender = torch.ones(300, 40)
    x = leaf(300, 40)
    x.register_hook(lambda gradient: cc.from_numpy(np.from_dlpack(lender)))
    (x * 2).sum().backward()
    zero(x)
    assert lender.sum() == 300 * 40


def test_accumulating_changes_no_gradient_that_is_still_under_way():
    """Somebody may hand in the `.grad` of another leaf, which is then both read from and added to."""
    for seed_of in ("u", "v", "w"):
        leaves: Any = {name: leaf(2) for name in "uvw"}
        u, v, w = leaves.values()
        for tensor in (u, v, w):
            tensor.grad = cc.tensor([10.0, 20.0])
        (((u + 0) + w * 3) + v * 2).backward(leaves[seed_of].grad)
        assert [tensor.grad.tolist() for tensor in (u, v, w)] == [[20, 40], [30, 60], [40, 80]]


@pytest.mark.parametrize("size", [2, 200])
def test_a_sum_may_be_added_to_itself_in_another_order(size):
    x: Any = leaf(size, size)
    given = cc.randn(size, size)
    x.grad, expected = given, given.array + given.array.T
    before = given.array.copy()
    x.register_hook(lambda gradient: x.grad.t())
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.array, expected)
    np.testing.assert_array_equal(given.array, before)  # it was also the gradient that the hook returned


def test_a_recorded_sum_is_a_new_tensor():
    x: Any = cc.tensor([2.0], requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    (x**2).sum().backward(create_graph=True)
    assert (first.tolist(), x.grad.tolist()) == ([12], [16])
    assert grad((x.grad * first).sum(), x)[0].tolist() == [12 * 14 + 16 * 12]


def test_grad_stays_the_same_tensor_while_it_adds_up():
    x = leaf(3)
    x.sum().backward()
    kept = x.grad
    view = x.grad.reshape(3, 1)
    (x * 2).sum().backward()
    assert x.grad is kept
    assert view.tolist() == [[3], [3], [3]]


def test_a_gradient_that_can_be_differentiated_stays_so_while_it_adds_up():
    x: Any = cc.tensor([2.0], requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    (x * 5).sum().backward()
    assert x.grad.tolist() == [17]
    assert grad(x.grad.sum(), x)[0].tolist() == [12]


def test_a_gradient_that_repeats_numbers_can_be_zeroed():
    x = leaf(2, 3)
    (given,) = grad(x.sum(), x)
    x.grad = given
    zero(x)
    assert x.grad.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert given.tolist() == [[1, 1, 1], [1, 1, 1]]


# No more copies than that


class Positions(nn.Module):
    """Learnt vectors are added and put before what a layer computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(8, 8), nn.Linear(8, 2)
        self.place, self.first = nn.Parameter(cc.zeros(1, 5, 8)), nn.Parameter(cc.zeros(1, 1, 8))

    def forward(self, x):
        return self.last(cc.cat([self.first.expand(2, 1, 8), self.layer(x) + self.place], 1))


tied = nn.Linear(8, 8)
NETS = {
    "dense": (nn.Sequential(nn.Linear(8, 600), nn.ReLU(), nn.Linear(600, 20)), (3, 8)),
    "the same layer twice": (nn.Sequential(tied, nn.ReLU(), tied), (3, 8)),
    "convolutions": (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 32, 1),
            nn.Conv2d(32, 32, 3, padding=1), nn.GroupNorm(4, 32), nn.Conv2d(32, 32, 3, groups=32), nn.Flatten(),
            nn.Linear(32 * 6 * 6, 4),
        ),
        (2, 3, 16, 16),
    ),
    "other sizes": (
        nn.Sequential(nn.ConvTranspose2d(3, 8, 3, stride=2), nn.LayerNorm([8, 17, 17]), nn.PReLU(8)),
        (2, 3, 8, 8),
    ),
    "attention": (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (2, 5, 16)),
    "positions": (Positions(), (2, 5, 8)),
}  # fmt: skip


@pytest.fixture
def copies(monkeypatch):
    """Of each gradient that became a `.grad`, whether it was copied."""
    seen: list[bool] = []
    own = accumulate._own

    def watched(gradient, create_graph):
        result = own(gradient, create_graph)
        seen.append(not np.shares_memory(result.array, gradient[0].array))
        return result

    monkeypatch.setattr(accumulate, "_own", watched)
    return seen


@pytest.mark.parametrize("name", NETS)
def test_parameters_get_their_gradients_without_a_copy(name, copies):
    net, size = NETS[name]
    for _ in range(2):
        net.zero_grad()
        net(cc.randn(*size)).square().mean().backward()
    assert copies == [False] * 2 * len(list(net.parameters()))


def test_a_gradient_is_copied_while_it_goes_on_to_another_tensor(copies):
    a, b = leaf(2), leaf(2)
    ((a + b) * cc.tensor([1.0, 2.0])).sum().backward()
    assert copies == [True, False]
    assert not np.shares_memory(a.grad.array, b.grad.array)


def test_nobody_holds_a_gradient_that_a_hook_only_looked_at(copies):
    x = leaf(2)
    x.register_hook(lambda gradient: gradient * 2)
    (x * cc.tensor([1.0, 2.0])).sum().backward()
    gc.collect()
    assert copies == [False]
    assert x.grad.tolist() == [2, 4]
