"""The table of a model's layers."""

import numpy as np
import pytest

import convcore.nn.functional as F
from convcore import nn, ones
from convcore.errors import ShapeError
from convcore.models import VisionTransformer, get_model
from convcore.summary import summary


def squares(layers):
    """The sides of receptive fields that are square."""
    fields = [layer.receptive_field for layer in layers]
    assert all(height == width for height, width in fields)
    return [height for height, _ in fields]


def test_cnn():
    result = summary(get_model("cnn"), (2, 1, 28, 28))
    assert result.parameters == 1_630_282
    assert sum(layer.parameters for layer in result.layers) == 1_630_282
    by_name = {layer.name: layer for layer in result.layers}
    assert by_name["features.4"].output_shape == (2, 64, 14, 14)
    assert by_name["features.4"].multiply_adds == 2 * 64 * 14 * 14 * 32 * 9
    assert by_name["classifier.1"].multiply_adds == 2 * 3136 * 512
    assert squares(result.layers) == [3, 3, 3, 4, 8, 8, 8, 10, 10, 34, 34, 34, 34]


def test_simple_cnn_uses_one_pooling_layer_three_times():
    result = summary(get_model("simple_cnn"), (1, 3, 64, 64))
    assert result.parameters == 129_290
    assert squares(layer for layer in result.layers if layer.name == "pool") == [4, 10, 22]
    assert [layer.name for layer in result.layers][-4:] == ["gap", "fc1", "dropout", "fc2"]
    assert result.layers[-1].receptive_field == (22 + 7 * 8, 22 + 7 * 8)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_stacked_3x3_layers_see_3_5_7_pixels(depth):
    model = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1) for _ in range(depth)])
    assert summary(model, (1, 1, 9, 9)).layers[-1].receptive_field == (2 * depth + 1,) * 2


def test_receptive_field_against_gradients():
    """The field is where the gradient of one output, with positive weights, is not zero."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, (3, 2), stride=(2, 1), dilation=(1, 3)),
        nn.AvgPool2d(2, stride=(1, 2)),
        nn.Conv2d(2, 1, 3, stride=2, dilation=(2, 1)),
    )
    for parameter in model.parameters():
        parameter.array[:] = 1
    x = ones(1, 1, 40, 40).requires_grad_()
    model(x)[0, 0, 1, 1].sum().backward()
    assert x.grad is not None
    touched = np.argwhere(x.grad.array[0, 0])
    spans = tuple((touched.max(axis=0) - touched.min(axis=0) + 1).tolist())
    assert summary(model, (1, 1, 40, 40)).layers[-1].receptive_field == spans


class Branches(nn.Module):
    """A residual block whose branches see different amounts, and a shared layer."""

    def __init__(self):
        super().__init__()
        self.narrow = nn.Conv2d(2, 2, 1)
        self.wide = nn.Conv2d(2, 2, 5, padding=2)
        self.last = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.wide(x)) + self.narrow(x)
        return self.last(self.last(x))


def test_branches_and_shared_layers():
    result = summary(Branches(), (1, 2, 8, 8))
    assert squares(result.layers) == [5, 1, 7, 9]
    assert [layer.parameters for layer in result.layers] == [102, 6, 38, 0]
    assert result.parameters == 146


class Resizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return self.conv(F.max_pool2d(x, 2))


def test_unknown_fields_are_not_guessed():
    layer = summary(Resizes(), (1, 1, 8, 8)).layers[0]
    assert layer.receptive_field is None
    assert "?" in str(summary(Resizes(), (1, 1, 8, 8)))


@pytest.mark.parametrize(("size", "expected"), [(1, 7), (2, 4), (3, 3), (7, 1)])
def test_adaptive_pooling(size, expected):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(size))
    assert summary(model, (1, 1, 7, 7)).layers[0].receptive_field == (expected, expected)


def test_the_model_is_left_as_it_was():
    model = get_model("cnn")
    model.classifier.eval()
    modes = [module.training for module in model.modules()]
    before = {name: tensor.array.copy() for name, tensor in model.state_dict().items()}
    with pytest.raises(ShapeError, match="conv2d"):
        summary(model, (1, 3, 28, 28))
    summary(model, (1, 1, 28, 28))
    assert [module.training for module in model.modules()] == modes
    assert not any("forward" in vars(module) for module in model.modules())
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.array, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_table():
    text = str(summary(get_model("cnn"), (1, 1, 28, 28)))
    lines = text.splitlines()
    assert lines[0] == "CNN, input 1x1x28x28"
    assert lines[3].split() == [
        *("features.0", "Conv2d", "1x1x28x28", "1x32x28x28", "3x3", "320", "225,792", "3x3", "1x1", "1x1"),
    ]
    assert "34x34 (all)" in text
    assert "Total" in text
    assert "1,630,282" in text
    assert all(line == line.rstrip() for line in lines)


def strides_at_the_ends(model):
    """ResNet as in TF-Slim, to which the published table belongs: a stage's last block has the stride, not the next
    stage's first."""
    for stage, following in ((model.layer1, model.layer2), (model.layer2, model.layer3), (model.layer3, model.layer4)):
        stage[-1].conv2.stride = (2, 2)
        stage[-1].downsample = nn.MaxPool2d(1, stride=2)
        following[0].conv2.stride = following[0].downsample[0].stride = (1, 1)
    return model


# Fields and strides of VGG-16, ResNet and MobileNet are the paper's; paddings are torch's, TensorFlow's are a little
# smaller on even sizes. torchvision's ResNet-50, with its strides at the beginning of stages, sees less than TF-Slim's.
PUBLISHED = [
    ("vgg16", "features.30", 212, 32, 90),
    ("slim resnet50", "layer4.2.relu", 483, 32, 241),
    ("resnet50", "layer4.2.relu", 427, 32, 213),
    ("mobilenet_v1", "features.13.1.2", 315, 32, 157),
    ("alexnet", "features.12", 195, 32, 66),
]


@pytest.mark.parametrize(("name", "layer", "size", "stride", "padding"), PUBLISHED)
def test_published_fields(name, layer, size, stride, padding):
    with nn.init.skipped():
        model = get_model(name.removeprefix("slim "))
    if name.startswith("slim"):
        strides_at_the_ends(model)
    rows = [row for row in summary(model, (1, 3, 64, 64)).layers if row.name == layer]
    assert rows[-1].receptive_field == (size, size)
    assert rows[-1].effective_stride == (stride, stride)
    assert rows[-1].effective_padding == (padding, padding)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_lite0", "convnext_tiny", "densenet121"])
def test_fields_are_known_to_the_end(name):
    with nn.init.skipped():
        result = summary(get_model(name), (1, 3, 64, 64))
    assert all(layer.field is not None for layer in result.layers)


def test_attention_is_one_layer():
    model = VisionTransformer(16, 8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=12, num_classes=3)
    rows = {row.name.rpartition(".")[2]: row for row in summary(model, (2, 3, 16, 16)).layers}
    attention = rows["self_attention"]
    assert attention.parameters == 4 * 8 * 8 + 4 * 8
    assert attention.multiply_adds == 2 * 5 * (4 * 8 * 8 + 2 * 5 * 8)
    assert "out_proj" not in rows
