"""Element types: the supported dtypes, type promotion, and conversion.

The rules are torch's. Dtypes form three categories, bool < integer < floating. Operands form three classes in order of
priority: tensors with axes, tensors without axes, Python numbers. An operand of a lower class changes the result type
only if its category is higher: float32 tensor * 2.5 stays float32, int64 tensor * 2.5 becomes float32.
"""

from __future__ import annotations

import enum
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore import memory
from convcore.autograd import Function, Variable, wrap
from convcore.engine import capture, dispatch
from convcore.errors import DTypeError
from convcore.ops.core import parallel_ufuncs
from convcore.ops.core.arguments import meta
from convcore.ops.core.layout import empty_like

if TYPE_CHECKING:
    from convcore.tensor import Tensor

float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool_ = np.dtype(np.bool_)


class Half(enum.Enum):
    """The 16-bit float types, for `convcore.amp.autocast` on a GPU only; there are no 16-bit tensors."""

    float16 = "float16"
    bfloat16 = "bfloat16"

    def __repr__(self) -> str:
        return f"convcore.{self.name}"


float16, bfloat16 = Half

SUPPORTED = (float32, float64, int8, int16, int32, int64, uint8, bool_)
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def category(dtype: np.dtype) -> int:
    """0 for bool, 1 for integers, 2 for floats."""
    return _CATEGORY[dtype.kind]


def element_type(op: str, dtype: Any, default: np.dtype | None = None) -> np.dtype:
    """`dtype` as one of the supported NumPy dtypes; Python's bool, int and float mean bool, int64 and float64.

    None means `default`, if that is given.
    """
    if dtype is None and default is not None:
        return default
    try:
        if dtype is not None and np.dtype(dtype) in SUPPORTED:
            return np.dtype(dtype)
    except TypeError:
        pass
    raise DTypeError(f"{op}: dtype must be one of {', '.join(map(str, SUPPORTED))}, got {dtype!r}")


