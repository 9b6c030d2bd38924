"""What is added to a convolution that nobody differentiates is added as the kernel stores: the values do not change."""

import numpy as np
import pytest

import convcore
import convcore.nn.functional as F
from convcore import nn
from convcore.ops.core.parallel_ufuncs import SMALLEST
from kernels.cpu.linear.gemm import gemm
from kernels.launch import watched

# (name, image, filters, settings): each kernel that adds, with the edges and splits that it has.
CASES = {
    "pointwise": ((4, 40, 9, 9), (150, 40, 1, 1), {"algorithm": "pointwise"}),
    "pointwise, in blocks of the sum": ((4, 600, 9, 9), (150, 600, 1, 1), {"algorithm": "pointwise"}),
    "pointwise, in parts of the sum": ((1, 2048, 7, 7), (96, 2048, 1, 1), {"algorithm": "pointwise"}),
    "pointwise, few rows": ((1, 1024, 2, 2), (1024, 1024, 1, 1), {"algorithm": "pointwise"}),
    "direct": ((4, 24, 15, 15), (37, 24, 3, 3), {"algorithm": "direct", "padding": 1}),
    "direct, strided": ((4, 24, 29, 29), (37, 24, 3, 3), {"algorithm": "direct", "padding": 1, "stride": 2}),
    "direct, groups": ((4, 24, 15, 15), (42, 12, 3, 3), {"algorithm": "direct", "groups": 2}),
    "winograd, few filters": ((8, 16, 15, 15), (37, 16, 3, 3), {"algorithm": "winograd", "padding": 1}),
    "winograd, many filters": ((1, 96, 10, 10), (96, 96, 3, 3), {"algorithm": "winograd", "padding": 1}),
    "winograd2x2": ((8, 16, 15, 15), (37, 16, 3, 3), {"algorithm": "winograd2x2", "padding": 1}),
    "im2col, which does not add": ((4, 24, 15, 15), (37, 24, 3, 3), {"algorithm": "im2col"}),
    "depthwise, which does not add": ((4, 48, 15, 15), (48, 1, 3, 3), {"groups": 48}),
}


@pytest.fixture(autouse=True)
def in_inference():
    with convcore.inference_mode():
        yield


def tensors(image, filters, dtype=np.float32, small_integers=False):
    rng = np.random.default_rng(0)

    def numbers(shape):
        values = rng.integers(-2, 3, shape) if small_integers else rng.standard_normal(shape)
        return convcore.tensor(values.astype(dtype))

    return numbers(image), numbers(filters), numbers(filters[0]), numbers


def operations(function):
    """The result of a function, and the names of the kernels that it took."""
    names = []
    with watched(lambda kernel, args: names.append(kernel.__name__)):
        result = function().array
    return result, names


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("relu", [False, True], ids=["sum", "relu of the sum"])
@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_the_steps(case, relu, dtype):
    image, filters, settings = CASES[case]
    # Sums of small integers are exact but for Winograd's fractions.
    x, weight, bias, numbers = tensors(image, filters, dtype, small_integers=True)

    def result():
        out = F.conv2d(x, weight, bias, **settings) + addend
        return F.relu(out) if relu else out

    # In the order of memory in which the sum would be a kernel's, were it not fused.
    addend = numbers(F.conv2d(x, weight, **settings).shape).to(memory_format=convcore.channels_last)
    with convcore.no_fusion():
        expected = result().array
    got, names = operations(result)
    tolerance = 1e-4 if "winograd" in case else 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    if expected.nbytes >= SMALLEST:  # smaller sums are NumPy's, and no kernel's, in any case
        assert ("add" in names) == ("not add" in case)


def test_products_in_parts_are_tested():
    """The case of that name splits its sum, else it would be one of the others."""
    parts = []
    image, filters, settings = CASES["pointwise, in parts of the sum"]
    x, weight, _, numbers = tensors(image, filters)
    addend = numbers((1, 96, 7, 7))
    with watched(lambda kernel, args: parts.extend(a.shape[0] for a in args if kernel is gemm and np.ndim(a) == 4)):
        (F.conv2d(x, weight, **settings) + addend).numpy()
    assert parts == [parts[0]]
    assert parts[0] > 1


@pytest.fixture
def block():
    """A residual block's end: x, convolution, batch norm."""
    convcore.manual_seed(0)
    conv, norm = nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.weight)
    return nn.Sequential(conv, norm).eval(), convcore.randn(2, 32, 24, 24)


