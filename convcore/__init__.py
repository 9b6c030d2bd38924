"""convcore: a convolution engine written from scratch, with the face of PyTorch.

Here are tensors and the functions on them, under torch's names. Beside them:

- `convcore.nn` and `convcore.nn.functional`: layers, and what they compute; `explain_conv2d`
  and `explain_matmul` say by which algorithm.
- `convcore.optim`, `convcore.data`, `convcore.transforms`, `convcore.training`: optimisers, data, augmentation, loops.
- `convcore.models`: the famous networks, and where their trained weights are.
- `convcore.inspect` and `convcore.plot`: filters, windows, feature maps, receptive fields, Grad-CAM; as numbers and as
  pictures.
- `convcore.lessons`: ten lessons, from the sum over a patch to transfer learning; `convcore explore` shows them.
- `convcore.autograd`, `convcore.testing`, `convcore.summary`, `convcore.io`, `convcore.errors`, `convcore.cuda`: the
  graph of gradients, their checks, a model layer by layer, files of weights, what is raised, one GPU.
"""

from math import e, inf, nan, pi

from convcore import interrupts as interrupts  # isort: skip  # at once: Ctrl-C during the imports that follow
from convcore import config  # isort: skip  # before all others: it checks whose package `kernels` is found
from convcore.tensor import Size, Tensor  # isort: skip  # first: `convcore.tensor` must end up as the function

from convcore import absent, amp, autograd, cuda, data, io, memory, models, nn, optim, transforms, utils
from convcore.autograd import enable_grad, inference_mode, is_grad_enabled, no_fusion, no_grad, set_grad_enabled

