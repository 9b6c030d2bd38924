"""Feature maps, receptive fields, saliency and Grad-CAM: against torch's autograd, and against what they mean."""

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import models, nn
from convcore.data import digits
from convcore.errors import ShapeError, UnsupportedError
from convcore.inspect import enlarged, feature_maps, grad_cam, layer_filters, saliency, spatial_layers, unit_box


@pytest.fixture(scope="module")
def digit_cnn():
    return models.digit_cnn(weights="DIGITS")


@pytest.fixture(scope="module")
def five():
    images, labels = digits("test").tensors
    image = images[int(np.flatnonzero(labels.numpy() == 5)[0])].numpy()
    # On even paper outputs under a pooling window are equal, and rounding would choose the largest.
    noise = 0.2 * np.random.default_rng(0).random(image.shape, np.float32)
    return cc.tensor(image + noise).unsqueeze(0)


class TorchTwin(torch.nn.Module):
    """DigitCNN in torch."""

    def __init__(self, state):
        super().__init__()
        self.features = torch.nn.Sequential(
            *(torch.nn.Conv2d(1, 8, 5, padding=2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU()),
        )
        self.classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(1568, 10))
        self.load_state_dict({name: torch.tensor(value.detach().numpy()) for name, value in state.items()})
        self.eval()


def test_saliency_and_grad_cam_are_those_of_torch(digit_cnn, five):
    twin = TorchTwin(digit_cnn.state_dict())
    x = torch.tensor(five.numpy().copy(), requires_grad=True)
    maps = twin.features(x)
    scores = twin.classifier(maps)
    for target in (5, 3):
        to_x, to_maps = torch.autograd.grad(scores[0, target], (x, maps), retain_graph=True)
        found = saliency(digit_cnn, five, target)
        assert found.score == pytest.approx(scores[0, target].item(), abs=1e-3)
        np.testing.assert_allclose(found.values, to_x[0].abs().amax(0).numpy(), rtol=0, atol=1e-4)
        cam = grad_cam(digit_cnn, five, "features.10", target)
        weights = to_maps[0].mean((1, 2))
        expected = (weights[:, None, None] * maps[0]).sum(0).relu().detach().numpy()
        np.testing.assert_allclose(cam.values, expected, rtol=0, atol=1e-4 * max(expected.max(), 1))
    assert saliency(digit_cnn, five).target == grad_cam(digit_cnn, five, "features.10").target == 5


def test_nothing_is_left_behind(digit_cnn, five):
    digit_cnn.train()
    statistics = {name: value.numpy().copy() for name, value in digit_cnn.state_dict().items()}
    saliency(digit_cnn, five)
    grad_cam(digit_cnn, five, "features.8")
    feature_maps(digit_cnn, five)
    assert all(module.training for module in digit_cnn.modules())
    assert all(parameter.grad is None for parameter in digit_cnn.parameters())
    for name, value in digit_cnn.state_dict().items():
        assert np.array_equal(value.numpy(), statistics[name])
    assert not five.requires_grad


def test_a_linear_classifier_explains_itself():
    """d score / d x is the weight; with one place per map, Grad-CAM is the rectified contribution of all channels."""
    model = nn.Sequential(
        nn.Conv2d(2, 3, 1, bias=False), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3, 2, bias=False)
    )
    model[0].weight.data = cc.tensor([[1.0, 0], [0, 1], [1, 1]]).reshape(3, 2, 1, 1)
    model[3].weight.data = cc.tensor([[2.0, -1, 0], [0, 0, 1]])
    x = cc.tensor([3.0, 4]).reshape(1, 2, 1, 1)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert saliency(model, x, 0).values.tolist() == [[2]]
    assert grad_cam(model, x, "0", 0).values.tolist() == [[2 * 3 - 4]]
    assert (grad_cam(model, x, "0").target, grad_cam(model, x, "0").values.tolist()) == (1, [[7]])
    model[0].weight.data = -model[0].weight.data
    assert feature_maps(model, x)["0"].ravel().tolist() == [-3, -4, -7], "ReLU in place did not change them"


