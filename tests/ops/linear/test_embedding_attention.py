"""Embedding, attention, bilinear and dropout of channels: what torch's samples do not show, and wrong arguments."""

import math

import numpy as np
import pytest
import torch

import convcore as cc
import convcore.nn.functional as F
from convcore.errors import DTypeError, ShapeError, UnsupportedError

X = cc.randn(2, 3, 5, generator=cc.Generator(0))
OTHER = X.reshape(3, 2, 5)
TABLE, BAGS = cc.randn(4, 2, generator=cc.Generator(1)), cc.tensor([0, 3, 3, 1])


def test_embedding_bags_are_torchs():
    for mode in ("sum", "mean", "max"):
        results = []
        for library in (cc, torch):
            table = library.tensor(TABLE.numpy().astype(np.float64), requires_grad=True)
            rows, offsets = library.tensor([0, 3, 3, 1, 2]), library.tensor([0, 2, 2])
            out = library.nn.functional.embedding_bag(rows, table, offsets, mode=mode, padding_idx=1)
            (out * library.tensor(np.arange(6.0).reshape(3, 2))).sum().backward()
            results.append((out.detach().numpy(), table.grad.numpy()))
        for ours, expected in zip(*results, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_max_norm_shortens_the_table_in_place():
    table = cc.tensor([[3.0, 4.0], [30.0, 40.0], [0.3, 0.4]])
    out = F.embedding(cc.tensor([0, 2]), table, max_norm=1.0)
    np.testing.assert_allclose(out.numpy(), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(table.numpy(), [[0.6, 0.8], [30, 40], [0.3, 0.4]], rtol=1e-6)


def test_attention_that_may_look_at_nothing_is_0_with_a_gradient_of_0():
    q = cc.randn(1, 2, 3, requires_grad=True)
    mask = cc.tensor([[True, False], [False, False]])
    out = F.scaled_dot_product_attention(q, q, q, mask)
    out.sum().backward()
    assert q.grad is not None
    assert np.isfinite(q.grad.numpy()).all()
    np.testing.assert_array_equal(out.detach().numpy()[0, 1], 0)


@pytest.mark.parametrize("name", ["dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"])
def test_whole_channels_are_dropped(name):
    cc.manual_seed(0)
    positions = {"dropout1d": 1, "dropout2d": 2, "dropout3d": 3, "feature_alpha_dropout": 2}[name]
    x = cc.ones(50, 40, *[3] * positions, requires_grad=True)
    out = getattr(F, name)(x, 0.25, True)
    channels = out.detach().numpy().reshape(2000, -1)
    assert (channels == channels[:, :1]).all()
    low, high = np.unique(channels)
    assert abs((channels[:, 0] == low).mean() - 0.25) < 0.05
    if name != "feature_alpha_dropout":
        assert (low, high) == (0, np.float32(1 / 0.75))
    out.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy().reshape(2000, -1) == 0, channels == low)


def test_alpha_dropout_keeps_mean_and_variance():
    cc.manual_seed(0)
    x = cc.randn(200_000, dtype=cc.float64)
    for p in (0.1, 0.6):
        out = F.alpha_dropout(x, p, True).numpy()
        assert abs(out.mean()) < 0.02
        assert abs(out.std() - 1) < 0.02
    assert F.alpha_dropout(x, 0.5) is x
    inside = x.clone()
    assert F.alpha_dropout(inside, 0.5, True, inplace=True) is inside
    assert (F.alpha_dropout(x, 1.0, True).numpy() == 0).all()
    assert math.isclose(float(F.dropout1d(cc.ones(1, 4, 2), 1.0).sum()), 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.one_hot(cc.ones(2)), DTypeError, "classes must be int64, got float32"),
        (lambda: F.one_hot(BAGS, 3), ShapeError, "classes must lie from 0 to 2, got 0 to 3"),
        (lambda: F.one_hot(BAGS[:0]), ShapeError, "give num_classes"),
        (lambda: F.embedding(TABLE, TABLE), DTypeError, "input must be int32 or int64"),
        (lambda: F.embedding(BAGS + 1, TABLE), ShapeError, "row numbers must lie from 0 to 3, got 1 to 4"),
        (lambda: F.embedding(BAGS, TABLE[0]), ShapeError, r"weight must have 2 axes \(V, D\)"),
        (lambda: F.embedding(BAGS, TABLE, sparse=True), UnsupportedError, "sparse gradients are not supported"),
        (lambda: F.embedding(BAGS, TABLE, padding_idx=4), ShapeError, "padding_idx must be less than 4"),
        (lambda: F.embedding_bag(BAGS, TABLE), ShapeError, r"\(B, N\), or \(N,\) with 1-D offsets"),
        (lambda: F.embedding_bag(BAGS.reshape(2, 2), TABLE, BAGS), ShapeError, "one bag a row, and takes no offsets"),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS + 1), ShapeError, "offsets must begin with 0"),
        (lambda: F.embedding_bag(BAGS, TABLE, TABLE[:, 0]), DTypeError, "offsets must be integers"),
        (lambda: F.embedding_bag(BAGS.reshape(2, 2), TABLE, mode="min"), ShapeError, "mode must be 'sum', 'mean'"),
        (
            lambda: F.embedding_bag(BAGS.reshape(2, 2), TABLE, per_sample_weights=TABLE[:2]),
            ShapeError,
            "per_sample_weights needs mode='sum'",
        ),
        (lambda: F.embedding_bag(BAGS, TABLE, BAGS[:0], include_last_offset=True), ShapeError, "at least one offset"),
        (lambda: F.bilinear(X, X, X), ShapeError, "the sizes of the features or the leading axes do not fit"),
        (lambda: F.scaled_dot_product_attention(X, X[..., :4], X), ShapeError, "the same features"),
        (lambda: F.scaled_dot_product_attention(X, X, X[:, :2]), ShapeError, "the same length"),
        (lambda: F.scaled_dot_product_attention(X, X, X, X, is_causal=True), ShapeError, "leave attn_mask out"),
        (lambda: F.scaled_dot_product_attention(X, X, X, BAGS[:3]), DTypeError, "attn_mask must be bool or float32"),
        (lambda: F.scaled_dot_product_attention(X, OTHER, OTHER, enable_gqa=True), ShapeError, "divide"),
        (lambda: F.dropout1d(cc.ones(2)), ShapeError, "dropout1d: input must have 2 or 3 axes"),
        (lambda: F.dropout3d(cc.ones(1, 2, 1, 1), 2.0), ShapeError, "dropout3d: p is a probability"),
        (lambda: F.feature_alpha_dropout(cc.ones(2), 0.5, True), ShapeError, "a batch axis and a channel axis"),
        (lambda: cc.nn.MultiheadAttention(4, 3), ShapeError, "divisible by num_heads = 3"),
        (lambda: cc.nn.MultiheadAttention(4, 2)(X, X, X), ShapeError, "must have embed_dim = 4 features"),
        (lambda: cc.nn.MultiheadAttention(5, 1)(X, X[0], X), ShapeError, "must all have 3 axes"),
        (lambda: cc.nn.MultiheadAttention(5, 1)(X, X[:1], X), ShapeError, "key and value must have the same length"),
        (lambda: cc.nn.MultiheadAttention(5, 1)(X, X, X, is_causal=True), ShapeError, "a hint about attn_mask"),
        (lambda: cc.nn.MultiheadAttention(5, 1)(X, X, X, attn_mask=X), ShapeError, r"attn_mask must have the shape"),
        (lambda: cc.nn.MultiheadAttention(5, 1)(X, X, X, BAGS), DTypeError, "key_padding_mask must be bool or float"),
        (lambda: cc.nn.MultiheadAttention(5, 1)(X, X, X, X[0]), ShapeError, "one row of keys per image"),
        (lambda: cc.nn.Embedding(3, 2, padding_idx=3), ShapeError, "must be one of the 3 rows, got 3"),
        (lambda: cc.nn.Embedding(3, 2, _weight=TABLE), ShapeError, r"the weight must have the shape \(3, 2\)"),
        (lambda: cc.nn.Embedding.from_pretrained(TABLE[0]), ShapeError, r"must have 2 axes \(V, D\)"),
        (lambda: cc.nn.Unflatten("a", (1, 2)), UnsupportedError, "axes have no names"),  # pyright: ignore
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_pretrained_tables_are_frozen_unless_asked():
    layer = cc.nn.Embedding.from_pretrained(TABLE)
    assert not layer.weight.requires_grad
    assert cc.nn.Embedding.from_pretrained(TABLE, freeze=False).weight.requires_grad
    assert cc.nn.EmbeddingBag.from_pretrained(TABLE, mode="sum")(BAGS.reshape(2, 2)).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "shape", "message"), [("dropout2d", (2, 3, 4), "N, C, L"), ("dropout3d", (2, 3), "5")]
)
def test_odd_numbers_of_axes_are_taken_with_a_warning(name, shape, message):
    with pytest.warns(UserWarning, match=message):
        assert getattr(F, name)(cc.ones(*shape), 0.5).shape == shape


@pytest.mark.parametrize("batch_first", [False, True])
def test_self_attention_by_one_product_is_attention_by_three(batch_first):
    """Copies are other tensors, for which queries, keys and values are projected one by one."""
    layer = cc.nn.MultiheadAttention(12, 3, batch_first=batch_first)
    x = cc.randn(4, 5, 12)
    gradients = []
    for given in ((x, x, x), (x, x.clone(), x.clone())):
        layer.zero_grad()
        out, _ = layer(*given)
        (out * out).sum().backward()
        gradients.append([out.detach().numpy(), *[np.array(parameter.grad) for parameter in layer.parameters()]])
    for one, three in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, three, rtol=0, atol=1e-5 * np.abs(three).max())
