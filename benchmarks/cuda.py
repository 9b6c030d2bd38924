"""The same work on a GPU by convcore and PyTorch (cuDNN): `python -m benchmarks cuda`.

Both sides get the same data; `pytest -m gpu` compares their results. A time is that of many calls between two
synchronisations with the device, in turns. PyTorch computes in float32 without TF32, in the faster of its two memory
formats. In float16 and bfloat16 both sides compute inside autocast, without a scale for the loss. The peak is what the
device's multiply-add units could do at the highest clock, for values of 16 bits what its tensor cores could do; the
bandwidth is that of a sum of two large arrays.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import convcore
from benchmarks import BenchmarkError, store
from benchmarks.groups.nets import AS_IT_IS, training_step
from convcore.engine.cuda.memory import pool
from convcore.ops.conv.geometry import conv_geometry
from convcore.testing.cases import LAYER_CASES, ConvCase

UNITS = {(7, 5): 64, (8, 0): 64}  # multiply-add units of a multiprocessor; 128 in all other generations since
# Multiply-adds of 16 bits, with sums in float32, that a multiprocessor's tensor cores do in a cycle, where NVIDIA's
# papers on its architectures (A100, H100) say so.
TENSOR_UNITS = {(8, 0): 1024, (9, 0): 2048}
ROUNDS, CALLS = 5, 20
LARGE = 2**26  # floats
KINDS = "float32", "float16", "bfloat16"
# Relative to the largest value of the result. In 16 bits both sides round the same operands; PyTorch also rounds the
# result.
TOLERANCE = {"float32": 1e-4, "float16": 2 * 2.0**-11, "bfloat16": 2 * 2.0**-8}

Passes = dict[str, Callable[[], Any]]


LAYERS = tuple(case for case in LAYER_CASES if case.groups in (1, case.c_in))
NETS = {"cnn-batch64": ("CNN", (64, 1, 28, 28)), "simple_cnn-batch8": ("SimpleCNN", (8, 3, 224, 224))}


def _arrays(case: ConvCase) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """x, weight, the gradient of the output, and the floating-point operations of one pass."""
    x, weight = np.empty(case.x_shape, np.float32), np.empty(case.weight_shape, np.float32)
    geometry = conv_geometry("conv2d", x, weight, **case.settings)
    rng = np.random.default_rng(0)
    shapes = case.x_shape, case.weight_shape, geometry.out_shape
    x, weight, grad_out = (rng.standard_normal(shape, np.float32) for shape in shapes)
    return x, weight, grad_out, 2.0 * geometry.multiply_adds


def _cast(library: Any, kind: str, device: str = "cuda") -> Any:
    """The context in which a library computes with an element type: its autocast, or none for float32."""
    return AS_IT_IS if kind == "float32" else library.autocast(device, dtype=getattr(library, kind))


def _passes(library: Any, case: ConvCase, x: Any, weight: Any, grad_out: Any, cast: Any) -> Passes:
    """Forward alone, and with both gradients."""
    conv2d = library.nn.functional.conv2d

    def forward() -> Any:
        with library.no_grad(), cast:
            return conv2d(x, weight, None, **case.settings)

    def training() -> Any:
        x.grad = weight.grad = None
        with cast:
            out = conv2d(x, weight, None, **case.settings)
        out.backward(grad_out)
        return x.grad, weight.grad

    return {"forward": forward, "training": training}


def check_device() -> None:
    """Raise BenchmarkError, with the reason, where nothing can be measured."""
    reason = convcore.cuda.why_not_available()
    if not reason and not torch.cuda.is_available():
        reason = "PyTorch finds no GPU; install its build for CUDA"
    if reason:
        raise BenchmarkError(f"cuda: NOT RUN, nothing was measured: {reason}")


def layer_passes(
    case: ConvCase, rival_device: str = "cuda", kind: str = "float32"
) -> tuple[Passes, dict[str, Passes], float]:
    """convcore's passes, PyTorch's by memory format, and the floating-point operations of one pass."""
    *arrays, flops = _arrays(case)
    x, weight, grad_out = (convcore.tensor(array).cuda() for array in arrays)
    own = _passes(convcore, case, x.requires_grad_(), weight.requires_grad_(), grad_out, _cast(convcore, kind))
    rivals = {}
    for name, memory_format in (("NCHW", torch.contiguous_format), ("NHWC", torch.channels_last)):
        x, weight, grad_out = (torch.tensor(array).to(rival_device, memory_format=memory_format) for array in arrays)
        grad_out = grad_out.to(getattr(torch, kind))  # of the result's kind
        cast = _cast(torch, kind, rival_device)
        rivals[name] = _passes(torch, case, x.requires_grad_(), weight.requires_grad_(), grad_out, cast)
    return own, rivals, flops


def difference(own: Any, rival: Any) -> float:
    """The largest difference between two results, relative to the largest value in them."""
    pairs = zip(own, rival, strict=True) if isinstance(own, tuple) else [(own, rival)]
    worst = 0.0
    for mine, theirs in pairs:
        a, b = (result.detach().cpu().float().numpy() for result in (mine, theirs))
        worst = float(np.maximum(worst, np.abs(a - b).max() / np.abs(b).max()))  # NaN stays
    return worst


def check_layer(case: ConvCase, rival_device: str = "cuda", kind: str = "float32") -> None:
    """Raise BenchmarkError where the results of a layer differ."""
    own, rivals, _ = layer_passes(case, rival_device, kind)
    for name, run in own.items():
        found = difference(run(), rivals["NCHW"][name]())
        if not found <= TOLERANCE[kind]:
            raise BenchmarkError(
                f"cuda: {case.name} {name} in {kind}: results differ by {found:.1e} of the largest number"
            )


def _net_steps(name: str, kind: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    from benchmarks.rivals import torch_models

    model, shape = NETS[name]
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal(shape, np.float32), rng.integers(0, 10, shape[0])
    net = getattr(convcore.models, model)().cuda()
    x = convcore.tensor(images).cuda()
    own = training_step(convcore, net, x, convcore.tensor(labels).cuda(), _cast(convcore, kind))
    theirs = getattr(torch_models, model)(10).to("cuda", memory_format=torch.channels_last)
    x = torch.tensor(images).to("cuda", memory_format=torch.channels_last)
    return own, training_step(torch, theirs, x, torch.tensor(labels).cuda(), _cast(torch, kind), fused=True)


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


def peak_flops() -> dict[str, float]:
    """Floating-point operations a second that the device could do in each element type, where this is known."""
    driver = pool().driver
    capability, cycles = driver.capability(), 2.0 * driver.multiprocessors() * driver.clock()
    peaks = {"float32": UNITS.get(capability, 128) * cycles}
    if capability in TENSOR_UNITS:
        peaks |= dict.fromkeys(KINDS[1:], TENSOR_UNITS[capability] * cycles)
    return peaks


def bandwidth() -> float:
    """Bytes a second that a sum of two large arrays moves."""
    x = convcore.zeros(LARGE).cuda()
    return 3 * 4 * LARGE / _seconds(lambda: x + x, convcore.cuda.synchronize, CALLS)


def rows(only: str = "") -> list[dict]:
    """Measure all cases with `only` in their names."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    found = []
    for case, kind in [(case, kind) for case in LAYERS if only in case.name for kind in KINDS]:
        check_layer(case, kind=kind)
        own, rivals, flops = layer_passes(case, kind=kind)
        for name, run in own.items():
            work = flops * (3 if name == "training" else 1)
            measured = measure(run, {f: passes[name] for f, passes in rivals.items()}, torch.cuda.synchronize, CALLS)
            found.append({"case": case.name, "kind": kind, "work": name, "flops": work, **measured})
    for name, kind in [(name, kind) for name in NETS if only in name for kind in KINDS]:
        own_step, their_step = _net_steps(name, kind)
        measured = measure(own_step, {"NHWC": their_step}, torch.cuda.synchronize, CALLS)
        found.append({"case": name, "kind": kind, "work": "training step", "flops": None, **measured})
    return found


