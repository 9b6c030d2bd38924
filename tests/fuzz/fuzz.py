"""No input, however odd, may crash the process: `python tests/fuzz/fuzz.py --calls 1000000`.

Random arguments are thrown at every public function of `convcore`, `convcore.nn.functional` and `convcore.Tensor`:
tensors of all dtypes, of 0 to 5 axes, empty, with NaN, of odd strides; integers from -3 to 2^63, tuples, strings, None.
Arguments with telling names (kernel_size, dim, weight, ..) mostly get fitting values, so that many calls go through to
the kernels, and then backwards. The calls run in child processes with NUMBA_BOUNDSCHECK=1. Reported are

    crash      the child ended by a signal
    hang       a call took more than TIME_LIMIT of the CPU, or waited for PATIENCE
    error      an exception that is not one of a library's answers to wrong arguments

with the seed of the call: `python tests/fuzz/fuzz.py --seed 123 --calls 1` repeats it.
"""

from __future__ import annotations

import argparse
import faulthandler
import inspect
import os
import resource
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TIME_LIMIT = 120  # seconds of the CPU for one call, compiling included, however many others the machine has to do
PATIENCE = 3600  # seconds that one call may take by the clock
HUNG = (
    -signal.SIGPROF,
    -signal.SIGALRM,
)  # how a child ends at these limits, wherever it is: in a kernel no Python runs
MEMORY_LIMIT = 6 << 30
CALLS_PER_CHILD = 100_000  # a call takes half a millisecond, and loading the kernels a minute
SIZES = [0, 1, 1, 2, 2, 2, 3, 3, 4, 5, 8]
DTYPES = ["float32", "float32", "float32", "float64", "int64", "int32", "uint8", "int8", "int16", "bool"]
ODD = [
    None,
    -3,
    -1,
    0,
    1,
    2,
    7,
    2**31,
    2**63,
    -(2**63),
    1.5,
    -0.0,
    float("nan"),
    float("inf"),
    "same",
    "",
    True,
    (),
    [],
]
# Answers to wrong arguments; Numba's, NumPy's internal and assertion errors are not among them. What is no tensor where
# one is needed may be missed by its attributes.
EXPECTED = (ValueError, TypeError, RuntimeError, IndexError, ZeroDivisionError, OverflowError, AttributeError)
# Functions that act on the process (its random state, threads, caches), and not on arguments, or on files.
LEFT_OUT = {
    "seed", "manual_seed", "set_rng_state", "get_rng_state", "initial_seed", "set_num_threads", "clear_caches",
    "set_grad_enabled", "enable_grad", "no_grad", "no_fusion", "use_algorithm", "is_grad_enabled", "load", "save",
}  # fmt: skip


def targets() -> list[tuple[str, Callable[..., Any]]]:
    """(name, function) of everything that is called."""
    import convcore
    import convcore.nn.functional as F

    found = {}
    for prefix, owner in (("", convcore), ("F.", F), ("Tensor.", convcore.Tensor)):
        for name in sorted(dir(owner)):
            function = getattr(owner, name)
            if name.startswith("_") or name in LEFT_OUT or inspect.isclass(function) or not callable(function):
                continue
            found.setdefault(function, prefix + name)
    return sorted((name, function) for function, name in found.items())


