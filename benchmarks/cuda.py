"""The same work on a GPU by convcore and PyTorch (cuDNN): `python -m benchmarks cuda`, and `pytest -m gpu` for results.

Both get the same numbers. Times are of many calls between two waits for the device, in turns; PyTorch computes in
float32, too (no TF32), in the faster of its two memory formats. The peak is what the device's multiply-add units could
do at its highest clock, the bandwidth what a sum of two large arrays moves.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import convcore
from benchmarks import BenchmarkError
from benchmarks.nets import training_step
from convcore.gpu.memory import pool
from convcore.ops.geometry import conv_geometry
from convcore.testing.cases import LAYER_CASES, ConvCase

UNITS = {(7, 5): 64, (8, 0): 64}  # multiply-add units of a multiprocessor; 128 in all other generations since
ROUNDS, CALLS = 5, 20
LARGE = 2**26  # floats
TOLERANCE = 1e-4  # of the largest number of the result

Passes = dict[str, Callable[[], Any]]


LAYERS = tuple(case for case in LAYER_CASES if case.groups in (1, case.c_in))
NETS = {"cnn-batch64": ("CNN", (64, 1, 28, 28)), "simple_cnn-batch8": ("SimpleCNN", (8, 3, 224, 224))}


def _arrays(case: ConvCase) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """x, weight, the gradient of the output, and the operations of one pass."""
    x, weight = np.empty(case.x_shape, np.float32), np.empty(case.weight_shape, np.float32)
    geometry = conv_geometry("conv2d", x, weight, **case.settings)
    rng = np.random.default_rng(0)
    shapes = case.x_shape, case.weight_shape, geometry.out_shape
    x, weight, grad_out = (rng.standard_normal(shape, np.float32) for shape in shapes)
    return x, weight, grad_out, 2.0 * geometry.multiply_adds


def _passes(library: Any, case: ConvCase, x: Any, weight: Any, grad_out: Any) -> Passes:
    """Forward alone, and with both gradients."""
    conv2d = library.nn.functional.conv2d

    def forward() -> Any:
        with library.no_grad():
            return conv2d(x, weight, None, **case.settings)

    def training() -> Any:
        x.grad = weight.grad = None
        conv2d(x, weight, None, **case.settings).backward(grad_out)
        return x.grad, weight.grad

    return {"forward": forward, "training": training}


def check_device() -> None:
    """Raise BenchmarkError, with the reason, where nothing can be measured."""
    reason = convcore.cuda.why_not_available()
    if not reason and not torch.cuda.is_available():
        reason = "PyTorch finds no GPU; install its build for CUDA"
    if reason:
        raise BenchmarkError(f"cuda: NOT RUN, nothing was measured: {reason}")


def layer_passes(case: ConvCase, rival_device: str = "cuda") -> tuple[Passes, dict[str, Passes], float]:
    """Both sides' passes, PyTorch's by memory format, and the operations of one."""
    *arrays, flops = _arrays(case)
    x, weight, grad_out = (convcore.tensor(array).cuda() for array in arrays)
    own = _passes(convcore, case, x.requires_grad_(), weight.requires_grad_(), grad_out)
    rivals = {}
    for name, memory_format in (("NCHW", torch.contiguous_format), ("NHWC", torch.channels_last)):
        x, weight, grad_out = (torch.tensor(array).to(rival_device, memory_format=memory_format) for array in arrays)
        rivals[name] = _passes(torch, case, x.requires_grad_(), weight.requires_grad_(), grad_out)
    return own, rivals, flops


def difference(own: Any, rival: Any) -> float:
    """The largest difference between two results, of the largest number in them."""
    pairs = zip(own, rival, strict=True) if isinstance(own, tuple) else [(own, rival)]
    worst = 0.0
    for mine, theirs in pairs:
        a, b = mine.detach().cpu().numpy(), theirs.detach().cpu().numpy()
        worst = float(np.maximum(worst, np.abs(a - b).max() / np.abs(b).max()))  # NaN stays
    return worst


def check_layer(case: ConvCase, rival_device: str = "cuda") -> None:
    """Raise BenchmarkError where the results of a layer differ."""
    own, rivals, _ = layer_passes(case, rival_device)
    for name, run in own.items():
        found = difference(run(), rivals["NCHW"][name]())
        if not found <= TOLERANCE:
            raise BenchmarkError(f"cuda: {case.name} {name}: results differ by {found:.1e} of the largest number")


def _net_steps(name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    from benchmarks import torch_models

    model, shape = NETS[name]
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal(shape, np.float32), rng.integers(0, 10, shape[0])
    net = getattr(convcore.models, model)().cuda()
    own = training_step(convcore, net, convcore.tensor(images).cuda(), convcore.tensor(labels).cuda())
    theirs = getattr(torch_models, model)(10).to("cuda", memory_format=torch.channels_last)
    x = torch.tensor(images).to("cuda", memory_format=torch.channels_last)
    return own, training_step(torch, theirs, x, torch.tensor(labels).cuda(), fused=True)


def _seconds(run: Callable[[], Any], wait: Callable[[], Any], calls: int) -> float:
    run()
    wait()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    wait()
    return (time.perf_counter() - start) / calls


def measure(own: Callable[[], Any], rivals: dict[str, Callable[[], Any]], wait_for_rival: Any, calls: int) -> dict:
    """Median seconds of both sides, and of the ratio of each round (above 1: convcore is faster)."""
    rounds = []
    for _ in range(ROUNDS):
        mine = _seconds(own, convcore.cuda.synchronize, calls)
        rounds.append((mine, min(_seconds(rival, wait_for_rival, calls) for rival in rivals.values())))
    mine, theirs = (statistics.median(times) for times in zip(*rounds, strict=True))
    return {"convcore": mine, "torch": theirs, "ratio": statistics.median(b / a for a, b in rounds)}


def peak_flops() -> float:
    """What the device's multiply-add units could do in a second."""
    driver = pool().driver
    return 2.0 * UNITS.get(driver.capability(), 128) * driver.multiprocessors() * driver.clock()


