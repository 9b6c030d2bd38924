"""torch's database of operations as a judge of convcore: sample inputs of each operation, run through both libraries.

A sample is converted, the operation found by its name, and what both return is compared: structure, values, dtypes and
shapes, gradients, second derivatives, and that wrong input is refused. `op_db_table` lists where the two may differ.
"""

import itertools
import random
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from errors_judged import judge_error

import convcore
from convcore.autograd import grad
from convcore.errors import AbsentError, ConvcoreError
from convcore.testing import assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal import common_utils
    from torch.testing._internal.common_methods_invocations import op_db

# torch looks through the whole stack for the unittest.TestCase that runs, at each set of samples: there is none here,
# and reading the sources of pytest's frames took 70 % of the time.
common_utils.extract_test_fn = lambda: None

DTYPES = {
    "float32": torch.float32, "float64": torch.float64, "int64": torch.int64, "uint8": torch.uint8, "bool": torch.bool,
}  # fmt: skip
TORCH_DTYPES = (*DTYPES.values(), torch.int8, torch.int16, torch.int32)
# Set once: sums of some hundred terms of float32, and a handful of operations one after the other.
TOLERANCES = {"float32": (1e-4, 1e-5), "float64": (1e-7, 1e-7)}

# What may go wrong with a sample.
VALUE, REFUSED, STRIDES, METHOD, IN_PLACE, GRADIENT, SECOND, ERRORS = (
    "value", "refused", "strides", "method", "in place", "gradient", "second derivative", "errors",
)  # fmt: skip


def name_of(op: Any) -> str:
    return f"{op.name}/{op.variant_test_name}" if op.variant_test_name else op.name


OPS = {name_of(op): op for op in op_db}


class OutsideError(Exception):
    """A sample holds something that convcore does not have: complex numbers, other devices, sparse tensors."""


class Converter:
    """torch's tensors, dtypes and containers as convcore's; remembers the tensors that require gradients."""

    def __init__(self, strides: bool = False):
        self.strides = strides
        self.tensors: list[torch.Tensor] = []
        self.converted: list[Any] = []

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, torch.dtype):
            if value not in TORCH_DTYPES:
                raise OutsideError
            return torch.empty(0, dtype=value).numpy().dtype
        if isinstance(value, torch.device):
            return str(value)
        if isinstance(value, torch.Generator):
            return convcore.Generator()
        if isinstance(value, torch.nn.Module):
            return getattr(convcore.nn, type(value).__name__)()
        if isinstance(value, (complex, torch.layout, torch.memory_format)):
            raise OutsideError
        if isinstance(value, tuple):
            return tuple([self(v) for v in value])
        if isinstance(value, list):
            return [self(v) for v in value]
        if isinstance(value, dict):
            if value.get("sparse"):
                raise OutsideError
            return {k: self(v) for k, v in value.items()}
        if isinstance(value, slice):
            return slice(self(value.start), self(value.stop), self(value.step))
        return value

    def _tensor(self, tensor: torch.Tensor) -> Any:
        if tensor.dtype not in TORCH_DTYPES or tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise OutsideError
        if tensor.ndim > 64:  # NumPy's limit
            raise OutsideError
        for known, converted in zip(self.tensors, self.converted, strict=True):
            if known is tensor:
                return converted
        array = tensor.detach().numpy()
        ours = convcore.from_numpy(array) if self.strides else convcore.tensor(array)
        ours.requires_grad_(tensor.requires_grad)
        self.tensors.append(tensor)
        self.converted.append(ours)
        return ours

    def differentiable(self) -> tuple[list[torch.Tensor], list[Any]]:
        """The tensors that require gradients, of both libraries."""
        chosen = [i for i, t in enumerate(self.tensors) if t.requires_grad]
        return [self.tensors[i] for i in chosen], [self.converted[i] for i in chosen]


def find(path: str) -> Any:
    """convcore's function or method of the name that torch gives it, or None."""
    *parents, last = path.split(".")
    places = [convcore] if parents else [convcore, convcore.Tensor]
    for place in places:
        for parent in parents:
            place = getattr(place, parent, None)
        found = getattr(place, last, None)
        if callable(found):
            return found
    return None


