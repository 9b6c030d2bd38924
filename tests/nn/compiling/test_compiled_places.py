"""Compiled models whose numbers stand in places of every kind: a change in any of them is noticed."""

import argparse
import array
import collections
import contextvars
import dataclasses
import random
import threading
import types
import weakref
from typing import Any

import numpy as np
import pytest
from compiling import Function, assert_as_it_is, assert_same, images

import convcore
from convcore import nn


def check(model, change, x=None):
    """A compiled model is used as a list of calls, then changed, and gives what the model does."""
    x = images(3) if x is None else x
    compiled = convcore.compile(model.eval())
    for _ in range(3):
        assert_same(compiled(x), model(x))
    assert compiled.steps(x)
    before = model(x)
    change()
    for _ in range(3):
        assert_same(compiled(x), model(x))
        assert compiled(x).dtype == model(x).dtype
    after = compiled(x)
    assert after.dtype != before.dtype or after.array.tobytes() != before.array.tobytes(), "the change has no effect"


class WithSlots:
    __slots__ = ("scale",)

    def __init__(self):
        self.scale = 2.0


@dataclasses.dataclass(slots=True)
class Data:
    scale: float = 2.0


class Settings:
    scale = 2.0

    @property
    def offset(self):
        return OFFSET

    def __call__(self, x):
        return x + OFFSET


OFFSET = 1.0


def change_offset():
    global OFFSET
    OFFSET += 1


class OwnList(list):
    scale = 2.0


