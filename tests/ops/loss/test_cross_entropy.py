"""Losses of classifiers: the reference against PyTorch, the kernels against the reference, the ops against PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError, UnsupportedError
from convcore.ops.loss.cross_entropy import cross_entropy, nll_loss
from convcore.ops.loss.elementwise import mse_loss
from kernels import threads
from kernels.cpu import loss as kernels
from kernels.cpu.reduce import sum_chunks
from kernels.reference import loss as reference

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
REDUCTIONS = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def leaf(array) -> Any:
    return wrap(array).requires_grad_()


def torch_leaf(array) -> Any:
    return torch.tensor(array, requires_grad=True)


def labels(rng, classes, shape, ignore_index=-100):
    """Random labels, the first of them ignored."""
    target = np.asarray(rng.integers(0, classes, shape))
    if target.size > 1:
        target.reshape(-1)[0] = ignore_index
    return target


def check_against_torch(ours, theirs, x, target, dtype, grad_out, **settings):
    """Value and gradient of a loss against PyTorch's in float64."""
    weight = settings.pop("weight", None)
    variable, before = leaf(x), (x.copy(), target.copy())
    out = ours(variable, wrap(target), None if weight is None else wrap(weight), **settings)
    out.backward(wrap(grad_out))
    expected_x = torch_leaf(x.astype(np.float64))
    double_weight = None if weight is None else torch.tensor(weight.astype(np.float64))
    double_target = torch.tensor(target if target.dtype == np.int64 else target.astype(np.float64))
    expected = theirs(expected_x, double_target, double_weight, **settings)
    expected.backward(torch.tensor(grad_out.astype(np.float64)))
    assert out.array.dtype == variable.grad.array.dtype == dtype
    tolerance: dict[str, Any] = {
        "rtol": TOLERANCE[dtype],
        "atol": TOLERANCE[dtype] * max(1, abs(grad_out).max(initial=0)),
    }
    np.testing.assert_allclose(out.array, expected.detach().numpy(), **tolerance)
    np.testing.assert_allclose(variable.grad.array, expected_x.grad.numpy(), **tolerance)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(target, before[1])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_reference_agrees_with_torch(label_smoothing):
    rng = np.random.default_rng(0)
    x, target, weight = rng.standard_normal((6, 5)), labels(rng, 5, 6, -1), rng.random(5)
    grad_loss = rng.standard_normal(6)
    variable = torch_leaf(x)
    args = variable, torch.tensor(target), torch.tensor(weight)
    expected = F.cross_entropy(*args, ignore_index=-1, reduction="none", label_smoothing=label_smoothing)
    expected.backward(torch.tensor(grad_loss))
    loss, counted = reference.cross_entropy_forward(x, target, weight, label_smoothing, -1)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-13)
    mean = F.cross_entropy(*args, ignore_index=-1, label_smoothing=label_smoothing)
    np.testing.assert_allclose(loss.sum() / counted.sum(), mean.item(), rtol=1e-13)
    grad_x = reference.cross_entropy_grad_input(x, target, weight, grad_loss, label_smoothing, -1)
    np.testing.assert_allclose(grad_x, variable.grad.numpy(), rtol=1e-12, atol=1e-15)

    loss, counted = reference.nll_loss_forward(x, target, weight, -1)
    np.testing.assert_allclose(loss, F.nll_loss(*args, ignore_index=-1, reduction="none").detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(loss.sum() / counted.sum(), F.nll_loss(*args, ignore_index=-1).item(), rtol=1e-13)
    np.testing.assert_allclose(
        reference.mse_loss_forward(x, x[::-1]),
        F.mse_loss(variable, torch.tensor(x[::-1].copy()), reduction="none").detach(),
    )


@DTYPES
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("rows", "classes", "rows_per_chunk"), [(1, 1, 1), (7, 10, 3), (64, 3, 64), (5, 1000, 2)])
def test_kernels_agree_with_the_reference(dtype, label_smoothing, rows, classes, rows_per_chunk):
    rng = np.random.default_rng(rows)
    x, weight = (rng.standard_normal((rows, classes)) * 3).astype(dtype), rng.random(classes).astype(dtype)
    target, grad_loss = labels(rng, classes, rows), rng.standard_normal(rows).astype(dtype)
    loss, maxima, sums = np.full((3, rows), np.nan, dtype)
    totals, grad_x = np.full(2, np.nan), np.full_like(x, np.nan)
    workspace = np.full((2, -(-rows // rows_per_chunk), 1), np.nan)
    kernels.cross_entropy_forward(
        x, target, weight, loss, maxima, sums, workspace, label_smoothing, -100, rows_per_chunk
    )
    sum_chunks(workspace, totals.reshape(2, 1))
    kernels.cross_entropy_grad_input(
        x, target, weight, maxima, sums, grad_loss, grad_x, label_smoothing, -100, rows_per_chunk
    )
    tolerance: dict[str, Any] = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    expected, counted = reference.cross_entropy_forward(x, target, weight, label_smoothing, -100)
    np.testing.assert_allclose(loss, expected, **tolerance)
    np.testing.assert_allclose(totals, [expected.sum(), counted.sum()], **tolerance)
    expected = reference.cross_entropy_grad_input(x, target, weight, grad_loss, label_smoothing, -100)
    np.testing.assert_allclose(grad_x, expected, **tolerance)


@DTYPES
@REDUCTIONS
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 10), (0, 1)),
        ((5, 10), (1, 0)),
        ((1, 3), (0, 1)),
        ((4,), (0,)),
        ((2, 3, 4, 5), (0, 2, 3, 1)),
        ((2, 3, 7), (0, 1, 2)),
    ],
)
def test_cross_entropy_agrees_with_torch(dtype, reduction, weighted, label_smoothing, shape, axes):
    """`axes` is the order of the axes in memory."""
    rng = np.random.default_rng(1)
    x = (rng.standard_normal([shape[a] for a in axes]) * 3).astype(dtype).transpose(np.argsort(axes))
    classes, target_shape = (shape[0], ()) if len(shape) == 1 else (shape[1], (shape[0], *shape[2:]))
    target = labels(rng, classes, target_shape)
    grad_out = np.asarray(rng.standard_normal(target_shape if reduction == "none" else ()), dtype)
    check_against_torch(
        cross_entropy, F.cross_entropy, x, target, dtype, grad_out,
        weight=rng.random(classes).astype(dtype) if weighted else None,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


@DTYPES
@REDUCTIONS
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 4, 3)])
def test_nll_loss_agrees_with_torch(dtype, reduction, weighted, shape):
    rng = np.random.default_rng(2)
    classes, target_shape = (shape[0], ()) if len(shape) == 1 else (shape[1], (shape[0], *shape[2:]))
    grad_out = np.asarray(rng.standard_normal(target_shape if reduction == "none" else ()), dtype)
    check_against_torch(
        nll_loss, F.nll_loss, rng.standard_normal(shape).astype(dtype), labels(rng, classes, target_shape, 2), dtype,
        grad_out, weight=rng.random(classes).astype(dtype) if weighted else None, ignore_index=2, reduction=reduction,
    )  # fmt: skip


