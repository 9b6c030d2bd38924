"""New tensors of random values. Equal seeds give equal tensors for any number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import integer, varargs_or_keyword
from convcore.ops.core.dtypes import element_type, float32, int64
from convcore.ops.core.transfer import device_like, to_device
from convcore.ops.create.creation import new_shape
from convcore.ops.elementwise.in_place import copy_
from convcore.random import Generator, numpy_generator

if TYPE_CHECKING:
    from convcore.tensor import Tensor

MAX_CATEGORIES = 1 << 24  # of `multinomial`, as in torch


def rand(
    *size_: int | Sequence[int],
    size: Sequence[int] | None = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random values from [0, 1).

    Args:
        size: the shape, as integers or as one sequence.
        generator: the random generator; by default `convcore.random.active()`.
        dtype: float32 (the default) or float64.
        device: "cpu" (the default) or "cuda", which gets the same values as the CPU.
        requires_grad: whether `backward` computes the gradient of the result.
    """
    return _floats(
        "rand", np.random.Generator.random, varargs_or_keyword(size_, size), generator, dtype, device, requires_grad
    )


def randn(
    *size_: int | Sequence[int],
    size: Sequence[int] | None = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random values from the normal distribution with mean 0 and variance 1; the arguments are those of `rand`."""
    return _floats(
        "randn", np.random.Generator.standard_normal, varargs_or_keyword(size_, size), generator, dtype, device,
        requires_grad,
    )  # fmt: skip


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`rand` with the input's shape and, by default, its dtype."""
    dtype = input.array.dtype if dtype is None else dtype
    return rand(
        input.array.shape,
        generator=generator,
        dtype=dtype,
        device=device_like(input, device),
        requires_grad=requires_grad,
    )


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randn` with the input's shape and, by default, its dtype."""
    dtype = input.array.dtype if dtype is None else dtype
    return randn(
        input.array.shape,
        generator=generator,
        dtype=dtype,
        device=device_like(input, device),
        requires_grad=requires_grad,
    )


def randint(
    low: int | None = None,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random integers from low to high - 1: `randint(low, high, size)`, or `randint(high, size)` with low = 0.

    Args:
        size: the shape, a sequence; also by keyword: `randint(10, size=(2, 3))`.
        generator: the random generator; by default `convcore.random.default_generator`.
        dtype: int64 by default.
        device: "cpu" (the default) or "cuda", which gets the same values as the CPU.
        requires_grad: whether `backward` computes the gradient of the result; for float dtypes.

    Raises:
        DTypeError: a bound or the size is missing, or a bound is not an integer.
        ShapeError: the range is empty, or does not fit into `dtype`.
    """
    if size is None and isinstance(high, Sequence):
        low, high, size = None, low, high
    if high is None:  # a single bound is the upper one
        low, high = None, low
    if high is None or size is None:
        raise DTypeError("randint: needs a bound and a size, randint(high, size) or randint(low, high, size)")
    low = 0 if low is None else low
    first, last = integer("randint", "low", low, -(1 << 63)), integer("randint", "high", high, -(1 << 63)) - 1
    if last < first:
        raise ShapeError(f"randint: needs low < high, got low={first}, high={last + 1}")
    dtype = element_type("randint", dtype, int64)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= first <= last <= np.iinfo(dtype).max:
        raise ShapeError(f"randint: {first} to {last} does not fit into {dtype}")
    rng = numpy_generator("randint", generator)
    values = np.asarray(rng.integers(first, last, new_shape("randint", (size,)), endpoint=True), dtype)
    result = to_device(wrap(values), device)
    return result.requires_grad_() if requires_grad else result


def randint_like(
    input: Tensor,
    low: int | None = None,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randint` with the input's shape and, by default, its dtype: `randint_like(x, high)` starts at 0"""
    first, end = (0, low) if high is None else (low, high)
    if end is None:
        raise DTypeError("randint_like: needs a bound, randint_like(x, high) or randint_like(x, low, high)")
    dtype = input.array.dtype if dtype is None else dtype
    return randint(first, end, input.array.shape, generator=generator, dtype=dtype, device=device_like(input, device),
                   requires_grad=requires_grad)  # fmt: skip


def normal(
    mean: Tensor | float,
    std: Tensor | float = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Normally distributed values: one for each element of `mean` and `std`, or of shape `size` if both are numbers."""
    tensors = [t for t in (mean, std) if isinstance(t, Variable)]
    if not tensors and size is None:
        raise ShapeError("normal: needs a tensor as mean or std, or a size")
    if isinstance(std, Variable) and std.array.dtype.kind != "f":
        raise DTypeError(f"normal: std must be float32 or float64, got {std.array.dtype}")
    centre, spread = (t.array if isinstance(t, Variable) else np.asarray(t) for t in (mean, std))
    if (spread < 0).any():
        raise ShapeError(f"normal: std must be at least 0, got {spread.min()}")
    shape = tuple(size) if size is not None else np.broadcast_shapes(centre.shape, spread.shape)
    kind = tensors[0].array.dtype if tensors and tensors[0].array.dtype.kind == "f" else float32
    values = numpy_generator("normal", generator).normal(centre, spread, shape)
    return to_device(wrap(np.asarray(values, element_type("normal", dtype, kind))), device)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with a probability given by each element (or p for all), else 0; of the input's dtype"""
    chances = input.array if p is None else np.asarray(p)
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ShapeError("bernoulli: probabilities must be from 0 to 1")
    draws = numpy_generator("bernoulli", generator).random(input.array.shape)
    return wrap(np.asarray(draws < chances, input.array.dtype))


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Random indices with the weights of each row: (K,) gives (num_samples,), (N, K) gives (N, num_samples); int64.

    K is at most 2^24, as in torch.
    """
    weights = input.array
    if weights.ndim not in (1, 2) or weights.dtype.kind != "f":
        raise ShapeError(f"multinomial: input must be floats of 1 or 2 axes, got {weights.dtype} {weights.shape}")
    if weights.shape[-1] > MAX_CATEGORIES:
        raise ShapeError(
            f"multinomial: input must have at most {MAX_CATEGORIES} weights a row, got {weights.shape[-1]}"
        )
    count = integer("multinomial", "num_samples", num_samples, 1)
    rows = np.atleast_2d(weights).astype(np.float64)  # sums of float32 values cannot overflow in float64
    wrong = ~np.isfinite(rows).all(-1) | (rows < 0).any(-1) | (rows.sum(-1) <= 0)
    if wrong.any():
        row = np.array2string(rows[wrong][0], threshold=10)
        raise ShapeError(
            f"multinomial: input must hold weights that are finite, at least 0, and not all 0 in a row, got {row}"
        )
    if not replacement and count > (rows > 0).sum(-1).min(initial=rows.shape[-1]):
        raise ShapeError(
            f"multinomial: num_samples = {count} without replacement need as many weights above 0 in each row"
        )
    rng = numpy_generator("multinomial", generator)
    drawn = [rng.choice(row.size, count, replacement, row / row.sum()) for row in rows]
    result = np.asarray(drawn, np.int64).reshape(len(rows), count)
    return wrap(result[0] if weights.ndim == 1 else result)


def bernoulli_(input: Tensor, p: Tensor | float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Replace each element by 1 with probability p, a number or a tensor that broadcasts, else by 0"""
    chances = p.array if isinstance(p, Variable) else np.asarray(p)
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ShapeError("bernoulli_: probabilities must be from 0 to 1")
    draws = numpy_generator("bernoulli_", generator).random(input.array.shape)
    return copy_(input, wrap(np.asarray(draws < chances, input.array.dtype)))


def _filler(name: str, draw: Any, doc: str, defaults: dict[str, Any], holds: Any, rule: str) -> Any:
    """An in-place method that replaces all elements by random values, with parameters of these names and defaults."""

    def fill(input: Tensor, *given: float, generator: Generator | None = None, **named: float) -> Tensor:
        by_position = dict(zip(defaults, given, strict=False))
        if len(given) > len(defaults) or named.keys() - (defaults.keys() - by_position.keys()):
            raise TypeError(f"{name}: takes {', '.join(defaults)} and generator, got {given} and {named}")
        settings = tuple({**defaults, **by_position, **named}.values())
        if not holds(*settings):
            raise ShapeError(f"{name}: {rule}, got {settings}")
        rng = numpy_generator(name, generator)
        with np.errstate(all="ignore"):
            values = draw(rng, input.array, *settings)
            return copy_(input, wrap(np.asarray(values).astype(input.array.dtype)))

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = doc
    return fill


def _integers_for(
    rng: np.random.Generator, array: np.ndarray, first: int | None, end: int | None
) -> np.ndarray:  # fmt: skip
    """Integers from `first` to `end` - 1; from 0 to `first` - 1 without `end`; without both, the range of the dtype"""
    if end is None and first is None:
        kind = array.dtype
        last = 1 if kind.kind == "b" else 2 ** (np.finfo(kind).nmant + 1) if kind.kind == "f" else np.iinfo(kind).max
        return rng.integers(0, last, array.shape, endpoint=True)
    low, high = (0, first) if end is None else (first or 0, end)
    return rng.integers(low, high, array.shape)


random_ = _filler(
    "random_", _integers_for,
    "Replace all elements by integers from `from` to `to` - 1, or from 0 to `to` - 1 if one number is given",
    {"from": None, "to": None},
    lambda first, end: first is None or (first > 0 if end is None else first < end), "from must be below to",
)  # fmt: skip
uniform_ = _filler(
    "uniform_", lambda rng, array, low, high: low + (high - low) * rng.random(array.shape),
    "Replace all elements by uniform random values from `from` to `to`",
    {"from": 0.0, "to": 1.0}, lambda low, high: low <= high, "from must not exceed to",
)  # fmt: skip
normal_ = _filler(
    "normal_", lambda rng, array, mean, std: rng.normal(mean, std, array.shape),
    "Replace all elements by normally distributed values of this mean and standard deviation",
    {"mean": 0.0, "std": 1.0}, lambda mean, std: std >= 0, "std must be at least 0",
)  # fmt: skip
log_normal_ = _filler(
    "log_normal_", lambda rng, array, mean, std: rng.lognormal(mean, std, array.shape),
    "Replace all elements by log-normally distributed values; their logarithms have this mean and standard deviation",
    {"mean": 1.0, "std": 2.0}, lambda mean, std: std > 0, "std must be above 0",
)  # fmt: skip
exponential_ = _filler(
    "exponential_", lambda rng, array, lambd: rng.exponential(1 / lambd, array.shape),
    "Replace all elements by exponentially distributed values of this rate",
    {"lambd": 1.0}, lambda lambd: lambd > 0, "lambd must be above 0",
)  # fmt: skip
geometric_ = _filler(
    "geometric_", lambda rng, array, p: rng.geometric(p, array.shape),
    "Replace all elements by the number of trials until the first success of probability p",
    {"p": None}, lambda p: p is not None and 0 < p < 1, "p must be between 0 and 1",
)  # fmt: skip
cauchy_ = _filler(
    "cauchy_", lambda rng, array, median, sigma: median + sigma * rng.standard_cauchy(array.shape),
    "Replace all elements by values from the Cauchy distribution",
    {"median": 0.0, "sigma": 1.0}, lambda median, sigma: sigma > 0, "sigma must be above 0",
)  # fmt: skip


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None) -> Tensor:
    """The integers from 0 to n - 1 in random order."""
    count = integer("randperm", "n", n, 0)
    return wrap(
        numpy_generator("randperm", generator).permutation(count).astype(element_type("randperm", dtype, int64))
    )


def _floats(
    op: str, draw: Any, size: tuple, generator: Generator | None, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    dtype = element_type(op, dtype, float32)
    if dtype.kind != "f":
        raise DTypeError(f"{op}: dtype must be float32 or float64, got {dtype}; for integers there is randint")
    values = np.asarray(draw(numpy_generator(op, generator), new_shape(op, size), dtype=dtype), dtype)
    result = to_device(wrap(values), device)
    return result.requires_grad_() if requires_grad else result
