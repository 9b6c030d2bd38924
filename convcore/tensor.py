"""Tensor: torch's operators and methods, each bound here, and only here, to an operation of `convcore.ops`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convcore.autograd.variable import set_tensor_class
from convcore.errors import DTypeError
from convcore.ops import arithmetic, comparison, dtypes, elementwise, in_place, indexing, reduce
from convcore.ops import matmul as products
from convcore.ops import shape as shapes
from convcore.ops import softmax as probabilities
from convcore.ops.in_place import twin
from convcore.tensor_data import Size, TensorData

__all__ = ["Size", "Tensor"]


class Tensor(TensorData):
    """A NumPy array that remembers how it was computed.

    Make one with `convcore.tensor`, `convcore.zeros`, `convcore.from_numpy` and the like. Methods that end in an
    underscore change the tensor in place. Names, arguments and semantics are torch's, with one relief: `view` copies
    where the elements do not lie in the order that it asks for. A method is the function of the same name in
    `convcore.ops`, with the tensor as its first argument; `twin` makes the one that works in place.
    """

    __slots__ = ()
    __array_priority__ = 1000  # NumPy arrays leave operators with a tensor to the tensor

    def __init__(self, array: np.ndarray, requires_grad: bool = False):
        super().__init__(array, requires_grad)
        self.version.watched().expose_for_ever()  # the caller has the array

    # Copies

    clone = dtypes.clone
    contiguous = shapes.contiguous

    # Arithmetic

    __add__ = __radd__ = add = arithmetic.add
    __sub__ = sub = arithmetic.sub
    __rsub__ = arithmetic.rsub
    __mul__ = __rmul__ = mul = arithmetic.mul
    __truediv__ = div = arithmetic.div
    __rtruediv__ = arithmetic.reflected(arithmetic.div)
    __pow__ = pow = arithmetic.pow
    __rpow__ = arithmetic.reflected(arithmetic.pow)
    __neg__ = neg = arithmetic.neg
    __abs__ = abs = elementwise.abs
    square = arithmetic.square
    reciprocal = arithmetic.reciprocal

    __iadd__ = add_ = twin(arithmetic.add)
    __isub__ = sub_ = twin(arithmetic.sub)
    __imul__ = mul_ = twin(arithmetic.mul)
    __itruediv__ = div_ = twin(arithmetic.div)
    __ipow__ = pow_ = twin(arithmetic.pow)
    neg_ = twin(arithmetic.neg)
    abs_ = twin(elementwise.abs)

    # Products

    __matmul__ = matmul = products.matmul
    __rmatmul__ = arithmetic.reflected(products.matmul)

    # Comparison and logic

    def __eq__(self, other: Any) -> Any:
        return comparison.eq(self, other) if comparison.is_operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return comparison.ne(self, other) if comparison.is_operand(other) else NotImplemented

    def __hash__(self) -> int:
        return id(self)

    eq = comparison.eq
    ne = comparison.ne
    __lt__ = lt = comparison.lt
    __le__ = le = comparison.le
    __gt__ = gt = comparison.gt
    __ge__ = ge = comparison.ge
    __and__ = __rand__ = bitwise_and = comparison.bitwise_and
    __or__ = __ror__ = bitwise_or = comparison.bitwise_or
    __xor__ = __rxor__ = bitwise_xor = comparison.bitwise_xor
    __invert__ = bitwise_not = comparison.bitwise_not
    logical_not = comparison.logical_not
    isnan = comparison.isnan
    isfinite = comparison.isfinite
    equal = comparison.equal
    allclose = comparison.allclose
    all = reduce.all
    any = reduce.any

    # Functions of each element

    erf = elementwise.erf
    exp = elementwise.exp
    log = elementwise.log
    sqrt = elementwise.sqrt
    rsqrt = elementwise.rsqrt
    tanh = elementwise.tanh
    sigmoid = elementwise.sigmoid
    relu = elementwise.relu
    sign = elementwise.sign
    clamp = elementwise.clamp
    maximum = elementwise.maximum
    minimum = elementwise.minimum
    masked_fill = elementwise.masked_fill

    def where(self, condition: Tensor, other: Tensor | float) -> Tensor:
        return elementwise.where(condition, self, other)

    erf_ = twin(elementwise.erf)
    exp_ = twin(elementwise.exp)
    log_ = twin(elementwise.log)
    sqrt_ = twin(elementwise.sqrt)
    rsqrt_ = twin(elementwise.rsqrt)
    tanh_ = twin(elementwise.tanh)
    sigmoid_ = twin(elementwise.sigmoid)
    relu_ = elementwise.relu_
    clamp_ = twin(elementwise.clamp)
    masked_fill_ = twin(elementwise.masked_fill)

    # Reductions

    sum = reduce.sum
    mean = reduce.mean
    var = reduce.var
    std = reduce.std
    amax = reduce.amax
    amin = reduce.amin
    max = reduce.max
    min = reduce.min
    argmax = reduce.argmax
    argmin = reduce.argmin
    softmax = probabilities.softmax
    log_softmax = probabilities.log_softmax

    # Shape

    reshape = view = shapes.reshape
    flatten = shapes.flatten
    permute = shapes.permute
    transpose = shapes.transpose
    t = shapes.t
    T = property(shapes.reversed_axes)
    squeeze = shapes.squeeze
    unsqueeze = shapes.unsqueeze
    expand = shapes.expand
    expand_as = shapes.expand_as
    split = shapes.split
    chunk = shapes.chunk

    # Parts

    __getitem__ = indexing.getitem
    __setitem__ = in_place.setitem
    gather = indexing.gather

    def __iter__(self) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            raise DTypeError("iter: a tensor without axes cannot be iterated over; use item()")
        return iter([self[i] for i in range(len(self.array))])

    # New values

    zero_ = in_place.zero_
    fill_ = in_place.fill_
    copy_ = in_place.copy_


set_tensor_class(Tensor)