@REDUCTIONS
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 4, 3)])
def test_cross_entropy_with_probabilities_agrees_with_torch(reduction, label_smoothing, shape):
    rng = np.random.default_rng(3)
    axis = min(len(shape) - 1, 1)
    x, q, weight = rng.standard_normal(shape), rng.random(shape), rng.random(shape[axis])
    grad_out = np.asarray(rng.standard_normal((*shape[:axis], *shape[axis + 1 :]) if reduction == "none" else ()))
    settings = {"reduction": reduction, "label_smoothing": label_smoothing}
    variables = leaf(x), leaf(q)
    out = cross_entropy(*variables, wrap(weight), **settings)
    out.backward(wrap(grad_out))
    theirs = torch_leaf(x), torch_leaf(q)
    expected = F.cross_entropy(*theirs, torch.tensor(weight), **settings)
    expected.backward(torch.tensor(grad_out))
    np.testing.assert_allclose(out.array, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    for mine, other in zip(variables, theirs, strict=True):
        np.testing.assert_allclose(mine.grad.array, other.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", [(cross_entropy, F.cross_entropy), (nll_loss, F.nll_loss)])
@pytest.mark.parametrize("rows", [0, 3])
def test_a_mean_over_nothing_is_nan(loss, rows):
    """An empty batch, or one of which every row is ignored."""
    x, target = np.random.default_rng(4).standard_normal((rows, 5)), np.full(rows, -100)
    ours, theirs = leaf(x), torch_leaf(x)
    out, expected = loss[0](ours, wrap(target)), loss[1](theirs, torch.tensor(target))
    out.backward()
    expected.backward()
    assert np.isnan(out.array)
    assert expected.isnan()
    np.testing.assert_array_equal(ours.grad.array, theirs.grad.numpy())
    assert loss[0](wrap(x), wrap(target), reduction="sum").array == 0
    assert loss[0](wrap(x), wrap(target), reduction="none").array.shape == (rows,)


@DTYPES
def test_extreme_logits_agree_with_torch(dtype):
    inf, nan = np.inf, np.nan
    x = np.array(
        [
            [1e30, 1e30, 0], [1e4, 1e4 - 1, -1e4], [-1e4, -1e4 - 3, -1e4], [-inf, 0, 1], [0, -inf, 1],
            [-inf, -inf, -inf], [inf, 0, 1], [nan, 0, 1], [0, nan, 1], [nan, 0, 1],
        ],
        dtype,
    )  # fmt: skip
    target = np.array([0, 0, 1, 0, 0, 1, 1, 0, 0, -100])
    ours, theirs = leaf(x), torch_leaf(x)
    out = cross_entropy(ours, wrap(target), reduction="none")
    expected = F.cross_entropy(theirs, torch.tensor(target), reduction="none")
    grad_out = np.random.default_rng(5).standard_normal(10).astype(dtype)
    out.backward(wrap(grad_out))
    expected.backward(torch.tensor(grad_out))
    np.testing.assert_allclose(out.array, expected.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(ours.grad.array, theirs.grad.numpy(), rtol=1e-6, atol=1e-7)


def test_losses_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(6)
    x, target = rng.standard_normal((3000, 10)).astype(np.float32), rng.integers(0, 10, 3000)
    before, results = threads.get_num_threads(), []
    try:
        for count in (1, threads.max_num_threads()):
            threads.set_num_threads(count)
            variable = leaf(x)
            loss = cross_entropy(variable, wrap(target))
            loss.backward()
            results.append((loss.array, variable.grad.array))
    finally:
        threads.set_num_threads(before)
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)


@DTYPES
@REDUCTIONS
def test_mse_loss_agrees_with_torch(dtype, reduction):
    rng = np.random.default_rng(7)
    x, target = rng.standard_normal((2, 3, 4)).astype(dtype), rng.standard_normal((3, 2, 4)).astype(dtype)
    target = target.transpose(1, 0, 2)
    grad_out = np.asarray(rng.standard_normal((2, 3, 4) if reduction == "none" else ()), dtype)
    ours = leaf(x), leaf(target)
    out = mse_loss(*ours, reduction=reduction)
    out.backward(wrap(grad_out))
    theirs = [torch_leaf(a.astype(np.float64)) for a in (x, target)]
    expected = F.mse_loss(*theirs, reduction=reduction)
    expected.backward(torch.tensor(grad_out.astype(np.float64)))
    assert out.array.dtype == dtype
    tolerance: dict[str, Any] = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    np.testing.assert_allclose(out.array, expected.detach().numpy(), **tolerance)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad.array, other.grad.numpy(), **tolerance)


def test_mse_loss_of_an_empty_batch_is_nan():
    assert np.isnan(mse_loss(wrap(np.empty((0, 3))), wrap(np.empty((0, 3)))).array)


def test_mse_loss_warns_when_it_broadcasts():
    column, row = wrap(np.arange(3.0).reshape(3, 1)), wrap(np.arange(3.0))
    with pytest.warns(UserWarning, match=r"target's shape differs from input's(.|\n)*\(3, 1\)(.|\n)*\(3,\)"):
        out = mse_loss(column, row)
    np.testing.assert_allclose(out.array, ((column.array - row.array) ** 2).mean())


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize(
    ("shape", "target", "settings", "error", "message"),
    [
        ((2, 3), np.array([0, 3]), {}, ShapeError, r"target\[1\] is 3, but labels must lie from 0 to 2 \(input has 3"),
        ((2, 3), np.array([-1, 3]), {}, ShapeError, r"target\[0\] is -1.*ignore_index = -100; 2 of 2 are out of range"),
        ((2, 3), np.array([-1, 3]), {"ignore_index": -1}, ShapeError, r"target\[1\] is 3.*1 of 2"),
        ((1, 3, 2, 2), np.array([[[0, 1], [7, 2]]]), {}, ShapeError, r"target\[0, 1, 0\] is 7"),
        ((3,), np.array(5), {}, ShapeError, r"target is 5, but labels"),
        ((2, 3), np.array([0, 1, 2]), {}, ShapeError, r"labels must have .*\(2,\)\n  input .*\(2, 3\)"),
        ((2, 3, 4), np.array([0, 1]), {}, ShapeError, r"without the class axis, \(2, 4\)"),
        ((2, 0), np.array([0, 0]), {}, ShapeError, r"with K >= 1 classes"),
        ((), np.array(0), {}, ShapeError, r"input must have the shape \(N, K\)"),
        ((2, 3), np.array([0, 1], np.int32), {}, DTypeError, r"labels must be int64, got int32.*target\.long\(\)"),
        ((2, 3), np.array([0.0, 1.0]), {}, DTypeError, r"labels must be int64, got float64.*target\.long\(\)"),
        ((2, 3), np.array([0, 1]), {"ignore_index": 0.5}, DTypeError, r"ignore_index must be an integer, got 0.5"),
        ((2, 3), np.array([0, 1]), {"reduction": "avg"}, ShapeError, r"reduction must be 'none', 'mean' or 'sum'"),
        ((2, 3), np.array([0, 1]), {"weight": np.ones(2)}, ShapeError, r"weight must have one element for each"),
        ((2, 3), np.array([0, 1]), {"weight": np.ones(3, np.float32)}, DTypeError, r"must have one dtype"),
    ],
)  # fmt: skip
def test_wrong_arguments(loss, shape, target, settings, error, message):
    if "weight" in settings:
        settings = settings | {"weight": wrap(settings["weight"])}
    with pytest.raises(error, match=f"{loss.__name__}: {message}" if message.startswith("target") else message):
        loss(wrap(np.ones(shape)), wrap(target), **settings)


def test_more_wrong_arguments():
    x, target = wrap(np.ones((2, 3))), wrap(np.array([0, 1]))
    with pytest.raises(ShapeError, match=r"cross_entropy: label_smoothing must lie from 0 to 1, got 1.5"):
        cross_entropy(x, target, label_smoothing=1.5)
    with pytest.raises(UnsupportedError, match=r"ignore_index = 1 needs labels, but target holds probabilities"):
        cross_entropy(x, wrap(np.ones((2, 3))), ignore_index=1)
    with pytest.raises(UnsupportedError, match=r"weight requires a gradient.*detach\(\)"):
        cross_entropy(x, target, leaf(np.ones(3)))
    with pytest.raises(DTypeError, match=r"cross_entropy: input must be float32 or float64, got int64"):
        cross_entropy(wrap(np.ones((2, 3), np.int64)), target)
    with pytest.raises(DTypeError, match=r"a float target holds probabilities, and then has input's shape"):
        cross_entropy(x, wrap(np.ones((2, 4))))
    with pytest.raises(DTypeError, match=r"nll_loss: target must be a tensor, got list"):
        nll_loss(x, [0, 1])  # pyright: ignore
    with pytest.raises(DTypeError, match=r"mse_loss: input must be a tensor, got ndarray"):
        mse_loss(np.ones(3), x)  # pyright: ignore
    with pytest.raises(ShapeError, match=r"mse_loss: reduction must be"):
        mse_loss(x, x, reduction="median")
