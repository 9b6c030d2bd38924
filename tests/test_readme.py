"""README.md tells the truth: its examples run, its links lead somewhere, its table of facts is measured again."""

import re
from pathlib import Path

import numpy as np
import pytest

import convcore
import convcore.nn.functional as F
from convcore import models, nn

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

# What the second column says for rows where the documents are right; the others stand in bold.
MISTAKEN = {
    "5x5 checkerboard of 1 0 1 0 1 rows, filter 1 0 1 / 0 1 0 / 1 0 1",
    "parameters of SimpleCNN (3x224x224 in, 10 classes)",
}


def facts() -> dict[str, tuple[str, str]]:
    """The table under its headline: {claim: (the documents, measured)}."""
    section = README.split("## What the documents say, what the engine measures")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    assert rows[0] == ["claim", "the documents", "measured"]
    return {claim: (documents, measured) for claim, documents, measured in rows[2:]}


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
    documents, measured = facts()[claim]
    value = MEASURE[claim]()
    assert measured == (f"**{value}**" if claim in MISTAKEN else value)
    if claim in MISTAKEN:
        assert documents != value


def test_the_models_of_the_table_take_the_inputs_it_says():
    with convcore.no_grad():
        assert models.SimpleCNN(num_classes=10).eval()(convcore.zeros(1, 3, 224, 224)).shape == (1, 10)
        assert models.CNN(num_classes=10).eval()(convcore.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_the_first_example_learns_digits(capsys):
    exec(compile(EXAMPLES[0], "README.md", "exec"), {})
    percent = re.fullmatch(r"after one epoch: (\d+\.\d)% of the test digits\n", capsys.readouterr().out)
    assert percent is not None
    assert float(percent[1]) > 90


def test_the_second_example_explains(capsys):
    names = {}
    exec(compile(EXAMPLES[1], "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"^  winograd +chosen", printed, re.MULTILINE)
    np.testing.assert_allclose(names["direct"].numpy(), names["im2col"].numpy(), rtol=0, atol=1e-3)


def test_the_third_example_compiles(capsys):
    names = {}
    exec(compile(EXAMPLES[2], "README.md", "exec"), names)
    assert names["logits"].shape == (1, 10)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("copyto ")  # to channels-last
    assert printed[1].startswith("conv_direct (1, 1, 224, 224, 3) ")
    assert len(printed) == 5


def test_the_fourth_example_freezes_all_but_the_head():
    names = {}
    exec(compile(EXAMPLES[3], "README.md", "exec"), names)
    model = names["model"]
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained == ["classifier.1.weight", "classifier.1.bias"]
    assert (model.features.training, model.classifier.training) == (False, True)


def test_all_examples_are_run():
    assert len(EXAMPLES) == 4


def test_the_commands_are_marked_for_the_checks():
    """`.ci/run` runs what stands between these lines."""
    commands = dict(re.findall(r"<!-- command: (\w+) -->\n```bash\n(.+)\n```", README))
    assert commands == {
        "train": "python -m pip install . && convcore train",
        "test": "python -m pip install -e '.[test]' && python -m pytest -n 2",
    }


def test_the_benchmark_tables_are_those_of_the_stored_result():
    from benchmarks import report, store

    result = store.read(ROOT / "benchmarks" / "results" / "zen5-avx512" / "results.jsonl")
    shown = README.split("--summary -->\n")[1].split("<!-- end -->")[0]
    assert shown == report.summary(result)


@pytest.mark.parametrize("machine", ["xeon-avx512", "zen3-avx2", "zen5-avx512"])
@pytest.mark.parametrize("name", ["results", "algorithms"])
def test_a_page_of_tables_is_that_of_its_stored_result(machine, name):
    from benchmarks import report, store

    stored = ROOT / "benchmarks" / "results" / machine / f"{name}.jsonl"
    assert stored.with_suffix(".md").read_text(encoding="utf-8").endswith(report.tables(store.read(stored)))


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "kernels" / "README.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_summary_example():
    from convcore.cli import main

    assert "convcore summary resnet50" in README
    assert main(["summary", "resnet50"]) == 0
