"""Layers given something other than a tensor: the error names the operation, the argument and the layer."""

import numpy as np
import pytest

import convcore
from convcore import nn
from convcore.errors import DTypeError

LAYERS = {
    "conv1d": nn.Conv1d(2, 3, 2), "conv2d": nn.Conv2d(2, 3, 2), "conv3d": nn.Conv3d(2, 3, 2),
    "conv_transpose2d": nn.ConvTranspose2d(2, 3, 2), "linear": nn.Linear(2, 3), "bilinear": nn.Bilinear(2, 2, 3),
    "batch_norm": nn.BatchNorm2d(2), "layer_norm": nn.LayerNorm(2), "group_norm": nn.GroupNorm(1, 2),
    "instance_norm": nn.InstanceNorm2d(2), "max_pool2d": nn.MaxPool2d(2), "avg_pool2d": nn.AvgPool2d(2),
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d(1), "lp_pool2d": nn.LPPool2d(2, 2), "relu": nn.ReLU(),
    "gelu": nn.GELU(), "hardswish": nn.Hardswish(), "prelu": nn.PReLU(), "softmax": nn.Softmax(1), "glu": nn.GLU(),
    "sigmoid": nn.Sigmoid(), "dropout": nn.Dropout(), "dropout2d": nn.Dropout2d(), "pad": nn.ZeroPad2d(1),
    "interpolate": nn.Upsample(scale_factor=2), "pixel_shuffle": nn.PixelShuffle(1), "unfold": nn.Unfold(2),
    "embedding": nn.Embedding(3, 2), "mse_loss": nn.MSELoss(), "cross_entropy": nn.CrossEntropyLoss(),
    "binary_cross_entropy": nn.BCELoss(), "cosine_similarity": nn.CosineSimilarity(),
}  # fmt: skip
INPUTS = {"array": np.ones((2, 2, 4, 4), np.float32), "list": [[1.0, 2.0]], "text": "cat.jpg"}


@pytest.mark.parametrize("value", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_names_the_argument_and_the_layer(layer, value):
    model = nn.Sequential(nn.Identity(), layer) if not takes_two(layer) else layer
    arguments = (value, convcore.ones(1, 2)) if takes_two(layer) else (value,)
    with pytest.raises(DTypeError, match=rf"\w+: \w+ must be a tensor, got {type(value).__name__}") as raised:
        model(*arguments)
    assert type(layer).__name__ in str(raised.value)


def takes_two(layer):
    return isinstance(layer, (nn.Bilinear, nn.MSELoss, nn.CrossEntropyLoss, nn.BCELoss, nn.CosineSimilarity))


def test_errors_of_the_users_own_stay():
    class Model(nn.Module):
        def forward(self, x):
            return nn.functional.relu(x).no_such_name

    with pytest.raises(AttributeError, match="no_such_name"):
        nn.Sequential(Model())(convcore.ones(2))
    with pytest.raises(DTypeError, match="relu: input must be a tensor, got list"):
        nn.Sequential(Model())([1.0])
