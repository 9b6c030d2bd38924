"""Matrix products and the linear layer.

    matmul  out[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]
    linear  out[..., f]    = bias[f] + sum over c of x[..., c] * weight[f, c]

The gradients, for a gradient G with respect to out (T transposes the last two axes):

    dL/da = G b^T        dL/db = a^T G         (summed over the batch axes that were broadcast)
    dL/dx = G weight     dL/dweight = G^T x    dL/dbias = the sum of G's rows

They are matrix products again, so they are written with the same operations and can be differentiated further.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convcore import memory
from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError, ShapeError, array_table
from convcore.ops.core.arguments import check_float_tensors
from convcore.ops.core.broadcast import unbroadcast
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.filters import Filters, filters_of
from convcore.ops.core.layout import contiguous, nothing, zeros
from convcore.ops.linear.skinny_gemm import is_of_few, product_few_rows
from kernels.cpu.linear.gemm import gemm, sum_parts, transpose_add
from kernels.cpu.micro.pack import pack_matrices
from kernels.cpu.vector.target import L1_WAYS, REGISTER_BYTES, TILE_ROWS, tile_columns

if TYPE_CHECKING:
    from convcore.tensor import Tensor

# Enough tasks that two to sixteen threads are evenly loaded.
MIN_TASKS = 16
MANY_TASKS = 64  # of so many, one more for a thread costs little
MIN_PANELS_PER_TASK = 4
# Where a task copies its rows of a, more panels must pass by that to be worth it.
MIN_PANELS_PER_COPY = 16
# Fewer rows of a are one task's: it copies the blocks of b that it needs itself, and nobody else needs them.
MIN_ROWS_TO_PACK = 97
# Rows of a whose places in an L1 cache repeat, and of which a tile has more than the cache keeps of one place, are
# copied, unless so few panels of b pass by that it does not pay. Other rows are not: copied, products of 13 shapes took
# 1.00 to 1.25 times as long ("Matrix products in inference" in benchmarks/NOTES.md), and where 12 rows fit 12 places,
# products of 6 shapes 1.02 to 1.06 times ("Zen 5").
L1_PERIOD_BYTES = 4096
MIN_PANELS_TO_COPY = 8
# To turn a value of a product that was computed as its transpose costs as much as to pack so many.
TURNING_COST = 3
WORTH_TURNING = 0.95  # the product of the transposes must do with so many of the tiles
ELEMENTS_PER_TASK = 4096
_NO_OFFSET = np.zeros(1, np.int64)  # of the only matrix of an operand

# How the kernel's loops are split: the most rows of a task and the fewest, the rows of b in a block and, at least, in a
# part. A block of a (96 x 256) stays in L2, one of a panel of b in L1; CPUs with vectors of 64 bytes have caches for
# twice the depth. Rows of a transposed a are columns in memory: what lies side by side is fetched together.
# Where rows are short a task takes more of them, for it is not worth its start with few.
ROWS_PER_TASK, MIN_ROWS_PER_TASK, TRANSPOSED_ROWS_PER_TASK = 96, 24, 128
VALUES_PER_TASK, MOST_ROWS_PER_TASK = 96 * 256, 768
BLOCK_DEPTH, MIN_PART_DEPTH = 512 if REGISTER_BYTES == 64 else 256, 512
# Parts of a sum are written and read again: the operands must be so many times as large as all of them.
OPERANDS_PER_PARTS = 4
# So few tiles of rows read b where it lies, and so few panels are read there; more share a copy of the panels. Not rows
# of b that are longer: they lie in pages of their own (48 x 512 by 512 x 2048: 1006 us in place, 679 copied).
MAX_TILES_IN_PLACE, MAX_PANELS_IN_PLACE, MAX_COLUMNS_IN_PLACE = 4, 2, 512


class _Operand(NamedTuple):
    """A stack of matrices: matrix i has the element (r, c) at flat[offsets[i] + r * row + c * column]."""

    flat: np.ndarray
    offsets: np.ndarray
    row: int
    column: int


def _operand(array: np.ndarray, batch: tuple[int, ...]) -> _Operand:
    """(..., R, C), its leading axes broadcast to `batch`, as the kernels read it: where it lies if they can."""
    *sizes, rows, columns = array.shape
    if array.flags.c_contiguous:
        return _Operand(array.reshape(-1), _offsets(tuple(sizes), None, rows * columns, batch), columns, 1)
    turned = np.swapaxes(array, -1, -2)
    if turned.flags.c_contiguous:
        return _Operand(turned.reshape(-1), _offsets(tuple(sizes), None, rows * columns, batch), 1, rows)
    usable = array.size and array.flags.writeable  # of memory that is not, the kernels would be compiled once more
    if usable and all(stride % array.itemsize == 0 <= stride for stride in array.strides):
        *steps, row, column = [stride // array.itemsize for stride in array.strides]
        if min(row, column) == 1:  # heads of attention, for one: parts of longer rows
            last = sum((size - 1) * step for size, step in zip(array.shape, (*steps, row, column), strict=True))
            flat = np.lib.stride_tricks.as_strided(array, (last + 1,), (array.itemsize,))
            return _Operand(flat, _offsets(tuple(sizes), tuple(steps), 0, batch), row, column)
    return _operand(contiguous(array), batch)


@functools.lru_cache(maxsize=256)
def _offsets(sizes: tuple[int, ...], steps: tuple[int, ...] | None, size: int, batch: tuple[int, ...]) -> np.ndarray:
    """Where each matrix of the broadcast batch begins: by steps of the leading axes, or `size` from one to the next."""
    if not batch:
        return _NO_OFFSET
    if steps is None:
        starts = np.arange(math.prod(sizes)).reshape(sizes) * size
    else:
        starts = sum(np.arange(n).reshape(-1, *[1] * (len(sizes) - i - 1)) * steps[i] for i, n in enumerate(sizes))
    return np.broadcast_to(starts, batch).reshape(-1).copy()


def _split(count: int, m: int, k: int, n: int, panels: int, copied: bool, transposed: bool) -> tuple[int, int, int]:
    """Into how many blocks of rows, blocks of panels and parts of the sum `count` products are split.

    Too few tasks are made more by taking fewer panels each, then half the rows, then by splitting the sum, then by
    taking still fewer rows. Each block of panels copies the rows of a again, so of a transposed a, which is copied, the
    sum is split first if it is long, then the rows.
    """
    wanted = -(-MIN_TASKS // count)
    short_rows = min(VALUES_PER_TASK // k, MOST_ROWS_PER_TASK)
    most = TRANSPOSED_ROWS_PER_TASK if transposed else max(ROWS_PER_TASK, short_rows)
    row_blocks, half_rows = -(-m // most), -(-m // (most // 2))
    if transposed:
        worth = k * (m + n) // (2 * m * n * OPERANDS_PER_PARTS)
        parts = max(1, min(-(-wanted // row_blocks), k // MIN_PART_DEPTH, worth))
        if row_blocks * parts > wanted // 2:  # enough: fewer rows would have b copied more often
            return _evened(row_blocks, count * parts, m), 1, parts
        row_blocks = max(row_blocks, min(-(-wanted // parts), half_rows))
        panel_blocks = min(-(-wanted // (row_blocks * parts)), -(-panels // MIN_PANELS_PER_COPY))
    else:
        fewest = MIN_PANELS_PER_COPY if copied else MIN_PANELS_PER_TASK
        panel_blocks = min(-(-wanted // row_blocks), -(-panels // fewest))
        row_blocks = max(row_blocks, min(-(-wanted // panel_blocks), half_rows))
        parts = max(1, min(wanted // (row_blocks * panel_blocks), k // MIN_PART_DEPTH))
    row_blocks = max(row_blocks, min(-(-wanted // (panel_blocks * parts)), -(-m // MIN_ROWS_PER_TASK)))
    return _evened(row_blocks, count * panel_blocks * parts, m), panel_blocks, parts


def _evened(row_blocks: int, tasks_per_block: int, m: int) -> int:
    """A few blocks of rows more, so that two or four threads get equally many of few tasks: of 17 one had 9."""
    if row_blocks * tasks_per_block >= MANY_TASKS:
        return row_blocks
    step = 4 // math.gcd(4, tasks_per_block)
    return min(-(-row_blocks // step) * step, m)


def _tiles(m: int, n: int, itemsize: int) -> int:
    """How many tiles of the micro-kernel cover m rows and n columns."""
    return -(-m // TILE_ROWS) * -(-n // tile_columns(itemsize))


def _is_turned(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether out^T = b^T a^T is the cheaper way round.

    Where b is to be packed, it is if packing a and turning out costs less. Where both operands are copied block by
    block, as in the gradient of a weight, it is if fewer tiles cover out: 24 columns take two panels of 16.
    """
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if not b.flags.c_contiguous:
        return m * (k + TURNING_COST * n) < k * n
    both_copied = a.ndim == b.ndim == 2 and a.T.flags.c_contiguous and not a.flags.c_contiguous
    return both_copied and _tiles(n, m, a.itemsize) < WORTH_TURNING * _tiles(m, n, a.itemsize)


