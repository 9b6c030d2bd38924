"""Special functions: the error function, the gamma function and their relatives, computed by SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import UnsupportedError
from convcore.ops.core.arguments import integer
from convcore.ops.core.dtypes import compute, floating
from convcore.ops.elementwise.exponentials import log1p
from convcore.ops.elementwise.functions import exp, log, where
from convcore.ops.elementwise.ufuncs import EITHER, REFUSE, TO_FLOAT, of_input, of_output, of_two

if TYPE_CHECKING:
    from convcore.tensor import Tensor

TWO_PER_ROOT_PI = 2 / math.sqrt(math.pi)


def _of_scipy(name: str) -> Callable[..., Any]:
    """A function of `scipy.special`, imported at its first call: to import it takes a tenth of the time of convcore."""

    def function(*arrays: Any, **settings: Any) -> Any:
        from scipy import special

        return getattr(special, name)(*arrays, **settings)

    return function


_psi, _gamma, _zeta = _of_scipy("psi"), _of_scipy("gamma"), _of_scipy("zeta")

erfc = of_input("erfc", _of_scipy("erfc"), lambda x: exp(-x * x) * -TWO_PER_ROOT_PI, "1 - erf(x), exact also far out")
erfinv = of_output("erfinv", _of_scipy("erfinv"), lambda y: exp(y * y) / TWO_PER_ROOT_PI, "The inverse of `erf`")
lgamma = of_input("lgamma", _of_scipy("gammaln"), lambda x: digamma(x), "The logarithm of |gamma(x)| of each element")
digamma = of_input("digamma", _psi, lambda x: polygamma(1, x), "The derivative of `lgamma` at each element")
i0 = of_input("i0", _of_scipy("i0"), lambda x: i1(x), "The modified Bessel function of order 0 at each element")


def _i1_slope(x: Any) -> Any:
    """i0(x) - i1(x) / x, and 1/2 at 0."""
    zero = x == 0
    safe = where(zero, 1.0, x)
    return where(zero, 0.5, i0(safe) - i1(safe) / safe)


i1 = of_input("i1", _of_scipy("i1"), _i1_slope, "The modified Bessel function of order 1 at each element")

xlogy = of_two(
    "xlogy", _of_scipy("xlogy"), (lambda a, b, y: where((a == 0) & (b <= 0), 0.0, log(b)), lambda a, b, y: a / b),
    "input * log(other), and 0 where the input is 0 unless `other` is NaN", TO_FLOAT, scalars=EITHER,
)  # fmt: skip
xlog1py = of_two(
    "xlog1py", _of_scipy("xlog1py"),
    (lambda a, b, y: where((a == 0) & (b <= -1), 0.0, log1p(b)), lambda a, b, y: a / (b + 1)),
    "input * log1p(other), and 0 where the input is 0 unless `other` is NaN", TO_FLOAT, scalars=EITHER,
)  # fmt: skip


def _refused(op: str) -> Any:
    def derivative(a: Any, b: Any, y: Any) -> Any:
        raise UnsupportedError(f"{op}: has no derivative with respect to its input, only with respect to `other`")

    return derivative


def _gamma_density(a: Any, b: Any, y: Any) -> Any:
    """The density of the gamma distribution of shape a at b."""
    return exp((a - 1) * log(b) - b - lgamma(a))


igamma = of_two(
    "igamma", _of_scipy("gammainc"), (_refused("igamma"), _gamma_density),
    "The regularised lower incomplete gamma function P(input, other)", REFUSE,
)  # fmt: skip
igammac = of_two(
    "igammac", _of_scipy("gammaincc"), (_refused("igammac"), lambda a, b, y: -_gamma_density(a, b, y)),
    "The regularised upper incomplete gamma function Q(input, other)", REFUSE,
)  # fmt: skip


class Polygamma(Function):
    """The n-th derivative of digamma; its own derivative is the next one."""

    @staticmethod
    def forward(ctx, n, x):
        ctx.n = n
        ctx.save_for_backward(x)
        if n == 0:
            return wrap(compute(_psi, x.array))
        values = (-1.0) ** (n + 1) * _gamma(n + 1.0) * _zeta(n + 1.0, x.array.astype(np.float64))
        return wrap(np.asarray(values, x.array.dtype))

    @staticmethod
    def backward(ctx, grad_out):
        (x,) = ctx.saved_tensors
        return None, grad_out * polygamma(ctx.n + 1, x)


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of `digamma` at each element"""
    return Polygamma.apply(integer("polygamma", "n", n, minimum=0), floating("polygamma", input))


def polygamma_of(input: Tensor, n: int) -> Tensor:
    """`polygamma` as a method"""
    return polygamma(n, input)


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p at each element, all above (p - 1) / 2"""
    p = integer("mvlgamma", "p", p, minimum=1)
    x = floating("mvlgamma", input)
    halves = wrap(np.arange(p, dtype=x.array.dtype) / 2)
    return lgamma(x.unsqueeze(-1) - halves).sum(-1) + p * (p - 1) / 4 * math.log(math.pi)