def test_a_residual_block_is_one_pass(block):
    body, x = block
    with convcore.no_fusion():
        expected = F.relu(body(x) + x).array
    for function in (lambda: F.relu(body(x) + x), lambda: F.relu(x + body(x))):
        result, names = operations(function)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)
        assert not {"add", "relu_forward", "batch_norm_forward"} & set(names)


def test_in_place(block):
    body, x = block
    expected = (body(x) + x).array

    def summed():
        out = body(x)
        same = out
        out += x
        assert out is same
        return out.relu_()

    result, names = operations(summed)
    np.testing.assert_array_equal(result, np.maximum(expected, 0))
    assert not {"add", "relu_forward"} & set(names)
    scaled = body(x)
    scaled.add_(x, alpha=2)
    np.testing.assert_allclose(scaled.array, body(x).array + 2 * x.array, rtol=0, atol=1e-5)


def test_a_sum_of_sums_adds_once_in_the_kernel(block):
    body, x = block
    expected = body(x).array + x.array + x.array
    np.testing.assert_allclose((body(x) + x + x).array, expected, rtol=0, atol=1e-5)


def test_with_itself(block):
    body, x = block
    out = body(x)
    expected = 2 * body(x).array
    result, names = operations(lambda: out + out)
    np.testing.assert_array_equal(result, expected)
    assert sum(name.startswith("conv") for name in names) == 1  # what is added to itself is not computed twice
    out = body(x)
    out += out
    np.testing.assert_array_equal(out.array, expected)


def test_of_two_convolutions(block):
    body, x = block
    expected = body(x).array + body(x + 1).array
    np.testing.assert_allclose((body(x) + body(x + 1)).array, expected, rtol=0, atol=1e-5)


def test_batch_norm_after_the_sum_is_not_drawn_into_the_filters(block):
    body, x = block
    norm = body[1]
    with convcore.no_fusion():
        expected = norm(body[0](x) + x).array
    np.testing.assert_allclose(norm(body[0](x) + x).array, expected, rtol=0, atol=1e-4)


def test_the_activation_comes_last(block):
    """relu(conv) + x is not relu(conv + x)."""
    body, x = block
    expected = np.maximum(body(x).array, 0) + x.array
    np.testing.assert_array_equal((F.relu(body(x)) + x).array, expected)


def test_an_addend_that_changes_before_anybody_looks(block):
    body, x = block
    addend = x + 1
    expected = (body(x) + addend).array
    out = body(x) + addend
    addend.zero_()
    np.testing.assert_array_equal(out.array, expected)


def test_an_addend_that_numpy_code_may_change(block):
    body, x = block
    array = np.ones((2, 32, 24, 24), np.float32)
    addend = convcore.from_numpy(array)
    out = body(x) + addend
    array[...] = 5
    np.testing.assert_array_equal(out.array, body(x).array + 1)


def test_other_shapes_and_types_of_addends(block):
    body, x = block
    for addend in (convcore.randn(32, 1, 1), convcore.randn(1, 32, 24, 24), convcore.randn(2, 32, 24, 24).double(), 3):
        expected = body(x).array + (addend if isinstance(addend, int) else addend.array)
        result = body(x) + addend
        assert result.array.dtype == expected.dtype
        np.testing.assert_allclose(result.array, expected, rtol=0, atol=1e-6)


def test_an_addend_in_another_order_of_memory(block):
    body, x = block
    rows = convcore.tensor(np.random.default_rng(1).standard_normal((2, 32, 24, 24), np.float32))
    assert rows.array.flags.c_contiguous
    np.testing.assert_array_equal((body(x) + rows).array, body(x).array + rows.array)


def test_an_addend_that_is_differentiated_is_recorded(block):
    body, x = block
    for parameter in body.parameters():
        parameter.requires_grad_(False)
    with convcore.inference_mode(False), convcore.enable_grad():
        addend = convcore.ones(2, 32, 24, 24, requires_grad=True)
        out = body(x) + addend
        out.sum().backward()
    assert addend.grad is not None
    np.testing.assert_array_equal(addend.grad.array, 1)


def test_nan_and_infinity_of_the_addend_pass(block):
    body, x = block
    addend = convcore.zeros(2, 32, 24, 24)
    addend[0, 0, 0, 0], addend[0, 1, 0, 0], addend[0, 2, 0, 0] = np.nan, np.inf, -np.inf
    result = F.relu(body(x) + addend).array[0, :3, 0, 0]
    np.testing.assert_array_equal(result, [np.nan, np.inf, 0])
