"""Writing along an axis: index_add, scatter and related functions.

`index_*` take a vector of positions along an axis, `scatter*` a tensor of positions, one for each element of the
source. Both become one assignment at a NumPy index. Overwritten elements get the gradient 0; the source's gradient is
read at the index where it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.axes import axis
from convcore.ops.core.dtypes import as_tensors, require_tensor
from convcore.ops.elementwise.arithmetic import mul
from convcore.ops.elementwise.in_place import Overwrite
from convcore.ops.shape.indexing import Index, coordinates, frozen, getitem, in_range, refuse_bytes
from convcore.ops.shape.views import expand, reshape

if TYPE_CHECKING:
    from convcore.tensor import Tensor


class Accumulate(Function):
    """x with values added at an index; repeated indices accumulate."""

    @staticmethod
    def forward(ctx, x, values, index):
        ctx.index = frozen(index)
        out = x.array.copy(order="K")
        (np.logical_or if out.dtype.kind == "b" else np.add).at(out, index, values.array)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return grad_out, Index.apply(grad_out, ctx.index, False) if ctx.needs_input_grad[1] else None, None


def _axis_and_positions(
    op: str, input: Any, dim: int, index: Any, from_the_end: bool = False
) -> tuple[Any, int, np.ndarray]:  # fmt: skip
    """The input with at least one axis, the axis, and the vector of positions along it, all non-negative.

    With `from_the_end`, negative positions count from the end; otherwise they are refused.
    """
    if not isinstance(index, Variable) or index.array.dtype.kind not in "iu" or index.array.ndim > 1:
        kind = f"{index.array.dtype} {index.array.shape}" if isinstance(index, Variable) else type(index).__name__
        raise DTypeError(f"{op}: index must be an integer tensor of at most 1 axis, got {kind}")
    axis_index = axis(op, dim, input.array.ndim)
    x = reshape(input, 1) if input.array.ndim == 0 else input
    size = x.array.shape[axis_index]
    positions = in_range(op, index.array.reshape(-1), size, -size if from_the_end else 0)
    return x, axis_index, positions % np.int64(size) if from_the_end else positions


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along `dim` at the positions `index`, a vector"""
    x, axis_index, positions = _axis_and_positions("index_select", input, dim, index)
    result = getitem(x, (*[slice(None)] * axis_index, positions))
    return reshape(result, ()) if input.array.ndim == 0 and positions.size == 1 else result


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """The input with alpha * source added, slice by slice along `dim`, at the positions `index`"""
    x, values, positions = positions_of_slices("index_add", input, dim, index, source)
    if alpha != 1:
        values = mul(values, alpha)
    return reshape(Accumulate.apply(x, values, positions), input.array.shape)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """The input with the slices along `dim` at the positions `index` replaced by those of `source`"""
    x, values, positions = positions_of_slices("index_copy", input, dim, index, source)
    return reshape(Overwrite.apply(x, values, positions, False, "index_copy"), input.array.shape)


def positions_of_slices(op: str, input: Any, dim: int, index: Any, source: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """The input and the source, each with at least one axis, and the NumPy index of the slices."""
    x, axis_index, positions = _axis_and_positions(op, input, dim, index)
    require_tensor(op, "source", source)
    if source.array.dtype != x.array.dtype:
        raise DTypeError(f"{op}: source must have the input's dtype {x.array.dtype}, got {source.array.dtype}")
    shape = (*x.array.shape[:axis_index], positions.size, *x.array.shape[axis_index + 1 :])
    given = reshape(source, 1) if source.array.ndim == 0 else source
    if given.array.shape != shape:
        raise ShapeError(f"{op}: source must have shape {shape}, got {source.array.shape}")
    return x, given, (*[slice(None)] * axis_index, positions)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Tensor | float) -> Tensor:
    """The input with the slices along `dim` at the positions `index`, possibly negative, set to one value"""
    x, axis_index, positions = _axis_and_positions("index_fill", input, dim, index, from_the_end=True)
    (filling,) = as_tensors("index_fill", value, dtype=x.array.dtype)
    if filling.array.ndim:
        raise ShapeError(f"index_fill: value must be a number or have no axes, got shape {filling.array.shape}")
    where_to = (*[slice(None)] * axis_index, np.unique(positions))  # each position counts once in the value's gradient
    return reshape(Overwrite.apply(x, filling, where_to, False, "index_fill"), input.array.shape)


