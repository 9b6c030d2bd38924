"""Layers against torch's: the same repr, outputs, gradients and buffers, from the same constructor and weights."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn
from convcore.errors import ConvcoreError, DTypeError, ShapeError, UnsupportedError
from convcore.nn import functional as F

IMAGE = (3, 4, 9, 7)

LAYERS: list[tuple[Any, tuple[int, ...]]] = [
    (lambda lib: lib.Conv2d(4, 6, 3), IMAGE),
    (lambda lib: lib.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0), dilation=(2, 1), groups=2, bias=False), IMAGE),
    (lambda lib: lib.Conv2d(4, 2, (2, 3), padding="same"), IMAGE),
    (lambda lib: lib.Conv2d(4, 2, 3, 2, "valid"), IMAGE),
    (lambda lib: lib.BatchNorm2d(4), IMAGE),
    (lambda lib: lib.BatchNorm2d(4, eps=1e-3, momentum=None, affine=False), IMAGE),
    (lambda lib: lib.BatchNorm2d(4, track_running_stats=False, bias=False), IMAGE),
    (lambda lib: lib.BatchNorm1d(5, momentum=0.3), (6, 5)),
    (lambda lib: lib.BatchNorm1d(5), (6, 5, 3)),
    (lambda lib: lib.Linear(5, 3), (4, 5)),
    (lambda lib: lib.Linear(5, 3, bias=False), (2, 4, 5)),
    (lambda lib: lib.ReLU(), IMAGE),
    (lambda lib: lib.Sequential(lib.Identity(), lib.Linear(5, 3), lib.ReLU(inplace=True)), (4, 5)),
    (lambda lib: lib.Sigmoid(), IMAGE),
    (lambda lib: lib.Tanh(), IMAGE),
    (lambda lib: lib.Softmax(dim=1), IMAGE),
    (lambda lib: lib.LogSoftmax(-1), (4, 5)),
    (lambda lib: lib.MaxPool2d(2), IMAGE),
    (lambda lib: lib.MaxPool2d((3, 2), 1, padding=(1, 0), dilation=2, ceil_mode=True), IMAGE),
    (lambda lib: lib.AvgPool2d(2, stride=(2, 1)), IMAGE),
    (lambda lib: lib.AvgPool2d(3, padding=1, count_include_pad=False, ceil_mode=True), IMAGE),
    (lambda lib: lib.AvgPool2d(2, divisor_override=3), IMAGE),
    (lambda lib: lib.AdaptiveAvgPool2d(1), IMAGE),
    (lambda lib: lib.AdaptiveAvgPool2d((2, None)), IMAGE),
    (lambda lib: lib.AdaptiveMaxPool2d((3, 2)), IMAGE),
    (lambda lib: lib.Flatten(), IMAGE),
    (lambda lib: lib.Flatten(0, 2), IMAGE),
    (lambda lib: lib.Dropout(0.0), IMAGE),
    (lambda lib: lib.Identity(54, unused=True), IMAGE),
]


def copy_state(theirs, ours):
    ours.load_state_dict({key: cc.tensor(value.numpy()) for key, value in theirs.state_dict().items()})


def compare(result, expected):
    np.testing.assert_allclose(result.detach().numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("build", "shape"), LAYERS)
def test_layer_as_torchs(build, shape):
    ours, theirs = build(nn).double(), build(torch.nn).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():  # weights of batch norm that are not all 1 and 0
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    copy_state(theirs, ours)
    rng = np.random.default_rng(5)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        data = rng.standard_normal(shape)
        x, other = cc.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch: 'same' with an even kernel copies
            out, expected = ours(x), theirs(other)
        compare(out, expected)
        cotangent = rng.standard_normal(tuple(expected.shape))
        out.backward(cc.tensor(cotangent))
        expected.backward(torch.tensor(cotangent))
        compare(x.grad, other.grad)
    for (name, parameter), twin in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert parameter.grad is not None, name
        compare(parameter.grad, twin.grad)
    for (_, buffer), twin in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        compare(buffer, twin)


LABELS = np.array([1, 0, 3, 1])
LOSSES = [
    (lambda lib, w: lib.CrossEntropyLoss(), LABELS),
    (lambda lib, w: lib.CrossEntropyLoss(weight=w, ignore_index=3, reduction="sum", label_smoothing=0.1), LABELS),
    (lambda lib, w: lib.CrossEntropyLoss(reduction="none"), np.full((4, 5), 0.2)),
    (lambda lib, w: lib.NLLLoss(w, reduction="none"), LABELS),
    (lambda lib, w: lib.NLLLoss(ignore_index=1), LABELS),
    (lambda lib, w: lib.MSELoss(), np.ones((4, 5))),
    (lambda lib, w: lib.MSELoss(reduction="sum"), np.ones((4, 5))),
]


@pytest.mark.parametrize(("build", "target"), LOSSES)
def test_loss_as_torchs(build, target):
    rng = np.random.default_rng(6)
    data, class_weight = rng.standard_normal((4, 5)), rng.random(5)
    ours, theirs = build(nn, cc.tensor(class_weight)), build(torch.nn, torch.tensor(class_weight))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, other = cc.tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
    loss, expected = ours(x, cc.tensor(target)), theirs(other, torch.tensor(target))
    compare(loss, expected)
    cotangent = rng.standard_normal(tuple(expected.shape))
    loss.backward(cc.tensor(cotangent))
    expected.backward(torch.tensor(cotangent))
    compare(x.grad, other.grad)


def test_indices_of_maxima():
    data = np.random.default_rng(7).standard_normal(IMAGE)
    for build in (
        lambda lib: lib.MaxPool2d(3, 2, return_indices=True),
        lambda lib: lib.AdaptiveMaxPool2d(2, return_indices=True),
    ):
        values, indices = build(nn)(cc.tensor(data))
        expected_values, expected_indices = build(torch.nn)(torch.tensor(data))
        compare(values, expected_values)
        assert np.array_equal(indices.array, expected_indices.numpy())


def test_dropout_follows_the_mode():
    cc.manual_seed(1)
    layer = nn.Dropout(0.25)
    x = cc.ones(100, 100)
    out = layer(x).array
    assert set(np.unique(out)) == {0, np.float32(1 / 0.75)}
    assert abs((out == 0).mean() - 0.25) < 0.02
    layer.eval()
    assert np.array_equal(layer(x).array, x.array)


def test_inplace_changes_the_input():
    x = cc.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x
    assert x.tolist() == [0, 2]


def test_batch_norm_counts_only_batches_that_it_took():
    layer = nn.BatchNorm2d(3)
    with pytest.raises(ShapeError):
        layer(cc.ones(2, 4, 3, 3))
    assert layer.num_batches_tracked.item() == 0
    layer(cc.ones(2, 3, 3, 3))
    assert layer.num_batches_tracked.item() == 1
    layer.reset_parameters()
    assert layer.num_batches_tracked.item() == 0
    assert layer.running_mean.tolist() == [0, 0, 0]


def test_algorithm_reaches_the_op():
    x, weight = cc.ones(1, 1, 4, 4), cc.ones(1, 1, 3, 3)
    assert F.conv2d(x, weight, algorithm="reference").tolist() == [[[[9, 9], [9, 9]]]]
    with pytest.raises(ConvcoreError, match="algorithm"):
        F.conv2d(x, weight, algorithm="guess")


def test_dtype_of_the_parameters():
    for layer in (
        nn.Conv2d(1, 2, 3, dtype=cc.float64),
        nn.Linear(1, 2, dtype=cc.float64),
        nn.BatchNorm2d(3, dtype=cc.float64),
    ):
        tensors = [t for t in layer.state_dict().values() if t.is_floating_point()]
        assert {t.dtype for t in tensors} == {np.dtype(np.float64)}
    with pytest.raises(DTypeError, match="only float32 and float64"):
        nn.Linear(1, 2, dtype=cc.int64)


untyped: Any = nn

WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: nn.Conv2d(0, 2, 3), ShapeError, "Conv2d: in_channels must be at least 1, got 0"),
    (lambda: untyped.Conv2d(1, 2.0, 3), DTypeError, "Conv2d: out_channels must be an integer, got 2.0"),
    (lambda: nn.Conv2d(4, 6, 3, groups=3), ShapeError, "in_channels must be divisible by groups, got 4 and 3"),
    (lambda: nn.Conv2d(4, 6, 3, groups=4), ShapeError, "out_channels must be divisible by groups, got 6 and 4"),
    (lambda: nn.Conv2d(1, 2, (3, 3, 3)), ShapeError, "kernel_size must be one integer or two"),
    (lambda: nn.Conv2d(1, 2, 3, stride=0), ShapeError, "stride must be at least 1, got 0"),
    (lambda: nn.Conv2d(1, 2, 3, padding=-1), ShapeError, "padding must be at least 0, got -1"),
    (lambda: nn.Conv2d(1, 2, 3, padding="full"), ShapeError, "padding must be 'same', 'valid', or numbers, got 'full'"),
    (lambda: nn.Conv2d(1, 2, 3, 2, padding="same"), ShapeError, r"padding='same' needs stride 1, got \(2, 2\)"),
    (lambda: nn.Conv2d(1, 2, 3, padding_mode="mirror"), UnsupportedError, "'zeros' or 'reflect' or .*, got 'mirror'"),
    (
        lambda: nn.ConvTranspose2d(1, 2, 3, padding_mode="circular"),
        UnsupportedError,
        "ConvTranspose2d: padding_mode must be 'zeros', got 'circular'",
    ),
    (lambda: untyped.ConvTranspose1d(1, 2, 3, padding="same"), ShapeError, "padding must be numbers, got 'same'"),
    (
        lambda: nn.ConvTranspose2d(1, 2, 3, 2)(cc.ones(1, 4, 4), (9, 11)),
        ShapeError,
        r"output_size\[1\] must be from 9 to 10 for an input of size 4, got 11",
    ),
    (
        lambda: nn.ConvTranspose2d(1, 2, 3, 2)(cc.ones(1, 4, 4), [9]),
        ShapeError,
        r"output_size must have 2 or 3 sizes, got \[9\]",
    ),
    (lambda: nn.Linear(3, 0), ShapeError, "Linear: out_features must be at least 1, got 0"),
    (lambda: untyped.BatchNorm2d("3"), DTypeError, "BatchNorm2d: num_features must be an integer"),
    (lambda: nn.MaxPool2d(0), ShapeError, "MaxPool2d: kernel_size must be at least 1, got 0"),
    (lambda: nn.MaxPool2d(2, dilation=0), ShapeError, "MaxPool2d: dilation must be at least 1"),
    (lambda: nn.AvgPool2d(2, stride=-1), ShapeError, "AvgPool2d: stride must be at least 1, got -1"),
    (lambda: nn.AdaptiveAvgPool2d(0), ShapeError, "AdaptiveAvgPool2d: output_size must be at least 1, got 0"),
    (lambda: untyped.AdaptiveMaxPool2d((2, 1.5)), DTypeError, "AdaptiveMaxPool2d: output_size must be an integer"),
    (lambda: nn.Dropout(1.5), ShapeError, "Dropout: p is a probability and must lie from 0 to 1, got 1.5"),
    (lambda: nn.CrossEntropyLoss(reduction="average"), ShapeError, "CrossEntropyLoss: reduction must be"),
    (lambda: nn.Hardtanh(1, 1), ShapeError, "Hardtanh: min_val must be below max_val, got 1 and 1"),
    (lambda: untyped.Unflatten(1, (2, 1.5)), DTypeError, "Unflatten: unflattened_size must be an integer, got 1.5"),
    (lambda: untyped.Unflatten(1, "a"), DTypeError, "Unflatten: unflattened_size must be an integer, got 'a'"),
    (lambda: untyped.HuberLoss(delta=1j), DTypeError, r"HuberLoss: delta must be a number, got 1j \(complex\)"),
    (lambda: nn.MultiMarginLoss(weight=cc.ones(2, 2)), ShapeError, r"weight must have 1 axis, got shape \(2, 2\)"),
    (lambda: nn.BatchNorm2d(3)(cc.ones(2, 3)), ShapeError, r"BatchNorm2d: input must have 4 axes \(N, C, H, W\)"),
    (
        lambda: nn.BatchNorm1d(3)(cc.ones(2, 3, 4, 5)),
        ShapeError,
        r"input must have 2 axes \(N, C\) or 3 axes \(N, C, L\)",
    ),
]


@pytest.mark.parametrize(("build", "error", "message"), WRONG)
def test_wrong_settings(build, error, message):
    with pytest.raises(error, match=message):
        build()
