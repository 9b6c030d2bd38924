"""Transformers against torch, with equal weights: masks, both orders of norms, training and evaluation."""

import numpy as np
import pytest
import torch

import convcore as cc
from convcore.errors import ShapeError, UnsupportedError

KINDS = (
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerDecoder",
    "Transformer",
)


def build(library, kind, **settings):
    """A small model with two heads."""
    nn = library.nn
    if kind == "Transformer":
        return nn.Transformer(8, 2, 2, 1, 12, 0.0, dtype=library.float64, **settings)
    layer = getattr(nn, kind if kind.endswith("Layer") else f"{kind}Layer")
    one = layer(8, 2, 12, 0.0, dtype=library.float64, **settings)
    return one if kind.endswith("Layer") else getattr(nn, kind)(one, 2, norm=nn.LayerNorm(8, dtype=library.float64))


def pair(kind, **settings):
    torch.manual_seed(0)
    theirs, ours = build(torch, kind, **settings), build(cc, kind, **settings)
    state = {key: cc.tensor(value.numpy() + 0.1) for key, value in theirs.state_dict().items()}
    theirs.load_state_dict({key: torch.tensor(value.numpy()) for key, value in state.items()})
    ours.load_state_dict(state)
    return ours, theirs


def arguments(library, kind, batch_first, masked):
    rng = np.random.default_rng(0)
    src, tgt = (rng.standard_normal((3, n, 8) if batch_first else (n, 3, 8)) for n in (5, 4))
    given = [tgt, src] if "Decoder" in kind else [src, tgt] if kind == "Transformer" else [src]
    tensors = [library.tensor(a, requires_grad=True) for a in given]
    name = "tgt_mask" if len(tensors) > 1 else "mask" if kind == "TransformerEncoder" else "src_mask"
    size = 4 if len(tensors) > 1 else 5
    causal = library.nn.Transformer.generate_square_subsequent_mask(size, dtype=library.float64)
    padding = np.zeros((3, 5), bool)
    padding[1, 3:] = True
    padded = "memory_key_padding_mask" if len(tensors) > 1 else "src_key_padding_mask"
    return tensors, {name: causal, padded: library.tensor(padding)} if masked else {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("settings", [{}, {"batch_first": True, "bias": False, "activation": "gelu"}])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning", "ignore:Support for mismatched:UserWarning")
def test_outputs_and_gradients_are_torchs(kind, norm_first, masked, settings):
    models = pair(kind, norm_first=norm_first, **settings)
    results = []
    for library, model in zip((cc, torch), models, strict=True):
        tensors, masks = arguments(library, kind, "batch_first" in settings, masked)
        out = model(*tensors, **masks)
        out.backward(library.tensor(np.random.default_rng(1).standard_normal(tuple(out.shape))))
        named = dict(model.named_parameters())
        results.append([out.detach().numpy(), *[t.grad.numpy() for t in tensors],
                        *[np.asarray(named[key].grad) for key in sorted(named)]])  # fmt: skip
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
def test_settings_and_keys_are_torchs():
    for kind in KINDS:
        ours, theirs = pair(kind)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]


def test_dropout_in_training_only():
    cc.manual_seed(0)
    layer = cc.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5)
    x = cc.randn(5, 2, 8)
    assert not np.array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())


def test_wrong_arguments():
    with pytest.raises(UnsupportedError, match='activation must be "relu", "gelu" or a function, got \'tanh\''):
        cc.nn.TransformerEncoderLayer(8, 2, activation="tanh")
    model = cc.nn.Transformer(8, 2, 1, 1, 8)
    with pytest.raises(ShapeError, match=r"src and tgt must have the same batch, got shapes \(5, 3, 8\), \(4, 2, 8\)"):
        model(cc.zeros(5, 3, 8), cc.zeros(4, 2, 8))
    with pytest.raises(ShapeError, match="must have d_model = 8 features, got 8 and 6"):
        model(cc.zeros(5, 3, 8), cc.zeros(4, 3, 6))