def positions_of_elements(op: str, input: Any, dim: int, index: Any, src: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """The input, the part of the source that is used, and the NumPy index of the elements."""
    require_tensor(op, "index", index)
    if index.array.dtype.kind not in "iu":
        raise DTypeError(f"{op}: index must be an integer tensor, got {index.array.dtype}")
    axis_index = axis(op, dim, input.array.ndim)
    x, positions = (reshape(t, 1) if t.array.ndim == 0 else t for t in (input, index))
    (values,) = as_tensors(op, src, dtype=input.array.dtype)
    if isinstance(src, Variable) and src.array.dtype != input.array.dtype:
        raise DTypeError(f"{op}: src must have the input's dtype {input.array.dtype}, got {src.array.dtype}")
    if not isinstance(src, Variable):
        values = expand(values, positions.array.shape)
    elif values.array.ndim == 0:
        values = reshape(values, 1)
    shape = positions.array.shape
    if positions.array.size == 0:
        return x, expand(reshape(as_tensors(op, 0, dtype=input.array.dtype)[0], 1), 0), (np.zeros(0, np.int64),)
    if (
        not len(shape) == x.array.ndim == values.array.ndim
        or any(s > v for s, v in zip(shape, values.array.shape, strict=True))
        or any(s > v for i, (s, v) in enumerate(zip(shape, x.array.shape, strict=True)) if i != axis_index)
    ):
        raise ShapeError(
            f"{op}: index must have as many axes as input and src, be no larger than src, and no larger than input "
            f"outside dim={dim}; got index {shape}, input {input.array.shape}, src {values.array.shape}"
        )
    in_range(op, positions.array, x.array.shape[axis_index])
    used = values if values.array.shape == shape else values[tuple([slice(0, s) for s in shape])]
    return x, used, coordinates(positions.array, axis_index)


def scatter(input: Tensor, dim: int, index: Tensor, src: Tensor | float = 0, *, value: Any = None, reduce: Any = None):
    """The input with the elements of `src` (or one number) written to the positions `index` along `dim`

    Args:
        value: the number, in place of `src`.
        reduce: None replaces, "add" adds, "multiply" multiplies.
    """
    if reduce not in (None, "add", "multiply"):
        raise ShapeError(f'scatter: reduce must be None, "add" or "multiply", got {reduce!r}')
    x, values, positions = positions_of_elements("scatter", input, dim, index, src if value is None else value)
    if positions[0].size == 0:
        return input.clone()
    if reduce == "add":
        return reshape(Accumulate.apply(x, values, positions), input.array.shape)
    if reduce == "multiply":
        out = x.array.copy()
        np.multiply.at(out, positions, values.array)
        return reshape(wrap(out), input.array.shape)
    return reshape(Overwrite.apply(x, values, positions, False, "scatter"), input.array.shape)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """The input with the elements of `src` added at the positions `index` along `dim`"""
    x, values, positions = positions_of_elements("scatter_add", input, dim, index, src)
    if positions[0].size == 0:
        return input.clone()
    return reshape(Accumulate.apply(x, values, positions), input.array.shape)


def _require_mask(op: str, mask: Any) -> None:
    if not isinstance(mask, Variable) or mask.array.dtype.kind != "b":
        raise DTypeError(f"{op}: mask must be a bool tensor, got {getattr(mask, 'dtype', type(mask).__name__)}")


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the bool tensor `mask` is true, as a vector; both broadcast"""
    _require_mask("masked_select", mask)
    shape = np.broadcast_shapes(input.array.shape, mask.array.shape)
    return getitem(expand(input, shape), (np.broadcast_to(mask.array, shape),))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The input with the elements where `mask` is true replaced by those of `source`, in order"""
    _require_mask("masked_scatter", mask)
    if source.array.dtype != input.array.dtype:
        raise DTypeError(f"masked_scatter: source must have the dtype {input.array.dtype}, got {source.array.dtype}")
    shape = np.broadcast_shapes(input.array.shape, mask.array.shape)
    positions = np.broadcast_to(mask.array, shape)
    count = int(positions.sum())
    if count > source.array.size:
        raise ShapeError(f"masked_scatter: source must have at least {count} elements, got {source.array.size}")
    values = reshape(source, source.array.size)[:count]
    return Overwrite.apply(expand(input, shape), values, (positions,), False, "masked_scatter")


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """The input with the elements at the positions `index` of the flattened tensor replaced by `source`, or added to"""
    if index.array.dtype.kind != "i":
        raise DTypeError(f"put: index must hold integers, got {index.array.dtype}")
    if index.array.size != source.array.size:
        raise ShapeError(f"put: index and source must be equally many, got {index.array.size} and {source.array.size}")
    if source.array.dtype != input.array.dtype:
        raise DTypeError(f"put: source must have the input's dtype {input.array.dtype}, got {source.array.dtype}")
    flat, values = reshape(input, input.array.size), reshape(source, source.array.size)
    positions = (in_range("put", index.array.reshape(-1), input.array.size, -input.array.size),)
    if accumulate:
        return reshape(Accumulate.apply(flat, values, positions), input.array.shape)
    return reshape(Overwrite.apply(flat, values, positions, False, "put"), input.array.shape)


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """The input with `values`, which broadcast, written or added at an index of tensors, one for each axis"""
    if values.array.dtype != input.array.dtype:
        raise DTypeError(f"index_put: values must have the input's dtype {input.array.dtype}, got {values.array.dtype}")
    positions = tuple([slice(None) if i is None else i.array for i in indices])
    refuse_bytes("index_put", positions)
    if not accumulate:
        return Overwrite.apply(input, values, positions, False, "index_put")
    return Accumulate.apply(input, expand(values, input.array[positions].shape), positions)
