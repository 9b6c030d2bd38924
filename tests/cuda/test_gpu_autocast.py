"""autocast and GradScaler with a simulated GPU: what is rounded, what is kept, training, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from simulated_device import device
from tensor_core import rounded
from test_gpu_training import NETWORKS, small_cnn

import convcore as cc
from convcore import nn
from convcore.engine.cuda import probe
from convcore.errors import CheckpointError, DTypeError, UnsupportedError
from convcore.nn import functional as F

KINDS = {cc.float16: "float16", cc.bfloat16: "bfloat16"}
# What rounding to the nearest changes at most, as a share of the number.
ROUNDOFF = {cc.float16: 2.0**-11, cc.bfloat16: 2.0**-8}


def nothing(kernel, grid, args):
    """Kernels are not run where only what is launched matters."""


def names(launched: list[str]) -> str:
    return " ".join(launched)


@pytest.fixture
def launched():
    """The names of what is launched, which does not run, on a GPU of generation 9."""
    found = []
    with device(lambda kernel, grid, args: found.append(kernel.__name__)):
        yield found


# What is rounded


def gradients(function, *tensors):
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    out = function(*leaves)
    return out, leaves


def check_rounded(kind, function, exact, *arrays):
    """Values are products of rounded operands; gradients, products of rounded operands with a rounded gradient."""
    rng = np.random.default_rng(1)
    with device():
        tensors = [cc.tensor(array).cuda() for array in arrays]
        with cc.autocast("cuda", dtype=kind):
            out, leaves = gradients(function, *tensors)
        assert out.dtype == cc.float32
        upstream = rng.standard_normal(out.shape, np.float32)
        out.backward(cc.tensor(upstream).cuda())
        got = [out.detach().cpu().numpy(), *[leaf.grad.cpu().numpy() for leaf in leaves]]
    operands = [torch.tensor(rounded(KINDS[kind], a)) if a.ndim > 1 else torch.tensor(a) for a in arrays]
    leaves = [operand.double().requires_grad_() for operand in operands]
    expected = exact(*leaves)
    expected.backward(torch.tensor(rounded(KINDS[kind], upstream)).double())
    wanted = [expected.detach(), *[leaf.grad for leaf in leaves]]
    if arrays[-1].ndim == 1:  # the bias takes no part in a product, and its gradient is a sum in float32
        wanted[-1] = torch.tensor(upstream.sum(tuple(axis for axis in range(upstream.ndim) if axis != 1)))
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS, ids=KINDS.values())
def test_linear(kind, floats):
    check_rounded(kind, F.linear, torch.nn.functional.linear, floats(5, 7), floats(3, 7), floats(3))


def test_matmul(floats):
    check_rounded(cc.bfloat16, cc.matmul, torch.matmul, floats(5, 7), floats(7, 3))


@pytest.mark.parametrize(("groups", "kernel"), [(1, 3), (2, 3), (1, 1)])
def test_conv2d(groups, kernel, floats):
    settings = {"stride": 2, "padding": 1, "groups": groups} if kernel > 1 else {}
    check_rounded(
        cc.float16,
        lambda x, w, b: F.conv2d(x, w, b, **settings),
        lambda x, w, b: torch.nn.functional.conv2d(x, w, b, **settings),
        floats(2, 6, 5, 4), floats(4, 6 // groups, kernel, kernel), floats(4),
    )  # fmt: skip


def test_views_of_any_steps_are_operands(floats):
    x, weight = floats(4, 6), floats(3, 4)
    with device(), cc.autocast("cuda"):
        got = F.linear(cc.tensor(x).cuda()[:, 1:].T, cc.tensor(weight).cuda()).cpu().numpy()
    expected = rounded("float16", x[:, 1:]).astype(np.float64).T @ rounded("float16", weight).T
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_what_is_kept_is_half_as_large(launched):
    x, weight = cc.zeros(512, 512).cuda(), cc.zeros(512, 512).cuda().requires_grad_()
    held = cc.cuda.memory_allocated()
    with cc.autocast("cuda"):
        out = F.linear(x, weight)
    assert cc.cuda.memory_allocated() - held == out.numel() * 4 + x.numel() * 2


def test_only_products_are_rounded_and_only_inside(launched):
    x, weight = cc.zeros(2, 8).cuda(), cc.zeros(8, 8).cuda()
    image, filters = cc.zeros(1, 4, 5, 5).cuda(), cc.zeros(4, 1, 3, 3).cuda()
    with cc.autocast("cuda", dtype=cc.bfloat16):
        F.linear(x, weight)
        assert {name for name in launched if "16" in name} == {"round_rows_bfloat16", "gemm_bfloat16"}
        launched.clear()
        F.conv2d(image, filters, groups=4)  # one filter per channel
        (x + x).sum()
        with cc.autocast("cuda", enabled=False):
            F.linear(x, weight)
        with cc.autocast("cpu", enabled=False):  # that of another device
            pass
        assert "16" not in names(launched)
        assert "gemm" in launched
        launched.clear()
        F.linear(x, weight)
        assert "gemm_bfloat16" in launched
        launched.clear()
    F.linear(x, weight)
    assert "16" not in names(launched)


def test_it_is_a_decorator(launched):
    x = cc.zeros(2, 8).cuda()
    cast = cc.autocast("cuda", dtype=cc.float16)

    @cast
    def twice(depth=1):
        return twice(0) if depth else x @ x.T

    twice()
    assert "gemm_float16" in launched
    launched.clear()
    _ = x @ x.T
    assert "16" not in names(launched)


@pytest.mark.parametrize(("generation", "suffix"), [((7, 5), "_scalar"), ((8, 0), "")])
def test_old_generations_multiply_without_tensor_cores(generation, suffix):
    found = []
    with device(lambda kernel, grid, args: found.append(kernel.__name__), generation=generation):
        x = cc.zeros(2, 8).cuda()
        with cc.autocast("cuda"):
            _ = x @ x.T
        assert ("lack the instruction" in cc.amp.why_no_tensor_cores()) == bool(suffix)
    assert f"gemm_float16{suffix}" in found


def test_there_are_no_second_derivatives(launched):
    x, weight = cc.zeros(2, 8).cuda().requires_grad_(), cc.zeros(3, 8).cuda().requires_grad_()
    with cc.autocast("cuda"):
        out = F.linear(x, weight).sum()
    (grad_x,) = cc.autograd.grad(out, x, create_graph=True)
    with pytest.raises(UnsupportedError, match="backward: Linear has no second derivative here"):
        grad_x.sum().backward()


# Training


def train(kind):
    """The loss of a step of the shrunken CNN, and the parameters after it."""
    cc.manual_seed(0)
    net = small_cnn().cuda()
    rng = np.random.default_rng(0)
    x, labels = cc.tensor(rng.standard_normal((2, 1, 8, 8), np.float32)).cuda(), cc.tensor([0, 2]).cuda()
    optimizer = cc.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scaler = cc.amp.GradScaler(enabled=kind is cc.float16)
    cc.manual_seed(1)
    with cc.autocast("cuda", dtype=kind, enabled=kind is not None):
        loss = F.cross_entropy(net(x), labels)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == (2**16 if kind is cc.float16 else 1)
    return loss.item(), [parameter.detach().cpu().numpy() for parameter in net.parameters()]


@pytest.fixture(scope="module")
def in_float32():
    with device():
        return train(None)


@pytest.mark.parametrize("kind", KINDS, ids=KINDS.values())
def test_training_steps_are_close_to_those_in_float32(in_float32, kind):
    """Three products follow each other, each of two rounded operands: 6 roundoffs, if errors neither grow nor cancel.

    The first convolution, of one channel, is not rounded. A step changes parameters by lr * gradient, at most 0.1 here.
    """
    with device():
        loss, parameters = train(kind)
    np.testing.assert_allclose(loss, in_float32[0], rtol=6 * ROUNDOFF[kind])
    for mine, theirs in zip(parameters, in_float32[1], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=6 * ROUNDOFF[kind] * 0.1)
    changed = [(mine != theirs).any() for mine, theirs in zip(parameters, in_float32[1], strict=True)]
    assert sum(changed) > 8


@pytest.mark.parametrize("name", NETWORKS)
def test_training_stays_on_the_device(name, launched):
    """But for one number of the scaler in each step."""
    make, shape = NETWORKS[name]
    net = make().cuda()
    optimizer, scaler = cc.optim.SGD(net.parameters(), lr=0.1), cc.amp.GradScaler()
    x, labels = cc.zeros(*shape).cuda(), cc.tensor([0, 2]).cuda()
    held = []
    for _ in range(3):
        before = cc.cuda.copies()
        optimizer.zero_grad()
        launched.clear()
        with cc.autocast("cuda"):
            loss = F.cross_entropy(net(x), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        held.append(cc.cuda.memory_allocated())
    assert held[1] == held[2]
    assert cc.cuda.copies() == before | {"to the host": before["to the host"] + 1}
    assert {"conv2d_forward_float16", "conv2d_grad_weight_float16", "gemm_float16", "unscale"} <= set(launched)


# The scaler


def test_a_step_with_an_overflow_is_left_out():
    with device():
        net = nn.Linear(3, 2).cuda()
        before = net.weight.detach().cpu().numpy().copy()
        optimizer, scaler = cc.optim.SGD(net.parameters(), lr=0.1), cc.amp.GradScaler(init_scale=4.0)
        for bad in (np.inf, np.nan, None):
            optimizer.zero_grad()
            scaler.scale(net(cc.ones(1, 3).cuda()).sum()).backward()
            gradient = net.bias.grad
            np.testing.assert_array_equal(gradient.cpu().numpy(), scaler.get_scale())
            if bad is not None:
                gradient[1] = bad
            scaler.step(optimizer)
            scaler.update()
            if bad is not None:
                np.testing.assert_array_equal(net.weight.detach().cpu().numpy(), before)
        assert scaler.get_scale() == 1.0
        np.testing.assert_allclose(net.weight.detach().cpu().numpy(), before - 0.1, rtol=1e-6)


def test_small_gradients_survive_in_float16():
    """The gradient of a loss of 1e-9 is nothing in float16, but for the scale."""
    found = {}
    for scale in (1.0, 2.0**16):
        with device():
            x = cc.ones(1, 8).cuda()
            weight = cc.ones(1, 8).cuda().requires_grad_()
            optimizer, scaler = cc.optim.SGD([weight], lr=0.1), cc.amp.GradScaler(init_scale=scale)
            with cc.autocast("cuda"):
                loss = F.linear(x, weight).sum() * 1e-9
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            found[scale] = weight.grad.cpu().numpy()
    np.testing.assert_array_equal(found[1.0], 0)
    np.testing.assert_allclose(found[2.0**16], 1e-9, rtol=2.0**-11)


def run_scaler(library, parameter, scaler, gradients):
    """Scales and parameters after each step with these gradients."""
    optimizer = library.optim.SGD([parameter], lr=0.5)
    seen = []
    for gradient in gradients:
        optimizer.zero_grad()
        loss = scaler.scale((parameter * library.tensor(gradient)).sum())
        loss.backward()
        scaler.step(optimizer)
        scaler.update()
        seen.append([scaler.get_scale(), *parameter.tolist(), *scaler.state_dict().values()])
    return seen


def test_the_scaler_is_torchs_on_the_cpu():
    """The same scales, steps and states; gradients are exact, so that both have the same bits."""
    gradients = [[1.0, 2.0], [float("inf"), 1.0], [0.5, 0.25], [4.0, 1.0], [float("nan"), 0.0], [1.0, 1.0], [2.0, 8.0]]
    settings = {"init_scale": 8.0, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 2}
    mine = cc.amp.GradScaler("cpu", **settings)
    theirs = torch.amp.GradScaler("cpu", **settings)
    own = run_scaler(cc, cc.zeros(2, requires_grad=True), mine, gradients)
    rival = run_scaler(torch, torch.zeros(2, requires_grad=True), theirs, gradients)
    assert own == rival
    assert mine.state_dict() == theirs.state_dict()
    again = cc.amp.GradScaler("cpu")
    again.load_state_dict(theirs.state_dict())
    assert again.state_dict() == mine.state_dict()


def test_the_scales_of_lists_and_what_is_set():
    scaler = cc.amp.GradScaler("cpu", init_scale=2.0)
    assert [x.item() for x in scaler.scale([cc.tensor(1.0), cc.tensor(3.0)])] == [2, 6]
    assert isinstance(scaler.scale((cc.tensor(1.0),)), tuple)
    scaler.update(16.0)
    scaler.set_growth_factor(3.0)
    scaler.set_backoff_factor(0.1)
    scaler.set_growth_interval(7)
    assert (scaler.get_scale(), scaler.get_growth_factor(), scaler.get_backoff_factor()) == (16, 3, 0.1)
    assert scaler.get_growth_interval() == 7
    scaler.update(cc.tensor(32.0))
    assert scaler.get_scale() == 32
    with pytest.raises(DTypeError, match=r"GradScaler.scale: needs a tensor, or a list of such, got float"):
        scaler.scale(1.0)


def test_a_scale_stays_finite():
    scaler = cc.amp.GradScaler("cpu", init_scale=3e38, growth_interval=1)
    parameter = cc.zeros(1, requires_grad=True)
    optimizer = cc.optim.SGD([parameter], lr=0.5)
    (parameter * 0).sum().backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 3e38


def test_a_gradient_that_was_spread_gets_memory_of_its_own():
    parameter = cc.zeros(3, requires_grad=True)
    parameter.grad = cc.ones(1).expand(3)
    scaler = cc.amp.GradScaler("cpu", init_scale=2.0)
    scaler.unscale_(cc.optim.SGD([parameter], lr=1.0))
    assert parameter.grad.tolist() == [0.5] * 3


def test_a_scaler_that_is_off_does_nothing():
    scaler = cc.amp.GradScaler("cpu", enabled=False)
    parameter = cc.ones(1, requires_grad=True)
    optimizer = cc.optim.SGD([parameter], lr=0.5)
    loss = scaler.scale(parameter.sum())
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    scaler.load_state_dict({})
    assert (parameter.item(), scaler.get_scale(), scaler.is_enabled(), scaler.state_dict()) == (0.5, 1, False, {})


@pytest.fixture
def stepped():
    """A scaler after its step, and the optimizer."""
    parameter = cc.ones(1, requires_grad=True)
    scaler, optimizer = cc.amp.GradScaler("cpu"), cc.optim.SGD([parameter], lr=0.5)
    scaler.scale(parameter.sum()).backward()
    scaler.step(optimizer)
    return scaler, optimizer


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda scaler, optimizer: scaler.step(optimizer), "step: has been called for this optimizer"),
        (lambda scaler, optimizer: scaler.unscale_(optimizer), r"unscale_: is called after step\(\)"),
        (lambda scaler, optimizer: scaler.step(optimizer, lambda: None), "step: takes no closure"),
        (lambda scaler, optimizer: (scaler.update(), scaler.update()), r"update: there was no step\(\)"),
        (
            lambda scaler, optimizer: (scaler.update(), scaler.unscale_(optimizer), scaler.unscale_(optimizer)),
            r"unscale_: has been called for this optimizer",
        ),
        (
            lambda scaler, optimizer: (scaler.update(), optimizer.zero_grad(), scaler.step(optimizer)),
            "no parameter of this optimizer has a gradient",
        ),
    ],
)
def test_calls_in_the_wrong_order_are_refused(stepped, call, message):
    with pytest.raises(RuntimeError, match=message):
        call(*stepped)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"growth_factor": 1.0}, "growth_factor must be more than 1, got 1.0"),
        ({"backoff_factor": 1.5}, "backoff_factor must be between 0 and 1, got 1.5"),
    ],
)
def test_wrong_factors_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        cc.amp.GradScaler("cpu", **settings)


def test_an_empty_state_is_refused():
    with pytest.raises(CheckpointError, match=r"the state has no scale, .*; was it saved by one that was off"):
        cc.amp.GradScaler("cpu").load_state_dict({})


# What is refused


def test_the_cpu_has_no_autocast():
    with pytest.raises(UnsupportedError, match=r"autocast: on the CPU products are of float32 or float64; use"):
        cc.autocast("cpu")
    with cc.autocast("cpu", enabled=False):
        assert (cc.ones(2, 2) @ cc.ones(2, 2)).dtype == cc.float32


def test_other_dtypes_are_refused():
    wrong: Any = cc.float32
    with pytest.raises(
        DTypeError, match=r"dtype must be convcore.float16 or convcore.bfloat16, got dtype\('float32'\)"
    ):
        cc.autocast("cuda", dtype=wrong)
    with pytest.raises(DTypeError, match=r"dtype must be one of float32, .*, got convcore.bfloat16"):
        cc.ones(2, dtype=cc.bfloat16)


def test_without_a_gpu_both_warn_and_are_off(monkeypatch):
    monkeypatch.setattr(probe, "_answer", (None, "there is no GPU in this test"))
    with pytest.warns(UserWarning, match="autocast: does nothing, for there is no GPU: there is no GPU in this test"):
        cast = cc.autocast("cuda")
    with cast:
        assert (cc.ones(2, 2) @ cc.ones(2, 2)).sum().item() == 8
    with pytest.warns(UserWarning, match="GradScaler: is off, for there is no GPU: there is no GPU in this test"):
        assert not cc.amp.GradScaler().is_enabled()
