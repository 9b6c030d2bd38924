"""What is left out or None when tensors are made and limited: torch's defaults, or a refusal, with what is missing"""

import pytest
import torch

import convcore
from convcore.errors import DTypeError

NONE = {
    "zeros": lambda m: m.zeros(2, dtype=None), "ones": lambda m: m.ones(2, dtype=None),
    "empty": lambda m: m.empty(2, dtype=None), "full": lambda m: m.full((2,), 3.0, dtype=None),
    "full of integers": lambda m: m.full((2,), 3, dtype=None),
    "full of bools": lambda m: m.full((2,), True, dtype=None),
    "arange": lambda m: m.arange(3, dtype=None), "arange of floats": lambda m: m.arange(3.0, dtype=None),
    "eye": lambda m: m.eye(2, dtype=None), "linspace": lambda m: m.linspace(0, 1, 3, dtype=None),
    "logspace": lambda m: m.logspace(0, 1, 3, dtype=None), "rand": lambda m: m.rand(2, dtype=None),
    "randn": lambda m: m.randn(2, dtype=None), "randint": lambda m: m.randint(10, (2,), dtype=None),
    "randperm": lambda m: m.randperm(4, dtype=None), "normal": lambda m: m.normal(0.0, 1.0, (2,), dtype=None),
    "tril_indices": lambda m: m.tril_indices(2, 2, dtype=None),
    "triu_indices": lambda m: m.triu_indices(2, 2, dtype=None),
    "empty_strided": lambda m: m.empty_strided((2,), (1,), dtype=None),
    "empty_permuted": lambda m: m.empty_permuted((2,), (0,), dtype=None),
    "scalar_tensor": lambda m: m.scalar_tensor(3, dtype=None), "tensor": lambda m: m.tensor([1, 2], dtype=None),
    "tensor of floats": lambda m: m.tensor([1.0], dtype=None), "as_tensor": lambda m: m.as_tensor([1.0], dtype=None),
    **{f"{name}_like": lambda m, name=name: getattr(m, f"{name}_like")(m.ones(2, dtype=m.float64), dtype=None)
       for name in ("zeros", "ones", "empty", "rand", "randn")},
    "full_like": lambda m: m.full_like(m.ones(2, dtype=m.float64), 3, dtype=None),
    "randint_like": lambda m: m.randint_like(m.ones(2, dtype=m.float64), 3, dtype=None),
    **{f"new_{name}": lambda m, name=name: getattr(m.ones(1, dtype=m.float64), f"new_{name}")(2, dtype=None)
       for name in ("zeros", "ones", "empty")},
    "new_full": lambda m: m.ones(1, dtype=m.float64).new_full((2,), 3, dtype=None),
    "new_tensor": lambda m: m.ones(1, dtype=m.float64).new_tensor([1], dtype=None),
    "a layer": lambda m: m.nn.Linear(2, 2, dtype=None).weight,
}  # fmt: skip
BY_NAME = {
    **{name: lambda m, name=name: getattr(m, name)(size=(2, 3))
       for name in ("zeros", "ones", "empty", "rand", "randn")},
    "full": lambda m: m.full(size=(2,), fill_value=3), "randint, high": lambda m: m.randint(10, size=(2,)),
    "randint, high by name": lambda m: m.randint(high=10, size=(2,)),
    "randint, both": lambda m: m.randint(low=1, high=10, size=(2,)),
    "randint, low and high by name": lambda m: m.randint(1, high=10, size=(2,)),
    "randint, in order": lambda m: m.randint(1, 10, (2,)), "randint_like": lambda m: m.randint_like(m.ones(2), high=5),
    "normal": lambda m: m.normal(mean=0.0, std=1.0, size=(2,)), "arange": lambda m: m.arange(end=3),
    "arange, both": lambda m: m.arange(start=1, end=5, step=2), "new_zeros": lambda m: m.ones(1).new_zeros(size=(2,)),
    "empty_strided": lambda m: m.empty_strided(size=(2,), stride=(1,)),
}  # fmt: skip


@pytest.mark.parametrize("make", [*NONE.values(), *BY_NAME.values()], ids=[*NONE, *[f"{n} by name" for n in BY_NAME]])
def test_what_is_left_out_is_torchs_default(make):
    ours, theirs = make(convcore), make(torch)
    assert (str(ours.dtype), tuple(ours.shape)) == (str(theirs.dtype).split(".")[1], tuple(theirs.shape))


@pytest.mark.parametrize("bounds", [{"high": 4}, {"low": 0, "high": 4}])
def test_integers_lie_within_bounds_given_by_name(bounds):
    assert convcore.randint(**bounds, size=(200,)).unique().tolist() == [0, 1, 2, 3]
    assert convcore.randint(4, size=(200,)).unique().tolist() == [0, 1, 2, 3]
    assert convcore.randint_like(convcore.ones(200), high=4).unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("arguments", [(), (10,), (0, 10), (10, 2)])
def test_a_missing_bound_or_size_is_named(arguments):
    with pytest.raises(DTypeError, match=r"randint: needs a bound and a size, randint\(high, size\) or"):
        convcore.randint(*arguments)


def test_missing_ends_are_named():
    with pytest.raises(DTypeError, match=r"randint_like: needs a bound"):
        convcore.randint_like(convcore.ones(2))
    with pytest.raises(DTypeError, match=r"arange: needs a number to count to"):
        convcore.arange()


@pytest.mark.parametrize("name", ["clamp", "clip"])
@pytest.mark.parametrize("limits", [
    lambda m: (0, m.tensor(2.0)), lambda m: (m.tensor(0.0), 2), lambda m: (0.5, m.tensor(2.0)),
    lambda m: (m.tensor(1.0), 0), lambda m: (float("nan"), m.tensor(2.0)), lambda m: (m.tensor(0), 1.5),
])  # fmt: skip
@pytest.mark.parametrize("values", [[-2.0, 0.0, 0.5, 3.0], [-2, 0, 3]])
def test_a_number_and_a_tensor_limit_together_as_in_torch(name, limits, values):
    ours, theirs = (getattr(m, name)(m.tensor(values), *limits(m)) for m in (convcore, torch))
    assert str(ours.dtype) == str(theirs.dtype).split(".")[1]
    assert ours.tolist() == pytest.approx(theirs.tolist(), nan_ok=True)


def test_gradients_between_a_number_and_a_tensor():
    gradients = []
    for m in (convcore, torch):
        x = m.tensor([-2.0, 0.5, 3.0], requires_grad=True)
        high = m.tensor([1.0, 1.0, 2.0], requires_grad=True)
        low = 0.0 if m is convcore else m.zeros(3)  # torch takes a tensor with axes beside a tensor only
        (m.clamp(x, low, high) * m.tensor([1.0, 2.0, 3.0])).sum().backward()
        gradients.append((x.grad.tolist(), high.grad.tolist()))
    assert gradients[0] == gradients[1]