def test_feature_maps_are_what_the_layers_pass_on(digit_cnn, five):
    maps = feature_maps(digit_cnn, five)
    assert list(maps) == [f"features.{i}" for i in range(11)]
    digit_cnn.eval()
    x = five
    with cc.no_grad():
        for i, layer in enumerate(digit_cnn.features):
            x = layer(x)
            np.testing.assert_allclose(maps[f"features.{i}"], x.numpy()[0], rtol=0, atol=1e-4)
    assert layer_filters(digit_cnn).shape == (8, 1, 5, 5)
    assert np.array_equal(layer_filters(digit_cnn, "features.8"), digit_cnn.features[8].weight.detach().numpy())


@pytest.mark.parametrize("place", [(2, 2), (3, 3), (0, 0), (4, 1)])
def test_a_box_is_what_the_gradient_reaches(place):
    """All weights positive and average pooling: every pixel that a unit sees has a gradient. At the border a unit sees
    less, where inner layers add zeros around their maps.
    """
    model = nn.Sequential(
        nn.Conv2d(1, 2, (3, 5), stride=(1, 2), padding=1),
        nn.AvgPool2d(2),
        nn.Conv2d(2, 2, 3, dilation=2, padding=(2, 1)),
    )
    for parameter in model.parameters():
        parameter.data = parameter.abs().detach() + 0.1
    x = cc.ones(1, 1, 13, 30, requires_grad=True)
    layer = spatial_layers(model, x.shape)["2"]
    out = model(x)
    assert tuple(out.shape) == layer.output_shape
    (slope,) = cc.autograd.grad(out[0, 0, place[0], place[1]], x)
    rows, columns = (np.flatnonzero(slope.numpy()[0, 0].any(axis=axis)) for axis in (1, 0))
    box = unit_box(layer, *place)
    reached = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    told = (max(box.top, 0), min(box.top + box.height, 13), max(box.left, 0), min(box.left + box.width, 30))
    if place == (2, 2):
        assert reached == told
    assert (reached[0] >= told[0], reached[1] <= told[1], reached[2] >= told[2], reached[3] <= told[3]) == (True,) * 4


def test_a_map_is_stretched_as_by_torch():
    values = np.random.default_rng(0).random((3, 4), np.float32)
    expected = torch.nn.functional.interpolate(torch.tensor(values)[None, None], (9, 7), mode="bilinear")
    np.testing.assert_allclose(enlarged(values, (9, 7)), expected[0, 0].numpy(), rtol=0, atol=1e-6)


class Unused(models.DigitCNN):
    """Has a layer that it does not call."""

    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.spare = nn.Conv2d(1, 1, 3)


def test_wrong_requests_are_refused(digit_cnn, five):
    with pytest.raises(ShapeError, match=r"saliency: x must be one image \(1, C, H, W\), got shape \(1, 28, 28\)"):
        saliency(digit_cnn, five[0])
    with pytest.raises(ShapeError, match="grad_cam: target must be a class from 0 to 9, got 10"):
        grad_cam(digit_cnn, five, "features.10", 10)
    with pytest.raises(ShapeError, match=r"the model must return logits \(1, classes\), got shape \(1, 8, 28, 28\)"):
        saliency(digit_cnn.features[0], five)
    with pytest.raises(ShapeError, match=r"the output of classifier.0 must be \(1, K, h, w\), got shape \(1, 1568\)"):
        grad_cam(digit_cnn, five, "classifier.0")
    with pytest.raises(
        UnsupportedError, match=r"there is no layer 'nothing' in DigitCNN; there are features.0, features.4"
    ):
        feature_maps(digit_cnn, five, ["nothing"])
    with pytest.raises(UnsupportedError, match=r"'features.1' is no convolution of DigitCNN; there are \['features.0'"):
        layer_filters(digit_cnn, "features.1")
    layer = spatial_layers(digit_cnn, (1, 1, 28, 28))["features.10"]
    with pytest.raises(
        ShapeError, match=r"maps of features.10 have rows 0 to 6 and columns 0 to 6, got row 7, column 0"
    ):
        unit_box(layer, 7, 0)
    unused = Unused(2)
    with pytest.raises(UnsupportedError, match="Unused does not call its layer 'spare'"):
        grad_cam(unused, five, "spare")
