"""Pooling operations against PyTorch: values, indices and gradients, for every memory order."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pool_cases import ADAPTIVE, CASES, UNDILATED, image, name

from convcore.autograd import grad, no_grad, wrap
from convcore.ops.pool.functions import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d

N, C = 2, 5


def close(ours: np.ndarray, theirs: torch.Tensor | None) -> None:
    assert theirs is not None
    tolerance = 16 * np.finfo(ours.dtype).eps
    assert ours.dtype == theirs.detach().numpy().dtype
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


def same(ours: np.ndarray, theirs: torch.Tensor | None) -> None:
    assert theirs is not None
    assert ours.dtype == theirs.detach().numpy().dtype
    np.testing.assert_array_equal(ours, theirs.detach().numpy())


def compare(ours, theirs, x: np.ndarray, check=close) -> None:
    """Run both libraries on x: the outputs and, for a random cotangent, the gradients must agree."""
    before = x.copy()
    t = torch.from_numpy(x.copy()).requires_grad_()
    v = wrap(x).requires_grad_()
    out, expected = ours(v), theirs(t)
    check(out.array, expected)
    cotangent = np.random.default_rng(7).integers(-8, 9, out.array.shape).astype(x.dtype)
    out.backward(wrap(cotangent))
    expected.backward(torch.from_numpy(cotangent))
    assert v.grad is not None
    check(v.grad.array, t.grad)
    with no_grad():
        np.testing.assert_array_equal(ours(wrap(x)).array, out.array)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "windows_in_padding"], ids=name)
def test_max_pool2d_against_torch(case):
    settings = {**case.settings(), "dilation": case.dilation}
    x = image((N, C, *case.size), np.float32)
    compare(lambda v: max_pool2d(v, **settings), lambda t: F.max_pool2d(t, **settings), x, same)
    _, indices = max_pool2d(wrap(x), **settings, return_indices=True)
    same(indices.array, F.max_pool2d(torch.from_numpy(x), **settings, return_indices=True)[1])


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("case", UNDILATED, ids=name)
def test_avg_pool2d_against_torch(case, count_include_pad):
    settings = {**case.settings(), "count_include_pad": count_include_pad}
    x = image((N, C, *case.size), np.float32)
    compare(lambda v: avg_pool2d(v, **settings), lambda t: F.avg_pool2d(t, **settings), x)


@pytest.mark.parametrize(("size", "size_out"), ADAPTIVE, ids=name)
def test_adaptive_pooling_against_torch(size, size_out):
    x = image((N, C, *size), np.float32)
    if 0 not in size_out:  # torch has no gradient for an empty output
        compare(lambda v: adaptive_avg_pool2d(v, size_out), lambda t: F.adaptive_avg_pool2d(t, size_out), x)
        compare(lambda v: adaptive_max_pool2d(v, size_out), lambda t: F.adaptive_max_pool2d(t, size_out), x, same)
    _, indices = adaptive_max_pool2d(wrap(x), size_out, return_indices=True)
    same(indices.array, F.adaptive_max_pool2d(torch.from_numpy(x), size_out, return_indices=True)[1])


@st.composite
def settings_that_fit(draw) -> tuple[tuple[int, int], dict]:
    """An image's size and the settings of a max_pool2d whose windows all hold a pixel."""
    kernel, stride, dilation = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (4, 5, 3))
    padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
    size = tuple(dilation[i] * (kernel[i] - 1) + 1 + draw(st.integers(0, 6)) for i in range(2))
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return size, {**settings, "dilation": dilation}


@given(settings_that_fit())
def test_any_settings_against_torch(drawn):
    size, settings = drawn
    x = image((2, 3, *size), np.float32)
    compare(lambda v: max_pool2d(v, **settings), lambda t: F.max_pool2d(t, **settings), x, same)
    del settings["dilation"]
    compare(lambda v: avg_pool2d(v, **settings), lambda t: F.avg_pool2d(t, **settings), x)


