"""New tensors of random numbers. Equal seeds give equal tensors, whatever the number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.arguments import integer
from convcore.ops.creation import new_shape
from convcore.ops.dtypes import element_type, float32, int64
from convcore.random import Generator, default_generator

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def rand(
    *size: int | Sequence[int], generator: Generator | None = None, dtype: Any = float32, requires_grad: bool = False
) -> Tensor:
    """Uniform numbers from [0, 1).

    Args:
        size: the shape, as integers or as one sequence.
        generator: where the numbers come from; by default `convcore.random.default_generator`.
        dtype: float32 or float64.
        requires_grad: whether `backward` is to compute its gradient.
    """
    return _floats("rand", np.random.Generator.random, size, generator, dtype, requires_grad)


def randn(
    *size: int | Sequence[int], generator: Generator | None = None, dtype: Any = float32, requires_grad: bool = False
) -> Tensor:
    """Numbers from the normal distribution with mean 0 and variance 1; the arguments are those of `rand`."""
    return _floats("randn", np.random.Generator.standard_normal, size, generator, dtype, requires_grad)


def rand_like(input: Tensor, *, generator: Generator | None = None, requires_grad: bool = False) -> Tensor:
    """`rand` with the input's shape and dtype."""
    return rand(input.array.shape, generator=generator, dtype=input.array.dtype, requires_grad=requires_grad)


def randn_like(input: Tensor, *, generator: Generator | None = None, requires_grad: bool = False) -> Tensor:
    """`randn` with the input's shape and dtype."""
    return randn(input.array.shape, generator=generator, dtype=input.array.dtype, requires_grad=requires_grad)


def randint(
    low: int,
    high: int | Sequence[int],
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = int64,
) -> Tensor:
    """Integers from low to high - 1: `randint(low, high, size)`, or `randint(high, size)` with low = 0.

    Raises:
        ShapeError: no integer lies in the range, or one does not fit into `dtype`.
    """
    if size is None:
        low, high, size = 0, low, high  # pyright: ignore[reportAssignmentType]
    first, last = integer("randint", "low", low, -(1 << 63)), integer("randint", "high", high, -(1 << 63)) - 1
    if last < first:
        raise ShapeError(f"randint: needs low < high, got low={first}, high={last + 1}")
    dtype = element_type("randint", dtype)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= first <= last <= np.iinfo(dtype).max:
        raise ShapeError(f"randint: {first} to {last} does not fit into {dtype}")
    numbers = (generator or default_generator).numpy
    return wrap(numbers.integers(first, last, new_shape("randint", (size,)), endpoint=True).astype(dtype))


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = int64) -> Tensor:
    """The integers from 0 to n - 1 in random order."""
    count = integer("randperm", "n", n, 0)
    return wrap((generator or default_generator).numpy.permutation(count).astype(element_type("randperm", dtype)))


def _floats(op: str, draw: Any, size: tuple, generator: Generator | None, dtype: Any, requires_grad: bool) -> Tensor:
    dtype = element_type(op, dtype)
    if dtype.kind != "f":
        raise DTypeError(f"{op}: dtype must be float32 or float64, got {dtype}; for integers there is randint")
    result = wrap(np.asarray(draw((generator or default_generator).numpy, new_shape(op, size), dtype=dtype), dtype))
    return result.requires_grad_() if requires_grad else result
