"""Each family of operations against torch: any shape, any memory order, and NaN in memory that nobody wrote."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as TF
from agreement import EXACT, ROUNDED, agrees, arrays, memory_orders, several
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import convcore
import convcore.nn.functional as F

by_rank = pytest.mark.parametrize("rank", [1, 2, 3])


def reach(kernel, dilation):
    return [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]


@by_rank
@given(data=st.data())
def test_convolution(rank, data):
    kernel, stride = data.draw(several(1, 3, rank)), data.draw(several(1, 3, rank))
    padding, dilation = data.draw(several(0, 3, rank)), data.draw(several(1, 2, rank))
    groups, each, out_each = data.draw(several(1, 3, 3))
    size = [
        data.draw(st.integers(max(1, r - 2 * p), max(1, r - 2 * p) + 6))
        for r, p in zip(reach(kernel, dilation), padding, strict=True)
    ]
    shapes = (data.draw(st.integers(1, 3)), groups * each, *size), (groups * out_each, each, *kernel)
    inputs = [data.draw(arrays(shape)) for shape in (*shapes, (groups * out_each,))]
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    name = f"conv{rank}d"
    agrees(data, partial(getattr(F, name), **settings), partial(getattr(TF, name), **settings), inputs, EXACT)


@by_rank
@given(data=st.data())
def test_transposed_convolution(rank, data):
    kernel, stride = data.draw(several(1, 3, rank)), data.draw(several(1, 3, rank))
    dilation, groups = data.draw(several(1, 2, rank)), data.draw(st.integers(1, 2))
    each, out_each = data.draw(several(1, 3, 2))
    padding = [data.draw(st.integers(0, (r - 1) // 2)) for r in reach(kernel, dilation)]
    extra = [data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    x_shape = (data.draw(st.integers(1, 2)), groups * each, *data.draw(several(1, 5, rank)))
    shapes = (x_shape, (groups * each, out_each, *kernel), (groups * out_each,))
    inputs = [data.draw(arrays(shape)) for shape in shapes]
    settings: dict[str, Any] = {
        "stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation,
    }  # fmt: skip
    name = f"conv_transpose{rank}d"
    agrees(data, partial(getattr(F, name), **settings), partial(getattr(TF, name), **settings), inputs, EXACT)


@pytest.mark.parametrize("kind", ["max", "avg"])
@by_rank
@given(data=st.data())
def test_pooling(rank, kind, data):
    kernel, stride = data.draw(several(1, 4, rank)), data.draw(several(1, 4, rank))
    padding = [data.draw(st.integers(0, k // 2)) for k in kernel]
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": data.draw(st.booleans())}
    if kind == "avg":
        settings["count_include_pad"] = data.draw(st.booleans())
    size = [k + extra for k, extra in zip(kernel, data.draw(several(0, 6, rank)), strict=True)]
    x = data.draw(arrays((*data.draw(several(1, 3, 2)), *size)))
    name = f"{kind}_pool{rank}d"
    tolerance = EXACT if kind == "max" else ROUNDED
    agrees(data, partial(getattr(F, name), **settings), partial(getattr(TF, name), **settings), [x], tolerance)


@pytest.mark.parametrize("kind", ["max", "avg"])
@by_rank
@given(data=st.data())
def test_adaptive_pooling(rank, kind, data):
    x = data.draw(arrays((*data.draw(several(1, 3, 2)), *data.draw(several(1, 9, rank)))))
    settings: Any = {"output_size": data.draw(several(1, 6, rank))}
    name = f"adaptive_{kind}_pool{rank}d"
    agrees(data, partial(getattr(F, name), **settings), partial(getattr(TF, name), **settings), [x], ROUNDED)


@pytest.mark.parametrize("training", [True, False])
@given(data=st.data())
def test_batch_norm(training, data):
    shape = (data.draw(st.integers(2, 5)), data.draw(st.integers(1, 20)), *data.draw(several(1, 5, 2)))
    shape = shape[: data.draw(st.integers(2, 4))]
    inputs = [data.draw(arrays(s)) for s in (shape, shape[1:2], shape[1:2])]

    def run(library, functional, x, weight, bias):
        mean, var = (library.linspace(low, 2, shape[1], dtype=x.dtype) for low in (-1, 1))
        return functional.batch_norm(x, mean, var, weight, bias, training)

    agrees(data, partial(run, convcore, F), partial(run, torch, TF), inputs, 1e-6 if training else ROUNDED)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
@given(data=st.data())
def test_layer_and_rms_norm(name, data):
    outer, inner = data.draw(several(1, 4, 2)), data.draw(several(2, 7, 2))
    shape, normalized = ((*outer, *inner), inner) if data.draw(st.booleans()) else ((*outer, inner[0]), inner[:1])
    shapes = [shape, normalized] + ([normalized] if name == "layer_norm" else [])

    def run(functional, x, *parameters):
        return getattr(functional, name)(x, normalized, *parameters, eps=0.1)

    agrees(data, partial(run, F), partial(run, TF), [data.draw(arrays(s)) for s in shapes], ROUNDED)


@given(data=st.data())
def test_group_norm(data):
    groups, each = data.draw(several(1, 4, 2))
    shape = (data.draw(st.integers(1, 3)), groups * each, *data.draw(several(2, 5, 2)))
    inputs = [data.draw(arrays(s)) for s in (shape, shape[1:2], shape[1:2])]

    def run(functional, x, weight, bias):
        return functional.group_norm(x, groups, weight, bias, eps=0.1)

    agrees(data, partial(run, F), partial(run, TF), inputs, ROUNDED)


@given(data=st.data())
def test_matmul(data):
    batches = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=1, max_side=3))
    m, k, n = data.draw(several(1, 20, 3))
    left = data.draw(st.sampled_from([(k,), (*batches.input_shapes[0], m, k)]))
    right = data.draw(st.sampled_from([(k,), (*batches.input_shapes[1], k, n)]))
    agrees(data, convcore.matmul, torch.matmul, [data.draw(arrays(s)) for s in (left, right)], EXACT)


@given(data=st.data())
def test_linear(data):
    outer = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=5))
    c_in, c_out = data.draw(several(1, 30, 2))
    inputs = [data.draw(arrays(s)) for s in ((*outer, c_in), (c_out, c_in), (c_out,))]
    agrees(data, F.linear, TF.linear, inputs, EXACT)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "maximum", "minimum"])
@given(data=st.data())
def test_broadcasting(name, data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4))
    inputs = [data.draw(arrays(s)) for s in shapes.input_shapes]
    agrees(data, getattr(convcore, name), getattr(torch, name), inputs, EXACT)


@pytest.mark.parametrize("name", ["relu", "gelu", "silu", "sigmoid", "elu", "hardswish", "softplus"])
@given(data=st.data())
def test_activation(name, data):
    x = data.draw(arrays(data.draw(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9))))
    agrees(data, getattr(F, name), getattr(TF, name), [x], ROUNDED)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "sum", "mean", "prod", "cumsum", "amax"])
@given(data=st.data())
def test_along_an_axis(name, data):
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=9))
    settings = {"dim": data.draw(st.integers(-len(shape), len(shape) - 1))}
    ours, theirs = getattr(convcore, name), getattr(torch, name)
    agrees(data, partial(ours, **settings), partial(theirs, **settings), [data.draw(arrays(shape))], ROUNDED)


@given(data=st.data())
def test_indexing(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    index = data.draw(
        st.one_of(
            hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)),
            hnp.arrays(bool, shape),
        )
    )
    ours = index if isinstance(index, tuple) else convcore.tensor(index)
    theirs = tuple(torch.tensor(i) for i in index) if isinstance(index, tuple) else torch.tensor(index)
    agrees(data, lambda x: x[ours], lambda x: x[theirs], [data.draw(arrays(shape))], EXACT)


@given(data=st.data())
def test_the_orders_drawn_hold_the_numbers_that_were_given(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
    numbers = torch.arange(int(torch.Size(shape).numel()), dtype=torch.float64).reshape(shape).numpy()
    laid = data.draw(memory_orders(len(shape)))(numbers)
    assert laid.shape == numbers.shape
    assert (laid == numbers).all()


def test_every_property_is_tried_as_often_as_was_asked_for(request):
    """Whatever was imported before: in all files that are collected together with this one."""
    wanted = settings.get_profile(request.config.getoption("hypothesis_profile") or "ci")
    properties = [item.obj for item in request.session.items if hasattr(item.obj, "hypothesis")]
    for used in [p._hypothesis_internal_use_settings for p in properties]:
        assert (used.max_examples, used.derandomize) == (wanted.max_examples, wanted.derandomize)
