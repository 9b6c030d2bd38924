"""Compiled models that change between calls: parameters, buffers, modules, attributes, and what lies in no table."""

import logging
import types
from typing import Any

import numpy as np
import pytest
from compiling import assert_same, images

import convcore
from convcore import nn


class TestChanges:
    @pytest.fixture
    def seen(self, compiled):
        x = images(1, 3, 32, 32)
        for _ in range(3):
            compiled(x)
        return x

    def test_of_a_weight(self, model, compiled, seen):
        before = compiled(seen)
        model[0].weight.mul_(2)
        assert_same(compiled(seen), model(seen))
        assert not np.array_equal(compiled(seen).array, before.array)

    def test_of_a_running_mean(self, model, compiled, seen):
        model[1].running_mean.add_(1)
        assert_same(compiled(seen), model(seen))

    def test_of_the_whole_state(self, model, compiled, seen):
        model.load_state_dict({key: value + 0.25 for key, value in model.state_dict().items()})
        assert_same(compiled(seen), model(seen))

    def test_by_an_optimizer(self, model, compiled, seen):
        optimizer = convcore.optim.SGD(model.parameters(), lr=0.1)
        for parameter in model.parameters():
            parameter.grad = convcore.ones_like(parameter)
        optimizer.step()
        assert_same(compiled(seen), model(seen))

    def test_of_a_parameter_for_another(self, model, compiled, seen):
        model[8].weight = nn.Parameter(images(10, 24 * 7 * 7, seed=5))
        assert_same(compiled(seen), model(seen))

    def test_of_a_module_for_another(self, model, compiled, seen):
        model[6] = nn.ReLU()
        assert_same(compiled(seen), model(seen))

    def test_through_an_array_of_numpy(self, model, compiled, seen):
        array = model[0].weight.detach().numpy()
        with pytest.warns(UserWarning, match="shares the memory of weight"):
            compiled(seen)
        array *= 3
        assert_same(compiled(seen), model(seen))
        del array
        assert_same(compiled(seen), model(seen))
        assert compiled.steps(seen)

    def test_to_training_and_back(self, model, compiled, seen):
        compiled.train()
        assert model.training
        compiled(seen)
        assert model[1].num_batches_tracked.item() == 1
        compiled.eval()
        assert_same(compiled(seen), model(seen))

    def test_of_one_layer_to_training(self, model, compiled, seen):
        model[1].train()
        compiled(seen)
        assert model[1].num_batches_tracked.item() == 1

    @pytest.mark.parametrize("table", ["_parameters", "_buffers"])
    def test_of_none_for_a_tensor(self, table):
        model: Any = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False)).eval()
        compiled = convcore.compile(model)
        x = images(1, 3, 8, 8)
        for _ in range(3):
            compiled(x)
        if table == "_parameters":
            model[0].bias = nn.Parameter(convcore.ones(8))
        else:
            model[1].running_mean = convcore.ones(8)
        assert_same(compiled(x), model(x))
        for _ in range(3):
            compiled(x)
        if table == "_parameters":
            model[0].bias = None
            assert_same(compiled(x), model(x))

    @pytest.mark.parametrize("how", ["register_parameter", "register_buffer", "setattr", "add_module", "attribute"])
    def test_of_something_new(self, how):
        class Inner(nn.Module):
            def forward(self, x):
                extra = getattr(self, "extra", None)
                return x if extra is None else extra(x) if isinstance(extra, nn.Module) else x * extra

        model: Any = nn.Sequential(nn.ReLU(), Inner()).eval()
        compiled = convcore.compile(model)
        x = images(3, 4)
        for _ in range(3):
            compiled(x)
        inner, value = model[1], convcore.full((4,), 3.0)
        if how == "register_parameter":
            inner.register_parameter("extra", nn.Parameter(value))
        elif how == "register_buffer":
            inner.register_buffer("extra", value)
        elif how == "setattr":
            inner.extra = value
        elif how == "add_module":
            inner.add_module("extra", nn.Linear(4, 4).eval())
        else:
            inner.extra = 3
        assert_same(compiled(x), model(x))
        assert not np.array_equal(compiled(x).array, x.relu().array)
        for _ in range(3):
            compiled(x)
        del inner.extra
        assert_same(compiled(x), model(x))

    @pytest.mark.parametrize("place", ["a list", "a dictionary", "a tuple", "an object", "a global", "a closure"])
    def test_of_what_is_in_no_table(self, place):
        class Model(nn.Module):
            def __init__(self, read):
                super().__init__()
                self.read = read

            def forward(self, x):
                layer, kernel, scale = self.read(self)
                return layer(x) @ kernel * scale

        layer, kernel = nn.Linear(3, 4).eval(), images(4, 2, seed=3)
        parts = [layer, kernel, 2.0]
        if place == "a closure":
            model = Model(lambda self: parts)
        elif place == "a global":
            PARTS[:] = parts
            model = Model(lambda self: PARTS)
        else:
            model = Model(lambda self: self.parts if not isinstance(self.parts, dict) else self.parts.values())
            if place == "an object":
                model.read = lambda self: (self.parts.layer, self.parts.kernel, self.parts.scale)
            model.parts = {
                "a list": parts,
                "a dictionary": dict(enumerate(parts)),
                "a tuple": tuple(parts),
                "an object": types.SimpleNamespace(layer=layer, kernel=kernel, scale=2.0),
            }[place]
        model.eval()
        compiled = convcore.compile(model)
        x = images(2, 3)

        def check():
            for _ in range(3):
                assert_same(compiled(x), model(x))

        check()
        assert compiled.steps(x)
        layer.weight.mul_(2)
        check()
        kernel.add_(1)
        check()
        if place in ("a list", "a closure", "a global"):
            (parts if place != "a global" else PARTS)[2] = 5.0
        elif place == "a dictionary":
            model.parts[2] = 5.0
        elif place == "an object":
            model.parts.scale = 5.0
        check()

    def test_of_a_class(self):
        class Model(nn.Module):
            scale = 2.0

            def forward(self, x):
                return x * self.scale

        model = Model().eval()
        compiled = convcore.compile(model)
        x = images(3)
        for _ in range(3):
            compiled(x)
        Model.scale = 3.0
        assert_same(compiled(x), x * 3)
        for _ in range(3):
            compiled(x)
        Model.forward = lambda self, x: x - 1
        assert_same(compiled(x), x - 1)

    def test_of_a_logger_is_none(self):
        """What Python's own objects hold is no part of a model."""
        model = nn.Sequential(nn.ReLU()).eval()
        model.log = logging.getLogger("convcore.test")
        compiled = convcore.compile(model)
        for seed in range(4):
            logging.getLogger(f"convcore.test.{seed}")
            compiled(images(3, seed=seed))
        assert compiled.steps(images(3))

    def test_of_an_attribute(self):
        model: Any = nn.Sequential(nn.LeakyReLU(0.1), nn.BatchNorm1d(4)).eval()
        compiled = convcore.compile(model)
        x = images(3, 4)
        for change in (lambda: setattr(model[0], "negative_slope", 0.5), lambda: setattr(model[1], "eps", 0.5)):
            for _ in range(3):
                compiled(x)
            before = compiled(x).array
            change()
            assert_same(compiled(x), model(x))
            assert not np.array_equal(compiled(x).array, before)

    def test_of_hooks(self, model, compiled, seen):
        calls = []
        handle = model[0].register_forward_hook(lambda *_: calls.append(1))
        with pytest.warns(UserWarning, match="Conv2d has hooks"):
            compiled(seen)
        assert calls
        handle.remove()
        assert_same(compiled(seen), model(seen))
        assert compiled.steps(seen)

    def test_of_the_algorithm(self, model, compiled, seen):
        with convcore.use_algorithm("im2col"):
            assert_same(compiled(seen), model(seen))
            assert any("im2col" in step for step in compiled.steps(seen))
        assert not any("im2col" in step for step in compiled.steps(seen))
        with convcore.no_fusion():
            assert_same(compiled(seen), model(seen))


PARTS = []
