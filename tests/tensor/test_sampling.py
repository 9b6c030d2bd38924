"""Random tensors in the shape and dtype of others, and from one seed."""

import pytest

import convcore
from convcore.errors import DTypeError, ShapeError


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


MANY = 20_000  # the mean of so many numbers strays by less than 0.03 of their standard deviation


def test_parameters_of_a_distribution_by_name():
    """One that is named alone leaves the others as they are."""
    convcore.manual_seed(0)
    x = convcore.zeros(MANY, dtype=convcore.float64)
    assert x.normal_(std=3.0).std().item() == pytest.approx(3.0, abs=0.1)
    assert x.mean().item() == pytest.approx(0.0, abs=0.1)
    assert x.normal_(2.0, std=0.5).mean().item() == pytest.approx(2.0, abs=0.02)
    assert 0 <= x.uniform_(to=5.0).min().item() < 0.1
    assert 4.9 < x.max().item() < 5
    assert -1 <= x.uniform_(**{"from": -1.0}).min().item() < 0
    assert x.exponential_(lambd=4.0).mean().item() == pytest.approx(0.25, abs=0.01)
    assert x.cauchy_(sigma=0.001, median=7.0).median().item() == pytest.approx(7.0, abs=0.01)
    with pytest.raises(TypeError, match="normal_: takes mean, std and generator, got"):
        x.normal_(scale=1.0)
    with pytest.raises(TypeError, match="normal_: takes mean, std and generator, got"):
        x.normal_(1.0, mean=1.0)
    with pytest.raises(TypeError, match="normal_: takes mean, std and generator, got"):
        x.normal_(1.0, 1.0, 1.0)
    with pytest.raises(ShapeError, match="normal_: std must be at least 0, got"):
        x.normal_(std=-1.0)
    with pytest.raises(ShapeError, match="geometric_: p must be between 0 and 1, got"):
        x.geometric_()


def test_coins_in_place():
    convcore.manual_seed(0)
    x = convcore.zeros(MANY)
    assert x.bernoulli_().mean().item() == pytest.approx(0.5, abs=0.02)
    assert set(x.tolist()) == {0.0, 1.0}
    assert x.bernoulli_(0.9).mean().item() == pytest.approx(0.9, abs=0.01)
    assert convcore.zeros(2, 3).bernoulli_(convcore.tensor([0.0, 1.0, 0.0])).tolist() == [[0.0, 1.0, 0.0]] * 2
    with pytest.raises(ShapeError, match="bernoulli_: probabilities must be from 0 to 1"):
        x.bernoulli_(1.5)


def test_integers_in_place():
    convcore.manual_seed(0)
    x = convcore.zeros(MANY, dtype=convcore.int64)
    assert set(x.random_(3).tolist()) == {0, 1, 2}
    assert set(x.random_(-1, 2).tolist()) == {-1, 0, 1}
    assert set(x.random_(to=2).tolist()) == {0, 1}
    assert x.random_().max().item() > 2**62
    assert convcore.zeros(MANY).random_().max().item() > 2**23
    assert convcore.zeros(MANY, dtype=convcore.uint8).random_().max().item() == 255
    assert set(convcore.zeros(MANY, dtype=convcore.bool).random_().tolist()) == {False, True}
    for wrong in ((0,), (2, 2)):
        with pytest.raises(ShapeError, match="random_: from must be below to"):
            x.random_(*wrong)
