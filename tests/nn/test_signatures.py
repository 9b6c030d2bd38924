"""Arguments have torch's names, in torch's order: of functions, of layers' constructors, and of what calls a layer."""

import inspect
from typing import Any

import pytest
import torch

import convcore as cc

# How deep a warning should look for its caller is torch's own affair.
PRIVATE = {"_stacklevel"}


def names(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.name not in PRIVATE and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def both(ours: Any, theirs: Any, wanted: Any) -> list[str]:
    return [name for name in dir(ours) if name[0] != "_" and wanted(getattr(ours, name), getattr(theirs, name, None))]


FUNCTIONS = both(cc.nn.functional, torch.nn.functional, lambda a, b: inspect.isfunction(a) and inspect.isfunction(b))
LAYERS = both(
    cc.nn, torch.nn, lambda a, b: inspect.isclass(a) and inspect.isclass(b) and issubclass(b, torch.nn.Module)
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    ours, theirs = (names(getattr(functional, name)) for functional in (cc.nn.functional, torch.nn.functional))
    assert ours[: len(theirs)] == theirs


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    ours, theirs = getattr(cc.nn, name), getattr(torch.nn, name)
    assert names(ours)[: len(names(theirs))] == names(theirs)
    if theirs.forward is not torch.nn.Module.forward:
        assert names(ours.forward)[: len(names(theirs.forward))] == names(theirs.forward)


def test_there_is_enough_to_compare():
    assert len(FUNCTIONS) > 80
    assert len(LAYERS) > 100


def test_layers_are_called_with_input_by_keyword():
    x = cc.ones(1, 4, 4)
    assert cc.nn.ReLU()(input=x).shape == cc.nn.Conv2d(1, 1, 3, padding=1)(input=x).shape == (1, 4, 4)
    assert repr(cc.nn.Hardtanh(min_value=-2, max_value=3)) == "Hardtanh(min_val=-2, max_val=3)"


@pytest.mark.parametrize(
    "call",
    [
        lambda lib, x: lib.swapaxes(input=x, axis0=0, axis1=1),
        lambda lib, x: x.swapdims(dim0=0, dim1=-1),
        lambda lib, x: lib.heaviside(input=x, values=lib.tensor([0.5])),
        lambda lib, x: lib.vdot(input=x[0], other=x[1]),
        lambda lib, x: lib.zeros(2, 3).copy_(x, non_blocking=True),
    ],
)
def test_names_of_operations(call):
    ours, theirs = (call(library, library.tensor([[0.0, 1, -2], [3, 0, 5]])) for library in (cc, torch))
    assert ours.tolist() == theirs.tolist()
