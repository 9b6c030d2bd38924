"""The protocol of an algorithm, and how one is chosen: which there are, which one runs, and why the others do not.

An algorithm has two kinds of objection to a convolution, each with its reason:

    refuses           it cannot compute this: to name it raises UnsupportedError
    advises against   it can, but something else was measured to be faster here, or is more accurate

"auto" takes the first algorithm of a pass (`convcore.ops.conv.table`) without any objection; one that is named must
only be able to compute. The plain reference comes last and has no objections.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from convcore.errors import UnsupportedError
from convcore.ops.conv.geometry import ConvGeometry
from convcore.ops.core.epilogue import NO_EPILOGUE, Epilogue
from convcore.ops.core.explanation import verdicts
from convcore.ops.core.filters import Filters


class ConvAlgorithm:
    """One way to compute a convolution and its gradients; each algorithm is a subclass in a file of its own.

    Arrays are logical (N, C, H, W), of algorithms for volumes also (N, C, D, H, W). A pass takes its memory from the
    pool and calls a kernel.

    Attributes:
        name: what users write in `algorithm=`.
        summary: half a line on how it works.
        passes: those that it computes.
        volumes: whether it computes those of volumes, too.
        fuses: whether the kernel of the forward pass applies an epilogue as it stores.
    """

    name: str
    summary: str
    passes: ClassVar[tuple[str, ...]] = ("forward", "grad_input", "grad_weight")
    volumes: ClassVar[bool] = False
    fuses: ClassVar[bool] = False

    def refuses(self, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        """Why this cannot compute the convolution; None if it can."""
        return None

    def advises_against(self, pass_name: str, geometry: ConvGeometry, dtype: np.dtype) -> str | None:
        """What is lost in a pass, and why: "slower: ..", "less accurate: .."; None if nothing is.

        Called only where this does not refuse.
        """
        return None

    @property
    def checked(self) -> ConvAlgorithm:
        """What "auto" runs: this one, or one that computes by another where numbers are too large for this one."""
        return self

    def forward(
        self, x: np.ndarray, filters: Filters, geometry: ConvGeometry, epilogue: Epilogue = NO_EPILOGUE
    ) -> np.ndarray:
        """out = x * weight + bias, and the epilogue."""
        raise NotImplementedError

    def grad_input(self, grad_out: np.ndarray, weight: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
        """The gradient of x."""
        raise NotImplementedError

    def grad_weight(self, x: np.ndarray, grad_out: np.ndarray, geometry: ConvGeometry) -> np.ndarray:
        """The gradient of the weight."""
        raise NotImplementedError


Request = str | tuple[str, ...]
"""The name of an algorithm or "auto", or several of them: then the first that can compute is meant."""


class _Default(threading.local):
    request: Request = "auto"


_default = _Default()


@contextlib.contextmanager
def use_algorithm(name: str, *otherwise: str) -> Iterator[None]:
    """Let every convolution in the block use algorithm `name`, whole models included.

    Where it cannot compute a pass, the first of `otherwise` that can does: `use_algorithm("winograd2x2", "direct")`.
    An `algorithm=` other than "auto" in a call goes first. Backward passes use what their forward was given.
    """
    previous, _default.request = _default.request, (name, *otherwise) if otherwise else name
    try:
        yield
    finally:
        _default.request = previous


def requested(name: str) -> Request:
    """The request of a call with `algorithm=name`, the surrounding `use_algorithm` considered."""
    return _default.request if name == "auto" else name


def select(
    op: str, pass_name: str, algorithms: Sequence[ConvAlgorithm], request: Request, geometry: ConvGeometry,
    dtype: np.dtype,
) -> ConvAlgorithm:  # fmt: skip
    """The algorithm that is named, or for "auto" the first without an objection.

    Raises:
        UnsupportedError: there is no such algorithm, or it refuses; of several the last one.
    """
    *first, name = (request,) if isinstance(request, str) else request
    for other in first:
        with contextlib.suppress(UnsupportedError):
            return select(op, pass_name, algorithms, other, geometry, dtype)
    for algorithm in algorithms:
        if name not in ("auto", algorithm.name):
            continue
        reason = algorithm.refuses(geometry, dtype)
        if name == algorithm.name:
            if reason is not None:
                raise UnsupportedError(f"{op}: algorithm {name!r} cannot compute this: {reason}")
            return algorithm
        if reason is None and algorithm.advises_against(pass_name, geometry, dtype) is None:
            return algorithm.checked
    known = ", ".join(repr(algorithm.name) for algorithm in algorithms)
    raise UnsupportedError(f"{op}: there is no algorithm {name!r}; it must be 'auto' or one of {known}")


def explain(
    pass_name: str, algorithms: Sequence[ConvAlgorithm], request: Request, geometry: ConvGeometry, dtype: np.dtype
) -> list[tuple[str, str]]:
    """(name, verdict) of every algorithm: "chosen", its objection, or why it was not reached."""
    name = request
    if not isinstance(name, str):
        name = select("explain", pass_name, algorithms, request, geometry, dtype).name
    answers = [(algorithm, algorithm.refuses(geometry, dtype)) for algorithm in algorithms]
    return verdicts(
        [(a, refusal, None if refusal else a.advises_against(pass_name, geometry, dtype)) for a, refusal in answers],
        name,
    )
