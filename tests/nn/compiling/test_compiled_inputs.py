"""Compiled models with integers and bools: what the first inputs happen to be decides nothing."""

import warnings

import numpy as np
import pytest
from compiling import Function, assert_as_it_is, assert_same, images

import convcore
from convcore import nn
from convcore.autograd import wrap


def drawn(kind, *shape, seed=0):
    numbers = np.random.default_rng(seed)
    if kind == "float":
        return images(*shape, seed=seed)
    if kind == "bool":
        return convcore.tensor(numbers.integers(0, 2, shape).astype(bool))
    return convcore.tensor(numbers.integers(0, 5, shape).astype("uint8" if kind == "byte" else "int64"))


class TestOfIntegersAndBools:
    """Whatever the dtype of the inputs: the same results, from a list or from the model itself."""

    CASES = (
        ("a mean over words", lambda t: nn.functional.embedding(t, TABLE).mean(1), ("int", 2, 4)),
        ("one_hot", lambda t: nn.functional.one_hot(t, 5).sum(0), ("int", 7)),
        ("a histogram", lambda t: convcore.bincount(t, minlength=5), ("int", 9)),
        ("an index", lambda x, i: x[i] * 2, ("float", 5, 3), ("int", 4)),
        ("an index into a table", lambda i: TABLE[i], ("int", 4)),
        ("a mask as an index", lambda x, mask: x[mask].sum(), ("float", 6), ("bool", 6)),
        ("masked_fill", lambda x, mask: x.masked_fill(mask, 0.0).sum(), ("float", 6), ("bool", 6)),
        ("where", lambda x, mask: convcore.where(mask, x, -x), ("float", 6), ("bool", 6)),
        ("gather", lambda x, i: x.gather(1, i), ("float", 3, 5), ("int", 3, 2)),
        ("scatter", lambda x, i: x.scatter(1, i, 0.0), ("float", 3, 5), ("int", 3, 2)),
        ("a black picture", lambda t: (t.float() / 255).mean(), ("byte", 3, 8, 8)),
        ("sort", lambda t: t.sort()[1], ("int", 6)),
        ("cumsum", lambda t: t.cumsum(0), ("int", 6)),
        ("unique", lambda t: convcore.unique(t), ("int", 6)),
        ("nonzero", lambda t: t.nonzero(), ("bool", 6)),
        ("arithmetic", lambda t: (t * 3 + 1) // 2 % 4, ("int", 6)),
        ("logic", lambda a, b: (a & ~b) | (a ^ b), ("bool", 6), ("bool", 6)),
        ("a number that is summed up", lambda t: t.sum() + t.max(), ("int", 6)),
        ("cross_entropy", lambda x, t: nn.functional.cross_entropy(x, t), ("float", 4, 5), ("int", 4)),
        ("a lookup that follows a lookup", lambda t: TABLE[TABLE.argmax(1)[t]], ("int", 4)),
    )  # fmt: skip

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
    @pytest.mark.parametrize("first", ["zeros", "equal in reverse", "drawn"])
    def test_the_first_input_tells_nothing(self, case, first):
        _, function, *forms = case
        compiled = convcore.compile(Function(function).eval())

        def inputs(seed):
            return [drawn(*form, seed=seed) for form in forms]

        begin = inputs(0)
        for tensor in begin:
            if first == "zeros":
                tensor.zero_()
            elif first == "equal in reverse":
                tensor.copy_(convcore.maximum(tensor, tensor.flip(tuple(range(tensor.ndim)))))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for given in (begin, begin, begin, *[inputs(seed) for seed in (1, 2, 3, 4)], begin):
                assert_same(compiled(*given), function(*given))

    def test_what_numpy_computes_is_noted_by_itself(self):
        """No operation has to say that it computes: what NumPy gets tells."""
        compiled = convcore.compile(Function(lambda x: x.argsort().remainder(2)).eval())
        for seed in range(4):
            x = images(6, seed=seed)
            assert_same(compiled(x), compiled._orig_mod(x))
        assert compiled.steps(x)

    def test_an_array_that_is_no_tensors_is_not_trusted(self):
        """Nothing says that it does not depend on the input."""

        def function(x):
            numbers = np.asarray(x.array)  # below Python: a plain array, which tells nobody what is done with it
            return convcore.from_numpy(np.sort(numbers.copy()))

        assert_as_it_is(convcore.compile(Function(function).eval()), images(5), why="computes where it is not noted")

    def test_an_array_that_is_made_anew_is_not_trusted(self):
        def function(x):
            return convcore.gather(x, 0, constant_of_nobody())

        def constant_of_nobody():
            place = convcore.zeros(1, dtype=convcore.int64)
            return place

        compiled = convcore.compile(Function(function).eval())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for seed in range(4):
                x = images(5, seed=seed)
                assert_same(compiled(x), function(x))

    def test_constants_are_filled_anew(self):
        """A tensor made in forward may be changed there: at each call from the start."""

        def function(x):
            total = convcore.tensor([1.0, 2.0, 3.0])
            total += x
            return total

        compiled = convcore.compile(Function(function).eval())
        for seed in range(5):
            x = images(3, seed=seed)
            assert_same(compiled(x), function(x))
        assert compiled.steps(x)


TABLE = convcore.tensor(np.random.default_rng(5).standard_normal((5, 4), np.float32))


class TestNumPy:
    """Functions of NumPy in a model's own code, on the arrays of tensors."""

    @pytest.mark.parametrize(
        "function",
        [
            lambda a: np.trim_zeros(a),  # a part of its argument, which one depends on numbers
            lambda a: np.nan_to_num(a, copy=False) + a,  # changes its argument and returns it
            lambda a: np.sort(a)[::-1],
            lambda a: np.where(a > 0, a, 0),
            lambda a: np.concatenate([a[a > 0], a[a <= 0]]),
            lambda a: np.split(a, 3)[1] * 2,
            lambda a: np.add.reduce(a, keepdims=True) + np.cumsum(a),
            lambda a: np.frexp(a)[0],
            lambda a: np.lib.stride_tricks.sliding_window_view(a, 2).mean(1),
            lambda a: a.clip(0, 1).round(2).astype(np.float64),
        ],
    )
    def test_results_are_the_same(self, function):
        compiled = convcore.compile(Function(lambda x: wrap(function(x.clone().array)) * 2).eval())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for numbers in ([0, 1, 2], [1, 2, 0], [0, 3, 0], [1, 2, 3], [-1, 0, 0], [0, 5, 6]):
                x = convcore.tensor([float(number) for number in numbers])
                assert_same(compiled(x), compiled._orig_mod(x))