def call_of(op: Any) -> Callable[..., Any]:
    """What computes the operation in convcore: the function of its name, or the entry's own lambda over convcore.

    Raises AttributeError where there is no such function; of a lambda only the call shows that.
    """
    function = op.op
    if isinstance(function, types.FunctionType) and function.__module__.startswith("torch.testing"):
        scope = {**function.__globals__, "torch": convcore, "F": convcore.nn.functional}
        ours = types.FunctionType(function.__code__, scope, "of_op_db", function.__defaults__, function.__closure__)
        ours.__kwdefaults__ = function.__kwdefaults__
        return ours
    found = find(op.name)
    if found is None:
        raise AttributeError(f"module 'convcore' has no attribute {op.name!r}")
    return found


def samples(op: Any, dtype: str, requires_grad: bool = False) -> Iterator[Any]:
    """The samples of an operation, the same ones in every run."""
    seed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from op.sample_inputs("cpu", DTYPES[dtype], requires_grad=requires_grad)


def seed() -> None:
    torch.manual_seed(0)
    convcore.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # what torch's samples draw from


def chosen(items: list[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spaced, the first and the last included."""
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call torch, whose warnings do not concern us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def leaves(value: Any) -> list[Any]:
    """The tensors and numbers in nested results, in order."""
    if isinstance(value, (tuple, list)):
        return [leaf for v in value for leaf in leaves(v)]
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in leaves(v)]
    return [value]


def array_of(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.dtype not in TORCH_DTYPES or value.layout is not torch.strided:
            raise OutsideError
        return value.numpy(force=True)
    return value.array if isinstance(value, convcore.Tensor) else value


def compare(actual: Any, expected: Any, only_form: bool) -> None:
    """Raise AssertionError where results differ; `only_form` leaves the numbers out."""
    ours, theirs = leaves(actual), leaves(expected)
    assert len(ours) == len(theirs), f"{len(ours)} results, not {len(theirs)}"
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(one, convcore.Tensor) == isinstance(other, torch.Tensor), f"{one!r}, not {other!r}"
        a, b = array_of(one), array_of(other)
        if isinstance(b, np.ndarray):
            assert a.shape == b.shape, f"shape {a.shape}, not {b.shape}"
            assert a.dtype == b.dtype, f"dtype {a.dtype}, not {b.dtype}"
            assert one.requires_grad == other.requires_grad, f"requires_grad {one.requires_grad}"
        if isinstance(b, torch.dtype):
            assert str(b).split(".")[1] == str(a)
        elif not only_form and isinstance(b, (np.ndarray, int, float)):
            rtol, atol = TOLERANCES.get(str(np.asarray(b).dtype), (0.0, 0.0))
            assert_close(a, b, rtol, atol, equal_nan=True)
        elif not isinstance(b, np.ndarray):
            assert only_form or a == b, f"{a!r}, not {b!r}"


def _is_missing(error: Exception) -> bool:
    """Whether convcore, its tensor or one of its modules lacks a name."""
    owners = ("module 'convcore", "object 'Tensor'", "'Tensor' object", "type object 'Tensor'")
    is_attribute = isinstance(error, AttributeError) and str(error).startswith(owners)
    return is_attribute or isinstance(error, AbsentError)


class Outcome:
    """What went wrong with the samples of an operation: the first message of each kind."""

    def __init__(self) -> None:
        self.wrong: dict[str, str] = {}
        self.checked = 0
        self.outside = 0  # wrong inputs of which convcore has not even the kind

    def note(self, kind: str, sample: Any, message: Any) -> None:
        self.wrong.setdefault(kind, f"{message}\n    in {str(sample)[:600]}")

    def check(self, kind: str, sample: Any, action: Callable[..., Any], *args: Any) -> Any:
        """Run a check and note what it raises; AttributeError of a missing function goes on."""
        try:
            return action(*args)
        except ConvcoreError as error:
            self.note(REFUSED if kind == VALUE else kind, sample, f"{type(error).__name__}: {error}")
        except OutsideError:
            pass
        except AttributeError as error:
            if _is_missing(error):
                raise
            self.note(kind, sample, f"{type(error).__name__}: {error}")
        except Exception as error:
            self.note(kind, sample, f"{type(error).__name__}: {error}")
        return None


def run(op: Any, dtype: str, limit: int, only_form: bool = False) -> Outcome:
    """Run the samples of an operation in one dtype through torch and convcore."""
    outcome = Outcome()
    ours = call_of(op)
    wants_gradient = dtype == "float64" and op.supports_autograd and not only_form
    for sample in chosen(list(samples(op, dtype, wants_gradient)), limit):
        converter = Converter()
        try:
            arguments = converter((sample.input, sample.args, sample.kwargs))
        except OutsideError:
            continue
        try:
            seed()
            expected = quietly(op.op, sample.input, *sample.args, **sample.kwargs)
        except Exception:  # some entries have samples that torch's CPU build refuses
            continue
        outcome.checked += 1
        before = [x.array.copy() for x in converter.converted]
        result = outcome.check(VALUE, sample, _value, ours, arguments, expected, only_form)
        if result is None:
            continue
        for x, array in zip(converter.converted, before, strict=True):
            if not only_form and x.array.tobytes() != array.tobytes():
                outcome.note(VALUE, sample, "the input was changed")
        if wants_gradient:
            outcome.check(GRADIENT, sample, _gradients, op, converter, result[0], expected, outcome, sample)
        _variants(op, sample, expected, outcome, only_form)
    return outcome


def _value(ours: Callable[..., Any], arguments: tuple[Any, Any, Any], expected: Any, only_form: bool) -> list[Any]:
    value, args, kwargs = arguments
    result = ours(value, *args, **kwargs)
    compare(result, expected, only_form)
    check_counters(leaves(arguments), leaves(result))
    return [result]


def check_counters(inputs: list[Any], results: list[Any]) -> None:
    """Raise AssertionError where a result shows the memory of another tensor that does not hear of its changes."""
    tensors = [value for value in (*inputs, *results) if isinstance(value, convcore.Tensor)]
    for one, other in itertools.combinations(tensors, 2):
        shared = np.may_share_memory(one.array, other.array)
        assert not shared or one.version is other.version, "memory is shared, but not the counter of changes"


def _variants(op: Any, sample: Any, expected: Any, outcome: Outcome, only_form: bool) -> None:
    """The same with other strides, as a method, and in place."""
    ours = call_of(op)
    converter = Converter(strides=True)
    with torch.no_grad():
        strided = sample.noncontiguous()
    arguments = converter((strided.input, strided.args, strided.kwargs))
    outcome.check(STRIDES, sample, _value, ours, arguments, expected, only_form)
    if not isinstance(sample.input, torch.Tensor) or "." in op.name or op.name.startswith("_"):
        return
    if op.method_variant is not None:
        arguments = Converter()((sample.input, sample.args, sample.kwargs))
        outcome.check(METHOD, sample, _method, op.name, arguments, expected, only_form)
    if op.inplace_variant is not None and not sample.broadcasts_input:
        _in_place(op, sample, outcome, only_form)


def _method_of(name: str) -> Callable[..., Any]:
    method = getattr(convcore.Tensor, name, None)
    assert method is not None, f"Tensor has no method {name}"
    return method


def _method(name: str, arguments: tuple[Any, Any, Any], expected: Any, only_form: bool) -> None:
    _value(_method_of(name), arguments, expected, only_form)


def _in_place(op: Any, sample: Any, outcome: Outcome, only_form: bool) -> None:
    """The method with an underscore, where torch's takes the sample."""
    name = op.inplace_variant.__name__
    value, args, kwargs = Converter()((sample.input, sample.args, sample.kwargs))
    try:
        with torch.no_grad():
            seed()
            target = sample.input.clone()
            quietly(op.inplace_variant, target, *sample.args, **sample.kwargs)
    except Exception:  # shapes or dtypes that do not fit in place
        return

    def change() -> None:
        with convcore.no_grad():
            x = value.detach().clone()
            result = _method_of(name)(x, *args, **kwargs)
            assert result is x, f"{name} does not return its tensor"
        compare(x, target, only_form)

    outcome.check(IN_PLACE, sample, change)


def _gradients(op: Any, converter: Converter, result: Any, expected: Any, outcome: Outcome, sample: Any) -> None:
    """Compare first and, where torch has them, second derivatives for random cotangents."""
    inputs, ours = converter.differentiable()
    pairs = [
        (a, b) for a, b in zip(leaves(result), leaves(expected), strict=True)
        if isinstance(b, torch.Tensor) and b.requires_grad
    ]  # fmt: skip
    if not pairs or not inputs:
        return
    rng = np.random.default_rng(1)
    starts = [np.asarray(rng.standard_normal(tuple(b.shape))).astype(array_of(b).dtype) for _, b in pairs]
    g = [convcore.tensor(s, requires_grad=True) for s in starts]
    h = [torch.tensor(s, requires_grad=True) for s in starts]
    twice = op.supports_gradgrad
    theirs = quietly(
        torch.autograd.grad, [b for _, b in pairs], inputs, h, create_graph=twice, allow_unused=True,
        materialize_grads=True,
    )  # fmt: skip
    found = grad([a for a, _ in pairs], ours, g, create_graph=twice, allow_unused=True)
    _compare_gradients(found, theirs)
    if twice:
        outcome.check(SECOND, sample, _second, found, theirs, [*ours, *g], [*inputs, *h])


def _second(found: Any, theirs: Any, ours: list[Any], inputs: list[torch.Tensor]) -> None:
    """Differentiate a random combination of the first derivatives."""
    rng = np.random.default_rng(2)
    kept = [(a, b) for a, b in zip(found, theirs, strict=True) if b.requires_grad]
    if not kept:
        return
    weights = [np.asarray(rng.standard_normal(tuple(b.shape))).astype(array_of(b).dtype) for _, b in kept]
    wanted = quietly(
        torch.autograd.grad, [b for _, b in kept], inputs, [torch.tensor(w) for w in weights], allow_unused=True,
        materialize_grads=True,
    )  # fmt: skip
    pairs = [(a, w) for (a, _), w in zip(kept, weights, strict=True) if a is not None and a.requires_grad]
    results: Any = [None] * len(ours)
    if pairs:
        results = grad([a for a, _ in pairs], ours, [convcore.tensor(w) for _, w in pairs], allow_unused=True)
    _compare_gradients(results, wanted)


def _compare_gradients(found: Any, expected: Any) -> None:
    for a, b in zip(found, expected, strict=True):
        wanted = array_of(b)
        rtol, atol = TOLERANCES[str(wanted.dtype)]
        assert_close(np.zeros_like(wanted) if a is None else a, wanted, rtol, atol, equal_nan=True)


def run_errors(op: Any) -> Outcome:
    """Wrong input must raise an error that says what is wrong; see `judge_error`."""
    outcome = Outcome()
    ours = call_of(op)
    seed()
    for error_input in quietly(lambda: list(op.error_inputs("cpu"))) if op.error_inputs_func else []:
        sample = error_input.sample_input
        try:
            value, args, kwargs = Converter()((sample.input, sample.args, sample.kwargs))
        except OutsideError:
            outcome.outside += 1
            continue
        try:
            quietly(op.op, sample.input, *sample.args, **sample.kwargs)
        except Exception as error:
            theirs = error
            outcome.checked += 1
        else:  # torch takes it after all
            continue
        try:
            result = ours(value, *args, **kwargs)
        except Exception as error:
            if _is_missing(error):
                raise
            fault = judge_error(error, theirs, find(op.name), (value, args, kwargs))
            if fault:
                outcome.note(ERRORS, sample, fault)
        else:
            outcome.note(ERRORS, sample, f"returned {str(result)[:200]} in place of: {error_input.error_regex}")
    return outcome
