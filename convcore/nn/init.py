"""Initial weights: each function fills a tensor in place, from `convcore.random` or a given generator.

The usual choices keep the variance of signals the same from layer to layer, forwards (fan_in) or backwards (fan_out).
An output is a sum of fan_in products. With weights of variance 1 / fan_in, outputs have the variance of the inputs.
`gain` compensates for the nonlinearity: ReLU halves the mean square, so its gain is sqrt(2).

Sources: X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010),
equation 16 (xavier); K. He et al., "Delving Deep into Rectifiers" (2015), equations 10 and 14 (kaiming).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from convcore.autograd import no_grad
from convcore.errors import ShapeError, UnsupportedError
from convcore.ops.core.arguments import integer
from convcore.random import Generator, numpy_generator
from convcore.tensor import Tensor

_CHUNK = 1 << 16  # values drawn at a time: as float64 they fit into the L2 cache
_skips = threading.local()


@contextmanager
def skipped(when: bool = True) -> Iterator[None]:
    """Inside the `with` block, new layers of this thread are not initialised, because their values will be loaded.

    Their parameters hold undefined values until `load_state_dict` or the user fills them.
    """
    before = getattr(_skips, "on", False)
    _skips.on = before or when
    try:
        yield
    finally:
        _skips.on = before


def _fill(name: str, tensor: Tensor, draw: Callable[[int], np.ndarray | float]) -> Tensor:
    """Write `draw(count)` into a tensor, outside the graph. `draw` works in float64; float32 rounds the same values.

    Drawing chunk by chunk gives the same values as a single call, in less time and with hardly any memory.
    """
    if getattr(_skips, "on", False):
        return tensor
    with no_grad():
        tensor.begin_in_place(name)
        array = tensor.before_write()
        in_place = isinstance(array, np.ndarray) and array.flags.c_contiguous
        flat = array.reshape(-1) if in_place else np.empty(array.size, array.dtype)
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            part[...] = draw(part.size)
        if not in_place:
            array[...] = flat.reshape(array.shape)
        tensor.mark_changed()
    return tensor


def _write(name: str, tensor: Tensor, draw: Callable[[], np.ndarray]) -> Tensor:
    """Write values that must be drawn in one call, in the shape of the tensor."""
    if getattr(_skips, "on", False):
        return tensor
    values = iter(np.array_split(draw().reshape(-1), range(_CHUNK, tensor.array.size, _CHUNK)))
    return _fill(name, tensor, lambda count: next(values))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform values from a to b."""
    return _fill("uniform_", tensor, lambda count: numpy_generator("uniform_", generator).uniform(a, b, count))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Values of the normal distribution."""
    return _fill("normal_", tensor, lambda count: numpy_generator("normal_", generator).normal(mean, std, count))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Values of the normal distribution truncated to [a, b]."""
    from scipy.special import ndtr, ndtri  # not at the top: it takes a tenth of the time of importing convcore

    low, high = ndtr((a - mean) / std), ndtr((b - mean) / std)

    # Inverse transform sampling: the inverse distribution function of values uniform over its range on [a, b].
    def draw(count: int) -> np.ndarray:
        quantiles = numpy_generator("trunc_normal_", generator).uniform(low, high, count)
        return np.clip(mean + std * ndtri(quantiles), a, b)

    return _fill("trunc_normal_", tensor, draw)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same value everywhere."""
    return _fill("constant_", tensor, lambda count: val)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))  # uniform in +-b has variance b^2 / 3
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with variance gain^2 * 2 / (fan_in + fan_out)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2 / (fan_in + fan_out)), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform with variance gain^2 / fan.

    Args:
        a: slope of the leaky ReLU for negative inputs; the gain is computed from it.
        mode: "fan_in" keeps the variance forwards, "fan_out" backwards.
        nonlinearity: what follows the layer; see `calculate_gain`.
    """
    if tensor.array.size == 0:
        return tensor
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with variance gain^2 / fan; the arguments are those of `kaiming_uniform_`."""
    if tensor.array.size == 0:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix: a linear layer passes on as many of its inputs as it has outputs."""
    _require_matrix("eye_", tensor)
    return _write("eye_", tensor, lambda: np.eye(*tensor.array.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """1 at the center tap of filter i for its i-th input channel: a convolution passes on its inputs, group by group.

    Args:
        tensor: (C_out, C_in / groups, K), (.., K_h, K_w) or (.., K_d, K_h, K_w).
        groups: divides C_out.
    """
    shape = tensor.array.shape
    if len(shape) not in (3, 4, 5) or shape[0] % integer("dirac_", "groups", groups, 1):
        raise ShapeError(
            f"dirac_: needs a weight of 3 to 5 axes whose first is divisible by groups = {groups}, got shape {shape}"
        )

    def draw() -> np.ndarray:
        values = np.zeros(shape)
        per_group = shape[0] // groups
        center = tuple([size // 2 for size in shape[2:]])
        for group in range(groups):
            for channel in range(min(per_group, shape[1])):
                values[(group * per_group + channel, channel, *center)] = 1
        return values

    return _write("dirac_", tensor, draw)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A random matrix of orthogonal rows (or columns, if there are more rows) of length `gain`.

    Axes after the second count as columns. Source: A. Saxe et al., "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks" (2013).
    """
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ShapeError(f"orthogonal_: needs a tensor of at least 2 axes, got shape {shape}")
    if tensor.array.size == 0:
        return tensor
    rows, columns = shape[0], tensor.array.size // shape[0]

    def draw() -> np.ndarray:
        size = max(rows, columns), min(rows, columns)
        q, r = np.linalg.qr(numpy_generator("orthogonal_", generator).normal(size=size))
        q *= np.sign(np.diag(r))  # makes the distribution uniform over all such matrices
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return _write("orthogonal_", tensor, draw)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal values; in each column the share `sparsity`, rounded up, is set to 0 (Martens 2010)."""
    _require_matrix("sparse_", tensor)
    rows, columns = tensor.array.shape

    def draw() -> np.ndarray:
        source = numpy_generator("sparse_", generator)
        values = source.normal(0, std, (rows, columns))
        for column in range(columns):
            values[source.permutation(rows)[: math.ceil(sparsity * rows)], column] = 0
        return values

    return _write("sparse_", tensor, draw)


def _require_matrix(name: str, tensor: Tensor) -> None:
    if tensor.array.ndim != 2:
        raise ShapeError(f"{name}: needs a matrix, got shape {tensor.array.shape}")


def layer_default_(weight: Tensor, bias: Tensor | None) -> None:
    """The initial values of Conv2d and Linear: weight and bias uniform in +-1 / sqrt(fan_in).

    That is torch's default: kaiming_uniform_ with a = sqrt(5) has the gain sqrt(1 / 3), hence this bound.
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = _calculate_fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        uniform_(bias, -bound, bound)


_GAINS = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights must be larger to compensate for a nonlinearity.

    Args:
        nonlinearity: "linear", "conv2d", "sigmoid", "tanh", "relu", "selu" or "leaky_relu".
        param: for "leaky_relu", the slope for negative inputs; by default 0.01.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: param must be a number, the negative slope, got {slope!r}")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise UnsupportedError(
            f"calculate_gain: nonlinearity must be one of {', '.join([*_GAINS, 'leaky_relu'])}, got {nonlinearity!r}"
        )
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs one output sums, and how many outputs one input contributes to.

    A weight is (C_out, C_in) or (C_out, C_in / groups, K_h, K_w): each filter position counts.
    """
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ShapeError(
            f"init: fan in and fan out need a weight of at least 2 axes (C_out, C_in, ...), got shape {shape}; "
            "for a bias use uniform_ or zeros_"
        )
    positions = math.prod(shape[2:])
    return shape[1] * positions, shape[0] * positions


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode.lower() == "fan_in" else fan_out)
