"""The models: their sizes, their layers' shapes, and their agreement with the same networks in torch."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import io, models, nn
from convcore.errors import ShapeError, UnsupportedError
from convcore.nn import functional as F


class TorchSimpleCNN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        widths = [3, 32, 64, 128]
        for i in (1, 2, 3):
            setattr(self, f"conv{i}", torch.nn.Conv2d(widths[i - 1], widths[i], 3, padding=1))
            setattr(self, f"bn{i}", torch.nn.BatchNorm2d(widths[i]))
        self.fc1 = torch.nn.Linear(128, 256)
        self.fc2 = torch.nn.Linear(256, 10)

    def forward(self, x):
        for i in (1, 2, 3):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
            x = torch.nn.functional.max_pool2d(x.relu(), 2)
        return self.fc2(self.fc1(x.mean((2, 3))).relu())


def torch_cnn():
    def block(c_in, c_out):
        layers = torch.nn
        return [layers.Conv2d(c_in, c_out, 3, padding=1), layers.BatchNorm2d(c_out), layers.ReLU(), layers.MaxPool2d(2)]

    features = torch.nn.Sequential(*block(1, 32), *block(32, 64))
    classifier = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(3136, 512), torch.nn.ReLU(), torch.nn.Identity(), torch.nn.Linear(512, 10)
    )
    return torch.nn.Sequential(OrderedDict(features=features, classifier=classifier))


PAIRS = [(models.CNN, torch_cnn, (4, 1, 28, 28)), (models.SimpleCNN, TorchSimpleCNN, (2, 3, 32, 40))]


@pytest.mark.parametrize(("model", "count"), [(models.CNN, 1_630_282), (models.SimpleCNN, 129_290)])
def test_parameter_counts(model, count):
    assert sum(p.numel() for p in model().parameters()) == count
    assert model(num_classes=7)(cc.zeros(2, *((1, 28, 28) if model is models.CNN else (3, 16, 16)))).shape == (2, 7)


@pytest.mark.parametrize(("build", "build_twin", "shape"), PAIRS)
def test_outputs_and_gradients_as_torchs(build, build_twin, shape):
    model, twin = build().double(), build_twin().double()
    assert list(model.state_dict()) == list(twin.state_dict())
    model.load_state_dict({key: cc.tensor(value.numpy()) for key, value in twin.state_dict().items()})
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    rng = np.random.default_rng(8)
    data, labels = rng.standard_normal(shape), rng.integers(0, 10, shape[0])
    loss = F.cross_entropy(model(cc.tensor(data)), cc.tensor(labels))
    expected = torch.nn.functional.cross_entropy(twin(torch.tensor(data)), torch.tensor(labels))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    loss.backward()
    expected.backward()
    for (name, parameter), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert parameter.grad is not None
        scale = abs(other.grad.numpy()).max()
        np.testing.assert_allclose(
            parameter.grad.array, other.grad.numpy(), rtol=0, atol=1e-10 + 1e-9 * scale, err_msg=name
        )
    for (_, buffer), other in zip(model.named_buffers(), twin.buffers(), strict=True):
        np.testing.assert_allclose(buffer.array, other.numpy(), rtol=1e-12, atol=1e-14)
    model.eval()
    twin.eval()
    np.testing.assert_allclose(
        model(cc.tensor(data)).detach().numpy(), twin(torch.tensor(data)).detach().numpy(), rtol=1e-9, atol=1e-11
    )


def test_a_model_saved_and_loaded_gives_the_same_bits(tmp_path):
    first, second = models.CNN().eval(), models.CNN().eval()
    io.save_file(first.state_dict(), tmp_path / "cnn")
    second.load_state_dict(io.load_file(tmp_path / "cnn"))
    x = cc.tensor(np.random.default_rng(9).random((3, 1, 28, 28), np.float32))
    with cc.no_grad():
        assert np.array_equal(first(x).numpy(), second(x).numpy())


def test_an_error_names_the_layer():
    with pytest.raises(ShapeError, match=r"^in features\.0 \(Conv2d\): conv2d: input has 3 channels"):
        models.CNN()(cc.zeros(1, 3, 28, 28))
    with pytest.raises(ShapeError, match=r"^in classifier\.1 \(Linear\)"):
        models.CNN()(cc.zeros(1, 1, 32, 32))


def test_models_by_name():
    assert {"cnn", "simple_cnn", "resnet50", "vgg16_bn"} <= set(models.list_models())
    assert models.list_models() == sorted(models.list_models())
    assert isinstance(models.get_model("cnn", num_classes=3), models.CNN)
    assert isinstance(models.get_model("SimpleCNN"), models.SimpleCNN)
    with pytest.raises(UnsupportedError, match=r"no model 'simplecn'; did you mean 'simple_cnn'.* There are alexnet, "):
        models.get_model("simplecn")
    with pytest.raises(UnsupportedError, match="no model 'transformer'; There are alexnet, cnn, "):
        models.get_model("transformer")


@pytest.mark.parametrize(
    ("name", "shape"), [("cnn", (1, 28, 28)), ("Resnet-50", (3, 224, 224)), ("efficientnet_b7", (3, 600, 600))]
)
def test_images_that_a_model_is_made_for(name, shape):
    assert models.image_shape(name) == shape