def bandwidth() -> float:
    """Bytes in a second that a sum of two large arrays moves."""
    x = convcore.zeros(LARGE).cuda()
    return 3 * 4 * LARGE / _seconds(lambda: x + x, convcore.cuda.synchronize, CALLS)


def rows(only: str = "") -> list[dict]:
    """Measure all cases with `only` in their names."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    found = []
    for case in [case for case in LAYERS if only in case.name]:
        check_layer(case)
        own, rivals, flops = layer_passes(case)
        for name, run in own.items():
            work = flops * (3 if name == "training" else 1)
            measured = measure(run, {f: passes[name] for f, passes in rivals.items()}, torch.cuda.synchronize, CALLS)
            found.append({"case": case.name, "work": name, "flops": work, **measured})
    for name in [name for name in NETS if only in name]:
        own_step, their_step = _net_steps(name)
        measured = measure(own_step, {"NHWC": their_step}, torch.cuda.synchronize, CALLS)
        found.append({"case": name, "work": "training step", "flops": None, **measured})
    return found


def table(result: dict) -> str:
    """The result as a Markdown table."""
    lines = [
        f"{result['device']}: peak {result['peak'] / 1e12:.1f} TFLOP/s in float32, "
        f"{result['bandwidth'] / 1e9:.0f} GB/s for a sum of two arrays",
        "",
        "| case | work | convcore, ms | torch, ms | times as fast | GFLOP/s | of the peak |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        speed = "", ""
        if row["flops"] is not None:
            rate = row["flops"] / row["convcore"]
            speed = f"{rate / 1e9:.0f}", f"{100 * rate / result['peak']:.0f} %"
        times = f"{1e3 * row['convcore']:.3f}", f"{1e3 * row['torch']:.3f}", f"{row['ratio']:.2f}"
        lines.append(f"| {' | '.join([row['case'], row['work'], *times, *speed])} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """`python -m benchmarks cuda`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks cuda",
        description="Measure convcore on the GPU against PyTorch; says so and exits with 2 where there is none.",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with TEXT in their names")
    parser.add_argument("--json", type=Path, metavar="OUT", help="store the result")
    args = parser.parse_args(arguments)
    check_device()
    measured = {"device": convcore.cuda.get_device_name(), "peak": peak_flops(), "bandwidth": bandwidth()}
    result = {**measured, "rows": rows(args.only)}
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))
    return 0
