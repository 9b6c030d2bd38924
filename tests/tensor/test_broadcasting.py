"""Broadcasting and indexing with drawn shapes: values as NumPy's, gradients by their definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import convcore
from convcore.autograd import grad

PAIRS = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3)


def numbers(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


@given(PAIRS)
def test_product_of_broadcast_operands(shapes):
    a, b, g = numbers(shapes.input_shapes[0], 0), numbers(shapes.input_shapes[1], 1), numbers(shapes.result_shape, 2)
    x, y = convcore.tensor(a, requires_grad=True), convcore.tensor(b, requires_grad=True)
    out = x * y
    np.testing.assert_array_equal(out.detach().array, a * b)
    grads = grad(out, [x, y], convcore.tensor(g))
    for actual, other, operand in ((grads[0], b, a), (grads[1], a, b)):
        # An element's gradient: the sum over all places where it was used.
        places = np.broadcast_to(np.arange(operand.size).reshape(operand.shape), g.shape)
        expected = np.bincount(places.ravel(), (g * other).ravel(), operand.size).reshape(operand.shape)
        np.testing.assert_allclose(actual.array, expected, rtol=1e-12, atol=1e-12)


@given(st.data())
def test_reading_and_writing_at_an_index(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    index = data.draw(
        st.one_of(
            hnp.basic_indices(shape, allow_newaxis=True),
            hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)),
            hnp.arrays(np.bool_, shape),
        )
    )
    a = numbers(shape, 0)
    x = convcore.tensor(a, requires_grad=True)
    out = x[index]
    np.testing.assert_array_equal(out.detach().array, a[index])

    g = numbers(np.shape(a[index]), 1)
    expected = np.zeros(shape)
    np.add.at(expected, index, g)
    np.testing.assert_allclose(grad(out, x, convcore.tensor(g))[0].array, expected)

    written, wanted = convcore.tensor(a), a.copy()
    written[index] = 7
    wanted[index] = 7
    np.testing.assert_array_equal(written.array, wanted)
