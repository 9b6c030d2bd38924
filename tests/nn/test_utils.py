"""nn.utils: clipping, vectors of parameters and fused layers, against torch."""

import math

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import GraphError, ShapeError, UnsupportedError


def parameters(library, scale=1.0):
    """Three parameters, two of them with gradients, the same in both libraries."""
    rng, result = np.random.default_rng(0), []
    for shape in ((3, 4), (5,), (2,)):
        parameter = library.nn.Parameter(library.tensor(rng.standard_normal(shape)))
        parameter.grad = library.tensor(rng.standard_normal(shape) * scale)
        result.append(parameter)
    result[2].grad = None
    return result


@pytest.mark.parametrize("norm_type", [0.5, 1, 2, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.1, 100.0])
def test_clipping_by_norm_is_torchs(norm_type, max_norm):
    ours, theirs = parameters(cc), parameters(torch)
    before = cc.nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    np.testing.assert_allclose(before.numpy(), expected.numpy(), rtol=1e-12)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12)


def test_clipping_by_value_is_torchs():
    ours, theirs = parameters(cc), parameters(torch)
    cc.nn.utils.clip_grad_value_(ours, 0.3)
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())
    cc.nn.utils.clip_grad_value_(ours[0], 0.0)
    assert not ours[0].grad.numpy().any()
    with pytest.raises(ShapeError, match="clip_value must be at least 0, got -1"):
        cc.nn.utils.clip_grad_value_(ours, -1)


def test_gradients_that_are_not_finite():
    ours = parameters(cc, math.inf)
    with pytest.raises(GraphError, match=r"the norm of order 2.0 is (inf|nan)"):
        cc.nn.utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    assert float(cc.nn.utils.clip_grad_norm_([], 1.0)) == 0


def test_vectors_of_parameters():
    ours, theirs = parameters(cc), parameters(torch)
    vector, expected = cc.nn.utils.parameters_to_vector(ours), torch.nn.utils.parameters_to_vector(theirs)
    np.testing.assert_array_equal(vector.detach().numpy(), expected.detach().numpy())
    cc.nn.utils.vector_to_parameters(vector * 2, ours)
    torch.nn.utils.vector_to_parameters(expected * 2, theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    with pytest.raises(ShapeError, match="needs a vector of 19 elements"):
        cc.nn.utils.vector_to_parameters(vector[:5], ours)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_fused_layers_do_the_same(bias, affine):
    x = cc.randn(4, 3, 6, 6, dtype=cc.float64)
    conv, norm = cc.nn.Conv2d(3, 5, 3, bias=bias).double(), cc.nn.BatchNorm2d(5, affine=affine).double()
    norm(conv(x))
    with pytest.raises(UnsupportedError, match="must be in evaluation mode"):
        cc.nn.utils.fuse_conv_bn_eval(conv, norm)
    fused = cc.nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    np.testing.assert_allclose(fused(x).detach().numpy(), norm(conv(x)).detach().numpy(), rtol=1e-9, atol=1e-9)
    linear, norm = cc.nn.Linear(6, 2, bias=bias).double().eval(), cc.nn.BatchNorm1d(2, affine=affine).double()
    norm(linear(x[:, 0, 0]))
    fused = cc.nn.utils.fuse_linear_bn_eval(linear, norm.eval())
    np.testing.assert_allclose(
        fused(x[:, 0, 0]).detach().numpy(), norm(linear(x[:, 0, 0])).detach().numpy(), rtol=1e-9, atol=1e-9
    )
