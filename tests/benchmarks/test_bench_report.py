"""Tables and pictures from a stored result."""

import copy
import json
from pathlib import Path

import pytest

from benchmarks import BenchmarkError, store
from benchmarks.__main__ import main
from benchmarks.report import amount, summary, tables

STORED = Path(__file__).with_name("result.jsonl")
RESULT = store.read(STORED)


def lines(text):
    return [line for line in text.splitlines() if line.startswith(("|", "#", "-"))]


def test_the_whole_report():
    assert lines(tables(RESULT)) == [
        "### conv, 1 thread",
        "| case |  | convcore | GFLOP/s | of the peak | torch | ratio |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| first | forward | 2 ms | 50 | 50% | 4 ms (channels_last) | 2.00 (1.90-2.10) |",
        "| second | forward | 4 ms | 25 | 25% | 2 ms (NCHW) | **0.50** (0.40-0.60) |",
        "- forward against torch: geometric mean 1.00, behind in 1 of 2",
        "### ops, 1 thread",
        "| case |  | convcore | of the copy bandwidth | torch | ratio |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        "| relu | forward | 1 ms | 80% | 1.5 ms (NCHW) | 1.50 (1.40-1.60) |",
        "- forward against torch: geometric mean 1.50, ahead in all 1",
        "### nets, 2 threads",
        "| case |  | convcore | torch | ratio | onnxruntime | ratio |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| cnn | inference | 500 us | 1 ms (NCHW) | 2.00 (2.00-2.00) | 400 us | **0.80** (0.80-0.80) |",
        "| cnn | training step | 20 ms | 60 ms (NCHW) | 3.00 (3.00-3.00) |  |  |",
        "- inference against torch: geometric mean 2.00, ahead in all 1",
        "- inference against onnxruntime: geometric mean 0.80, behind in 1 of 1",
        "- training step against torch: geometric mean 3.00, ahead in all 1",
        "### memory, 2 threads",
        "| case |  | convcore | torch | ratio |",
        "| --- | --- | ---: | ---: | ---: |",
        "| cnn | peak | 256 MiB | 512 MiB | 2.00 (2.00-2.00) |",
        "- peak against torch: geometric mean 2.00, ahead in all 1",
    ]


def choice(chosen, **ratios):
    """A row of the group `algorithms`; ratios are the others' times over the chosen one's."""
    spread = {"median": 2e-3, "low": 2e-3, "high": 2e-3}
    rivals = [
        {"name": name, "variant": "", "value": spread, "ratio": {"median": r, "low": r, "high": r}}
        for name, r in ratios.items()
    ]
    row = {"group": "algorithms", "threads": 1, "case": "small", "work": "forward", "unit": "s", "convcore": spread}
    return {**row, "rivals": rivals, "flops": None, "traffic": None, "chosen": chosen}


def test_choices_show_what_was_lost():
    result = copy.deepcopy(RESULT)
    result["rows"] = [choice("direct", winograd=0.8, im2col=1.5), choice("winograd", direct=1.5)]
    losses = (
        "- 1 of 2 choices took more than 1.10 times as long as the fastest algorithm did; geometric mean 1.118, "
        "largest 1.25"
    )
    assert lines(tables(result)) == [
        "### algorithms, 1 thread",
        "| case |  | chosen | time | fastest | loss | the others |",
        "| --- | --- | --- | ---: | --- | ---: | --- |",
        "| small | forward | direct | 2 ms | winograd | **1.25** | winograd 0.80, im2col 1.50 |",
        "| small | forward | winograd | 2 ms | winograd | 1.00 | direct 1.50 |",
        losses,
    ]
    for row in result["rows"]:
        row["threads"] = 2
    assert lines(summary(result)) == [losses]


