"""Random tensors in the shape and dtype of others, and from one seed."""

import pytest

import convcore
from convcore.errors import DTypeError


def test_a_seed_decides_every_number():
    x = convcore.zeros(2, 3)

    def draw():
        return [convcore.rand(3, 4), convcore.randint(10, (5,)), convcore.rand_like(x), convcore.randn_like(x)]

    convcore.manual_seed(3)
    first = draw()
    convcore.manual_seed(3)
    second = draw()
    third = draw()
    for a, b, c in zip(first, second, third, strict=True):
        assert a.equal(b)
        assert not a.equal(c)


def test_like_takes_shape_and_dtype():
    x = convcore.zeros(2, 3, dtype=convcore.float64)
    for y in (convcore.rand_like(x), convcore.randn_like(x, requires_grad=True)):
        assert y.shape == x.shape
        assert y.dtype == x.dtype
    assert y.requires_grad
    with pytest.raises(DTypeError, match="randn: dtype must be float32 or float64, got int64"):
        convcore.randn_like(convcore.arange(3))
