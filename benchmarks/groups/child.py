"""A process of its own for one library: `python -m benchmarks.groups.child LIBRARY MODEL N,C,H,W THREADS STEPS`.

It imports the library, runs training steps and prints one line of JSON: the seconds of the import, the seconds from the
start of the import to the end of the first step, and the peak memory after the import and at the end.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import benchmarks

ROOT = Path(__file__).resolve().parents[2]
CLASSES = 10


def run(library: str, model: str, shape: Sequence[int], threads: int, steps: int, **environment: str) -> dict:
    """Start the process in the user's environment, changed by `environment`, and return what it measured."""
    arguments = [library, model, ",".join(map(str, shape)), str(threads), str(steps)]
    variables = {**benchmarks.ENVIRONMENT, **environment}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), variables.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.groups.child", *arguments], env=variables, capture_output=True, text=True
    )
    if done.returncode:
        raise benchmarks.BenchmarkError(f"the process for {library} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_memory() -> int:
    """The peak memory of this process, in bytes.

    From /proc where there is one: on Linux, `getrusage` starts with the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(name: str, model: str, shape_text: str, threads: str, steps: str) -> None:
    """Run the steps and print the measurements."""
    start = time.perf_counter()
    library = importlib.import_module(name)
    imported = time.perf_counter() - start
    memory_after_import = peak_memory()

    # After the import of the library: the import of NumPy is a part of convcore's, and must be timed with it.
    import numpy as np

    library.set_num_threads(int(threads))
    models = importlib.import_module("benchmarks.rivals.torch_models" if name == "torch" else f"{name}.models")
    rng = np.random.default_rng(0)
    shape = tuple(map(int, shape_text.split(",")))
    x = library.from_numpy(rng.standard_normal(shape, np.float32))
    labels = library.from_numpy(rng.integers(0, CLASSES, shape[0]))
    network = getattr(models, model)(num_classes=CLASSES)
    optimizer = library.optim.Adam(network.parameters(), lr=1e-4)
    loss_function = library.nn.CrossEntropyLoss()

    def step():
        loss = loss_function(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    step()
    first_step = time.perf_counter() - start
    for _ in range(int(steps) - 1):
        step()
    measured = {
        "import": imported,
        "first_step": first_step,
        "memory_after_import": memory_after_import,
        "memory": peak_memory(),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
