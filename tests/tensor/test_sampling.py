"""Random tensors: seeded, in the right range, of the right moments."""

import numpy as np
import pytest

import convcore
from convcore.errors import DTypeError, ShapeError


def test_a_seed_decides_every_number():
    def draw():
        return [
            convcore.rand(3, 4),
            convcore.randn(3, dtype=convcore.float64),
            convcore.randint(10, (5,)),
            convcore.randperm(6),
            convcore.rand_like(convcore.zeros(2)),
            convcore.randn_like(convcore.zeros(2)),
        ]

    convcore.manual_seed(3)
    first = draw()
    convcore.manual_seed(3)
    second = draw()
    third = draw()
    for a, b, c in zip(first, second, third, strict=True):
        assert a.equal(b)
        assert not a.equal(c)


def test_distributions():
    generator = convcore.Generator(0)
    uniform = convcore.rand(100, 1000, generator=generator)
    assert uniform.dtype == convcore.float32
    assert 0 <= uniform.min().item() < uniform.max().item() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert uniform.var().item() == pytest.approx(1 / 12, abs=0.01)
    normal = convcore.randn((100, 1000), generator=generator, dtype=convcore.float64, requires_grad=True)
    assert normal.requires_grad
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    integers = convcore.randint(-2, 3, (1000,), generator=generator)
    assert np.unique(integers.array).tolist() == [-2, -1, 0, 1, 2]
    assert convcore.randint(5, (2,), dtype=convcore.int32).dtype == convcore.int32
    assert sorted(convcore.randperm(50, generator=generator).tolist()) == list(range(50))
    assert convcore.randn(()).shape == ()


def test_like_takes_shape_and_dtype():
    x = convcore.zeros(2, 3, dtype=convcore.float64)
    for y in (convcore.rand_like(x), convcore.randn_like(x)):
        assert y.shape == x.shape
        assert y.dtype == x.dtype


def test_bad_input():
    with pytest.raises(ShapeError, match="randint: high must be greater than low, got low=3 and high=3"):
        convcore.randint(3, 3, (2,))
    with pytest.raises(ShapeError, match="randint: 0 to 255 does not fit into int8"):
        convcore.randint(256, (2,), dtype=convcore.int8)
    with pytest.raises(DTypeError, match=r"randint: high must be an integer, got 2\.5"):
        convcore.randint(2.5, (2,))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ShapeError, match=r"randn: sizes must be at least 0, got \(-1,\)"):
        convcore.randn(-1)
    with pytest.raises(ShapeError, match="randperm: n must be at least 0, got -1"):
        convcore.randperm(-1)
    with pytest.raises(DTypeError, match="rand: dtype must be float32 or float64, got int64"):
        convcore.rand(2, dtype=convcore.int64)