class Arguments:
    """Random arguments, all from one seed."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)

    def pick(self, values: Any) -> Any:
        return values[int(self.random.integers(len(values)))]

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def tensor(self) -> Any:
        import convcore

        shape = [self.pick(SIZES) for _ in range(self.pick([0, 1, 2, 2, 3, 3, 4, 4, 4, 5]))]
        array = self.random.integers(-4, 9, shape).astype(self.pick(DTYPES))
        if array.dtype.kind == "f" and array.size:
            array += self.random.random(shape).astype(array.dtype)
            if self.chance(0.1):
                array.reshape(-1)[int(self.random.integers(array.size))] = self.pick([np.nan, np.inf, -np.inf, 1e-42])
        tensor = convcore.from_numpy(array)
        if array.ndim > 1 and self.chance(0.3):
            tensor = tensor.permute(*self.random.permutation(array.ndim).tolist())
        if array.ndim and self.chance(0.2):
            tensor = tensor[::2]
        if array.dtype.kind == "f" and self.chance(0.5):
            tensor = tensor.detach()
            tensor.requires_grad = True
        return tensor

    def integer(self) -> int:
        return self.pick([-2, -1, 0, 0, 1, 1, 1, 2, 2, 3, 4])

    def value(self, name: str) -> Any:
        """A value for the argument of this name; one time in ten something odd."""
        if self.chance(0.1):
            return self.pick(ODD) if self.chance(0.7) else self.tensor()
        if name in _FLAGS:
            return self.chance(0.5)
        if name in _FLOATS:
            return self.pick([0.0, 0.1, 0.5, 1.0, 2.0, -1.0])
        if name in _WORDS:
            return self.pick(_WORDS[name])
        if name in _INTEGERS:
            return self.integer() if self.chance(0.6) else tuple(self.integer() for _ in range(self.pick([1, 2, 2, 3])))
        return self.tensor()

    def call(self, function: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        positional, keywords = [], {}
        for parameter in parameters:
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += [self.integer() for _ in range(self.pick([0, 1, 2, 3]))]
            elif parameter.kind is parameter.VAR_KEYWORD:
                continue
            elif parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
                positional.append(self.value(parameter.name))
            elif self.chance(0.4):
                keywords[parameter.name] = self.value(parameter.name)
        return positional, keywords


_FLAGS = {
    "training", "ceil_mode", "count_include_pad", "return_indices", "keepdim", "inplace", "unbiased", "align_corners",
    "log_target", "full", "swap", "largest", "sorted", "descending", "stable", "is_causal", "requires_grad",
    "log_input",
}  # fmt: skip
_FLOATS = {
    "p", "eps", "momentum", "alpha", "beta", "negative_slope", "lambd", "threshold", "label_smoothing", "margin",
    "delta",
    "scale_factor", "min", "max", "min_val", "max_val", "lower", "upper", "temperature", "tau", "fill_value", "value",
}  # fmt: skip
_INTEGERS = {
    "kernel_size", "stride", "padding", "dilation", "groups", "output_size", "output_padding", "dim", "dims", "dim0",
    "dim1", "axis", "start_dim", "end_dim", "size", "shape", "normalized_shape", "num_groups", "num_classes",
    "split_size",
    "chunks", "n", "k", "shifts", "repeats", "diagonal", "offset", "upscale_factor", "downscale_factor", "pad",
    "ignore_index", "steps", "start", "end", "step", "low", "high", "sections", "correction", "length", "index_dim",
}  # fmt: skip
_WORDS = {
    "reduction": ["none", "mean", "sum"],
    "mode": ["constant", "reflect", "replicate", "circular", "nearest", "bilinear", "bicubic", "linear", "area"],
    "padding_mode": ["zeros", "border", "reflection"],
    "algorithm": ["auto", "reference", "im2col", "direct", "winograd", "depthwise", "pointwise", "grouped"],
    "approximate": ["none", "tanh"],
    "dtype": [None],
    "generator": [None],
    "device": [None, "cpu"],
}


def one_call(function: Callable[..., Any], seed: int) -> str:
    """Call once, and backwards where that is possible: "returned", "refused", or the name of an unexpected error."""
    import convcore

    arguments = Arguments(seed)
    positional, keywords = arguments.call(function)
    try:
        result = function(*positional, **keywords)
        for part in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(part, convcore.Tensor):
                part.numpy() if not part.requires_grad else part.sum().backward(retain_graph=True)
    except (*EXPECTED, MemoryError):
        return "refused"
    except Exception as error:
        return type(error).__name__
    return "returned"


def child(first: int, calls: int) -> None:
    """Make the calls first, first + 1, ..; print each before it is made, and its outcome."""
    warnings.simplefilter("ignore")
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))

    functions = targets()
    for seed in range(first, first + calls):
        name, function = functions[seed % len(functions)]
        print(f"at {seed} {name}", flush=True)
        signal.setitimer(signal.ITIMER_PROF, TIME_LIMIT)
        signal.alarm(PATIENCE)
        outcome = one_call(function, seed)
        print(outcome if outcome in ("returned", "refused") else f"error {seed} {name} {outcome}", flush=True)


def run(first: int, calls: int) -> tuple[list[str], int, int]:
    """Make calls in children; returns (findings, how many calls returned, how many were refused)."""
    findings, counts = [], Counter()
    end = first + calls
    while first < end:
        count = min(CALLS_PER_CHILD, end - first)
        process = subprocess.run(
            [sys.executable, __file__, "--child", "--seed", str(first), "--calls", str(count)],
            env={**os.environ, "NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = process.stdout.splitlines()
        counts.update(lines)
        findings += [line for line in lines if line.startswith("error")]
        last = next((line for line in reversed(lines) if line.startswith("at")), f"at {first} start")
        if process.returncode in HUNG:
            findings.append(f"hang {last[3:]}")
        elif process.returncode:
            findings.append(f"crash {last[3:]}: {process.returncode}\n{process.stderr[-2000:]}")
        if process.returncode == 0:
            first += count
        else:  # go on behind the call that ended the child
            first = max(first, int(last.split()[1])) + 1
    return findings, counts["returned"], counts["refused"]


def main(arguments: list[str] | None = None) -> int:
    """Throw the calls; 1 if anything was found."""
    parser = argparse.ArgumentParser(description="Throw random arguments at the public functions.")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first call")
    parser.add_argument("--child", action="store_true", help="make the calls in this process")
    settings = parser.parse_args(arguments)
    if settings.child:
        child(settings.seed, settings.calls)
        return 0
    findings, returned, refused = run(settings.seed, settings.calls)
    print("\n".join(findings))
    print(f"{settings.calls} calls: {returned} returned, {refused} refused, {len(findings)} findings")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
