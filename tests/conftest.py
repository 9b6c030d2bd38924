"""For the whole suite: random numbers, new interpreters, and copies of the kernels that a test may edit."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
TIME_LIMIT = 900  # seconds of a new interpreter: a busy machine may take minutes to compile what it needs

# The processes of `pytest -n 2` share the cores, and idle threads of torch and of the kernels would spin on those that
# others need: on two cores 791 tests took 17 s, and 8 s where they sleep. It is read with the first test file.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A background job of a shell ignores Ctrl-C, and so would all processes that tests start, and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# `ci` draws the same few examples every time. `nightly` looks for new ones, prints how to repeat a failure and keeps it
# in .hypothesis/: `python -m pytest --hypothesis-profile=nightly`. No deadline: the first call may compile a kernel.
hypothesis.settings.register_profile("ci", max_examples=60, derandomize=True, deadline=None)
hypothesis.settings.register_profile("nightly", max_examples=2000, print_blob=True, deadline=None)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """torch's own tools for tests load a profile of 10 examples when a file imports them; the next file gets ours."""
    hypothesis.settings.load_profile(collector.config.getoption("hypothesis_profile") or "ci")


def pytest_collection_finish() -> None:
    """Take the tests themselves, and all modules, out of what the garbage collector walks through.

    They are a million objects, and `gc.collect` and `gc.get_referrers`, which many tests call, look at each: the
    interrupts of a compiled model took 340 s in the whole suite and 17 s alone.
    """
    gc.collect()
    gc.freeze()


# What tells the tests that `pytest -m fast` leaves out: a fixture, a module that their file imports, or their folder.
# Other slow tests and files are marked where they are written.
FIXTURES = {"process": {"run_python", "run_pythons"}, "browser": {"browser"}}
MODULES = {"process": {"subprocess", "multiprocessing"}}
FOLDERS = {"database": {"opinfo", "onnx_nodes"}, "slow": {"cli", "compiling", "examples", "fuzz", "lessons", "models"}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what makes a test slow, and all others, which need no GPU, as `fast`."""
    for item in items:
        assert isinstance(item, pytest.Function)
        told_by = (
            (FIXTURES, set(item.fixturenames)),
            (MODULES, {value.__name__ for value in vars(item.module).values() if isinstance(value, ModuleType)}),
            (FOLDERS, set(item.path.relative_to(ROOT / "tests").parts)),
        )
        for names, found in told_by:
            for mark in names:
                if names[mark] & found:
                    item.add_marker(mark)
        if not any(item.get_closest_marker(mark) for mark in ("process", "browser", "database", "slow", "gpu")):
            item.add_marker("fast")


@pytest.fixture(autouse=True)
def _seeded():
    """Whatever a test draws, it draws the same in every run, alone or after others."""
    if "convcore" in sys.modules:
        sys.modules["convcore"].manual_seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(0)


def _start(code: str, path: Path, cwd: Path | None, env: dict[str, str | None]) -> subprocess.Popen:
    variables = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", **env}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={name: value for name, value in variables.items() if value is not None},
        cwd=cwd or path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen, fails: bool) -> subprocess.CompletedProcess:
    try:
        out, err = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the interpreter hung\n{out}\n{err}") from None
    assert (process.returncode != 0) == fails, f"exit code {process.returncode}\n{out}\n{err}"
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess]:
    """Run code in a new interpreter that imports from `path`, in the folder `cwd` (default: the same).

    Keywords in capitals add to the environment; None takes a variable away. The interpreter must end well, or badly if
    `fails=True`.
    """

    def run(code: str, *, path: Path = ROOT, cwd: Path | None = None, fails: bool = False, **env: str | None):
        return _finish(_start(code, path, cwd, env), fails)

    return run


@pytest.fixture(scope="session")
def run_pythons() -> Callable[..., list[subprocess.CompletedProcess]]:
    """Run the same code in `count` interpreters at once."""

    def run(code: str, *, count: int, path: Path = ROOT, **env: str | None):
        return [_finish(process, False) for process in [_start(code, path, None, env) for _ in range(count)]]

    return run


TINY = '''
"""The smallest kernels that show threads, reductions and denormals at work."""

import numpy as np
from numba import types

from kernels.cpu.tiny_helper import FACTOR, rows, scaled
from kernels.launch import kernel

this_thread = types.ExternalFunction("pthread_self", types.int64())


@kernel(8)
def scale(chunk, x, out):
    for i in range(chunk, x.size, 8):
        out[i] = scaled(x[i])


@kernel(rows)
def row_sums(chunk, x, out):
    total = x[chunk, 0]
    for i in range(1, x.shape[1]):
        total += x[chunk, i] * x[chunk, i]
    out[chunk] = total


@kernel(rows)
def thread_ids(chunk, x, out):
    for _ in range(100):
        row_total = 0.0
        for i in range(x.shape[1]):
            row_total += x[chunk, i]
        x[chunk, 0] = row_total * 0.5
    out[chunk] = this_thread()


@kernel(rows)
def products(chunk, x, factor, out):
    for i in range(x.shape[1]):
        out[chunk, i] = x[chunk, i] * factor[0]


@kernel(rows)
def with_buffers(chunk, x, sizes, out):
    buffer = np.empty(sizes[chunk])
    buffer[0] = x[chunk, 0]
    out[chunk] = buffer[0]
'''

TINY_HELPER = """
from kernels.jit import inline

FACTOR = 2


@inline
def rows(x):
    return x.shape[0]


@inline
def scaled(value):
    return value * FACTOR
"""


def copy_kernels(folder: Path) -> Path:
    """Put the infrastructure of `kernels/` and two files of tiny kernels below `folder`."""
    (folder / "kernels" / "cpu" / "vector").mkdir(parents=True)
    for name in (
        "__init__.py", "jit.py", "cache.py", "entry_points.py", "threads.py", "machine_code.py", "launch.py",
        "frame.py", "team.py", "program.py", "ahead.py", "atomics.py", "denormals.py", "cpu/__init__.py",
        "cpu/vector/__init__.py", "cpu/vector/target.py",
    ):  # fmt: skip
        shutil.copy(ROOT / "kernels" / name, folder / "kernels" / name)
    (folder / "kernels" / "cpu" / "tiny.py").write_text(TINY)
    (folder / "kernels" / "cpu" / "tiny_helper.py").write_text(TINY_HELPER)
    return folder


@pytest.fixture(scope="session")
def tiny_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import tiny kernels from (`kernels.cpu.tiny`); not to be edited."""
    return copy_kernels(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def own_kernels(tmp_path: Path) -> Path:
    """The same for one test alone, which may edit it."""
    return copy_kernels(tmp_path / "own")


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache folder for the tiny kernels that tests share: a value for NUMBA_CACHE_DIR."""
    return str(tmp_path_factory.mktemp("cache"))