@pytest.mark.parametrize("pool", [adaptive_avg_pool2d, adaptive_max_pool2d])
def test_an_empty_output_has_a_gradient_of_zeros(pool):
    x = wrap(image((2, 3, 5, 4))).requires_grad_()
    out = pool(x, (0, 2))
    out.backward(wrap(np.empty((2, 3, 0, 2))))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.array, np.zeros((2, 3, 5, 4)))


@pytest.mark.parametrize("output_size", [3, (2, 5), (None, 2), (3, None), [1, 2]])
def test_output_size_forms(output_size):
    x = image((N, C, 6, 7))
    compare(lambda v: adaptive_avg_pool2d(v, output_size), lambda t: F.adaptive_avg_pool2d(t, output_size), x)
    compare(lambda v: adaptive_max_pool2d(v, output_size), lambda t: F.adaptive_max_pool2d(t, output_size), x)


POOLS = [
    pytest.param(lambda x: max_pool2d(x, 3, 2, 1), lambda t: F.max_pool2d(t, 3, 2, 1), id="max"),
    pytest.param(lambda x: avg_pool2d(x, 3, 2, 1), lambda t: F.avg_pool2d(t, 3, 2, 1), id="avg"),
    pytest.param(lambda x: adaptive_max_pool2d(x, 3), lambda t: F.adaptive_max_pool2d(t, 3), id="adaptive_max"),
    pytest.param(lambda x: adaptive_avg_pool2d(x, 3), lambda t: F.adaptive_avg_pool2d(t, 3), id="adaptive_avg"),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("ours", "theirs"), POOLS)
def test_any_memory_order_rank_and_batch(ours, theirs, dtype):
    x = image((3, 4, 8, 7), dtype)
    for array in [
        x,
        np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),  # channels-last
        np.ascontiguousarray(x.transpose(3, 1, 0, 2)).transpose(2, 1, 3, 0),
        image((6, 4, 16, 7), dtype)[::2, :, ::2],
        x[1],  # one image
        x[:1],
        x[:0],
        np.ascontiguousarray(x[1].transpose(1, 2, 0)).transpose(2, 0, 1),
    ]:
        compare(ours, theirs, array)
    reversed_columns = x[:, :, :, ::-1]
    np.testing.assert_array_equal(ours(wrap(reversed_columns)).array, ours(wrap(reversed_columns.copy())).array)
    assert ours(wrap(x)).array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_cotangents_of_any_memory_order():
    x, cotangent = image((2, 3, 8, 6)), image((6, 4, 2, 3), seed=1).transpose(2, 3, 1, 0)[:, :, :, ::2]
    for ours, theirs in [(max_pool2d, F.max_pool2d), (avg_pool2d, F.avg_pool2d)]:
        v, t = wrap(x).requires_grad_(), torch.from_numpy(x).requires_grad_()
        ours(v, 2).backward(wrap(cotangent))
        theirs(t, 2).backward(torch.from_numpy(cotangent.copy()))
        assert v.grad is not None
        close(v.grad.array, t.grad)


@pytest.mark.parametrize("stride", [[1, 2], (np.int64(1), np.int32(2)), np.array([1, 2])], ids=repr)
def test_lists_and_numpy_integers_are_sizes(stride):
    x = image((1, 2, 6, 6))
    np.testing.assert_array_equal(max_pool2d(wrap(x), 2, stride).array, max_pool2d(wrap(x), 2, (1, 2)).array)


@pytest.mark.parametrize("divisor_override", [5, -2])
def test_divisor_override_against_torch(divisor_override):
    settings = {"padding": 1, "count_include_pad": False, "divisor_override": divisor_override}
    x = image((2, 3, 7, 6))
    compare(lambda v: avg_pool2d(v, 3, **settings), lambda t: F.avg_pool2d(t, 3, **settings), x)


def test_nan_and_infinity_travel_as_in_torch():
    random = np.random.default_rng(5)
    x = image((2, 5, 9, 8), np.float32)
    for value in (np.nan, np.inf, -np.inf):
        x[random.random(x.shape) < 0.15] = value
    x[0, 0] = -np.inf
    compare(lambda v: max_pool2d(v, 3, 2, 1), lambda t: F.max_pool2d(t, 3, 2, 1), x, same)
    compare(lambda v: adaptive_max_pool2d(v, 4), lambda t: F.adaptive_max_pool2d(t, 4), x, same)
    compare(lambda v: avg_pool2d(v, 3, 2, 1), lambda t: F.avg_pool2d(t, 3, 2, 1), x)
    _, indices = max_pool2d(wrap(x), 3, 2, 1, return_indices=True)
    same(indices.array, F.max_pool2d(torch.from_numpy(x), 3, 2, 1, return_indices=True)[1])