class _Plan(NamedTuple):
    """How a product is computed.

    Attributes:
        packed: whether b comes in panels.
        in_place: whether b is read where it lies; else tasks copy their panels of a b that is not packed.
        copied: whether tasks copy their rows of a.
    """

    packed: bool
    in_place: bool
    copied: bool
    row_blocks: int
    panel_blocks: int
    parts: int


@functools.lru_cache(maxsize=4096)
def _plan(
    count: int, m: int, k: int, n: int, panels: int, row_bytes: int, transposed: bool, contiguous: bool, in_panels: bool
) -> _Plan:
    """The plan of `count` products whose a is transposed or not, and whose b is contiguous, or in panels already."""
    packed = in_panels or not (m < MIN_ROWS_TO_PACK and contiguous and not transposed)
    rows_collide = TILE_ROWS > L1_WAYS and row_bytes % L1_PERIOD_BYTES == 0
    copied = transposed or (packed and rows_collide and panels >= MIN_PANELS_TO_COPY)
    row_blocks, panel_blocks, parts = _split(count, m, k, n, panels, copied, transposed)
    packed = in_panels or (packed and not (row_blocks == 1 and contiguous))
    few_rows = -(-m // row_blocks) <= MAX_TILES_IN_PLACE * TILE_ROWS
    in_place = transposed and not packed and n <= MAX_COLUMNS_IN_PLACE and (few_rows or panels <= MAX_PANELS_IN_PLACE)
    return _Plan(packed, in_place, copied, row_blocks, panel_blocks, parts)


def _packed_matrices(b: np.ndarray) -> np.ndarray:
    """All matrices of b (..., K, N) in panels: (matrices, panels, K, PC)."""
    k, n = b.shape[-2:]
    right, panel_columns = _operand(b, b.shape[:-2]), tile_columns(b.itemsize)
    panels = memory.empty((len(right.offsets), -(-n // panel_columns), k, panel_columns), b.dtype)
    pack_matrices(right.flat, right.offsets, right.row, right.column, n, panels)
    return panels


def _start(bias: np.ndarray | None, n: int, dtype: np.dtype) -> np.ndarray:
    """Where the accumulators of (first, second) start: at 0, as further parts of a sum do, and at the bias."""
    columns = tile_columns(dtype.itemsize)
    shape = (2, -(-n // columns) * columns)
    if bias is None:
        return zeros(shape, dtype)
    start = np.zeros(shape, dtype)
    start[1, :n] = bias
    return start


def _multiply(
    a: np.ndarray, b: np.ndarray, in_panels: bool, start: np.ndarray, out: np.ndarray, epilogue: Epilogue = NO_EPILOGUE
) -> None:  # fmt: skip
    """out = a b + bias and the epilogue, by the kernel; b is a stack of matrices, maybe in panels."""
    residual, relu = epilogue.residual, epilogue.relu
    batch, (m, n), k = out.shape[:-2], out.shape[-2:], a.shape[-1]
    left = _operand(a, batch)
    panel_columns = tile_columns(a.itemsize)
    panels, count = -(-n // panel_columns), math.prod(batch)
    plan = _plan(count, m, k, n, panels, left.row * a.itemsize, left.column != 1, b.flags.c_contiguous, in_panels)
    if plan.packed:
        right = b if in_panels else _packed_matrices(b)
        b_panel, b_row, b_size = k * panel_columns, panel_columns, panels * k * panel_columns
    else:
        right, b_panel, b_row, b_size = b, panel_columns, n, k * n
    b_offsets = _NO_OFFSET if in_panels else _offsets(b.shape[:-2], None, b_size, batch)
    parts = plan.parts
    sums = out.reshape(1, count, m, n) if parts == 1 else memory.empty((parts, count, m, n), a.dtype)
    gemm(
        *left, plan.copied, right.reshape(-1), b_offsets, b_panel, b_row, plan.packed, plan.in_place, start,
        nothing(1, a.dtype) if residual is None else residual.reshape(-1), relu and parts == 1, sums, k,
        plan.row_blocks, plan.panel_blocks, BLOCK_DEPTH,
    )  # fmt: skip
    if parts > 1:
        sum_parts(sums.reshape(parts, -1), relu, out.reshape(-1), ELEMENTS_PER_TASK)


def product(
    a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None, epilogue: Epilogue = NO_EPILOGUE
) -> np.ndarray:
    """a (..., M, K) times b (..., K, N), batches broadcast, plus bias (N,), and the epilogue, for one float dtype.

    The micro-kernel reads its left operand where it lies and wants its right one packed, so the smaller operand should
    be the right one. With few rows a, the product is computed as out^T = b^T a^T: K * M values are packed and M * N are
    turned back, in place of packing K * N. One image through a layer of 3136 to 512 features takes 360 us this way
    and 830 us with the weight packed.
    """
    if epilogue.residual is not None:
        out = product(a, b, bias)
        epilogue.apply(out)
        return out
    # np.broadcast_shapes takes longer than the whole of a small product.
    batch = () if a.ndim == b.ndim == 2 else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    out = memory.empty((*batch, m, n), a.dtype)
    if out.size == 0:
        return out
    if k == 0:
        out[...] = 0 if bias is None else np.maximum(bias, 0) if epilogue.relu else bias
    elif product_few_rows(a, b, bias, out):
        epilogue.apply(out)
    elif _is_turned(a, b):
        turned = memory.empty((*batch, n, m), a.dtype)
        _multiply(np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2), False, _start(None, m, a.dtype), turned)
        rows = max(16, ELEMENTS_PER_TASK // m)
        transpose_add(
            turned.reshape(-1, n, m), zeros(n, a.dtype) if bias is None else bias.astype(a.dtype, order="C"),
            epilogue.relu, out.reshape(-1, m, n), rows,
        )  # fmt: skip
    else:
        _multiply(a, b, False, _start(bias, n, a.dtype), out, epilogue)
    return out


def rows_times_filters(rows: np.ndarray, filters: Filters, epilogue: Epilogue = NO_EPILOGUE) -> np.ndarray:
    """rows (M, C) times filters (F, C, 1, ..) transposed, plus bias, and the epilogue: (M, F).

    Filters that are kept are kept in panels: then there is nothing to pack at a call, and no reason to turn products.
    """
    (m, k), n = rows.shape, filters.count
    if not filters.are_kept or is_of_few(m, n):
        weight, bias = filters.arrays()
        return product(rows, weight.reshape(n, k).T, bias, epilogue)

    def in_panels(weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        return _packed_matrices(weight.reshape(n, k).T), _start(bias, n, weight.dtype)

    out = memory.empty((m, n), rows.dtype)
    panels, start = filters.prepared("panels of a matrix", in_panels)
    _multiply(contiguous(rows), panels, True, start, out, epilogue)
    return out


class MatMul(Function):
    """out = a b for matrices or stacks of matrices."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor):
        wants_a, wants_b = ctx.needs_input_grad
        ctx.save_for_backward(a if wants_b else None, b if wants_a else None)
        ctx.shapes = a.array.shape, b.array.shape
        if a.array.dtype.kind != "f":
            return wrap(np.matmul(a.array, b.array))
        return wrap(product(a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        a, b = ctx.saved_tensors
        wants_a, wants_b = ctx.needs_input_grad
        grad_a = unbroadcast(matmul(grad_out, b.transpose(-1, -2)), ctx.shapes[0]) if wants_a else None
        grad_b = unbroadcast(matmul(a.transpose(-1, -2), grad_out), ctx.shapes[1]) if wants_b else None
        return grad_a, grad_b


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product with torch.matmul's rules: 1-D operands are a row or a column, leading axes broadcast."""
    if not isinstance(input, Variable) or not isinstance(other, Variable):
        raise DTypeError(
            f"matmul: both operands must be tensors, got {type(input).__name__} and {type(other).__name__}"
        )
    a, b = input, other
    if a.array.ndim == 0 or b.array.ndim == 0:
        raise ShapeError("matmul: both operands need at least 1 axis; use * to multiply by a scalar")
    if a.array.dtype != b.array.dtype:
        raise DTypeError(f"matmul: a and b must have one dtype, got {a.array.dtype} and {b.array.dtype}")
    if a.array.ndim == 1:
        return matmul(a.reshape(1, -1), b).squeeze(-2 if b.array.ndim > 1 else 0)
    if b.array.ndim == 1:
        return matmul(a, b.reshape(-1, 1)).squeeze(-1)
    if a.shape[-1] != b.shape[-2]:
        raise _shape_error("matmul", f"a has {a.shape[-1]} columns but b has {b.shape[-2]} rows", *_operands(a, b))
    if not a.ndim == b.ndim == 2:
        try:
            np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise _shape_error("matmul", "the leading axes do not broadcast", *_operands(a, b)) from None
    return MatMul.apply(a, b)


def _operands(a: Tensor, b: Tensor) -> list[tuple[str, Tensor, str]]:
    return [("a", a, "..., M, K"), ("b", b, "..., K, N")]


def _shape_error(op: str, rule: str, *rows: tuple[str, Any, str]) -> ShapeError:
    """The error with its table of shapes, which only a call that fails should pay for."""
    return ShapeError(f"{op}: {rule}\n{array_table(rows)}")


class Linear(Function):
    """out = x weight^T + bias for x (M, C); the bias is where the accumulators start."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None):
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        ctx.save_for_backward(x if wants_weight else None, weight if wants_x else None)
        return wrap(rows_times_filters(x.array, filters_of(weight, bias, trained=wants_weight or wants_bias)))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        grad_x = matmul(grad_out, weight) if wants_x else None
        grad_weight = matmul(grad_out.transpose(0, 1), x) if wants_weight else None
        grad_bias = grad_out.sum(0) if wants_bias else None
        return grad_x, grad_weight, grad_bias


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply an affine map to the last axis.

    Args:
        x: (..., C_in), float32 or float64.
        weight: (C_out, C_in), of x's dtype.
        bias: (C_out,), or None for none.

    Returns:
        (..., C_out).

    Raises:
        ShapeError: the sizes do not fit.
        DTypeError: dtypes differ or are not float32 or float64.
    """
    check_float_tensors("linear", input=x, weight=weight, bias=bias)
    rows = ("input", x, "..., C_in"), ("weight", weight, "C_out, C_in"), ("bias", bias, "C_out")
    if weight.array.ndim != 2:
        raise _shape_error("linear", "weight must have 2 axes (C_out, C_in)", *rows)
    if x.array.ndim == 0 or x.shape[-1] != weight.shape[1]:
        got = "is a scalar" if x.array.ndim == 0 else f"has {x.shape[-1]} features"
        raise _shape_error("linear", f"input {got} but weight expects {weight.shape[1]}", *rows)
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise _shape_error("linear", f"bias must hold one value for each of the {weight.shape[0]} outputs", *rows)
    if x.array.ndim == 2:
        return Linear.apply(x, weight, bias)
    flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return Linear.apply(flat, weight, bias).reshape(*x.shape[:-1], weight.shape[0])
