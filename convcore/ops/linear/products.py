"""Products of vectors and matrices by name, and sums of such products with something else: all are `matmul` inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convcore.autograd import Variable
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.axes import axis
from convcore.ops.core.dtypes import as_tensors, convert
from convcore.ops.elementwise.arithmetic import add, mul
from convcore.ops.linear.matmul import matmul
from convcore.ops.shape.views import expand, permute, reshape

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def _require_axes(op: str, **tensors: tuple[Any, int]) -> None:
    """Refuse arguments that are not tensors of one dtype with the number of axes that each is to have."""
    for name, (tensor, ndim) in tensors.items():
        if not isinstance(tensor, Variable):
            raise DTypeError(f"{op}: {name} must be a tensor, got {type(tensor).__name__}")
        if tensor.array.ndim != ndim:
            raise ShapeError(f"{op}: {name} must have {ndim} axes, got shape {tensor.array.shape}")
    dtypes = {name: tensor.array.dtype for name, (tensor, _) in tensors.items()}
    if len(set(dtypes.values())) > 1:
        listed = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise DTypeError(f"{op}: all tensors must have one dtype, got {listed}; .to(dtype) converts")


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices: (M, K) and (K, N) give (M, N)."""
    _require_axes("mm", input=(input, 2), mat2=(mat2, 2))
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices: (B, M, K) and (B, K, N) give (B, M, N)."""
    _require_axes("bmm", input=(input, 3), mat2=(mat2, 3))
    if input.array.shape[0] != mat2.array.shape[0]:
        raise ShapeError(f"bmm: batches must be equal, got shapes {input.array.shape} and {mat2.array.shape}")
    return matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector: (M, K) and (K,) give (M,)."""
    _require_axes("mv", input=(input, 2), vec=(vec, 1))
    return matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors' elements"""
    _require_axes("dot", input=(input, 1), tensor=(tensor, 1))
    if input.array.shape != tensor.array.shape:
        raise ShapeError(
            f"dot: input and tensor must have one length, got {input.array.shape} and {tensor.array.shape}"
        )
    return matmul(input, tensor)


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot`: of real numbers it is the same"""
    return dot(input, other)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last axes of both: (.., K) and (*, K) give (.., *); with a number the product"""
    if input.array.ndim == 0 or other.array.ndim == 0:
        return mul(input, other)
    if input.array.shape[-1] != other.array.shape[-1]:
        raise ShapeError(f"inner: last axes must be equal, got shapes {input.array.shape} and {other.array.shape}")
    return tensordot(input, other, ([-1], [-1]))


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The products of each element of one vector with each of another: (M,) and (N,) give (M, N)."""
    for name, tensor in (("input", input), ("vec2", vec2)):
        if tensor.array.ndim != 1:
            raise ShapeError(f"outer: {name} must have 1 axis, got shape {tensor.array.shape}")
    return mul(reshape(input, -1, 1) if input.array.size else reshape(input, 0, 1), vec2)


ger = outer


def _sum_with(op: str, input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta * input + alpha * product; the input broadcasts, and with beta = 0 is not looked at."""
    if input.array.dtype != product.array.dtype:
        raise DTypeError(f"{op}: all tensors must have one dtype, got {input.array.dtype} and {product.array.dtype}")
    if product.array.dtype.kind != "f":
        beta, alpha = int(beta), int(alpha)
    spread = expand(input, product.array.shape)
    scaled = product if alpha == 1 else convert(mul(product, alpha), product.array.dtype)
    if beta == 0:
        return scaled
    return add(scaled, spread, alpha=beta)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)"""
    return _sum_with("addmm", input, mm(mat1, mat2), beta, alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec)"""
    return _sum_with("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)"""
    total, product = as_tensors("addr", input, outer(vec1, vec2))
    return _sum_with("addr", total, product, beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2)"""
    return _sum_with("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * the sum over the batch of batch1 @ batch2"""
    return _sum_with("addbmm", input, bmm(batch1, batch2).sum(0, dtype=batch1.array.dtype), beta, alpha)


def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Any] = 2) -> Tensor:
    """Sums of products over axes of both: the last `dims` of a and the first of b, or the pair of lists `dims`."""
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.array.ndim, b.array.ndim):
            raise ShapeError(f"tensordot: dims must be from 0 to the number of axes, got {dims}")
        first, second = list(range(a.array.ndim - dims, a.array.ndim)), list(range(dims))
    else:
        pair = [d if isinstance(d, Sequence) else [d] for d in dims]
        first, second = (
            [axis("tensordot", d, t.array.ndim) for d in names] for t, names in zip((a, b), pair, strict=True)
        )
    shape_a, shape_b = a.array.shape, b.array.shape
    for i, j in zip(first, second, strict=False):
        if shape_a[i] == 1 != shape_b[j]:
            b = b.sum(j, keepdim=True, dtype=b.array.dtype)
        elif shape_b[j] == 1 != shape_a[i]:
            a = a.sum(i, keepdim=True, dtype=a.array.dtype)
    shape_a, shape_b = a.array.shape, b.array.shape
    if [shape_a[i] for i in first] != [shape_b[i] for i in second]:
        raise ShapeError(f"tensordot: axes {first} of {shape_a} and {second} of {shape_b} must have the same sizes")
    rest_a = [i for i in range(a.array.ndim) if i not in first]
    rest_b = [i for i in range(b.array.ndim) if i not in second]
    rows, columns = [shape_a[i] for i in rest_a], [shape_b[i] for i in rest_b]
    depth = math.prod([shape_a[i] for i in first])
    left = reshape(permute(a, rest_a + first), math.prod(rows), depth)
    right = reshape(permute(b, second + rest_b), depth, math.prod(columns))
    return reshape(matmul(left, right), *rows, *columns)


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of the input times the whole of `other`, in its place"""
    ndim = max(input.array.ndim, other.array.ndim)
    shapes = [(1,) * (ndim - t.array.ndim) + t.array.shape for t in (input, other)]
    a = reshape(input, [size for s in shapes[0] for size in (s, 1)])
    b = reshape(other, [size for s in shapes[1] for size in (1, s)])
    return reshape(mul(a, b), [p * q for p, q in zip(*shapes, strict=True)])


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product of vectors of 3 elements along `dim`, by default the first axis of size 3"""
    input, other = as_tensors("cross", input, other)
    if dim is None:
        dim = next((i for i, size in enumerate(input.array.shape) if size == 3), None)
        if dim is None:
            raise ShapeError(f"cross: needs an axis of size 3, got shape {input.array.shape}")
    return linalg_cross(input, other, dim=dim)


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors of 3 elements along `dim`; the other axes broadcast"""
    if input.array.ndim != other.array.ndim:
        raise ShapeError(f"cross: needs equal numbers of axes, got shapes {input.array.shape} and {other.array.shape}")
    place = axis("cross", dim, input.array.ndim)
    if input.array.shape[place] != 3 or other.array.shape[place] != 3:
        raise ShapeError(
            f"cross: axis {dim} must have size 3 in both, got shapes {input.array.shape} and {other.array.shape}"
        )
    a, b = (t.movedim(place, 0) for t in (input, other))
    after, before = [1, 2, 0], [2, 0, 1]
    return (a[after] * b[before] - a[before] * b[after]).movedim(0, place)
