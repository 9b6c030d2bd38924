"""gradcheck: compares the gradients of backward with central differences.

For y = f(x) the numeric Jacobian is J[i, j] = (f_j(x + eps e_i) - f_j(x - eps e_i)) / (2 eps), one element of x at a
time. The error is of order eps**2 plus rounding / eps, so only float64 has enough digits. The analytic Jacobian takes
one backward per element of y, with a cotangent of one at the element and zeros elsewhere. A last backward has a random
cotangent: a gradient may be right for each single element and wrong for their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convcore.autograd import Variable, enable_grad, grad, no_grad, wrap
from convcore.errors import ConvcoreError, DTypeError, GraphError


class GradcheckError(ConvcoreError, AssertionError):
    """A computed gradient differs from the numeric one."""


def gradcheck(
    function: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    nondet_tol: float = 0.0,
) -> bool:
    """Compare every gradient of `function(*inputs)` with finite differences.

    Args:
        function: a function of the inputs that returns a tensor or several; it must be smooth near the inputs.
        inputs: a tensor or a sequence of arguments. The tensors that require gradients are checked; they must be
            float64 and not expanded. Their memory is changed during the check and restored.
        eps: half the distance of the two points of a central difference.
        atol, rtol: the allowed difference is atol + rtol * |numeric|.
        nondet_tol: the allowed difference of two runs of the same backward.

    Returns True.

    Raises:
        GradcheckError: a gradient is wrong; names the input, the element, and the analytic and numeric values.
    """
    arguments = (inputs,) if isinstance(inputs, Variable) else tuple(inputs)
    checked = _checked_inputs(arguments)
    rng = np.random.default_rng(0)
    with enable_grad():
        outputs = _outputs(function, arguments)
    numeric = {position: _numeric(function, arguments, position, eps) for position in checked}
    for number, output in enumerate(outputs):
        if output.array.dtype.kind != "f":
            continue
        for position, per_output in numeric.items():
            jacobian = per_output[number]
            for element in range(output.array.size):
                cotangent = np.zeros(output.array.shape)
                cotangent.flat[element] = 1.0
                where = f"element {_index(element, output.array.shape)} of output {number}"
                expected = jacobian[:, element]
                _compare(arguments, position, output, cotangent, expected, where, atol, rtol, nondet_tol)
            cotangent = rng.standard_normal(output.array.shape)
            where = f"a random combination of the elements of output {number}"
            _compare(
                arguments, position, output, cotangent, jacobian @ cotangent.ravel(), where, atol, rtol, nondet_tol
            )
    return True


def gradgradcheck(
    function: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    nondet_tol: float = 0.0,
) -> bool:
    """`gradcheck` for second derivatives: checks the function that computes the gradients of `function`.

    Its arguments are the inputs and random cotangents of the outputs.
    """
    arguments = (inputs,) if isinstance(inputs, Variable) else tuple(inputs)
    checked = _checked_inputs(arguments)
    with no_grad():
        outputs = [o for o in _outputs(function, arguments) if o.array.dtype.kind == "f"]
    rng = np.random.default_rng(1)
    cotangents = [wrap(np.asarray(rng.standard_normal(o.array.shape))).requires_grad_() for o in outputs]

    def gradients(*arguments_and_cotangents: Any) -> Any:
        values = arguments_and_cotangents[: len(arguments)]
        results = [o for o in _outputs(function, values) if o.array.dtype.kind == "f"]
        wanted = [values[position] for position in checked]
        starts = arguments_and_cotangents[len(arguments) :]
        found = grad(results, wanted, starts, create_graph=True, allow_unused=True)
        return tuple([g for g in found if g is not None])

    return gradcheck(gradients, (*arguments, *cotangents), eps, atol, rtol, nondet_tol)


def _checked_inputs(arguments: Sequence[Any]) -> list[int]:
    """The positions of the inputs to check."""
    positions = [i for i, a in enumerate(arguments) if isinstance(a, Variable) and a.requires_grad]
    if not positions:
        raise GraphError("gradcheck: no input requires a gradient; there is nothing to check")
    for position in positions:
        array = arguments[position].array
        if array.dtype != np.float64:
            raise DTypeError(
                f"gradcheck: inputs[{position}] must be float64, since differences of {array.dtype} are too inexact; "
                "convert it with x.detach().double().requires_grad_()"
            )
        if not array.flags.writeable:
            raise GraphError(f"gradcheck: inputs[{position}] is read-only (expanded?); pass a clone() of it")
    return positions


def _outputs(function: Callable[..., Any], arguments: Sequence[Any]) -> list[Any]:
    result = function(*arguments)
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _numeric(function: Callable[..., Any], arguments: Sequence[Any], position: int, eps: float) -> list[np.ndarray]:
    """For each output, the Jacobian (elements of the input, elements of the output) by central differences."""
    array = arguments[position].array
    rows: list[list[np.ndarray]] = []
    for index in np.ndindex(array.shape):
        value = array[index]
        sides = []
        for moved in (value + eps, value - eps):
            array[index] = moved
            with enable_grad():  # the function may compute gradients itself
                sides.append([o.array.astype(np.float64).ravel() for o in _outputs(function, arguments)])
        array[index] = value
        rows.append([(after - before) / (2 * eps) for after, before in zip(*sides, strict=True)])
    if not rows:
        return [np.zeros((0, o.array.size)) for o in _outputs(function, arguments)]
    return [np.stack(row) for row in zip(*rows, strict=True)]


def _compare(
    arguments: Sequence[Any],
    position: int,
    output: Any,
    cotangent: np.ndarray,
    expected: np.ndarray,
    where: str,
    atol: float,
    rtol: float,
    nondet_tol: float,
) -> None:
    """Run backward twice from `cotangent` and compare the gradient of one input with the expected one."""
    x = arguments[position]
    analytic, again = (_analytic(x, output, cotangent) for _ in range(2))
    spread = float(np.max(np.abs(analytic - again), initial=0.0))
    if spread > nondet_tol:
        raise GradcheckError(
            f"gradcheck: two runs of the same backward give gradients of inputs[{position}] that differ by {spread:g} "
            f"(nondet_tol={nondet_tol:g})"
        )
    excess = np.abs(analytic - expected) - (atol + rtol * np.abs(expected))
    wrong = ~(excess <= 0)
    if wrong.any():
        worst = int(np.argmax(np.where(wrong, np.nan_to_num(excess, nan=np.inf), -np.inf)))
        raise GradcheckError(
            f"gradcheck: the gradient of {where} with respect to inputs[{position}] is wrong in "
            f"{int(wrong.sum())} of {wrong.size} elements; at element {_index(worst, x.array.shape)} it is "
            f"{analytic[worst]:.8g} (analytic), but {expected[worst]:.8g} (numeric)"
        )


def _analytic(x: Any, output: Any, cotangent: np.ndarray) -> np.ndarray:
    """The gradient of x for this cotangent of the output; zeros if backward returns none."""
    if not output.requires_grad:
        return np.zeros(x.array.size)
    start = wrap(cotangent.astype(output.array.dtype))
    (gradient,) = grad(output, x, start, retain_graph=True, allow_unused=True)
    return np.zeros(x.array.size) if gradient is None else gradient.array.astype(np.float64).ravel()


def _index(element: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(element, shape))
