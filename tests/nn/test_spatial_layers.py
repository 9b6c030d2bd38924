"""Layers of convolution, pooling, padding and resizing against torch's: repr, state, outputs and gradients."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn

SERIES, IMAGE, VOLUME = (2, 4, 11), (2, 4, 9, 7), (2, 4, 5, 6, 7)

LAYERS: list[tuple[Any, tuple[int, ...]]] = [
    (lambda lib: lib.Conv1d(4, 6, 3), SERIES),
    (lambda lib: lib.Conv1d(4, 6, 4, 2, 3, 2, groups=2, bias=False, padding_mode="circular"), SERIES),
    (lambda lib: lib.Conv1d(4, 6, 4, padding="same", padding_mode="reflect"), SERIES),
    (lambda lib: lib.Conv1d(4, 6, 4), SERIES[1:]),
    (lambda lib: lib.Conv2d(4, 6, (3, 2), padding=(2, 1), padding_mode="replicate"), IMAGE),
    (lambda lib: lib.Conv2d(4, 6, (2, 5), padding="same", dilation=(3, 1), padding_mode="circular"), IMAGE),
    (lambda lib: lib.Conv2d(4, 6, 3, padding="valid", padding_mode="reflect"), IMAGE),
    (lambda lib: lib.Conv3d(4, 6, 3, padding=1), VOLUME),
    (lambda lib: lib.Conv3d(4, 6, (1, 2, 3), stride=(2, 1, 1), padding=(0, 1, 1), padding_mode="reflect"), VOLUME),
    (lambda lib: lib.Conv3d(4, 6, 2, padding="same", padding_mode="replicate"), VOLUME),
    (lambda lib: lib.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1), SERIES),
    (lambda lib: lib.ConvTranspose2d(4, 6, (3, 2), 2, (1, 0), bias=False, groups=2, dilation=2), IMAGE),
    (lambda lib: lib.ConvTranspose2d(4, 6, 3), IMAGE[1:]),
    (lambda lib: lib.ConvTranspose3d(4, 6, 2, stride=(1, 2, 3), output_padding=(0, 1, 2)), VOLUME),
    (lambda lib: lib.MaxPool1d(3, 2, 1), SERIES),
    (lambda lib: lib.MaxPool3d((2, 3, 2), dilation=2, ceil_mode=True, return_indices=True), VOLUME),
    (lambda lib: lib.AvgPool1d(3, padding=1, count_include_pad=False), SERIES),
    (lambda lib: lib.AvgPool3d(2, (1, 2, 1), divisor_override=3), VOLUME),
    (lambda lib: lib.AdaptiveAvgPool1d(4), SERIES),
    (lambda lib: lib.AdaptiveAvgPool3d((2, None, 3)), VOLUME),
    (lambda lib: lib.AdaptiveMaxPool1d(4, return_indices=True), SERIES),
    (lambda lib: lib.AdaptiveMaxPool3d(2), VOLUME),
    (lambda lib: lib.LPPool1d(2, 3), SERIES),
    (lambda lib: lib.LPPool2d(2, (2, 3), stride=2), IMAGE),
    (lambda lib: lib.LPPool3d(4, 2, ceil_mode=True), VOLUME),
    *[
        (lambda lib, kind=kind, rank=rank, shape=shape: getattr(lib, f"{kind}Pad{rank}d")((2, 1) * rank), shape)
        for kind in ("Zero", "Reflection", "Replication", "Circular")
        for rank, shape in ((1, SERIES), (2, IMAGE), (3, VOLUME))
    ],
    (lambda lib: lib.ConstantPad1d(2, 0.5), SERIES),
    (lambda lib: lib.ConstantPad2d((1, -1, 0, 2), 3.0), IMAGE),
    (lambda lib: lib.ConstantPad3d(1, -2.5), VOLUME),
    (lambda lib: lib.Upsample(size=5), SERIES),
    (lambda lib: lib.Upsample(scale_factor=(2, 1.5), mode="bilinear", align_corners=False), IMAGE),
    (lambda lib: lib.Upsample(scale_factor=2, mode="trilinear"), VOLUME),
    (lambda lib: lib.UpsamplingNearest2d(scale_factor=2), IMAGE),
    (lambda lib: lib.UpsamplingBilinear2d(size=(4, 11)), IMAGE),
    (lambda lib: lib.PixelShuffle(2), IMAGE),
    (lambda lib: lib.PixelUnshuffle(3), (2, 4, 9, 6)),
    (lambda lib: lib.ChannelShuffle(2), IMAGE),
    (lambda lib: lib.Unfold((3, 2), stride=2), IMAGE),
    (lambda lib: lib.Fold((4, 5), (2, 2), padding=1), (2, 8, 30)),
]


@pytest.mark.parametrize(("build", "shape"), LAYERS)
def test_layer_as_torchs(build, shape):
    ours, theirs = build(nn).double(), build(torch.nn).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: cc.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    rng = np.random.default_rng(5)
    data = rng.standard_normal(shape)
    x, other = cc.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: 'same' with an even kernel copies
        out, expected = ours(x), theirs(other)
    results, theirs_results = (out, expected) if isinstance(out, tuple) else ((out,), (expected,))
    for a, right in zip(results, theirs_results, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), right.detach().numpy(), rtol=1e-10, atol=1e-12)
    cotangent = rng.standard_normal(tuple(theirs_results[0].shape))
    results[0].backward(cc.tensor(cotangent))
    theirs_results[0].backward(torch.tensor(cotangent))
    assert other.grad is not None
    pairs: list[Any] = [(x.grad, other.grad)]
    pairs += [(p.grad, twin.grad) for p, twin in zip(ours.parameters(), theirs.parameters(), strict=True)]
    for a, right in pairs:
        np.testing.assert_allclose(a.numpy(), right.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_initial_weights_lie_within_torchs_bounds(rank, transposed):
    name = f"Conv{'Transpose' if transposed else ''}{rank}d"
    cc.manual_seed(0)
    torch.manual_seed(0)
    layer, twin = getattr(nn, name)(8, 12, 3, groups=2), getattr(torch.nn, name)(8, 12, 3, groups=2)
    bound = twin.weight.abs().max().item()
    assert tuple(layer.weight.shape) == tuple(twin.weight.shape)
    assert 0.9 * bound < np.abs(layer.weight.array).max() < 1.1 * bound
    assert 0.4 * bound < np.abs(layer.bias.array).max() < 1.1 * bound


@pytest.mark.parametrize(
    ("shape", "size"), [((2, 4, 4), [10]), ((2, 4, 8, 8), (2, 5, 18, 17)), ((4, 5, 5, 5), (11, 12, 11))]
)
def test_output_size_of_a_transposed_convolution(shape, size):
    rank, data = len(size) if len(size) < 4 else 2, np.ones(shape)
    ours, theirs = (getattr(lib, f"ConvTranspose{rank}d")(4, 5, 3, 2).double() for lib in (nn, torch.nn))
    out, expected = ours(cc.tensor(data), size), theirs(torch.tensor(data), size)
    assert tuple(out.shape) == tuple(expected.shape)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling_layers(rank):
    data = np.random.default_rng(0).standard_normal((2, 3, *[6] * rank))
    results = []
    for lib, tensor in ((nn, cc.tensor), (torch.nn, torch.tensor)):
        pool, unpool = getattr(lib, f"MaxPool{rank}d")(2, return_indices=True), getattr(lib, f"MaxUnpool{rank}d")(2)
        results.append((repr(unpool), unpool(*pool(tensor(data))).numpy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
