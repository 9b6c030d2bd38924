"""The layer that Grad-CAM looks at by default: the same everywhere, and behind normalisation and activation."""

import numpy as np
import pytest

import convcore as cc
from convcore import models, nn, plot
from convcore.errors import ShapeError, UnsupportedError
from convcore.explore import network as explored
from convcore.explore import networks
from convcore.inspect import feature_maps, grad_cam, last_maps
from convcore.nn import functional as F


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("cnn", "features.6"),  # ReLU, before the pooling
        ("simple_cnn", "pool"),  # its ReLU is a function
        ("digit_cnn", "features.10"),
        ("resnet18", "layer4.1"),  # the sum of the block, rectified
        ("densenet121", "relu"),
        ("squeezenet1_1", "classifier.2"),
        ("mobilenet_v2", "features.18.2"),
        ("mobilenet_v3_small", "features.12.2"),  # not one of the convolutions of a squeeze-and-excitation
        ("googlenet", "inception5b"),
        ("efficientnet_lite0", "features.8.2"),
        ("convnext_tiny", "features.7.2"),  # the sum; in between the maps have their channels last
    ],
)
def test_the_default_layer(name, layer):
    channels, height, _ = models.image_shape(name)
    model = models.get_model(name).eval()
    side = min(height, 96)
    assert last_maps(model, cc.zeros(1, channels, side, side)) == layer


def test_the_default_layer_has_what_the_next_one_gets():
    """Of a ResNet: the rectified sum, none negative, whose mean is what the last layer gets."""
    model = models.resnet18(num_classes=5).eval()
    x = cc.rand(1, 3, 64, 64)
    maps = feature_maps(model, x, [last_maps(model, x)])["layer4.1"]
    assert maps.min() == 0 < maps.max()
    with cc.no_grad():
        scores = F.linear(cc.tensor(maps.mean((1, 2)))[None], model.fc.weight, model.fc.bias)
        np.testing.assert_allclose(model(x).numpy(), scores.numpy(), rtol=1e-4, atol=1e-5)


def test_it_is_the_default_everywhere():
    model = models.digit_cnn(weights="DIGITS").eval()
    x = cc.rand(1, 1, 28, 28)
    np.testing.assert_array_equal(grad_cam(model, x).values, grad_cam(model, x, "features.10").values)
    assert plot.grad_cam(model, x).axes[2].get_title() == "Grad-CAM at features.10"
    picture = {"height": 2, "width": 2, "pixels": "AP8A/w=="}
    for name, layer in (("digit_cnn", "features.10"), ("efficientnet_lite0", "features.8.2")):
        found = explored.explain({"network": name, "picture": picture, "target": None})
        assert (found["layer"], found["empty"]) == (layer, False)
        assert networks.load(name).cam_layer == layer


class Negative(nn.Module):
    """Every place speaks against class 0, and for class 1."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.act = nn.ReLU()
        self.fc = nn.Linear(2, 2)
        self.fc.weight.data = cc.tensor([[-1.0, -2], [1, 2]])
        self.conv.weight.data = cc.ones(2, 1, 1, 1)
        self.conv.bias.data = cc.zeros(2)

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).mean((2, 3)))


def test_an_empty_map_says_so(monkeypatch):
    model, x = Negative().eval(), cc.rand(1, 1, 4, 4)
    assert last_maps(model, x) == "act"
    assert not grad_cam(model, x, target=0).values.any()
    texts = [[text.get_text() for text in plot.grad_cam(model, x, target=target).axes[2].texts] for target in (0, 1)]
    assert texts == [["empty: no place\nspeaks for this class"], []]
    own = networks.Network(networks.CHOICES["digit_cnn"], model, lambda _: x[0], ["no", "yes"], {})
    own.__dict__["cam_layer"] = "act"
    monkeypatch.setitem(networks.OWN, "negative", own)
    networks.load.cache_clear()
    asked = {"network": "negative", "picture": {"height": 1, "width": 1, "pixels": "AA=="}}
    assert [explored.explain({**asked, "target": target})["empty"] for target in (0, 1)] == [True, False]
    networks.load.cache_clear()


def test_networks_without_wide_maps_or_without_any():
    """Of convolutions of one place only, the last; where the order of calls is another, that of the calls counts."""
    narrow = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2))
    assert last_maps(narrow, cc.zeros(1, 1, 3, 3)) == "3"
    assert last_maps(narrow[:4], cc.zeros(1, 1, 5, 5)) == "3"
    with pytest.raises(UnsupportedError, match="last_maps: Linear calls no 2-D convolution; name a layer"):
        last_maps(nn.Linear(3, 3), cc.zeros(1, 1, 3, 3))
    with pytest.raises(ShapeError, match=r"last_maps: x must be one image \(1, C, H, W\), got shape \(2, 1, 3, 3\)"):
        last_maps(narrow, cc.zeros(2, 1, 3, 3))
