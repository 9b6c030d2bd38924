"""`convcore.compile`: the same results without Python in between, and never from a list that does not hold any more."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
from compiling import assert_as_it_is, assert_same, images

import convcore
from convcore import memory, nn
from convcore.errors import DTypeError, ShapeError
from convcore.nn.compiling.compiled import MOST_PLANS, CompiledModule


class TestResults:
    def test_equal_bit_for_bit(self, model, compiled):
        for seed in range(4):
            x = images(2, 3, 32, 32, seed=seed)
            assert_same(compiled(x), model(x))

    def test_are_those_of_the_model_without_a_call_of_it(self, model, compiled, monkeypatch):
        x = images(1, 3, 32, 32)
        expected = model(x)
        for seed in (1, 2):
            compiled(images(1, 3, 32, 32, seed=seed))
        monkeypatch.setattr(nn.Sequential, "forward", None)
        assert_same(compiled(x), expected)

    def test_are_in_memory_of_their_own(self, compiled):
        first = compiled(images(1, 3, 32, 32))
        kept = first.array.copy()
        compiled(images(1, 3, 32, 32, seed=1))
        assert np.array_equal(first.array, kept)

    def test_of_inputs_in_any_order_of_memory(self, model, compiled):
        x = images(2, 3, 32, 32)
        turned = convcore.tensor(np.ascontiguousarray(x.array.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
        assert_same(compiled(turned), model(turned))
        assert_same(compiled(x), model(x))

    def test_of_nan_and_infinity(self, model, compiled):
        x = images(1, 3, 32, 32)
        compiled(x)
        x[0, 0, 3, 3], x[0, 1, 9, 9] = np.nan, np.inf
        assert_same(compiled(x), model(x))

    def test_for_each_form_of_inputs(self, model, compiled):
        for shape in ((1, 3, 32, 32), (3, 3, 32, 32), (1, 3, 32, 32)):
            x = images(*shape)
            assert_same(compiled(x), model(x))
        double = model.double()
        x = images(1, 3, 32, 32).double()
        assert_same(compiled(x), double(x))

    def test_do_not_depend_on_the_number_of_threads(self, model, compiled):
        x = images(4, 3, 32, 32)
        expected = compiled(x)
        before = convcore.get_num_threads()
        try:
            convcore.set_num_threads(1)
            assert_same(compiled(x), expected)
        finally:
            convcore.set_num_threads(before)

    @pytest.mark.parametrize(
        ("name", "size", "channels"),
        [
            ("CNN", 28, 1), ("SimpleCNN", 64, 3), ("resnet18", 64, 3), ("mobilenet_v2", 64, 3),
            ("mobilenet_v3_small", 64, 3), ("efficientnet_b0", 64, 3), ("squeezenet1_0", 64, 3), ("densenet121", 64, 3),
            ("googlenet", 64, 3), ("vgg11", 32, 3), ("alexnet", 64, 3), ("convnext_tiny", 64, 3), ("vit_b_16", 224, 3),
        ],
    )  # fmt: skip
    def test_of_the_famous_networks(self, name, size, channels):
        model = getattr(convcore.models, name)(num_classes=7).eval()
        for parameter in model.parameters():
            if not parameter.array.any():  # a last layer of zeros would make all results equal
                nn.init.normal_(parameter, std=0.02)
        compiled = convcore.compile(model)
        for seed in (1, 2, 3):
            x = images(1, channels, size, size, seed=seed)
            assert_same(compiled(x), model(x))
        assert compiled.steps(x)


class TestOperations:
    """What NumPy computes is noted, too, and made again with other numbers."""

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: convcore.where(convcore.isnan(x), 0.0, x),
            lambda x: x * (x > 2),
            lambda x: convcore.where((x < -1) | ~(x <= 1), x, -x),
            lambda x: convcore.where(convcore.logical_and(x > 0, x < 1), 1.0, 0.0),
            lambda x: x.double() * 2,
            lambda x: (x * 10).long().float(),
            lambda x: convcore.cat([x, -x], 1).reshape(2, -1),
            lambda x: x.permute(0, 2, 1).contiguous().reshape(-1) + 1,
            lambda x: x.permute(0, 2, 1).reshape(-1) + 1,
            lambda x: x.transpose(1, 2) + x.transpose(1, 2),
            lambda x: x.mean((1, 2), keepdim=True) - x.amax(2, keepdim=True),
            lambda x: nn.functional.softmax(x, 1) @ x.transpose(1, 2),
            lambda x: nn.functional.layer_norm(x, x.shape[-1:]).clamp(-1, 1),
            lambda x: nn.functional.gelu(x) + nn.functional.silu(x) + nn.functional.hardsigmoid(x),
            lambda x: convcore.maximum(x, x.flatten(1).mean(1)[:, None, None]),
        ],
    )
    def test_results_are_the_same(self, function):
        class Model(nn.Module):
            def forward(self, x):
                return function(x)

        model = Model().eval()
        compiled = convcore.compile(model)
        for seed in range(4):
            x = images(4, 30, 20, seed=seed) * 2
            x[0, 0, 0], x[1, 2, 3], x[2, 5, 7] = np.nan, np.inf, 0
            assert_same(compiled(x), model(x))
        assert compiled.steps(x)


class TestForms:
    def test_several_inputs_and_results(self):
        class Model(nn.Module):
            def forward(self, a, b, scale):
                total = a * scale + b
                return {"total": total, "parts": (a.relu(), [b.exp()])}

        model = Model().eval()
        compiled = convcore.compile(model)
        a, b = images(2, 5), images(2, 5, seed=1)
        for _ in range(2):
            result = compiled(a, b, 3)
            assert_same(result["total"], a * 3 + b)
            assert_same(result["parts"][0], a.relu())
            assert_same(result["parts"][1][0], b.exp())
        assert_same(compiled(a, b, 2)["total"], a * 2 + b)  # another number is another list

    def test_integer_inputs(self):
        model = nn.Sequential(nn.Embedding(11, 6), nn.Linear(6, 3)).eval()
        compiled = convcore.compile(model)
        for seed in (0, 1):
            places = convcore.tensor(np.random.default_rng(seed).integers(0, 11, (2, 4)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the embedding may be computed in NumPy
                assert_same(compiled(places), model(places))

    def test_what_cannot_be_hashed_and_keywords_are_given_to_the_model(self):
        class Model(nn.Module):
            def forward(self, x, factors=(1, 2)):
                return x * sum(factors)

        compiled = convcore.compile(Model().eval())
        x = images(3)
        assert_same(compiled(x, [1, 2]), x * 3)
        assert_same(compiled(x, factors=(2, 2)), x * 4)
        assert compiled.steps(x, [1, 2]) == []

    def test_plans_are_bounded_and_cleared(self, compiled):
        for n in range(1, MOST_PLANS + 3):
            compiled(images(n, 3, 32, 32))
        assert len(compiled._plans) == MOST_PLANS
        convcore.clear_caches()
        assert len(compiled._plans) == 0

    def test_memory_of_the_layers_is_shared(self):
        """A chain of many layers needs the memory of two or three of them, not of all."""
        model = nn.Sequential(*[nn.Conv2d(8, 8, 3, padding=1) for _ in range(12)]).eval()
        compiled = convcore.compile(model)
        x = images(1, 8, 64, 64)
        compiled(x)
        compiled(x)
        (plan,) = compiled._plans.values()
        assert plan.recording is not None
        assert plan.recording.arena.nbytes <= 6 * x.array.nbytes

    def test_memory_is_given_back(self, model):
        compiled = convcore.compile(model)
        x = images(4, 3, 64, 64)
        model_used = memory.stats()["used"]
        for _ in range(3):
            with pytest.raises(ShapeError):
                compiled(x)  # the last layer does not fit this size
        convcore.clear_caches()
        assert memory.stats()["used"] <= model_used


class TestWhatCannotBeCompiled:
    def test_looking_at_numbers(self):
        class Model(nn.Module):
            def forward(self, x):
                return x * 2 if x.sum() > 0 else x

        compiled = convcore.compile(Model().eval())
        x = images(3, 3).abs()
        assert_as_it_is(compiled, x, why=r"looks at numbers \(bool\(\) in forward\)")
        assert_same(compiled(-x), -x)

    def test_random_numbers(self):
        class Model(nn.Module):
            def forward(self, x):
                return nn.functional.dropout(x, 0.5, training=True)

        compiled = convcore.compile(Model().eval())
        x = images(64, 64)
        with pytest.warns(UserWarning, match="draws random numbers"):
            first = compiled(x)
        assert not np.array_equal(first.array, compiled(x).array)

    def test_computing_in_numpy_where_only_odd_numbers_show_it(self):
        """For usual numbers nothing is NaN, and what was not noted would seem constant."""

        class Model(nn.Module):
            def forward(self, x):
                return convcore.nan_to_num(x.relu(), nan=3.0) + 1

        compiled = convcore.compile(Model().eval())
        for seed in range(3):
            x = images(4, 300, seed=seed)
            assert_same(compiled(x), compiled._orig_mod(x))
        x[1, 7], x[2, 8] = np.nan, np.inf
        assert_same(compiled(x), compiled._orig_mod(x))

    def test_kernels_in_numpy(self, model, compiled):
        with convcore.use_algorithm("reference"):
            assert_as_it_is(compiled, images(1, 3, 32, 32), why="DeferredConv computes where it is not noted")

    def test_computing_in_numpy(self):
        class Model(nn.Module):
            def forward(self, x):
                return convcore.cumsum(x, 0).relu()

        assert_as_it_is(convcore.compile(Model().eval()), images(4, 3), why="cumsum computes where it is not noted")

    def test_changing_the_input(self):
        compiled = convcore.compile(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 3)).eval())
        x = images(4, 5)
        expected = np.maximum(x.array, 0)
        with pytest.warns(UserWarning, match="changes its input"):
            compiled(x)
        np.testing.assert_array_equal(x.array, expected)

    def test_refusing_some_numbers(self):
        class Model(nn.Module):
            def forward(self, x):
                if np.isnan(x.array).any():
                    raise ValueError("no NaN, please")
                return x + 1

        compiled = convcore.compile(Model().eval())
        assert_as_it_is(compiled, images(4, 5), why=r"looks at numbers \(__bool__ in forward\)")
        with pytest.raises(ValueError, match="no NaN"):
            compiled(images(4, 5) * np.nan)

    def test_changing_buffers(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("calls", convcore.zeros(1))

            def forward(self, x):
                self.calls.add_(1)
                return x + 1

        compiled = convcore.compile(Model().eval())
        with pytest.warns(UserWarning, match="its forward changes calls"):
            compiled(images(3))
        before = compiled.calls.item()
        compiled(images(3))
        assert compiled.calls.item() > before

    def test_other_results(self):
        class Model(nn.Module):
            def forward(self, x):
                return x + 1, "text"

        compiled = convcore.compile(Model().eval())
        with pytest.warns(UserWarning, match="neither a tensor nor"):
            result = compiled(images(3))
        assert result[1] == "text"

    def test_gradients_are_recorded(self, model, compiled):
        with convcore.inference_mode(False), convcore.enable_grad():
            x = images(1, 3, 32, 32).requires_grad_()
            compiled(x).sum().backward()
        assert x.grad is not None
        assert x.grad.array.any()
        assert model[0].weight.grad.array.any()

    def test_within_another_compiled_model(self, model, compiled):
        outer = convcore.compile(nn.Sequential(compiled, nn.Softmax(1)).eval())
        for seed in (0, 1):
            x = images(1, 3, 32, 32, seed=seed)
            assert_same(outer(x), nn.functional.softmax(model(x), 1))

    def test_errors_are_the_models_and_leave_nothing(self, model, compiled):
        with pytest.raises(ShapeError, match="has 4 channels but weight expects 3"):
            compiled(images(1, 4, 32, 32))
        x = images(1, 3, 32, 32)
        assert_same(compiled(x), model(x))

    def test_only_modules(self):
        with pytest.raises(DTypeError, match="compile: model must be a Module, got ufunc"):
            convcore.compile(np.abs)  # pyright: ignore[reportArgumentType]


class TestAsAModule:
    def test_shares_the_state(self, model, compiled):
        assert {key.removeprefix("_orig_mod.") for key in compiled.state_dict()} == set(model.state_dict())
        assert next(compiled.parameters()) is next(model.parameters())

    def test_what_is_set_is_set_in_the_model(self):
        """As in torch: an attribute, a parameter or a layer that is set on the compiled model takes effect."""

        class Model(nn.Module):
            scale = 0.5

            def __init__(self):
                super().__init__()
                self.layer = nn.Identity()

            def forward(self, x):
                return self.layer(x) * self.scale

        model = Model().eval()
        compiled, x = convcore.compile(model), images(3)
        for _ in range(3):
            assert_same(compiled(x), x * 0.5)
        compiled.scale = 2.5
        assert model.scale == 2.5
        assert_same(compiled(x), x * 2.5)
        del compiled.scale
        compiled.layer = nn.Tanh()
        assert_same(compiled(x), x.tanh() * 0.5)
        assert list(dict(compiled.named_children())) == ["_orig_mod"]
        compiled.weight = nn.Parameter(convcore.ones(2))
        assert list(dict(model.named_parameters())) == ["weight"]
        compiled.train()
        assert compiled.training
        assert model.training
        compiled.eval()

    def test_has_the_models_attributes(self, compiled):
        compiled._orig_mod.note = "mine"
        assert compiled.note == "mine"
        with pytest.raises(AttributeError, match="nothing"):
            _ = compiled.nothing

    def test_compiling_twice_is_compiling_once(self, compiled):
        assert convcore.compile(compiled) is compiled

    def test_copies_and_pickles(self, model, compiled):
        x = images(1, 3, 32, 32)
        compiled(x)
        for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
            assert isinstance(other, CompiledModule)
            assert_same(other(x), model(x))
            next(other.parameters()).zero_()
            assert_same(compiled(x), model(x))

    def test_steps_name_the_kernels(self, compiled):
        steps = compiled.steps(images(1, 3, 32, 32))
        assert any(step.startswith("max_pool2d_forward (1, 32, 32, 16) (1, 16, 16, 16)") for step in steps)

    def test_from_several_threads(self, model, compiled):
        xs = [images(1, 3, 32, 32, seed=seed) for seed in range(4)]
        expected = [model(x).array for x in xs]
        wrong = []

        def work(i):
            with convcore.inference_mode():
                for _ in range(30):
                    if not np.array_equal(compiled(xs[i]).array, expected[i]):
                        wrong.append(i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
