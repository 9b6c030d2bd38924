"""matmul and linear against their reference and PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.epilogue import Epilogue
from convcore.ops.linear import blocking
from convcore.ops.linear import matmul as matmul_ops
from convcore.ops.linear.gemm import IN_PLACE, PACKED
from convcore.ops.linear.geometry import geometry_of
from convcore.ops.linear.matmul import linear, product
from convcore.ops.linear.transposed import TRANSPOSED, tiles
from convcore.testing import gradcheck, gradgradcheck
from kernels.cpu.vector.target import TILE_ROWS, tile_columns
from kernels.reference import linear as reference
from kernels.threads import max_num_threads

matmul: Any = matmul_ops.matmul  # it is given wrong arguments on purpose

# (M, K, N): whole tiles, remainders in every direction, vectors, both sides of the packing threshold.
SIZES = [
    (12, 8, 32),
    (1, 1, 1),
    (13, 7, 33),
    (5, 3, 100),
    (64, 17, 31),
    (100, 40, 65),
    (1, 50, 3),
    (70, 1, 1),
    (3, 300, 2),
    (7, 1100, 200),  # the sum in parts and blocks; transposed if b is by columns
    (110, 700, 150),  # several blocks of rows, panels and depth
]


def operands(size, dtype: Any = np.float32, integers=True):
    rng = np.random.default_rng(sum(size))
    m, k, n = size
    draw = (lambda shape: rng.integers(-4, 5, shape)) if integers else rng.standard_normal
    return draw((m, k)).astype(dtype), draw((k, n)).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
def test_reference_agrees_with_torch(size):
    a, b = operands(size, np.float64, integers=False)
    bias = b[0]
    np.testing.assert_allclose(
        reference.gemm(a, b), (torch.tensor(a) @ torch.tensor(b)).numpy(), rtol=1e-12, atol=1e-12
    )
    right = torch.nn.functional.linear(torch.tensor(a), torch.tensor(b).T, torch.tensor(bias)).numpy()
    np.testing.assert_allclose(reference.linear(a, b.T, bias), right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("layout_b", ["rows", "columns", "slice"])
@pytest.mark.parametrize("layout_a", ["rows", "columns", "slice"])
@pytest.mark.parametrize("size", SIZES)
def test_product_is_exact_for_integers_in_every_layout(size, layout_a, layout_b, dtype):
    def laid_out(array, layout):
        if layout == "columns":
            return np.asfortranarray(array)
        if layout == "slice":
            larger = np.full((2 * array.shape[0], array.shape[1] + 3), np.nan, dtype)
            larger[::2, 2:-1] = array
            return larger[::2, 2:-1]
        return array

    a, b = operands(size, dtype)
    bias = b[0].copy()
    left, right = laid_out(a, layout_a), laid_out(b, layout_b)
    np.testing.assert_array_equal(product(left, right), reference.gemm(a, b))
    np.testing.assert_array_equal(product(left, right, bias), reference.gemm(a, b) + bias)


@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [
        ((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 5)), ((3, 4), (4,)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
        ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 6)), ((1, 3, 4), (7, 4, 2)), ((7, 3, 4), (4,)), ((4,), (7, 4, 2)),
        ((0, 4), (4, 5)), ((3, 0), (0, 5)), ((2, 3, 0), (0, 2)), ((0, 3, 4), (4, 2)),
    ],
)  # fmt: skip
def test_shapes_and_gradients_follow_torch(shape_a, shape_b):
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal(shape_a), rng.standard_normal(shape_b)
    tensors: list[Any] = [convcore.tensor(v, requires_grad=True) for v in (a, b)]
    torch_tensors: list[Any] = [torch.tensor(v, requires_grad=True) for v in (a, b)]
    out, right = matmul(*tensors), torch.matmul(*torch_tensors)
    assert tuple(out.shape) == tuple(right.shape)
    cotangent = rng.standard_normal(right.shape)
    out.backward(convcore.tensor(cotangent))
    right.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(out.detach().numpy(), right.detach().numpy(), rtol=1e-12, atol=1e-12)
    for tensor, torch_tensor in zip(tensors, torch_tensors, strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), torch_tensor.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4), (100, 4)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_follows_torch(shape, with_bias):
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal(shape), rng.standard_normal((6, 4))] + ([rng.standard_normal(6)] if with_bias else [])
    tensors: list[Any] = [convcore.tensor(v, requires_grad=True) for v in arrays]
    torch_tensors: list[Any] = [torch.tensor(v, requires_grad=True) for v in arrays]
    out, right = linear(*tensors), torch.nn.functional.linear(*torch_tensors)
    cotangent = rng.standard_normal(right.shape)
    out.backward(convcore.tensor(cotangent))
    right.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(out.detach().numpy(), right.detach().numpy(), rtol=1e-12, atol=1e-12)
    for tensor, torch_tensor in zip(tensors, torch_tensors, strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), torch_tensor.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 4096, 24), (20, 4096, 24), (17, 2048, 40)])
@pytest.mark.parametrize("relu", [False, True])
def test_a_bias_is_added_once_where_the_sum_is_split(size, relu):
    """Few chunks and a long sum: the sum is computed in parts; integers make every order of it exact."""
    m, k, n = size
    assert blocking.split(1, m, k, n, -(-n // tile_columns(4)), copied=False, transposed=False)[2] > 1
    a, b = operands(size)
    bias = np.arange(-n // 2, n - n // 2).astype(np.float32) * 100
    expected = a.astype(np.float64) @ b.astype(np.float64) + bias
    for right in (b, np.asfortranarray(b)):
        result = product(a, right, bias, Epilogue(activation="relu" if relu else None))
        assert np.array_equal(result, np.maximum(expected, 0) if relu else expected)


@pytest.mark.parametrize("size", [(100, 1024, 300), (230, 2048, 290), (97, 1100, 257)])
@pytest.mark.parametrize("ways", [1, 12])
def test_rows_that_share_places_of_the_cache_are_copied(size, ways, monkeypatch):
    """Whether they are depends on the CPU, and the result must not."""
    k = size[1]
    monkeypatch.setattr(blocking, "L1_WAYS", ways)
    blocking.blocking.cache_clear()
    a, b = operands(size)
    try:
        assert blocking.blocking(geometry_of(a, b)).copies_a == (ways == 1 and k % 1024 == 0)
        assert np.array_equal(product(a, b), a.astype(np.float64) @ b.astype(np.float64))
    finally:
        blocking.blocking.cache_clear()


# The gradient of a weight: both operands have the summation index first, and are copied block by block.
@pytest.mark.parametrize(
    "size", [(96, 3000, 24), (24, 3000, 96), (40, 1500, 200), (300, 1100, 180), (520, 300, 330), (20, 9000, 200)]
)
@pytest.mark.parametrize("transposed", [False, True])
def test_long_sums_of_columns(size, transposed):
    a, b = operands(size)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    a = np.asfortranarray(a)
    for right in (b, np.asfortranarray(b)):
        # Which algorithm is faster depends on the CPU.
        geometry = geometry_of(a, right)
        algorithm = TRANSPOSED if transposed else IN_PLACE if PACKED.advises_against(geometry) else PACKED
        assert np.array_equal(algorithm.multiply(a, algorithm.prepare(right, None), geometry), expected)


def test_a_product_is_transposed_where_fewer_tiles_cover_it():
    def is_slower(a, b):
        return TRANSPOSED.advises_against(geometry_of(a, b)) is not None

    columns = tile_columns(4)
    a, b = np.asfortranarray(np.ones((2 * columns, 9), np.float32)), np.ones((9, columns + 1), np.float32)
    assert tiles(2 * columns, columns + 1, 4) == -(-2 * columns // TILE_ROWS) * 2
    assert not is_slower(a, b)
    assert is_slower(np.asfortranarray(b.T), np.ascontiguousarray(a.T))
    assert is_slower(np.ascontiguousarray(a), b)


@pytest.mark.parametrize("trained", [False, True])
def test_linear_of_no_features_gives_the_bias(trained):
    bias = convcore.ones(30, requires_grad=trained)
    out = linear(convcore.ones(20, 0), convcore.ones(30, 0, requires_grad=trained), bias)
    np.testing.assert_array_equal(out.detach().numpy(), np.ones((20, 30)))


def test_derivatives():
    rng = np.random.default_rng(5)
    a, b, weight, bias = (
        convcore.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((3, 4), (2, 4, 5), (6, 4), (6,))
    )
    assert gradcheck(matmul, (a, b))
    assert gradgradcheck(matmul, (a, b))
    assert gradcheck(linear, (a, weight, bias))
    assert gradgradcheck(linear, (a, weight, bias))


def test_integer_matrices():
    a = convcore.tensor([[1, 2], [3, 4]])
    np.testing.assert_array_equal(matmul(a, a).numpy(), [[7, 10], [15, 22]])


def test_one_and_two_threads_give_the_same_bits():
    a, b = operands((150, 1333, 77), integers=False)
    before, results = convcore.get_num_threads(), []
    try:
        for threads in (1, max_num_threads()):
            convcore.set_num_threads(threads)
            few = product(a[:5], np.asfortranarray(b), b[0])
            results.append((product(a, b).tobytes(), product(a[:20], b).tobytes(), few.tobytes()))
    finally:
        convcore.set_num_threads(before)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: matmul(convcore.ones(2, 3), convcore.ones(4, 5)), ShapeError, "a has 3 columns but b has 4 rows"),
        (lambda: matmul(convcore.ones(2, 3, 4), convcore.ones(5, 4, 1)), ShapeError, "leading axes do not broadcast"),
        (lambda: matmul(convcore.ones(2, 2), convcore.tensor(2.0)), ShapeError, "at least 1 axis; use \\*"),
        (
            lambda: matmul(convcore.ones(2, 2), convcore.ones(2, 2, dtype=convcore.float64)),
            DTypeError, "one dtype, got float32 and float64",
        ),
        (lambda: matmul(convcore.ones(2, 2), 3), DTypeError, "both operands must be tensors, got Tensor and int"),
        (
            lambda: linear(convcore.ones(2, 3), convcore.ones(5, 4)),
            ShapeError,
            "input has 3 features but weight expects 4",
        ),
        (lambda: linear(convcore.tensor(1.0), convcore.ones(5, 4)), ShapeError, "input is a scalar but weight expects"),
        (lambda: linear(convcore.ones(2, 3), convcore.ones(3)), ShapeError, "weight must have 2 axes"),
        (
            lambda: linear(convcore.ones(2, 3), convcore.ones(5, 3), convcore.ones(3)),
            ShapeError, "one value for each of the 5 outputs",
        ),
        (
            lambda: linear(convcore.ones(2, 3).long(), convcore.ones(5, 3).long()),
            DTypeError, "must be float32 or float64, got int64",
        ),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def strided_operands():
    """Pairs of operands that lie in larger arrays, with the arrays' other elements NaN."""
    rng = np.random.default_rng(5)

    def inside(shape, axes, starts):
        """An array of integers of `shape`, seen in this order of axes, each axis beginning later in memory."""
        whole = np.full([size + start + 1 for size, start in zip(shape, starts, strict=True)], np.nan, np.float32)
        part = whole[tuple(slice(start, start + size) for size, start in zip(shape, starts, strict=True))]
        part[...] = rng.integers(-4, 5, shape)
        return part.transpose(axes)

    heads = inside((40, 3, 20), (1, 0, 2), (0, 1, 2))
    yield "heads", heads, heads.transpose(0, 2, 1)
    yield "columns_apart", inside((40, 30), (0, 1), (2, 3)), inside((50, 30), (1, 0), (1, 2))
    yield "neither_neighbours", inside((30, 40), (0, 1), (0, 0))[:, ::2], inside((20, 33), (0, 1), (0, 0))
    yield "backwards", inside((30, 20), (0, 1), (0, 0))[::-1], inside((20, 33), (0, 1), (0, 0))[:, ::-1]
    yield (
        "broadcast",
        np.broadcast_to(inside((30, 20), (0, 1), (0, 1)), (4, 30, 20)),
        inside((4, 20, 24), (0, 1, 2), (1, 1, 1)),
    )
    yield "empty", inside((0, 20), (0, 1), (1, 1)), inside((20, 24), (0, 1), (1, 1))


@pytest.mark.parametrize(("a", "b"), [pytest.param(*pair, id=name) for name, *pair in strided_operands()])
def test_operands_may_lie_in_larger_arrays(a, b):
    before = a.copy(), b.copy()
    np.testing.assert_array_equal(product(a, b), np.matmul(a, b))
    np.testing.assert_array_equal(product(np.ascontiguousarray(a), b), np.matmul(a, b))
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


@pytest.mark.parametrize(("m", "k", "n"), [(1568, 256, 1024), (1576, 768, 768), (100, 300, 2000), (6272, 512, 128)])
@pytest.mark.parametrize("transposed", [False, True])
def test_few_chunks_are_dealt_evenly_to_two_and_four_threads(m, k, n, transposed):
    row_blocks, panel_blocks, parts = blocking.split(1, m, k, n, -(-n // tile_columns(4)), transposed, transposed)
    chunks = row_blocks * panel_blocks * parts
    assert chunks % 4 == 0 or chunks >= blocking.MANY_CHUNKS
    assert row_blocks <= m