def test_the_heading_says_where_it_ran():
    heading = tables(RESULT).split("###")[0]
    assert "A Processor (avx2), Linux x86_64, Python 3.12.0; numpy 2.0.0, torch 2.13.0; 2026-01-02." in heading
    assert "Measured with 1 thread: 100 GFLOP/s of multiply-adds, 10.0 GB/s of copying." in heading
    assert "Measured with 2 threads: 200 GFLOP/s of multiply-adds, 12.5 GB/s of copying." in heading


def test_the_summary_has_means_and_the_networks():
    text = summary(RESULT)
    assert "**nets**, 2 threads:" in text
    assert "| cnn | training step | 20 ms | 60 ms (NCHW) | 3.00 (3.00-3.00) |  |  |" in text
    assert "- peak against torch: geometric mean 2.00, ahead in all 1" in text
    assert "first" not in text  # a row of one thread, in a group of layers


def test_every_row_is_in_the_tables():
    text = tables(RESULT)
    for row in RESULT["rows"]:
        assert f"| {row['case']} | {row['work']} |" in text


def test_report_command(capsys, tmp_path):
    picture = tmp_path / "picture.png"
    assert main(["report", str(STORED), "--picture", str(picture)]) == 0
    assert capsys.readouterr().out == tables(RESULT)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_picture_colours_what_is_behind():
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    from benchmarks import picture

    axes = Figure().subplots()
    compared = [(row, rival) for row in RESULT["rows"] if row["group"] == "conv" for rival in row["rivals"]]
    picture._ratios(axes, compared)
    assert axes.get_xscale() == "log"
    colors = [to_hex(container[0].get_color()) for container in axes.containers]
    assert colors == [to_hex(picture.AHEAD), to_hex(picture.BEHIND)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first forward / torch", "second forward / torch"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is empty"),
        ("no json", "line 1 is not JSON, or was cut short: "),
        ("[]", "line 1 is not an object, but []"),
        (json.dumps(RESULT, indent=1), "line 1 is not JSON, or was cut short: "),
        (STORED.read_text(encoding="utf-8")[:-9], "line 7 is not JSON, or was cut short: "),
        (STORED.read_text(encoding="utf-8").replace('"rivals"', '"others"', 1), "KeyError: 'rivals'"),
    ],
    ids=["empty", "text", "list", "one object", "cut short", "without rivals"],
)  # fmt: skip
def test_a_file_that_is_no_result(capsys, tmp_path, content, reason):
    path = tmp_path / "wrong.jsonl"
    path.write_text(content, encoding="utf-8")
    assert main(["report", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"benchmarks: error: {path} is no result of a benchmark")
    assert reason in error


def test_a_file_that_is_missing(capsys, tmp_path):
    assert main(["report", str(tmp_path / "missing.jsonl")]) == 2
    assert "missing.jsonl" in capsys.readouterr().err


def test_a_stored_result_has_one_row_a_line(tmp_path):
    path = tmp_path / "result.jsonl"
    store.write(RESULT, path)
    assert path.read_text(encoding="utf-8") == STORED.read_text(encoding="utf-8")
    assert store.read(path) == RESULT
    assert path.read_text(encoding="utf-8").count("\n") == 1 + len(RESULT["rows"])


def test_an_interrupted_write_leaves_the_older_result(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    path = tmp_path / "result.jsonl"
    store.write(RESULT, path)
    monkeypatch.setattr("convcore.io.files.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.write({**RESULT, "rows": []}, path)
    assert list(tmp_path.iterdir()) == [path]
    assert store.read(path) == RESULT


def test_a_result_that_cannot_be_written(tmp_path):
    with pytest.raises(BenchmarkError, match="it is a folder"):
        store.write(RESULT, tmp_path)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12.34, "s", "12.3 s"), (0.0123, "s", "12.3 ms"), (0.5e-3, "s", "500 us"), (2e-8, "s", "0.02 us"),
        (2.0**30, "byte", "1024 MiB"), (1.5 * 2**20, "byte", "1.5 MiB"), (512, "byte", "0.5 KiB"),
    ],
)  # fmt: skip
def test_amount(value, unit, text):
    assert amount(value, unit) == text