def table(result: dict) -> str:
    """The result as a Markdown table."""
    peaks = ", ".join(f"{peak / 1e12:.1f} TFLOP/s in {kind}" for kind, peak in result["peaks"].items())
    lines = [
        f"{result['device']}: peak {peaks}; {result['bandwidth'] / 1e9:.0f} GB/s for a sum of two arrays",
        "",
        "| case | numbers | work | convcore, ms | torch, ms | times as fast | GFLOP/s | of the peak |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        speed = "", ""
        if row["flops"] is not None:
            rate = row["flops"] / row["convcore"]
            peak = result["peaks"].get(row["kind"])
            speed = f"{rate / 1e9:.0f}", "" if peak is None else f"{100 * rate / peak:.0f} %"
        times = f"{1e3 * row['convcore']:.3f}", f"{1e3 * row['torch']:.3f}", f"{row['ratio']:.2f}"
        lines.append(f"| {' | '.join([row['case'], row['kind'], row['work'], *times, *speed])} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """`python -m benchmarks cuda`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks cuda",
        description="Measure convcore on the GPU against PyTorch. Without a GPU it says so and exits with 2.",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with TEXT in their names")
    parser.add_argument("--json", type=Path, metavar="OUT", help="store the result as JSON Lines")
    args = parser.parse_args(arguments)
    check_device()
    measured = {"device": convcore.cuda.get_device_name(), "peaks": peak_flops(), "bandwidth": bandwidth()}
    result = {**measured, "rows": rows(args.only)}
    if args.json is not None:
        store.write(result, args.json)
    print(table(result))
    return 0
