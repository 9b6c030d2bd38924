"""convcore: a convolution engine written from scratch, with the face of PyTorch."""

from convcore import config  # isort: skip  # before all others: it checks whose package `kernels` is found
from convcore.tensor import Size, Tensor  # isort: skip  # first: `convcore.tensor` must end up as the function

from convcore import autograd, data, io, memory, models, nn, optim, transforms
from convcore.autograd import enable_grad, is_grad_enabled, no_fusion, no_grad, set_grad_enabled
from convcore.ops import derived
from convcore.ops.algorithms import use_algorithm
from convcore.ops.arithmetic import add, div, mul, neg, pow, reciprocal, sub
from convcore.ops.comparison import allclose, eq, equal, ge, gt, isfinite, isnan, le, lt, ne
from convcore.ops.conv_explain import explain_conv2d
from convcore.ops.creation import (
    arange,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from convcore.ops.dtypes import bool_ as bool
from convcore.ops.dtypes import clone, float32, float64, int8, int16, int32, int64, uint8
from convcore.ops.elementwise import (
    abs,
    clamp,
    erf,
    exp,
    log,
    maximum,
    minimum,
    relu,
    rsqrt,
    sigmoid,
    sign,
    sqrt,
    tanh,
    where,
)
from convcore.ops.indexing import gather
from convcore.ops.matmul import matmul
from convcore.ops.reduce import all, amax, amin, any, argmax, argmin, max, mean, min, std, sum, var
from convcore.ops.sampling import rand, rand_like, randint, randn, randn_like, randperm
from convcore.ops.shape import (
    cat,
    chunk,
    expand,
    flatten,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)
from convcore.ops.softmax import log_softmax, softmax
from convcore.random import Generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from kernels.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"


def clear_caches() -> None:
    """Return memory that is kept for later: idle blocks of the pool, and packed weights."""
    derived.clear()
    memory.clear()


float = float32
double = float64
long = int64

__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "__version__",
    "abs",
    "add",
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "autograd",
    "bool",
    "cat",
    "chunk",
    "clamp",
    "clear_caches",
    "clone",
    "config",
    "data",
    "div",
    "double",
    "empty",
    "empty_like",
    "enable_grad",
    "eq",
    "equal",
    "erf",
    "exp",
    "expand",
    "explain_conv2d",
    "eye",
    "flatten",
    "float",
    "float32",
    "float64",
    "from_numpy",
    "full",
    "full_like",
    "gather",
    "ge",
    "get_num_threads",
    "get_rng_state",
    "gt",
    "initial_seed",
    "int8",
    "int16",
    "int32",
    "int64",
    "io",
    "is_grad_enabled",
    "isfinite",
    "isnan",
    "le",
    "linspace",
    "log",
    "log_softmax",
    "long",
    "lt",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "models",
    "mul",
    "ne",
    "neg",
    "nn",
    "no_fusion",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "permute",
    "pow",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "reciprocal",
    "relu",
    "reshape",
    "rsqrt",
    "seed",
    "set_grad_enabled",
    "set_num_threads",
    "set_rng_state",
    "sigmoid",
    "sign",
    "softmax",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "tanh",
    "tensor",
    "transforms",
    "transpose",
    "uint8",
    "unsqueeze",
    "use_algorithm",
    "var",
    "where",
    "zeros",
    "zeros_like",
]