def test_windows_wholly_in_the_padding_are_minus_infinity_and_send_no_gradient():
    x = wrap(image((1, 2, 2, 3))).requires_grad_()
    out = max_pool2d(x, 2, 1, 1, 3)
    same(out.array, F.max_pool2d(torch.from_numpy(x.array), 2, 1, 1, 3))
    assert np.isneginf(out.array).any()
    out.backward(wrap(np.ones(out.array.shape)))
    assert x.grad is not None
    assert x.grad.array.sum() == np.isfinite(out.array).sum()


def test_indices_have_no_gradient_and_the_maximum_beside_them_has():
    x = image((2, 3, 6, 6))
    v = wrap(x).requires_grad_()
    out, indices = max_pool2d(v, 2, return_indices=True)
    assert indices.array.dtype == np.int64
    assert out.requires_grad
    assert not indices.requires_grad
    cotangent = image(out.array.shape, seed=1)
    out.backward(wrap(cotangent))
    plain = wrap(x).requires_grad_()
    max_pool2d(plain, 2).backward(wrap(cotangent))
    assert v.grad is not None
    assert plain.grad is not None
    np.testing.assert_array_equal(v.grad.array, plain.grad.array)
    picked = np.take_along_axis(x.reshape(2, 3, -1), indices.array.reshape(2, 3, -1), axis=2)
    np.testing.assert_array_equal(picked.reshape(out.array.shape), out.array)


def test_the_average_is_twice_differentiable():
    """<A x, u> has the gradient A^T u in x, linear in u: differentiating <A^T u, v> by u must give A v."""
    u, v = wrap(image((2, 3, 4, 4))).requires_grad_(), wrap(image((2, 3, 9, 7), seed=1))
    x = wrap(image((2, 3, 9, 7), seed=2)).requires_grad_()
    (grad_x,) = grad([avg_pool2d(x, 3, 2, (0, 1))], [x], [u], create_graph=True)
    (grad_u,) = grad([grad_x], [u], [v])
    np.testing.assert_allclose(grad_u.array, avg_pool2d(v, 3, 2, (0, 1)).array, rtol=1e-14, atol=1e-14)


def test_the_gradient_of_the_maximum_is_linear_and_has_its_transpose_as_gradient():
    """grad_x = P^T g: differentiating <P^T g, v> by g must give P v, the values where the maxima stood."""
    x, g, v = image((2, 3, 9, 7)), image((2, 3, 4, 4), seed=1), image((2, 3, 9, 7), seed=2)
    ours, theirs = [wrap(a).requires_grad_() for a in (x, g)], [torch.from_numpy(a).requires_grad_() for a in (x, g)]
    (grad_x,) = grad([max_pool2d(ours[0], 3, 2, (0, 1))], [ours[0]], [ours[1]], create_graph=True)
    (expected_x,) = torch.autograd.grad(
        [F.max_pool2d(theirs[0], 3, 2, (0, 1))], [theirs[0]], [theirs[1]], create_graph=True
    )
    (grad_g,) = grad([grad_x], [ours[1]], [wrap(v)])
    (expected_g,) = torch.autograd.grad([expected_x], [theirs[1]], [torch.from_numpy(v)])
    same(grad_g.array, expected_g)


def test_windows_without_taps_receive_no_second_gradient():
    x = wrap(image((1, 2, 2, 3))).requires_grad_()
    out = max_pool2d(x, 2, 1, 1, 3)
    g = wrap(np.ones(out.array.shape)).requires_grad_()
    (grad_x,) = grad([out], [x], [g], create_graph=True)
    (grad_g,) = grad([grad_x], [g], [wrap(np.ones(x.array.shape))])
    np.testing.assert_array_equal(grad_g.array, np.isfinite(out.array))
