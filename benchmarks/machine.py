"""The machine under the benchmark: its name, its peak of multiply-adds and its copy bandwidth, measured now."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kernels.cpu.micro.peak import CHAINS, copy_bandwidth, fma_peak
from kernels.cpu.vector import target
from kernels.threads import get_num_threads


@dataclass(frozen=True)
class Machine:
    """Peaks are for the threads in use: float32 GFLOP/s (a multiply-add is two) and GB/s read plus written."""

    cpu: str
    vector_unit: str
    threads: int
    gflops_peak: float
    copy_gb_per_second: float

    def as_dict(self) -> dict:
        return asdict(self)


def cpu_name() -> str:
    """The processor's name as the operating system reports it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _best(function, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def measure(repeats: int = 10) -> Machine:
    """Measure both peaks; the best of several runs, since anything else on the machine only slows them."""
    lanes, threads = target.lanes(4), get_num_threads()
    x = np.full((1 + CHAINS) * lanes, 0.5, np.float32)
    out = np.empty((2 * threads, lanes), np.float32)
    steps = 200_000
    fma_peak(x, out, 10)
    seconds = _best(lambda: fma_peak(x, out, steps), repeats)
    flops = 2.0 * out.size * CHAINS * steps
    source = np.random.default_rng(0).random(64 * 1024**2 // 4, np.float32)
    destination = np.empty_like(source)
    copy_bandwidth(source, destination)
    copied = _best(lambda: copy_bandwidth(source, destination), repeats)
    bandwidth = 2 * source.nbytes / copied / 1e9
    return Machine(cpu_name(), target.UNIT.name, threads, flops / seconds / 1e9, bandwidth)
