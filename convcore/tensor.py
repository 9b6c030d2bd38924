"""Tensor: torch's operators and methods, each bound here, and only here, to an operation of `convcore.ops`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convcore.autograd.variable import set_tensor_class
from convcore.errors import DTypeError
from convcore.ops import arithmetic, comparison, dtypes, elementwise, in_place, indexing, reduce, softmax
from convcore.ops import shape as shapes
from convcore.ops.matmul import matmul
from convcore.ops.reduce import Dims
from convcore.tensor_data import Size, TensorData

__all__ = ["Size", "Tensor"]


class Tensor(TensorData):
    """A NumPy array that remembers how it was computed.

    Make one with `convcore.tensor`, `convcore.zeros`, `convcore.from_numpy` and the like. Methods that end in an
    underscore change the tensor in place. Names, arguments and semantics are torch's, with one relief: `view` copies
    where the elements do not lie in the order that it asks for. Each method's documentation is that of the function of
    the same name in `convcore.ops`.
    """

    __slots__ = ()
    __array_priority__ = 1000  # NumPy arrays leave operators with a tensor to the tensor

    def __init__(self, array: np.ndarray, requires_grad: bool = False):
        super().__init__(array, requires_grad)
        self.version.watched().expose_for_ever()  # the caller has the array

    # Copies

    def clone(self) -> Tensor:
        return dtypes.clone(self)

    def contiguous(self) -> Tensor:
        return shapes.contiguous(self)

    # Arithmetic

    def __add__(self, other: Tensor | float) -> Tensor:
        return arithmetic.add(self, other)

    def __radd__(self, other: Tensor | float) -> Tensor:
        return arithmetic.add(other, self)

    def __sub__(self, other: Tensor | float) -> Tensor:
        return arithmetic.sub(self, other)

    def __rsub__(self, other: Tensor | float) -> Tensor:
        return arithmetic.sub(other, self)

    def __mul__(self, other: Tensor | float) -> Tensor:
        return arithmetic.mul(self, other)

    def __rmul__(self, other: Tensor | float) -> Tensor:
        return arithmetic.mul(other, self)

    def __truediv__(self, other: Tensor | float) -> Tensor:
        return arithmetic.div(self, other)

    def __rtruediv__(self, other: Tensor | float) -> Tensor:
        return arithmetic.div(other, self)

    def __pow__(self, other: Tensor | float) -> Tensor:
        return arithmetic.pow(self, other)

    def __rpow__(self, other: Tensor | float) -> Tensor:
        return arithmetic.pow(other, self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return matmul(self, other)

    def __neg__(self) -> Tensor:
        return arithmetic.neg(self)

    def __abs__(self) -> Tensor:
        return elementwise.abs(self)

    def add(self, other: Tensor | float, *, alpha: float = 1) -> Tensor:
        return arithmetic.add(self, other, alpha=alpha)

    def sub(self, other: Tensor | float, *, alpha: float = 1) -> Tensor:
        return arithmetic.sub(self, other, alpha=alpha)

    def mul(self, other: Tensor | float) -> Tensor:
        return arithmetic.mul(self, other)

    def div(self, other: Tensor | float) -> Tensor:
        return arithmetic.div(self, other)

    def pow(self, exponent: Tensor | float) -> Tensor:
        return arithmetic.pow(self, exponent)

    def matmul(self, other: Tensor) -> Tensor:
        return matmul(self, other)

    def neg(self) -> Tensor:
        return arithmetic.neg(self)

    def square(self) -> Tensor:
        return arithmetic.mul(self, self)

    def reciprocal(self) -> Tensor:
        return arithmetic.reciprocal(self)

    # Comparison and logic

    def __eq__(self, other: Any) -> Any:
        return comparison.eq(self, other) if comparison.is_operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return comparison.ne(self, other) if comparison.is_operand(other) else NotImplemented

    def __hash__(self) -> int:
        return id(self)

    def __lt__(self, other: Tensor | float) -> Tensor:
        return comparison.lt(self, other)

    def __le__(self, other: Tensor | float) -> Tensor:
        return comparison.le(self, other)

    def __gt__(self, other: Tensor | float) -> Tensor:
        return comparison.gt(self, other)

    def __ge__(self, other: Tensor | float) -> Tensor:
        return comparison.ge(self, other)

    def eq(self, other: Tensor | float) -> Tensor:
        return comparison.eq(self, other)

    def ne(self, other: Tensor | float) -> Tensor:
        return comparison.ne(self, other)

    def lt(self, other: Tensor | float) -> Tensor:
        return comparison.lt(self, other)

    def le(self, other: Tensor | float) -> Tensor:
        return comparison.le(self, other)

    def gt(self, other: Tensor | float) -> Tensor:
        return comparison.gt(self, other)

    def ge(self, other: Tensor | float) -> Tensor:
        return comparison.ge(self, other)

    def __and__(self, other: Tensor | float) -> Tensor:
        return comparison.bitwise_and(self, other)

    def __or__(self, other: Tensor | float) -> Tensor:
        return comparison.bitwise_or(self, other)

    def __xor__(self, other: Tensor | float) -> Tensor:
        return comparison.bitwise_xor(self, other)

    def __invert__(self) -> Tensor:
        return comparison.bitwise_not(self)

    def logical_not(self) -> Tensor:
        return comparison.eq(self, 0)

    def isnan(self) -> Tensor:
        return comparison.isnan(self)

    def isfinite(self) -> Tensor:
        return comparison.isfinite(self)

    def equal(self, other: Tensor) -> bool:
        return comparison.equal(self, other)

    def all(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return reduce.all(self, dim, keepdim)

    def any(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return reduce.any(self, dim, keepdim)

    # Functions of each element

    def exp(self) -> Tensor:
        return elementwise.exp(self)

    def log(self) -> Tensor:
        return elementwise.log(self)

    def sqrt(self) -> Tensor:
        return elementwise.sqrt(self)

    def rsqrt(self) -> Tensor:
        return elementwise.rsqrt(self)

    def tanh(self) -> Tensor:
        return elementwise.tanh(self)

    def sigmoid(self) -> Tensor:
        return elementwise.sigmoid(self)

    def relu(self) -> Tensor:
        return elementwise.relu(self)

    def abs(self) -> Tensor:
        return elementwise.abs(self)

    def sign(self) -> Tensor:
        return elementwise.sign(self)

    def clamp(self, min: float | None = None, max: float | None = None) -> Tensor:
        return elementwise.clamp(self, min, max)

    def maximum(self, other: Tensor | float) -> Tensor:
        return elementwise.maximum(self, other)

    def minimum(self, other: Tensor | float) -> Tensor:
        return elementwise.minimum(self, other)

    def where(self, condition: Tensor, other: Tensor | float) -> Tensor:
        return elementwise.where(condition, self, other)

    def masked_fill(self, mask: Tensor, value: Tensor | float) -> Tensor:
        return elementwise.where(mask, value, self)

    # Reductions

    def sum(self, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        return reduce.sum(self, dim, keepdim, dtype=dtype)

    def mean(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return reduce.mean(self, dim, keepdim)

    def amax(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return reduce.amax(self, dim, keepdim)

    def amin(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return reduce.amin(self, dim, keepdim)

    def var(self, dim: Dims = None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
        return reduce.var(self, dim, unbiased, keepdim)

    def std(self, dim: Dims = None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
        return reduce.std(self, dim, unbiased, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        return reduce.max(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        return reduce.min(self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return reduce.argmax(self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return reduce.argmin(self, dim, keepdim)

    def softmax(self, dim: int) -> Tensor:
        return softmax.softmax(self, dim)

    def log_softmax(self, dim: int) -> Tensor:
        return softmax.log_softmax(self, dim)

    # Shape

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        return shapes.reshape(self, *shape)

    def view(self, *shape: int | Sequence[int]) -> Tensor:
        return shapes.reshape(self, *shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        return shapes.flatten(self, start_dim, end_dim)

    def permute(self, *dims: int | Sequence[int]) -> Tensor:
        return shapes.permute(self, *dims)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        return shapes.transpose(self, dim0, dim1)

    def t(self) -> Tensor:
        return shapes.t(self)

    @property
    def T(self) -> Tensor:  # noqa: N802 - torch's name
        """The axes in reverse order."""
        return shapes.permute(self, *reversed(range(self.array.ndim)))

    def squeeze(self, dim: Dims = None) -> Tensor:
        return shapes.squeeze(self, dim)

    def unsqueeze(self, dim: int) -> Tensor:
        return shapes.unsqueeze(self, dim)

    def expand(self, *shape: int | Sequence[int]) -> Tensor:
        return shapes.expand(self, *shape)

    def expand_as(self, other: Tensor) -> Tensor:
        return shapes.expand(self, other.array.shape)

    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        return shapes.split(self, split_size, dim)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        return shapes.chunk(self, chunks, dim)

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            raise DTypeError("iter: a tensor without axes cannot be iterated over; use item()")
        return iter([self[i] for i in range(len(self.array))])

    def __getitem__(self, index: Any) -> Tensor:
        return indexing.getitem(self, index)

    def __setitem__(self, index: Any, value: Tensor | float) -> None:
        in_place.setitem(self, index, value)

    def gather(self, dim: int, index: Tensor) -> Tensor:
        return indexing.gather(self, dim, index)

    # In place

    def add_(self, other: Tensor | float, *, alpha: float = 1) -> Tensor:
        return in_place.change("add_", self, arithmetic.add, other, alpha=alpha)

    def sub_(self, other: Tensor | float, *, alpha: float = 1) -> Tensor:
        return in_place.change("sub_", self, arithmetic.sub, other, alpha=alpha)

    def mul_(self, other: Tensor | float) -> Tensor:
        return in_place.change("mul_", self, arithmetic.mul, other)

    def div_(self, other: Tensor | float) -> Tensor:
        return in_place.change("div_", self, arithmetic.div, other)

    def pow_(self, exponent: Tensor | float) -> Tensor:
        return in_place.change("pow_", self, arithmetic.pow, exponent)

    def neg_(self) -> Tensor:
        return in_place.change("neg_", self, arithmetic.neg)

    def exp_(self) -> Tensor:
        return in_place.change("exp_", self, elementwise.exp)

    def sqrt_(self) -> Tensor:
        return in_place.change("sqrt_", self, elementwise.sqrt)

    def relu_(self) -> Tensor:
        return elementwise.relu_(self)

    def clamp_(self, min: float | None = None, max: float | None = None) -> Tensor:
        return in_place.change("clamp_", self, elementwise.clamp, min, max)

    def zero_(self) -> Tensor:
        return in_place.fill_(self, 0)

    def fill_(self, value: Tensor | float) -> Tensor:
        return in_place.fill_(self, value)

    def copy_(self, source: Tensor) -> Tensor:
        return in_place.copy_(self, source)

    def __iadd__(self, other: Tensor | float) -> Tensor:
        return self.add_(other)

    def __isub__(self, other: Tensor | float) -> Tensor:
        return self.sub_(other)

    def __imul__(self, other: Tensor | float) -> Tensor:
        return self.mul_(other)

    def __itruediv__(self, other: Tensor | float) -> Tensor:
        return self.div_(other)


set_tensor_class(Tensor)