# So many names are packed.
# isort: off
# fmt: off
from convcore.ops.core import weight_cache
from convcore.ops.activation.functions import celu, selu
from convcore.ops.activation.composed import hardshrink, prelu, rrelu, threshold
from convcore.ops.core.dtypes import bool_ as bool
from convcore.ops.conv.algorithm import use_algorithm
from convcore.ops.elementwise.arithmetic import (
    add, mul, multiply, neg, negative, pow, reciprocal, rsub, square, sub, subtract,
)
from convcore.ops.elementwise.comparison import (
    allclose, bitwise_and, bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor, eq, equal,
    ge, greater, greater_equal, gt, isclose, isfinite, isin, isinf, isnan, isneginf, isposinf, isreal, le, less,
    less_equal, logical_and, logical_not, logical_or, logical_xor, lt, ne, not_equal,
)
from convcore.ops.linear.bilinear import bilinear
from convcore.ops.conv.functions import conv1d, conv2d, conv3d
from convcore.ops.conv.explain import explain_conv2d
from convcore.ops.conv.transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from convcore.ops.create.creation import (
    arange, empty, empty_like, empty_permuted, empty_strided, eye, from_numpy, full, full_like, linspace, logspace,
    ones, ones_like, scalar_tensor, tensor, zeros, zeros_like,
)
from convcore.ops.elementwise.division import (
    addcdiv, addcmul, copysign, div, divide, floor_divide, fmax, fmin, fmod, gcd, heaviside, lcm, lerp, nextafter,
    remainder, true_divide,
)
from convcore.ops.core.dtypes import bfloat16, clone, float16, float32, float64, int8, int16, int32, int64, uint8
from convcore.ops.linear.einsum import einsum
from convcore.ops.elementwise.functions import (
    abs, absolute, clamp, clamp_max, clamp_min, clip, erf, exp, log, masked_fill, maximum, minimum, relu, rsqrt,
    sigmoid, sign, sqrt, tanh, where,
)
from convcore.ops.elementwise.exponentials import (
    exp2, expm1, float_power, frexp, ldexp, log10, log1p, log2, logaddexp, logaddexp2, logit,
)
from convcore.ops.elementwise.in_place import resize_as_, zero_
from convcore.ops.shape.indexing import argwhere, gather, nonzero, nonzero_static, unravel_index
from convcore.ops.shape.joining import (
    cat, chunk, column_stack, concat, concatenate, dsplit, dstack, hsplit, hstack, row_stack, split,
    split_with_sizes, stack, tensor_split, unbind, unsafe_chunk, unsafe_split, vsplit, vstack,
)
from convcore.ops.linear.explain import explain_matmul
from convcore.ops.linear.matmul import matmul
from convcore.ops.reduce.vector_norm import dist, norm, renorm
from convcore.ops.core.device import channels_last, channels_last_3d, contiguous_format, device, preserve_format
from convcore.ops.linear.products import (
    addbmm, addmm, addmv, addr, baddbmm, bmm, cross, dot, ger, inner, kron, mm, mv, outer, tensordot, vdot,
)
from convcore.ops.rearrange.functions import (
    block_diag, cartesian_prod, combinations, diag, diag_embed, diagflat, diagonal, flip, fliplr, flipud, meshgrid,
    repeat_interleave, roll, rot90, tile, trace, tril, tril_indices, triu, triu_indices,
)
from convcore.ops.reduce.functions import (
    all, amax, amin, aminmax, any, argmax, argmin, count_nonzero, logsumexp, max, mean, min, nanmean, nansum, prod,
    sum,
)
from convcore.ops.elementwise.rounding import ceil, fix, floor, frac, nan_to_num, positive, round, sgn, signbit, trunc
from convcore.ops.create.sampling import (
    bernoulli, multinomial, normal, rand, rand_like, randint, randint_like, randn, randn_like, randperm,
)
from convcore.ops.reduce.scan import (
    cummax, cummin, cumprod, cumsum, cumulative_trapezoid, diff, logcumsumexp, trapezoid, trapz,
)
from convcore.ops.rearrange.scatter import (
    index_add, index_copy, index_fill, index_put, index_select, masked_scatter, masked_select, scatter, scatter_add,
)
from convcore.ops.shape.views import (
    adjoint, atleast_1d, atleast_2d, atleast_3d, broadcast_shapes, broadcast_tensors, broadcast_to, expand, flatten,
    moveaxis, movedim, narrow, permute, ravel, reshape, select, squeeze, swapaxes, swapdims, t, transpose,
    unflatten, unsqueeze,
)
from convcore.ops.activation.softmax import log_softmax, softmax
from convcore.ops.reduce.sorting import (
    argsort, bincount, bucketize, msort, searchsorted, sort, take, take_along_dim, topk, unique,
    unique_consecutive,
)
from convcore.ops.elementwise.special import (
    digamma, erfc, erfinv, i0, igamma, igammac, lgamma, mvlgamma, polygamma, xlogy,
)
from convcore.ops.reduce.statistics import (
    corrcoef, cov, kthvalue, median, mode, nanmedian, nanquantile, quantile, std, std_mean, var, var_mean,
)
from convcore.ops.elementwise.trigonometry import (
    acos, acosh, arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, asin, asinh, atan, atan2, atanh, cos,
    cosh, deg2rad, hypot, rad2deg, sin, sinc, sinh, tan,
)
from convcore.ops.rearrange.copies import (
    alias_copy, as_strided_copy, detach, detach_copy, diagonal_copy, diagonal_scatter, expand_copy, fill, narrow_copy,
    permute_copy, select_copy, select_scatter, slice_copy, slice_scatter, split_copy, split_with_sizes_copy,
    squeeze_copy, t_copy, transpose_copy, unbind_copy, unfold_copy, unsqueeze_copy, view_copy,
)
from convcore.ops.reduce.distance import cdist, cosine_similarity, pairwise_distance, pdist
from convcore.ops.reduce.gradient import gradient
from convcore.ops.reduce.histogram import histc, histogram, histogramdd
from convcore.ops.elementwise.real_numbers import (
    angle, conj, conj_physical, imag, is_complex, real, resolve_conj, resolve_neg,
)
from convcore.ops.norm.reparametrisation import norm_except_dim
from convcore.ops.rearrange.scatter_reduce import index_reduce, scatter_reduce
from convcore.ops.rearrange.strided import as_strided, as_strided_scatter
from convcore.ops.norm.layer_norm import group_norm, layer_norm, rms_norm
from convcore.ops.image.pad import constant_pad_nd
from convcore.ops.image.pixel_shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from convcore.ops.pool.functions import adaptive_avg_pool1d, avg_pool1d, max_pool1d, max_pool2d, max_pool3d
from convcore.ops.create.queries import (
    as_tensor, can_cast, dtype, finfo, get_default_dtype, iinfo, is_floating_point, is_nonzero, is_tensor, numel,
    promote_types, result_type,
)
# isort: on
from convcore.amp import GradScaler, autocast
from convcore.io import load, save
from convcore.nn.compiling.compiled import clear_plans, compile
from convcore.ops.core.public_api import guard_functions
from convcore.random import Generator, default_generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from kernels.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"


