"""Division with rounded quotients, remainders, and other functions of two or three operands.

floor_divide and remainder round towards minus infinity, as Python's // and % do; div(rounding_mode="trunc") and fmod
round towards zero. Rounded quotients have gradient zero; a remainder a - b * q has the gradients 1 and -q.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcore.autograd import Variable
from convcore.errors import DivisionError, DTypeError
from convcore.ops.core.dtypes import as_tensors, float32, require_tensor, result_type
from convcore.ops.elementwise.arithmetic import Div, add, mul, sub
from convcore.ops.elementwise.functions import sign, where
from convcore.ops.elementwise.ufuncs import EITHER, KEEP, REFUSE, SECOND, TO_FLOAT, of_two, truth

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def _truncated(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """a / b rounded towards zero."""
    if a.dtype.kind == "f":
        return np.trunc(np.true_divide(a, b, out=out), out=out)
    floor = np.floor_divide(a, b, out=out)
    return np.add(floor, (floor < 0) & (floor * b != a), out=out, dtype=a.dtype)


_floored = of_two("floor_divide", np.floor_divide, (None, None), "a / b rounded down", bools=False, scalars=EITHER)
_towards_zero = of_two("div", _truncated, (None, None), "a / b rounded towards zero", bools=False, scalars=EITHER)
_remainder = of_two(
    "remainder",
    np.remainder,
    (lambda a, b, y: 1.0, lambda a, b, y: -_floored(a, b)),
    "a - b floor(a / b)",
    bools=False,
    scalars=EITHER,
)
_fmod = of_two(
    "fmod",
    np.fmod,
    (lambda a, b, y: 1.0, lambda a, b, y: -_towards_zero(a, b)),
    "a - b trunc(a / b)",
    bools=False,
    scalars=SECOND,
)


def _checked(op: str, input: Tensor | float, other: Tensor | float) -> tuple[Tensor | float, Tensor | float]:
    """The operands; integer division by zero is refused."""
    if result_type(op, input, other).kind != "f":
        divisor = other.array if isinstance(other, Variable) else np.asarray(other)
        if (divisor == 0).any():
            raise DivisionError(f"{op}: an integer is divided by zero; convert with x.float() for infinity and NaN")
    return input, other


def div(input: Tensor | float, other: Tensor | float, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; integers are divided as float32.

    Args:
        rounding_mode: "floor" rounds the quotient down, "trunc" towards zero; with either, integers stay integers.
    """
    if rounding_mode is None:
        dtype = result_type("div", input, other)
        return Div.apply(*as_tensors("div", input, other, dtype=dtype if dtype.kind == "f" else float32))
    if rounding_mode not in ("floor", "trunc"):
        raise DTypeError(f'div: rounding_mode must be None, "floor" or "trunc", got {rounding_mode!r}')
    return (_floored if rounding_mode == "floor" else _towards_zero)(*_checked("div", input, other))


divide = div


def true_divide(input: Tensor | float, other: Tensor | float) -> Tensor:
    """input / other; integers are divided as float32"""
    return div(input, other)


def floor_divide(input: Tensor | float, other: Tensor | float) -> Tensor:
    """input // other: the quotient rounded down"""
    return _floored(*_checked("floor_divide", input, other))


def remainder(input: Tensor | float, other: Tensor | float) -> Tensor:
    """input % other: the remainder of `floor_divide`, with the sign of `other`"""
    return _remainder(*_checked("remainder", input, other))


def fmod(input: Tensor | float, other: Tensor | float) -> Tensor:
    """The remainder of division rounded towards zero, with the sign of the input"""
    return _fmod(*_checked("fmod", input, other))


fmax = of_two(
    "fmax", np.fmax,
    (lambda a, b, y: truth((a.array >= b.array) | np.isnan(b.array), y),
     lambda a, b, y: truth(~((a.array >= b.array) | np.isnan(b.array)), y)),
    "The larger of two elements; of a number and NaN the number",
)  # fmt: skip
fmin = of_two(
    "fmin", np.fmin,
    (lambda a, b, y: truth((a.array <= b.array) | np.isnan(b.array), y),
     lambda a, b, y: truth(~((a.array <= b.array) | np.isnan(b.array)), y)),
    "The smaller of two elements; of a number and NaN the number",
)  # fmt: skip
copysign = of_two(
    "copysign", np.copysign, (lambda a, b, y: where(a == 0, 0.0, sign(a) * sign(y)), None),
    "The magnitude of the input with the sign of `other`", TO_FLOAT, scalars=SECOND,
)  # fmt: skip
nextafter = of_two(
    "nextafter", np.nextafter, (lambda a, b, y: 1.0, None), "The next float after the input towards `other`", REFUSE
)
_heaviside = of_two(
    "heaviside", lambda a, b, out=None: np.where(a == 0, b, a > 0).astype(b.dtype), (None, None),
    "0 below 0, 1 above, and `other` at 0", KEEP,
)  # fmt: skip


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, and `values` at 0"""
    require_tensor("heaviside", "values", values)
    return _heaviside(input, values)


gcd = of_two("gcd", lambda a, b, out=None: np.gcd(a, b), (None, None), "The greatest common divisor", bools=False)
lcm = of_two("lcm", lambda a, b, out=None: np.abs(np.lcm(a, b)), (None, None), "The least common multiple", bools=False)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value * tensor1 * tensor2"""
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value * tensor1 / tensor2"""
    if result_type("addcdiv", tensor1, tensor2).kind != "f":
        raise DTypeError("addcdiv: tensor1 and tensor2 must not both be integers; convert one with x.float()")
    return add(input, div(tensor1, tensor2), alpha=value)


def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """input + weight * (end - input): a point on the line from the input to `end`"""
    if input.array.dtype != end.array.dtype or input.array.dtype.kind != "f":
        raise DTypeError(
            f"lerp: input and end must have one float dtype, got {input.array.dtype} and {end.array.dtype}"
        )
    if isinstance(weight, Variable) and weight.array.dtype != input.array.dtype:
        raise DTypeError(f"lerp: weight must have the dtype of input, {input.array.dtype}, got {weight.array.dtype}")
    return add(input, mul(sub(end, input), weight))
