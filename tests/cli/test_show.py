"""`convcore show` and `convcore.plot`: pictures of filters, feature maps and reasons."""

import shutil

import numpy as np
import pytest
from PIL import Image

import convcore as cc
from convcore import models, plot
from convcore.cli import main
from convcore.data import picture
from convcore.errors import UnsupportedError
from convcore.inspect import FILTERS, measure
from convcore.io import save_file
from convcore.models.pretrained.weights import locate


@pytest.fixture
def three(tmp_path):
    """A drawing of dark ink on light paper."""
    path = tmp_path / "three.png"
    ink = np.zeros((60, 60), np.uint8)
    for row in (10, 28, 46):
        ink[row : row + 5, 20:40] = 255
    ink[10:51, 36:41] = 255
    Image.fromarray(255 - ink).save(path)
    return path


@pytest.mark.parametrize("what", ["filters", "maps", "gradcam"])
def test_the_command_draws(what, three, tmp_path, capsys):
    out = tmp_path / "out.png"
    image = [] if what == "filters" else [str(three)]
    assert main(["show", what, "digit-cnn", *image, "-o", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    with Image.open(out) as drawn:
        assert drawn.width > 300
        assert np.asarray(drawn.convert("L")).std() > 10


def test_a_published_file_says_which_network_it_is_of(three, tmp_path, capsys):
    source = locate(models.Digit_CNN_Weights.DIGITS.value)
    assert source is not None
    mine = shutil.copy(source, tmp_path / "mine")
    assert main(["show", "maps", str(mine), str(three), "-o", str(tmp_path / "out.png")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out.png'}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["maps", "digit_cnn"], "maps needs an IMAGE"),
        (["filters", "digit_cnn", "3.png"], "filters takes no IMAGE"),
        (["filters", "digit_cnn", "--class", "3"], "--class belongs to gradcam"),
        (["filters", "cnn"], "cnn has no weights for photographs"),
        (["filters", "nothing.safetensors"], "nothing.safetensors: No such file or directory"),
        (["filters", "{unnamed}", "--weights", "a.pth"], "is a file of weights already; leave out --weights a.pth"),
        (["filters", "{unnamed}"], "does not say which network it is of; write `show WHAT MODEL --weights "),
        (["filters", "digit_cnn", "--layer", "features.1"], "'features.1' is no convolution of DigitCNN"),
        (["maps", "digit_cnn", "nothing.png"], "nothing.png: No such file or directory"),
        (["filters", "digit_cnn", "-o", "out.txt"], "the ending of out.txt must be one of "),
        (["gradcam", "digit_cnn", "{image}", "--layer", "classifier.0"], "must be (1, K, h, w), got shape (1, 1568)"),
        (["maps", "digit_cnn", "{image}", "--layer", "classifier.0"], "no layer of classifier.0 has maps"),
        (["gradcam", "digit_cnn", "{image}", "--class", "10"], "target must be a class from 0 to 9, got 10"),
    ],
)
def test_wrong_requests_are_one_line(arguments, message, three, tmp_path, capsys):
    unnamed = tmp_path / "unnamed.safetensors"
    save_file({"a": cc.ones(1)}, unnamed)
    assert main(["show", *(argument.format(image=three, unnamed=unnamed) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def images(figure):
    """The arrays that a figure shows, in the order of its panels."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_figures_show_the_engines_numbers():
    model = models.digit_cnn(weights="DIGITS").eval()
    x = cc.rand(1, 1, 28, 28)
    weights = model.features[4].weight.detach().numpy()
    assert np.array_equal(images(plot.filters(model, "features.4")), weights.swapaxes(0, 1).reshape(-1, 3, 3))
    assert len(images(plot.filters(model))) == 8
    maps = images(plot.feature_maps(model, x, ["features.2", "features.10"]))
    assert [len(m) for m in maps] == [28] * 8 + [7] * 16
    with cc.no_grad():
        np.testing.assert_allclose(maps[8:], model.features(x).numpy()[0, :16], atol=1e-5)
    figure = plot.receptive_field(model, x, "features.10", 2, 3, channel=5)
    unit, field = (
        axes.patches[0].get_path().get_extents(axes.patches[0].get_patch_transform()) for axes in figure.axes
    )
    assert unit.bounds == (2.5, 1.5, 1, 1)
    assert field.bounds == (4 * 3 - 8 - 0.5, 4 * 2 - 8 - 0.5, 20, 20)
    with pytest.raises(UnsupportedError, match=r"field of 'classifier.2' cannot be told; there are features.0, feat"):
        plot.receptive_field(model, x, "classifier.2", 0, 0)
    assert [axes.get_title() for axes in plot.grad_cam(model, x, target=4, labels=list("abcdefghij")).axes] == [
        "e", "saliency", "Grad-CAM at features.10",
    ]  # fmt: skip


def test_a_response_and_the_cost_of_algorithms(tmp_path):
    grey = np.asarray(picture("shapes").convert("L"), np.float32) / 255
    image, kernel, response = images(plot.kernel_response(grey, FILTERS["sobel_x"].kernel))[:3]
    assert (image.shape, kernel.shape, response.shape) == ((64, 64), (3, 3), (62, 62))
    assert response[10, 35] == pytest.approx((grey[10:13, 35:38] * kernel).sum(), abs=1e-4)
    costs = measure(cc.rand(1, 16, 15, 14), cc.rand(16, 16, 3, 3), padding=1, rounds=3)
    direct = 16 * 16 * 15 * 14 * 9
    assert {c.algorithm: c.multiplications for c in costs} == {
        "im2col": direct, "direct": direct, "winograd2x2": 8 * 7 * 16 * 256, "winograd": 4 * 4 * 36 * 256,
    }  # fmt: skip
    assert all(cost.seconds > 0 for cost in costs)
    figure = plot.algorithms(costs, tmp_path / "costs.svg")
    assert figure.axes[0].dataLim.x1 == direct / 1e6
    assert "<svg" in (tmp_path / "costs.svg").read_text(encoding="utf-8")


def test_a_confusion_matrix_counts():
    figure = plot.confusion_matrix(np.array([[8, 2], [0, 5]]), ["cat", "dog"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["8", "2", "0", "5"]
    np.testing.assert_allclose(images(figure)[0], [[0.8, 0.2], [0, 1]])
