"""Values and gradients at the ends of domains, at zeros, infinities and NaN, where formulas divide 0 by 0."""

import math

import pytest
import torch

import convcore
from convcore.autograd import grad
from convcore.nn import functional as F

INF, NAN = math.inf, math.nan
VECTORS = {"zeros": [0.0, 0.0, 0.0], "a zero": [0.0, 3.0, -4.0], "equal": [2.0, -2.0, 1.0], "no zero": [1.0, 2.0, -3.0]}


def value_and_gradients(module, function, *inputs, dtype="float32"):
    tensors = [module.tensor(x, dtype=getattr(module, dtype), requires_grad=True) for x in inputs]
    out = function(module, *tensors)
    out.sum().backward()
    return [out.tolist(), *[t.grad.tolist() for t in tensors]]


def assert_as_in_torch(function, *inputs, dtype="float32"):
    ours, theirs = (value_and_gradients(m, function, *inputs, dtype=dtype) for m in (convcore, torch))
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.3, 0.5, 0.9, 1, 1.5, 2, 3, INF, -1, -2, -INF])
@pytest.mark.parametrize("vector", VECTORS)
def test_norms_at_zeros(vector, p, dtype):
    assert_as_in_torch(lambda m, x: m.norm(x, p), VECTORS[vector], dtype=dtype)
    assert_as_in_torch(lambda m, x: m.dist(x, m.zeros_like(x), p), VECTORS[vector], dtype=dtype)


def test_what_is_no_number_is_not_zero():
    assert convcore.norm(convcore.tensor([NAN, 1.0, 0.0]), 0).item() == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_atan2_at_the_origin_and_far_out(dtype):
    points = [0.0, -0.0, 1.0, -2.0, INF, -INF, NAN]
    a, b = [p for p in points for _ in points], points * len(points)
    assert_as_in_torch(lambda m, a, b: m.atan2(a, b), a, b, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logit_at_the_ends_of_probabilities_and_beyond(dtype):
    points = [0.0, 1.0, 0.5, 0.25, -1.0, 2.0, INF, -INF, NAN]
    assert_as_in_torch(lambda m, x: m.logit(x), points, dtype=dtype)
    assert_as_in_torch(lambda m, x: m.logit(x, eps=0.1), [0.0, 1.0, 0.5, -1.0, 2.0], dtype=dtype)


@pytest.mark.parametrize("loss", ["huber_loss", "smooth_l1_loss"])
def test_the_second_derivative_of_huber_where_it_is_right(loss):
    seconds = []
    for m, functional, gradient in ((convcore, F, grad), (torch, torch.nn.functional, torch.autograd.grad)):
        x = m.tensor([0.0, 0.5, -3.0], requires_grad=True)
        first = gradient(getattr(functional, loss)(x, m.zeros(3), reduction="sum"), x, create_graph=True)[0]
        seconds.append(gradient(first.sum(), x)[0].tolist())
    assert seconds[0] == seconds[1] == [1, 1, 0]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_a_place_that_is_no_number_reads_no_number(mode, padding_mode, align_corners):
    image = convcore.arange(16, dtype=convcore.float32).reshape(1, 1, 4, 4).requires_grad_()
    grid = convcore.tensor([[[[NAN, 0.0], [0.0, NAN], [0.1, 0.2]]]], requires_grad=True)
    out = F.grid_sample(image, grid, mode, padding_mode, align_corners)
    assert out.isnan().tolist() == [[[[True, True, False]]]]
    out[..., 2].sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


@pytest.mark.parametrize("far", [INF, -INF, 1e30])
def test_places_infinitely_far_outside_read_the_padding(far):
    grid = convcore.tensor([[[[far, 0.0]]]])
    assert F.grid_sample(convcore.ones(1, 1, 4, 4), grid, "bilinear", "zeros", False).tolist() == [[[[0]]]]