def number_type(op: str, value: Any) -> np.dtype:
    """The dtype of a Python or NumPy scalar in an operation: bool, int64 or float32."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return float32
    hint = "; convert it with convcore.from_numpy" if isinstance(value, np.ndarray) else ""
    raise DTypeError(f"{op}: operands must be tensors or numbers, got {type(value).__name__}{hint}")


def result_type(op: str, *operands: Tensor | float) -> np.dtype:
    """The dtype in which an operation on these operands is computed."""
    classes: list[list[np.dtype]] = [[], [], []]
    for operand in operands:
        if isinstance(operand, Variable):
            classes[0 if operand.array.ndim else 1].append(operand.array.dtype)
        else:
            classes[2].append(number_type(op, operand))
    result = bool_
    for index, dtypes in enumerate(d for d in classes if d):
        highest = functools.reduce(promote, dtypes)
        if index == 0 or category(highest) > category(result):
            result = highest
    return result


def promote(a: np.dtype, b: np.dtype) -> np.dtype:
    """The result dtype of an operation on two tensors with axes of these dtypes."""
    difference = category(a) - category(b)
    if difference == 0:
        return np.promote_types(a, b)
    return a if difference > 0 else b


def as_tensors(op: str, *operands: Tensor | float, dtype: np.dtype | None = None) -> tuple[Any, ...]:
    """The operands as tensors of `dtype`, or of their common result type."""
    if dtype is None:
        dtypes = {meta(operand).dtype if isinstance(operand, Variable) else None for operand in operands}
        if len(dtypes) == 1 and None not in dtypes:
            return operands
        dtype = result_type(op, *operands)
    return tuple([_as_tensor(op, operand, dtype) for operand in operands])


def _as_tensor(op: str, operand: Any, dtype: np.dtype) -> Any:
    if isinstance(operand, Variable):
        return convert(operand, dtype)
    return wrap(capture.constant(number(op, operand, dtype)))


def number(op: str, value: float, dtype: np.dtype) -> np.ndarray:
    """A Python number as an array without axes; integers out of the range of `dtype` are refused."""
    try:
        with np.errstate(all="ignore"):
            return np.array(value, dtype)
    except (OverflowError, ValueError):  # NaN raises ValueError
        raise _too_large(op, value, dtype) from None


def require_held(op: str, array: np.ndarray, dtype: np.dtype) -> None:
    """Refuse values out of the range of an integer dtype. As in torch, uint8 wraps -1 to -255 to 255 to 1."""
    if dtype.kind not in "iu" or not array.size:
        return
    limits = np.iinfo(dtype)
    for value in (array.min(), array.max()):
        if np.isfinite(value) and not min(limits.min, -limits.max) <= value <= limits.max:
            raise _too_large(op, value, dtype)


def _too_large(op: str, value: Any, dtype: np.dtype) -> DTypeError:
    limits = np.iinfo(dtype)
    return DTypeError(
        f"{op}: {value} does not fit into {dtype}, which holds {limits.min} to {limits.max}; use a wider dtype, such "
        "as that of x.long()"
    )


def require_tensor(op: str, name: str, value: Any) -> None:
    """Refuse a value that is not a tensor."""
    if not isinstance(value, Variable):
        raise DTypeError(f"{op}: {name} must be a tensor, got {type(value).__name__}; convcore.tensor(...) makes one")


def require_floating(op: str, x: Tensor, name: str = "input") -> None:
    """Refuse a tensor that is not float32 or float64."""
    if not isinstance(x, Variable):
        raise DTypeError(f"{op}: {name} must be a tensor, got {type(x).__name__}")
    dtype = meta(x).dtype
    if dtype.kind != "f":
        raise DTypeError(f"{op}: {name} must be float32 or float64, got {dtype}; convert it with {name}.float()")


def floating(op: str, x: Tensor, name: str = "input") -> Tensor:
    """`x`, converted to float32 if it holds integers or bools."""
    if not isinstance(x, Variable):
        raise DTypeError(f"{op}: {name} must be a tensor, got {type(x).__name__}")
    return x if meta(x).dtype.kind == "f" else convert(x, float32)


class Convert(Function):
    """The same values in another dtype, rounded or truncated where they do not fit."""

    @staticmethod
    def forward(ctx, x, dtype):
        ctx.dtype = x.array.dtype
        out = converted(x.array, dtype)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return convert(grad_out, ctx.dtype), None


def converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A copy in another dtype with the same order of axes in memory."""
    with np.errstate(all="ignore"):
        return array.astype(dtype, order="K")


def convert(x: Any, dtype: np.dtype) -> Any:
    """`x` itself if it has this dtype, else a converted copy."""
    return x if x.array.dtype == dtype else Convert.apply(x, dtype)


class Clone(Function):
    """A copy in memory of its own, with the same order of axes in memory."""

    @staticmethod
    def forward(ctx, x):
        out = empty_like(x.array)
        np.copyto(out, x.array)
        return wrap(out)

    @staticmethod
    def backward(ctx, grad_out):
        return grad_out


def clone(input: Tensor) -> Tensor:
    """A copy in memory of its own, inside the graph."""
    return Clone.apply(input)


def compute(ufunc: Any, *arrays: np.ndarray) -> np.ndarray:
    """Apply a NumPy ufunc whose result has the dtype of the operands; large results are written to pooled memory.

    Overflow, 0/0 and the like raise no warning: infinity and NaN propagate as in torch.
    """
    if dispatch.in_use:
        twin: Any = dispatch.of(compute, arrays[0])
        if twin is not compute:
            return twin(ufunc, *arrays)
    model = arrays[0]
    for array in arrays[1:]:
        if array.size > model.size:
            model = array
    with np.errstate(all="ignore"):
        if model.nbytes < memory.SMALLEST_POOLED or np.broadcast_shapes(*[a.shape for a in arrays]) != model.shape:
            result = ufunc(*arrays)
            return (
                result if isinstance(result, np.ndarray) else np.asarray(result)
            )  # NumPy returns a scalar for arrays without axes
        out = empty_like(model)
        return out if parallel_ufuncs.computed(ufunc, arrays, out) else ufunc(*arrays, out=out)
