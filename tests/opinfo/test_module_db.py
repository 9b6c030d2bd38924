"""Every module that torch's own table of module cases knows and convcore has, against torch's.

With the same constructor arguments and the same state dict: state_dict keys and shapes, repr, outputs, gradients of
inputs and parameters, in training and in evaluation; then once more after a deepcopy and a trip through pickle.
What the table lists as wrong input is refused, with an error that says what is wrong.
"""

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from errors_judged import judge_error
from op_db import TORCH_DTYPES, leaves

import convcore as cc
from convcore.testing import assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

MOST_CASES = 8  # of each module, or a few more; CrossEntropyLoss alone has 140
# Layers whose outputs are random in training: only shapes are compared there.
RANDOM = {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "RReLU"}

# Modules with wrong input that cannot be put to convcore.
OUTSIDE = {"NLLLoss": "numbers of 16 bits"}


def has(name: str) -> bool:
    return hasattr(cc.nn, name)


MODULES = {info.name.removeprefix("nn."): info for info in module_db if has(info.name.removeprefix("nn."))}


class Converter:
    """torch's arguments as convcore's; each tensor once."""

    def __init__(self) -> None:
        self.pairs: list[tuple[torch.Tensor, Any]] = []

    def __call__(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            for known, ours in self.pairs:
                if known is value:
                    return ours
            ours = cc.tensor(value.detach().numpy())
            ours.requires_grad_(value.requires_grad)
            self.pairs.append((value, ours))
            return ours
        if isinstance(value, torch.dtype):
            return torch.empty(0, dtype=value).numpy().dtype
        if isinstance(value, (list, tuple)):
            return type(value)([self(v) for v in value])
        if isinstance(value, dict):
            return {k: self(v) for k, v in value.items()}
        if isinstance(value, torch.nn.TransformerEncoderLayer):
            attention, dtype = value.self_attn, self(value.linear1.weight.dtype)
            return cc.nn.TransformerEncoderLayer(
                attention.embed_dim, attention.num_heads, value.linear1.out_features, value.dropout.p,
                self(value.activation), value.norm1.eps, attention.batch_first, value.norm_first,
                value.linear1.bias is not None, dtype=dtype,
            )  # fmt: skip
        if isinstance(value, torch.nn.Module):
            return getattr(cc.nn, type(value).__name__)()
        if callable(value) and getattr(value, "__name__", "") in dir(cc.nn.functional):
            return getattr(cc.nn.functional, value.__name__)
        return value


def cases(name: str, training: bool) -> list[Any]:
    torch.manual_seed(0)
    info = MODULES[name]
    found = info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=True, training=training)
    return found[:: max(len(found) // MOST_CASES, 1)]


def twins(name: str, case: Any) -> tuple[Any, Any]:
    """The module of each library, with the same state."""
    given = case.constructor_input
    theirs = MODULES[name].module_cls(*given.args, **given.kwargs).double()
    convert = Converter()
    ours = getattr(cc.nn, name)(*convert(given.args), **convert(given.kwargs)).double()
    expected = theirs.state_dict()
    own = ours.state_dict()
    assert list(own) == list(expected)
    assert [tuple(v.shape) for v in own.values()] == [tuple(v.shape) for v in expected.values()]
    ours.load_state_dict({key: cc.tensor(value.numpy()) for key, value in expected.items()})
    return ours, theirs


def tensors(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [tensor for v in value for tensor in tensors(v)]
    return [] if value is None else [value]


def same(ours: list[Any], theirs: list[Any], what: str, compare: Callable[..., None]) -> None:
    assert len(ours) == len(theirs), what
    for a, b in zip(ours, theirs, strict=True):
        if b is None:
            assert a is None or not a.detach().numpy().any(), what
        else:
            assert a is not None, what
            compare(a.detach().numpy(), b.detach().numpy())


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert_close(ours, theirs, 1e-7, 1e-9, equal_nan=True)


def same_shape(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape


def check(name: str, case: Any, first: Any, training: bool) -> None:
    ours, theirs = twins(name, case)
    assert repr(ours) == repr(theirs).replace("torch.", "").replace("NonDynamicallyQuantizable", "")
    ours.train(training)
    theirs.train(training)
    compare = same_shape if training and name in RANDOM else close
    given = case.forward_input
    copies = (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))) if case is first else ()
    for module in (ours, *copies):
        twin = copy.deepcopy(theirs)
        convert = Converter()
        outputs = tensors(module(*convert(given.args), **convert(given.kwargs)))
        expected = tensors(twin(*given.args, **given.kwargs))
        same(outputs, expected, "outputs", compare)
        chosen = [i for i, out in enumerate(expected) if out.requires_grad]
        assert [i for i, out in enumerate(outputs) if out.requires_grad] == chosen
        starts = [np.random.default_rng(i).standard_normal(tuple(expected[i].shape)) for i in chosen]
        inputs = [(a, b) for a, b in convert.pairs if a.requires_grad]
        parameters = list(module.parameters()), list(twin.parameters())
        if chosen:
            got = cc.autograd.grad(
                [outputs[i] for i in chosen],
                [b for _, b in inputs] + parameters[0],
                [cc.tensor(start) for start in starts],
                allow_unused=True,
            )
            wanted = torch.autograd.grad(
                [expected[i] for i in chosen],
                [a for a, _ in inputs] + parameters[1],
                [torch.tensor(start) for start in starts],
                allow_unused=True,
            )
            same(list(got), list(wanted), "gradients", compare)
        same(list(module.buffers()), list(twin.buffers()), "buffers", compare)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", MODULES)
def test_modules_are_torchs(name, training):
    chosen = cases(name, training)
    for case in chosen:
        try:
            check(name, case, chosen[0], training)
        except Exception as error:
            raise AssertionError(f"{name}, case {case.desc!r}: {case.constructor_input.args}") from error


def error_of(build: Callable[..., Any], case: Any, only_build: bool, training: bool, convert: Any) -> Exception | None:
    """What building the module raises, or calling it; None where nothing does."""
    given, called = case.constructor_input, case.forward_input
    try:
        module = build(*convert(given.args), **convert(given.kwargs))
        if not only_build:
            module.train(training)(*convert(called.args), **convert(called.kwargs))
    except Exception as error:
        return error
    return None


def is_outside(case: Any) -> bool:
    inputs = [given for given in (case.constructor_input, case.forward_input) if given is not None]
    values = leaves([[given.args, given.kwargs] for given in inputs])
    return any(isinstance(value, torch.Tensor) and value.dtype not in TORCH_DTYPES for value in values)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", [name for name, info in MODULES.items() if info.module_error_inputs_func])
def test_wrong_input_is_refused_with_a_word_about_it(name, training):
    info, build, outside = MODULES[name], getattr(cc.nn, name), False
    wrong_inputs: Any = info.module_error_inputs_func
    for wrong in wrong_inputs(info, device="cpu", dtype=torch.float32, requires_grad=False, training=training):
        case, only_build = wrong.module_error_input, wrong.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR
        theirs = error_of(info.module_cls, case, only_build, training, lambda value: value)
        if theirs is None:  # torch takes it in this mode
            continue
        if is_outside(case):
            outside = True
            continue
        convert = Converter()
        ours = error_of(build, case, only_build, training, convert)
        assert ours is not None, f"took what should be refused: {wrong.error_regex}"
        inputs = [given for given in (case.constructor_input, case.forward_input) if given is not None]
        assert not judge_error(ours, theirs, build, [convert([given.args, given.kwargs]) for given in inputs])
    assert outside == (name in OUTSIDE)