def clear_caches() -> None:
    """Return memory that is kept for later: idle blocks of the pool, packed weights, the plans of compiled models."""
    clear_plans()
    weight_cache.clear()
    memory.clear()


float = float32
double = float64
half = float16
short = int16
int = int32
long = int64
newaxis = None

__all__ = [
    "Generator", "GradScaler", "Size", "Tensor", "__version__", "abs", "absolute", "acos", "acosh",
    "adaptive_avg_pool1d", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "adjoint", "alias_copy",
    "all", "allclose", "amax", "amin", "aminmax", "amp", "angle", "any", "arange", "arccos", "arccosh", "arcsin",
    "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "argsort", "argwhere", "as_strided",
    "as_strided_copy", "as_strided_scatter", "as_tensor", "asin", "asinh", "atan", "atan2", "atanh", "atleast_1d",
    "atleast_2d", "atleast_3d", "autocast", "autograd", "avg_pool1d", "baddbmm", "bernoulli", "bfloat16", "bilinear",
    "bincount", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "block_diag", "bmm", "bool", "broadcast_shapes", "broadcast_tensors", "broadcast_to", "bucketize", "can_cast",
    "cartesian_prod", "cat", "cdist", "ceil", "celu", "channel_shuffle", "channels_last", "channels_last_3d", "chunk",
    "clamp", "clamp_max", "clamp_min", "clear_caches", "clip", "clone", "column_stack", "combinations", "compile",
    "concat", "concatenate", "config", "conj", "conj_physical", "constant_pad_nd", "contiguous_format", "conv1d",
    "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "copysign", "corrcoef", "cos",
    "cosh", "cosine_similarity", "count_nonzero", "cov", "cross", "cuda", "cummax", "cummin", "cumprod", "cumsum",
    "cumulative_trapezoid", "data", "default_generator", "deg2rad", "detach", "detach_copy", "device", "diag",
    "diag_embed", "diagflat", "diagonal", "diagonal_copy", "diagonal_scatter", "diff", "digamma", "dist", "div",
    "divide", "dot", "double", "dsplit", "dstack", "dtype", "e", "einsum", "empty", "empty_like", "empty_permuted",
    "empty_strided", "enable_grad", "eq", "equal", "erf", "erfc", "erfinv", "exp", "exp2", "expand", "expand_copy",
    "explain_conv2d", "explain_matmul", "expm1", "eye", "fill", "finfo", "fix", "flatten", "flip", "fliplr", "flipud",
    "float", "float16", "float32", "float64", "float_power", "floor", "floor_divide", "fmax", "fmin", "fmod", "frac",
    "frexp", "from_numpy", "full", "full_like", "gather", "gcd", "ge", "ger", "get_default_dtype", "get_num_threads",
    "get_rng_state", "gradient", "greater", "greater_equal", "group_norm", "gt", "half", "hardshrink", "heaviside",
    "histc", "histogram", "histogramdd", "hsplit", "hstack", "hypot", "i0", "igamma", "igammac", "iinfo", "imag",
    "index_add", "index_copy", "index_fill", "index_put", "index_reduce", "index_select", "inf", "inference_mode",
    "initial_seed", "inner", "int", "int8", "int16", "int32", "int64", "io", "is_complex", "is_floating_point",
    "is_grad_enabled", "is_nonzero", "is_tensor", "isclose", "isfinite", "isin", "isinf", "isnan", "isneginf",
    "isposinf", "isreal", "kron", "kthvalue", "layer_norm", "lcm", "ldexp", "le", "lerp", "less", "less_equal",
    "lgamma", "linspace", "load", "log", "log1p", "log2", "log10", "log_softmax", "logaddexp", "logaddexp2",
    "logcumsumexp", "logical_and", "logical_not", "logical_or", "logical_xor", "logit", "logspace", "logsumexp", "long",
    "lt", "manual_seed", "masked_fill", "masked_scatter", "masked_select", "matmul", "max", "max_pool1d", "max_pool2d",
    "max_pool3d", "maximum", "mean", "median", "meshgrid", "min", "minimum", "mm", "mode", "models", "moveaxis",
    "movedim", "msort", "mul", "multinomial", "multiply", "mv", "mvlgamma", "nan", "nan_to_num", "nanmean", "nanmedian",
    "nanquantile", "nansum", "narrow", "narrow_copy", "ne", "neg", "negative", "newaxis", "nextafter", "nn",
    "no_fusion", "no_grad", "nonzero", "nonzero_static", "norm", "norm_except_dim", "normal", "not_equal", "numel",
    "ones", "ones_like", "optim", "outer", "pairwise_distance", "pdist", "permute", "permute_copy", "pi",
    "pixel_shuffle", "pixel_unshuffle", "polygamma", "positive", "pow", "prelu", "preserve_format", "prod",
    "promote_types", "quantile", "rad2deg", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like",
    "randperm", "ravel", "real", "reciprocal", "relu", "remainder", "renorm", "repeat_interleave", "reshape",
    "resize_as_", "resolve_conj", "resolve_neg", "result_type", "rms_norm", "roll", "rot90", "round", "row_stack",
    "rrelu", "rsqrt", "rsub", "save", "scalar_tensor", "scatter", "scatter_add", "scatter_reduce", "searchsorted",
    "seed", "select", "select_copy", "select_scatter", "selu", "set_grad_enabled", "set_num_threads", "set_rng_state",
    "sgn", "short", "sigmoid", "sign", "signbit", "sin", "sinc", "sinh", "slice_copy", "slice_scatter", "softmax",
    "sort", "split", "split_copy", "split_with_sizes", "split_with_sizes_copy", "sqrt", "square", "squeeze",
    "squeeze_copy", "stack", "std", "std_mean", "sub", "subtract", "sum", "swapaxes", "swapdims", "t", "t_copy", "take",
    "take_along_dim", "tan", "tanh", "tensor", "tensor_split", "tensordot", "threshold", "tile", "topk", "trace",
    "transforms", "transpose", "transpose_copy", "trapezoid", "trapz", "tril", "tril_indices", "triu", "triu_indices",
    "true_divide", "trunc", "uint8", "unbind", "unbind_copy", "unflatten", "unfold_copy", "unique",
    "unique_consecutive", "unravel_index", "unsafe_chunk", "unsafe_split", "unsqueeze", "unsqueeze_copy",
    "use_algorithm", "utils", "var", "var_mean", "vdot", "view_copy", "vsplit", "vstack", "where", "xlogy", "zero_",
    "zeros", "zeros_like", ]  # fmt: skip

guard_functions(globals())
absent.watch()
