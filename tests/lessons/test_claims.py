"""The claims of two introductions to CNNs, in the lesson on the receptive field: each is measured again."""

import numpy as np
import pytest

import convcore
import convcore.nn.functional as F
from convcore import models, nn
from convcore.lessons import FOLDER

# The rows in which the introductions are wrong; what was measured is in bold there.
MISTAKEN = {
    "5x5 checkerboard of 1 0 1 0 1 rows, filter 1 0 1 / 0 1 0 / 1 0 1",
    "parameters of SimpleCNN (3x224x224 in, 10 classes)",
}


def facts() -> dict[str, tuple[str, str]]:
    """The table of the lesson: {claim: (the introductions, measured)}."""
    lesson = (FOLDER / "04-receptive-field.md").read_text(encoding="utf-8")
    section = lesson.split("## Two introductions, checked")[1].split("```")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    assert rows[0] == ["claim", "the introductions", "measured"]
    return {claim: (introductions, measured) for claim, introductions, measured in rows[2:]}


def output_size(size, **settings):
    with convcore.no_grad():
        out = F.conv2d(convcore.zeros(1, 1, size, size), convcore.zeros(1, 1, 3, 3), **settings)
    assert out.shape[2] == out.shape[3]
    return str(out.shape[2])


def shrinks_by_two():
    with convcore.no_grad():
        shapes = [
            tuple(F.conv2d(convcore.zeros(1, 1, h, w), convcore.zeros(1, 1, 3, 3)).shape[2:])
            for h, w in ((5, 9), (28, 28), (224, 30))
        ]
    assert shapes == [(3, 7), (26, 26), (222, 28)]
    return "(H-2) x (W-2)"


def pooled():
    return "x".join(map(str, nn.MaxPool2d(2, 2)(convcore.zeros(1, 1, 28, 28)).shape[2:]))


def checkerboard():
    image = np.array([[(h + w + 1) % 2 for w in range(5)] for h in range(5)], np.float32)
    taps = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
    assert image[0].tolist() == [1, 0, 1, 0, 1]
    out = F.conv2d(convcore.tensor(image)[None, None], convcore.tensor(taps)[None, None])
    return " / ".join(" ".join(f"{value:.0f}" for value in row) for row in out.numpy()[0, 0])


def parameters(model):
    return f"{sum(parameter.numel() for parameter in model.parameters()):,}"


def receptive_fields():
    """The extent of the input pixels that one output pixel depends on, from the gradient."""
    sizes = []
    for depth in (1, 2, 3):
        x = convcore.ones(1, 1, 15, 15, requires_grad=True)
        out = x
        for _ in range(depth):
            out = F.conv2d(out, convcore.ones(1, 1, 3, 3))
        out[0, 0, 4, 4].backward()
        assert x.grad is not None
        rows, columns = np.nonzero(x.grad.numpy()[0, 0])
        sizes.append(f"{np.ptp(rows) + 1}x{np.ptp(columns) + 1}")
    return ", ".join(sizes)


def filter_weights():
    layer = nn.Conv2d(1, 1, 3)
    assert layer.bias.numel() == 1
    return f"{layer.weight.numel()} (+ bias)"


INPUTS = convcore.zeros(1, 3, 224, 224).numel()
MEASURE = {
    "output size: input 224, kernel 3, padding 1, stride 1": lambda: output_size(224, padding=1, stride=1),
    "output size: input 224, kernel 3, padding 0, stride 2": lambda: output_size(224, padding=0, stride=2),
    "output size: input H x W, kernel 3, no padding": shrinks_by_two,
    "2x2 max pooling with stride 2, input 28x28": pooled,
    "5x5 checkerboard of 1 0 1 0 1 rows, filter 1 0 1 / 0 1 0 / 1 0 1": checkerboard,
    "parameters of SimpleCNN (3x224x224 in, 10 classes)": lambda: parameters(models.SimpleCNN(num_classes=10)),
    "parameters of CNN (1x28x28 in, 10 classes)": lambda: parameters(models.CNN(num_classes=10)),
    "receptive field after one, two, three 3x3 layers": receptive_fields,
    "inputs of a 224x224 RGB image": lambda: f"{INPUTS:,}",
    # One neuron of the thousand is enough: 600 MB of weights would teach no more.
    "weights of a dense layer of 1000 on that image": lambda: f"{1000 * nn.Linear(INPUTS, 1).weight.numel():,}",
    "weights of one 3x3 filter on one channel": filter_weights,
}


def test_every_row_is_measured():
    assert list(facts()) == list(MEASURE)


@pytest.mark.parametrize("claim", MEASURE)
def test_the_engine_measures_what_the_table_says(claim):
    introductions, measured = facts()[claim]
    value = MEASURE[claim]()
    assert measured == (f"**{value}**" if claim in MISTAKEN else value)
    if claim in MISTAKEN:
        assert introductions != value


def test_the_models_of_the_table_take_the_inputs_it_says():
    with convcore.no_grad():
        assert models.SimpleCNN(num_classes=10).eval()(convcore.zeros(1, 3, 224, 224)).shape == (1, 10)
        assert models.CNN(num_classes=10).eval()(convcore.zeros(1, 1, 28, 28)).shape == (1, 10)
