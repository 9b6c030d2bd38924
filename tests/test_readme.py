"""README.md tells the truth: the examples run, the links lead somewhere, the tables are those of stored results."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


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
