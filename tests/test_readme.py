"""README.md and the pages it leads to tell the truth: examples run, links lead somewhere, numbers are those stored."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report, store
from benchmarks.timing import geometric_mean

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/NOTES.md",
    "benchmarks/RESULTS.md",
    "convcore/DIFFERENCES.md",
    "convcore/GUIDE.md",
    "kernels/README.md",
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "benchmarks" / "results").rglob("*.md"))),
)
README, GUIDE = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "convcore/GUIDE.md"))
ZEN5 = ROOT / "benchmarks" / "results" / "zen5-avx512" / "results.jsonl"
EXAMPLES = re.findall(r"```python\n(.*?)```", README + GUIDE, re.DOTALL)


def test_the_first_example_learns_digits(capsys):
    exec(compile(EXAMPLES[0], "README.md and GUIDE.md", "exec"), {})
    percent = re.fullmatch(r"after one epoch: (\d+\.\d)% of the test digits\n", capsys.readouterr().out)
    assert percent is not None
    assert float(percent[1]) > 90


def test_the_second_example_explains(capsys):
    names = {}
    exec(compile(EXAMPLES[1], "README.md and GUIDE.md", "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"^  winograd +chosen", printed, re.MULTILINE)
    np.testing.assert_allclose(names["direct"].numpy(), names["im2col"].numpy(), rtol=0, atol=1e-3)


def test_the_third_example_compiles(capsys):
    names = {}
    exec(compile(EXAMPLES[2], "README.md and GUIDE.md", "exec"), names)
    assert names["logits"].shape == (1, 10)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("transpose_matrices ")  # to channels-last
    assert printed[1].startswith("conv_forward_direct (1, 1, 224, 224, 3) ")
    assert len(printed) == 5


def test_the_fourth_example_freezes_all_but_the_head():
    names = {}
    exec(compile(EXAMPLES[3], "README.md and GUIDE.md", "exec"), names)
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
    page = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    command, shown = page.split("<!-- generated: ")[1].split("<!-- end -->")[0].split(" -->\n", 1)
    assert command == f"python -m benchmarks report {ZEN5.relative_to(ROOT)} --summary"
    assert shown == report.summary(store.read(ZEN5))


def test_the_numbers_of_the_readme_are_those_of_the_stored_result():
    result = store.read(ZEN5)
    assert f"measured on {result['date']}" in README
    assert result["rounds"] == 3
    versions = result["versions"]
    assert versions["torch"].startswith("2.13.")
    assert versions["onnxruntime"].startswith("1.32.")
    section = README.split("## How fast it is")[1]
    shown = [tuple(cell.strip() for cell in line.split("|")[2:5]) for line in section.splitlines() if line[:1] == "|"]
    works = ["all passes", "training step", "inference", "inference", "compiled inference"]
    for work, (rival, times, behind) in zip(works, shown[2:], strict=True):
        ratios = [
            other["ratio"]["median"]
            for row in result["rows"]
            for other in row["rivals"]
            if (row["work"], other["name"]) == (work, rival)
        ]
        slower = sum(ratio < 1 for ratio in ratios)
        assert (times, behind) == (f"{geometric_mean(ratios):.2f}", f"{slower} of {len(ratios)}")
    gaps = [
        other["ratio"]["median"]
        for row in result["rows"]
        for other in row["rivals"]
        if (row["case"], other["name"]) == ("mobilenet_v3_small-batch1", "onnxruntime")
    ]
    assert re.findall(r"takes (.+) of convcore's time, with\n`convcore.compile` (\S+)\.", section) == [
        tuple(f"{gap:.2f}" for gap in gaps)
    ]
    assert min(gaps) == min(other["ratio"]["median"] for row in result["rows"] for other in row["rivals"])


@pytest.mark.parametrize("machine", ["xeon-avx512", "zen3-avx2", "zen5-avx512"])
@pytest.mark.parametrize("name", ["results", "algorithms"])
def test_a_page_of_tables_is_that_of_its_stored_result(machine, name):
    stored = ROOT / "benchmarks" / "results" / machine / f"{name}.jsonl"
    assert stored.with_suffix(".md").read_text(encoding="utf-8").endswith(report.tables(store.read(stored)))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    for link, anchor in re.findall(r"\]\(([^)#]*)(#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        target = (path.parent / link).resolve() if link else path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150
    assert README.index("## Where things are") < README.index("## How fast it is")


def test_summary_example():
    from convcore.cli import main

    assert "convcore summary resnet50" in README
    assert main(["summary", "resnet50"]) == 0


def test_sources_cite_sections_of_the_notes_that_are_there():
    headings = re.findall(r"^##+ (.+)$", (ROOT / "benchmarks" / "NOTES.md").read_text(encoding="utf-8"), re.MULTILINE)
    cited = set()
    for path in [*(ROOT / "kernels").rglob("*.py"), *(ROOT / "convcore").rglob("*.py")]:
        text = re.sub(r"\s*\n\s*#?\s*", " ", path.read_text(encoding="utf-8"))
        cited |= set(re.findall(r'benchmarks/NOTES\.md, "([^"]+)"', text))
        cited |= set(re.findall(r'"([^"]+)" in benchmarks/NOTES\.md', text))
    assert len(cited) >= 5
    assert [title for title in cited if not any(heading.startswith(title) for heading in headings)] == []
