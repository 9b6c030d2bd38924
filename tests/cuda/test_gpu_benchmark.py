"""What needs a GPU, without one: the benchmark and the tests say that they did not run; their parts, simulated."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from simulated_device import device

from benchmarks import BenchmarkError, cuda
from benchmarks.__main__ import main
from convcore.engine.cuda import probe
from convcore.testing.cases import SMALL_CASES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(probe, "_answer", (None, "there is no GPU in this test"))


def test_the_benchmark_says_that_it_did_not_run(no_gpu, capsys):
    assert main(["cuda"]) == 2
    assert capsys.readouterr().err == (
        "benchmarks: error: cuda: NOT RUN, nothing was measured: there is no GPU in this test\n"
    )


def test_pytest_says_that_it_did_not_run():
    """As it is started by hand, where this machine has no GPU; with one it lists the tests."""
    if torch.cuda.is_available():
        command, code, text = ["--collect-only"], 0, "test_layers_are_those_of_torch"
    else:
        command, code, text = [], 2, "cuda: NOT RUN, nothing was measured: "
    run = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/gpu", "-q", "-p", "no:cacheprovider", *command]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert text in done.stdout


def test_results_are_compared():
    case = next(case for case in SMALL_CASES if case.name == "one_pixel")
    with device():
        cuda.check_layer(case, "cpu")
        own, rivals, flops = cuda.layer_passes(case, "cpu")
    assert flops == 2
    assert cuda.difference(rivals["NCHW"]["training"](), rivals["NHWC"]["training"]()) == 0
    assert cuda.difference(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 2.0])) == 1
    assert own.keys() == {"forward", "training"}


@pytest.mark.parametrize("kind", cuda.KINDS[1:])
def test_results_in_16_bits_are_compared(kind):
    case = next(case for case in SMALL_CASES if case.name == "pointwise-skipped_pixels")
    with device():
        cuda.check_layer(case, "cpu", kind)
    with device(lambda kernel, grid, args: None), pytest.raises(BenchmarkError, match=f"forward in {kind}: results"):
        cuda.check_layer(case, "cpu", kind)


def test_wrong_results_are_noticed():
    case = next(case for case in SMALL_CASES if case.name == "one_pixel")
    with (
        device(lambda kernel, grid, args: None),
        pytest.raises(BenchmarkError, match="one_pixel forward in float32: results differ"),
    ):
        cuda.check_layer(case, "cpu")


def test_times_are_medians_and_ratios():
    with device():
        measured = cuda.measure(lambda: None, {"a": lambda: sum(range(2000)), "b": lambda: None}, lambda: None, 2)
    assert measured["torch"] < 1e-4
    times = {"convcore": 2e-3, "torch": 1e-3, "ratio": 0.5}
    result = {
        "device": "G", "peaks": {"float32": 1e12}, "bandwidth": 1e11,
        "rows": [
            {"case": "c", "kind": "float32", "work": "forward", "flops": 1e9, **times},
            {"case": "h", "kind": "float16", "work": "forward", "flops": 1e9, **times},
            {"case": "n", "kind": "float32", "work": "training step", "flops": None, **times},
        ],
    }  # fmt: skip
    lines = cuda.table(result).splitlines()
    assert lines[0] == "G: peak 1.0 TFLOP/s in float32; 100 GB/s for a sum of two arrays"
    assert lines[-3:] == [
        "| c | float32 | forward | 2.000 | 1.000 | 0.50 | 500 | 50 % |",
        "| h | float16 | forward | 2.000 | 1.000 | 0.50 | 500 |  |",
        "| n | float32 | training step | 2.000 | 1.000 | 0.50 |  |  |",
    ]  # fmt: skip
