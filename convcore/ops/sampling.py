"""New tensors of random numbers, drawn from `convcore.random`'s default generator or a given one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.arguments import integer
from convcore.ops.creation import shape_of
from convcore.ops.dtypes import converted, element_type, float32, int64
from convcore.random import Generator, default_generator

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def _source(generator: Generator | None) -> np.random.Generator:
    return (default_generator if generator is None else generator).numpy


def _floating_type(op: str, dtype: Any) -> Any:
    if element_type(op, dtype).kind != "f":
        raise DTypeError(f"{op}: dtype must be float32 or float64, got {np.dtype(dtype)}")
    return dtype


def rand(
    *size: int | Sequence[int], generator: Generator | None = None, dtype: Any = float32, requires_grad: bool = False
) -> Tensor:
    """Numbers spread evenly over [0, 1)."""
    array = _source(generator).random(shape_of("rand", size), _floating_type("rand", dtype))
    return wrap(np.asarray(array)).requires_grad_(requires_grad)


def randn(
    *size: int | Sequence[int], generator: Generator | None = None, dtype: Any = float32, requires_grad: bool = False
) -> Tensor:
    """Numbers of the standard normal distribution (mean 0, variance 1)."""
    array = _source(generator).standard_normal(shape_of("randn", size), _floating_type("randn", dtype))
    return wrap(np.asarray(array)).requires_grad_(requires_grad)


def rand_like(input: Tensor, *, requires_grad: bool = False) -> Tensor:
    """Numbers spread evenly over [0, 1), in the input's shape and dtype."""
    return rand(input.array.shape, dtype=input.array.dtype, requires_grad=requires_grad)


def randn_like(input: Tensor, *, requires_grad: bool = False) -> Tensor:
    """Numbers of the standard normal distribution, in the input's shape and dtype."""
    return randn(input.array.shape, dtype=input.array.dtype, requires_grad=requires_grad)


def randint(
    low: int, high: Any = None, size: Any = None, *, generator: Generator | None = None, dtype: Any = int64
) -> Tensor:
    """Integers from `low` (0 if left out) up to but without `high`: randint(high, size) or randint(low, high, size)."""
    if size is None:
        low, high, size = 0, low, high
    dtype = element_type("randint", dtype)
    first = integer("randint", "low", low, -(1 << 63))
    last = integer("randint", "high", high, -(1 << 63)) - 1
    if last < first:
        raise ShapeError(f"randint: high must be greater than low, got low={first} and high={last + 1}")
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= first <= last <= np.iinfo(dtype).max:
        raise ShapeError(f"randint: {first} to {last} does not fit into {dtype}")
    array = _source(generator).integers(first, last, shape_of("randint", (size,)), endpoint=True)
    return wrap(converted(np.asarray(array), dtype))


def randperm(n: int, *, generator: Generator | None = None) -> Tensor:
    """The integers from 0 to n - 1 in random order."""
    return wrap(_source(generator).permutation(integer("randperm", "n", n, minimum=0)).astype(int64))
