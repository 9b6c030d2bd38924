"""Compiled models whose forward does more than return a result: it is called as often as the model is, or no more."""

import collections
import logging
import random
from typing import Any

import numpy as np
import pytest
from compiling import Function, assert_same, images

import convcore
from convcore import nn


class TestForwardIsCalled:
    """Once for each call of the compiled model, at most: what it does besides its result happens as often."""

    def test_as_often_as_the_model_is_called(self, monkeypatch):
        calls, forward = [], nn.ReLU.forward
        monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: calls.append(1) or forward(self, x))
        compiled = convcore.compile(nn.Sequential(nn.ReLU()).eval())
        for expected in (1, 2, 2, 2):  # the third call is the list's
            compiled(images(3))
            assert len(calls) == expected

    def test_and_counts_in_its_class(self):
        class Model(nn.Module):
            calls = 0

            def forward(self, x):
                Model.calls += 1
                return x * Model.calls

        compiled = convcore.compile(Model().eval())
        x = images(3)
        with pytest.warns(UserWarning, match="its forward changes calls of the class Model"):
            compiled(x)
        for calls in (2, 3, 4):
            assert_same(compiled(x), x * calls)

    def test_and_counts_in_an_attribute(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.calls = 0

            def forward(self, x):
                self.calls += 1
                return x * self.calls

        compiled = convcore.compile(Model().eval())
        x = images(3)
        with pytest.warns(UserWarning, match="its forward changes calls of Model"):
            assert_same(compiled(x), x)
        for calls in (2, 3, 4):
            assert_same(compiled(x), x * calls)
        assert compiled.calls == 4

    def test_and_keeps_features(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(3, 4)

            def forward(self, x):
                self.features = self.layer(x)
                return self.features.relu()

        model = Model().eval()
        compiled = convcore.compile(model)
        with pytest.warns(UserWarning, match="its forward changes features of Model"):
            compiled(images(2, 3))
        for seed in range(3):
            x = images(2, 3, seed=seed)
            compiled(x)
            assert_same(model.features, model.layer(x))

    @pytest.mark.parametrize("place", ["a global list", "a list of the model's", "a dictionary around it"])
    def test_and_keeps_them_elsewhere(self, place):
        kept = {}

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.list = []

            def forward(self, x):
                if place == "a global list":
                    KEPT.append(x + 1)
                elif place == "a list of the model's":
                    self.list.append(x + 1)
                else:
                    kept["x"] = x + 1
                return x * 2

        model = Model().eval()
        KEPT.clear()
        compiled = convcore.compile(model)
        with pytest.warns(UserWarning, match=r"its forward changes|are kept outside"):
            compiled(images(3))
        for seed in range(1, 4):
            x = images(3, seed=seed)
            compiled(x)
            last = {"a global list": KEPT, "a list of the model's": model.list}.get(place, list(kept.values()))[-1]
            assert_same(last, x + 1)

    def test_and_python_draws(self):
        model = Function(lambda x: x * random.random()).eval()
        compiled = convcore.compile(model)
        x = images(3)
        with pytest.warns(UserWarning, match="draws random numbers"):
            compiled(x)
        assert len({compiled(x).array.tobytes() for _ in range(5)}) == 5

    def test_and_numpy_draws(self):
        numbers = np.random.default_rng(0)
        compiled = convcore.compile(Function(lambda x: x + convcore.tensor(numbers.standard_normal(3))).eval())
        with pytest.warns(UserWarning, match="its forward changes numbers"):
            compiled(images(3))
        assert len({compiled(images(3)).array.tobytes() for _ in range(5)}) == 5

    def test_and_numpy_draws_unseen(self):
        noise: Any = logging.getLogger("convcore.noise")  # an object of Python, which is not followed
        noise.numbers = np.random.default_rng(0)
        compiled = convcore.compile(Function(lambda x: x + convcore.tensor(noise.numbers.standard_normal(3))).eval())
        with pytest.warns(UserWarning, match="tensor computes where it is not noted"):
            compiled(images(3))
        assert len({compiled(images(3)).array.tobytes() for _ in range(5)}) == 5

    def test_and_takes_the_next_of_an_iterator(self):
        scales = iter([2.0, 2.0, 2.0, 3.0, 4.0])
        compiled = convcore.compile(Function(lambda x: x * next(scales)).eval())
        x = images(3)
        with pytest.warns(UserWarning, match="scales is an iterator"):
            compiled(x)
        for scale in (2, 2, 3, 4):
            assert_same(compiled(x), x * scale)

    @pytest.mark.parametrize("operation", ["conv2d", "linear", "mul", "index", "cat"])
    def test_and_reads_a_tensor_that_is_hidden(self, operation):
        """Only what can be found in the model can be compared; nobody would notice another one in its place."""
        hidden: Any = logging.getLogger("convcore.hidden")  # an object of Python, which is not followed
        hidden.weight = images(4, 3, 3, 3)
        functions = {
            "conv2d": lambda x: nn.functional.conv2d(x, hidden.weight),
            "linear": lambda x: nn.functional.linear(x[..., :3], hidden.weight[:, 0, 0]),
            "mul": lambda x: x[:, :, :3, :3] * hidden.weight[0],
            "index": lambda x: x * hidden.weight[1, 2, 0, 0],
            "cat": lambda x: convcore.cat([x[0, :, :3, :3], hidden.weight[0]]),
        }
        compiled = convcore.compile(Function(functions[operation]).eval())
        x = images(1, 3, 9, 9)
        assert compiled.steps(x) == []
        with pytest.warns(UserWarning, match=r"cannot be found in the model|computes where it is not noted"):
            compiled(x)
        hidden.weight = images(4, 3, 3, 3, seed=9)
        assert_same(compiled(x), functions[operation](x))

    def test_and_prints_numbers(self, capsys):
        def function(x):
            print(x.max())
            return x + 1

        compiled = convcore.compile(Function(function).eval())
        with pytest.warns(UserWarning, match="looks at numbers"):
            compiled(images(3))
        for _ in range(3):
            compiled(images(3))
        assert capsys.readouterr().out.count("tensor(") == 4

    @pytest.mark.parametrize("kind", ["parameter", "attribute", "requires_grad"])
    def test_and_returns_more_than_numbers(self, kind):
        def function(x):
            y: Any = nn.Parameter(x * 2) if kind == "parameter" else x * 2
            if kind == "attribute":
                y.length = 3
            return y.requires_grad_() if kind == "requires_grad" else y

        with convcore.no_grad():
            compiled = convcore.compile(Function(function).eval())
            with pytest.warns(UserWarning, match="its result has what no list of calls gives"):
                compiled(images(3))
            for _ in range(3):
                result, expected = compiled(images(3)), function(images(3))
                assert type(result) is type(expected)
                assert result.requires_grad == expected.requires_grad
                assert vars(result) == vars(expected)

    def test_and_returns_a_dictionary_of_another_class(self):
        def function(x):
            result = collections.defaultdict(list)
            result["twice"] = x * 2
            return result

        compiled = convcore.compile(Function(function).eval())
        with pytest.warns(UserWarning, match="its result is neither a tensor nor"):
            compiled(images(3))
        assert compiled(images(3)).default_factory is list

    def test_and_returns_its_input(self):
        """Who changes the result changes the input, as without compiling."""
        compiled = convcore.compile(nn.Sequential(nn.Identity()).eval())
        x = images(3)
        with pytest.warns(UserWarning, match="lies in the memory of an input"):
            assert compiled(x) is x
        assert compiled(x) is x

    def test_and_returns_a_parameter(self):
        model = nn.Linear(3, 3).eval()
        compiled = convcore.compile(Function(lambda x: model.weight).eval())
        with pytest.warns(UserWarning, match=r"parameter"):
            assert compiled(images(3)) is model.weight
        assert compiled(images(3)) is model.weight

    def test_and_returns_two_views(self):
        compiled = convcore.compile(Function(lambda x: [(y := x + 1), y.reshape(-1)]).eval())
        with pytest.warns(UserWarning, match="two of its results share memory"):
            compiled(images(2, 3))
        one, other = compiled(images(2, 3))
        one.zero_()
        assert not other.array.any()

    def test_and_returns_one_tensor_twice(self):
        compiled = convcore.compile(Function(lambda x: [(y := x + 1), y]).eval())
        for _ in range(4):
            one, other = compiled(images(2, 3))
            assert one is other
        assert compiled.steps(images(2, 3))


KEPT = []
PARTS = []
