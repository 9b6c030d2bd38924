"""A program is source text. It runs with either library, for both have the same names.

The names that a program may use, besides Python's own:

    lib, nn, F, optim      the library (`torch` or `convcore`) and its parts
    np, copy, pickle       as they are
    numbers(seed, *shape)  normally distributed numbers, in the program's dtype
    whole(seed, low, high, *shape)  integers from low to high - 1; mask(seed, *shape) is of bools
    shared(seed, *shape)   as `numbers`, but the tensor shares the memory of an array of NumPy
    fill(module, seed)     the module in the program's dtype, with parameters and running statistics from the seed
    compile(model)         `convcore.compile`, or the model itself where it is to be evaluated as it is
    refused(call)          whether calling it raises an error
    see(name, value)       note a tensor, a module (with gradients), an optimiser, or a list of these
    kept                   a list that lives as long as the program, for hooks
"""

from __future__ import annotations

import copy
import pickle
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FILE = "<program>"
NAME = "random_program"  # of the module that a program is, for pickle


@dataclass(frozen=True)
class Program:
    """Source text and the way in which it is run.

    Attributes:
        lines: of the text.
        dtype: of the numbers, "float32" or "float64".
        records: whether gradients are recorded.
    """

    lines: tuple[str, ...]
    dtype: str = "float64"
    records: bool = True

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Outcome:
    """What a program let be seen, and how it ended.

    Attributes:
        seen: arrays by name, in the order in which they were seen.
        error: the exception that ended it, or None.
        line: where that was raised, in the program, counted from 1.
        warned: the warnings.
    """

    seen: dict[str, np.ndarray | None] = field(default_factory=dict)
    error: BaseException | None = None
    line: int = 0
    warned: list[str] = field(default_factory=list)


def run(program: Program, library: Any, dtype: str | None = None, noise: float = 0.0, **changed: Any) -> Outcome:
    """Run a program with a library.

    Args:
        dtype: in place of the program's.
        noise: relative size of what is added to all numbers.
        changed: other meanings of names, such as `compile`.
    """
    outcome = Outcome()
    module = sys.modules[NAME] = types.ModuleType(NAME)
    module.__dict__.update(namespace(library, dtype or program.dtype, noise, outcome.seen), **changed)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with recording_mode(library, program.records):
                exec(compile(str(program), FILE, "exec"), module.__dict__)
        except Exception as error:
            outcome.error, outcome.line = error, line_of(error)
        finally:
            del sys.modules[NAME]
    outcome.warned = [str(warning.message) for warning in warned]
    return outcome


def recording_mode(library: Any, records: bool) -> Any:
    """A context in which gradients are recorded, or not."""
    return library.enable_grad() if records else library.no_grad()


def line_of(error: BaseException) -> int:
    """The line of the program at which an exception was raised."""
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    return (lines[0] or 0) if lines else 0


def namespace(library: Any, dtype: str, noise: float, seen: dict[str, np.ndarray | None]) -> dict[str, Any]:
    """The names that a program may use; what it sees goes to `seen`."""
    library.manual_seed(0)

    def drawn(seed: int, shape: tuple[int, ...]) -> np.ndarray:
        array = np.random.default_rng(seed).standard_normal(shape)
        return np.asarray(disturbed(array, seed, noise), dtype)

    def numbers(seed: int, *shape: int) -> Any:
        return library.tensor(drawn(seed, shape))

    def whole(seed: int, low: int, high: int, *shape: int, dtype: str = "int64") -> Any:
        return library.tensor(np.random.default_rng(seed).integers(low, high, shape).astype(dtype))

    def mask(seed: int, *shape: int) -> Any:
        return library.tensor(np.random.default_rng(seed).integers(0, 2, shape).astype(bool))

    def shared(seed: int, *shape: int) -> Any:
        return library.from_numpy(drawn(seed, shape))

    def fill(module: Any, seed: int) -> Any:
        module = module.to(getattr(library, dtype))
        with library.no_grad():
            for place, (name, tensor) in enumerate([*module.named_parameters(), *module.named_buffers()]):
                if tensor.is_floating_point():
                    tensor.copy_(library.tensor(started(name, drawn(seed * 1000 + place, tuple(tensor.shape)))))
        return module

    def see(name: str, value: Any) -> None:
        for part, array in leaves(value):
            seen[f"{len(seen)} {name}{part}"] = array

    return {
        "__name__": NAME, "lib": library, "nn": library.nn, "F": library.nn.functional, "optim": library.optim,
        "np": np, "copy": copy, "pickle": pickle, "numbers": numbers, "whole": whole, "mask": mask, "shared": shared,
        "fill": fill, "see": see,
        "refused": refused, "compile": lambda model: model, "kept": [], "dtype": getattr(library, dtype),
    }  # fmt: skip


def refused(call: Callable[[], Any]) -> bool:
    """Whether a call raises an error."""
    try:
        call()
    except Exception:
        return True
    return False


def disturbed(array: np.ndarray, seed: int, noise: float) -> np.ndarray:
    """The numbers with noise of a relative size."""
    if not noise:
        return array
    generator = np.random.default_rng([seed, int(1 / noise) % 1000])
    return array * (1 + noise * generator.standard_normal(array.shape))


def started(name: str, array: np.ndarray) -> np.ndarray:
    """Normal numbers as a parameter or buffer of this name wants them: sums keep their size, variances are positive."""
    if name.endswith("running_var"):
        return np.abs(array) + 0.5
    if array.ndim > 1:
        return array * (1.5 / np.sqrt(np.prod(array.shape[1:])))
    return array * 0.3 + (1.0 if name.endswith("weight") else 0.0)


def array_of(tensor: Any) -> np.ndarray:
    """The numbers in memory of their own. A look through `numpy()` would tell convcore that they may change."""
    return np.array(tensor.array if hasattr(tensor, "array") else tensor.detach().numpy())


def leaves(value: Any, name: str = "") -> Iterable[tuple[str, np.ndarray | None]]:
    """All arrays within something seen, with what tells them apart."""
    if value is None or isinstance(value, (bool, int, float, str)):
        yield name, None if value is None else np.asarray(value)
    elif hasattr(value, "named_parameters"):
        for key, tensor in value.named_parameters():
            yield from leaves(tensor, f"{name}.{key}")
            yield from leaves(tensor.grad, f"{name}.{key}.grad")
        for key, tensor in value.named_buffers():
            yield from leaves(tensor, f"{name}.{key}")
    elif hasattr(value, "param_groups"):
        for place, group in enumerate(value.param_groups):
            yield f"{name}.{place}.lr", np.asarray(group["lr"], float)
    elif isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], f"{name}.{key}")
    elif isinstance(value, (tuple, list)):
        for place, item in enumerate(value):
            yield from leaves(item, f"{name}.{place}")
    else:
        yield name, array_of(value)