class TestChangesOfANumber:
    @pytest.mark.parametrize(
        "holder",
        [argparse.Namespace(scale=2.0), types.SimpleNamespace(scale=2.0), WithSlots(), Data(), OwnList([1])],
        ids=lambda holder: type(holder).__name__,
    )
    def test_in_an_attribute(self, holder):
        check(Function(lambda x: x * holder.scale), lambda: setattr(holder, "scale", 3.0))

    @pytest.mark.parametrize("kind", [collections.UserDict, collections.OrderedDict, collections.ChainMap])
    def test_in_a_mapping(self, kind):
        holder = kind({"scale": 2.0})
        check(Function(lambda x: x * holder["scale"]), lambda: holder.update(scale=3.0))

    def test_in_a_mapping_that_is_shown(self):
        numbers = {"scale": 2.0}
        holder = types.MappingProxyType(numbers)
        check(Function(lambda x: x * holder["scale"]), lambda: numbers.update(scale=3.0))

    @pytest.mark.parametrize("holder", [bytearray([2]), array.array("d", [2.0])], ids=["bytearray", "array"])
    def test_in_a_buffer(self, holder):
        check(Function(lambda x: x * holder[0]), lambda: holder.__setitem__(0, 3))

    def test_in_a_long_chain(self):
        last = Data()
        first: Any = last
        for _ in range(3000):
            first = WithDict(first)
        check(Function(lambda x: x * last.scale if first else x), lambda: setattr(last, "scale", 3.0))

    def test_behind_a_weak_reference(self):
        holder = Data()
        reference: Any = weakref.ref(owner := WithDict(holder))
        assert owner.inner is holder
        check(Function(lambda x: x * reference().inner.scale), lambda: setattr(holder, "scale", 3.0))

    def test_in_another_file(self):
        package: Any = types.ModuleType("package")
        package.file = file = types.ModuleType("package.file")
        vars(file)["scale"] = 2.0
        check(Function(lambda x: x * package.file.scale), lambda: setattr(file, "scale", 3.0))
        check(Function(lambda x: x * getattr(file, "scale", None)), lambda: setattr(file, "scale", 4.0))

    def test_in_a_class(self):
        check(Function(lambda x: x * Settings.scale), lambda: setattr(Settings, "scale", Settings.scale + 1))
        settings = Settings()
        check(Function(lambda x: x * settings.scale), lambda: setattr(Settings, "scale", Settings.scale + 1))

    def test_that_a_method_of_an_object_reads(self):
        settings = Settings()
        check(Function(settings), change_offset)
        check(Function(lambda x: x * settings.offset), change_offset)

    def test_that_a_property_of_the_model_reads(self):
        class Model(nn.Module):
            @property
            def offset(self):
                return OFFSET

            def forward(self, x):
                return x + self.offset

        check(Model(), change_offset)

    def test_among_the_defaults_of_a_function(self):
        def scaled(x, by=2.0, *, and_by=2.0):
            return x * by * and_by

        def change(name, value):
            setattr(scaled, name, value)

        check(Function(lambda x: scaled(x)), lambda: change("__defaults__", (3.0,)))
        check(Function(lambda x: scaled(x)), lambda: change("__kwdefaults__", {"and_by": 3.0}))

    def test_in_an_attribute_of_a_function(self):
        def scaled(x):
            return x * numbers.scale

        numbers: Any = scaled
        numbers.scale = 2.0
        check(Function(scaled), lambda: setattr(numbers, "scale", 3.0))

    def test_in_an_attribute_of_a_parameter(self):
        layer: Any = nn.Linear(3, 3).eval()
        layer.weight.scale = 2.0
        check(Function(lambda x: x * layer.weight.scale), lambda: setattr(layer.weight, "scale", 3.0))

    def test_that_a_class_gains(self):
        class Base(nn.Module):
            def scaled(self, x):
                return x * 2

        class Model(Base):
            def forward(self, x):
                return self.scaled(x) * getattr(self, "more", 1)

        def scaled(self, x):
            return x * 3

        check(Model(), lambda: setattr(Model, "more", 4))
        check(Model(), lambda: setattr(Model, "scaled", scaled))

    @pytest.mark.parametrize(("then", "now"), [(1, 1.0), (2.0, 2), (True, 1.0), ((1,), (1.0,))])
    def test_for_an_equal_one_of_another_type(self, then, now):
        model: Any = Function(lambda x: x * (model.scale[0] if isinstance(model.scale, tuple) else model.scale))
        model.scale = then
        check(model, lambda: setattr(model, "scale", now), convcore.tensor([1, 2, 3]))

    def test_for_the_other_zero(self):
        model: Any = Function(lambda x: x * model.scale)
        model.scale = 0
        check(model, lambda: setattr(model, "scale", -0.0))

    def test_for_an_equal_one_is_none(self):
        model: Any = Function(lambda x: x * model.scale)
        model.scale = 2000.5
        compiled = convcore.compile(model.eval())
        x = images(3)
        for _ in range(3):
            compiled(x)
        state = next(iter(compiled._plans.values())).state
        model.scale = float("2000.5")
        assert state.is_as_it_was()

    def test_whether_a_parameter_requires_a_gradient(self):
        layer = nn.Linear(3, 3).eval()
        check(Function(lambda x: x * 2 if layer.weight.requires_grad else x * 3), lambda: layer.requires_grad_(False))


@dataclasses.dataclass
class WithDict:
    inner: Any


class TestWhatCannotBeCompared:
    @pytest.mark.parametrize("kind", ["local", "ContextVar"])
    def test_is_refused_by_name(self, kind):
        if kind == "local":
            numbers = threading.local()
            numbers.scale = 2.0
            model = Function(lambda x: x * numbers.scale)
        else:
            scale = contextvars.ContextVar("scale", default=2.0)
            model = Function(lambda x: x * scale.get())
        why = f"(numbers|scale) is a _?{kind}, which each thread sees with values of its own"
        assert_as_it_is(convcore.compile(model.eval()), images(3), why=why)

    @pytest.mark.parametrize("draw", ["python", "numpy"])
    def test_branches_by_drawn_numbers(self, draw):
        drawn = random.random if draw == "python" else np.random.rand
        seed: Any = random.seed if draw == "python" else np.random.seed

        def factors(model):
            seed(3)
            return [float(model(convcore.ones(1)).item()) for _ in range(30)]

        model = Function(lambda x: x * 3 if drawn() < 0.5 else x * 4).eval()
        compiled = convcore.compile(model)
        with pytest.warns(UserWarning, match="draws random numbers"):
            assert factors(compiled) == factors(model)
