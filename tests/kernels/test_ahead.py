"""Kernels compiled ahead: only those that are launched, on disk afterwards, and not compiled again."""

import numpy as np

from kernels.ahead import compile_ahead, noted_launches
from kernels.cpu.elementwise.arithmetic import add, multiply

AHEAD = """
import numpy as np
from kernels import ahead, cache
from kernels.cpu.tiny import row_sums, scale
x, out = np.arange(16.0), np.full(16, np.nan)
square, sums = np.ones((4, 4)), np.zeros(4)
with ahead.noted_launches() as wanted:
    scale(x, out)
    scale(x + 1, out)
    row_sums(square, sums)
assert np.isnan(out).all() and not sums.any(), "nothing is launched"
reports = []
ahead.compile_ahead(wanted, lambda *report: reports.append(report))
print(sorted(name for name, _, _ in reports), [(ready, total) for _, ready, total in reports])
again = []
ahead.compile_ahead(wanted, lambda *report: again.append(report))
assert again == []
scale(x, out)
row_sums(square, sums)
assert (out == 2 * x).all() and (sums == 4).all()
print(sum(scale.entry.stats.cache_misses.values()), sum(row_sums.entry.stats.cache_misses.values()))
"""


def test_what_is_launched_is_compiled_by_other_processes(run_python, tiny_kernels, tmp_path):
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": "2"}
    assert run_python(AHEAD, **options).stdout == "['row_sums', 'scale'] [(1, 2), (2, 2)]\n0 0\n"


def test_one_thread_compiles_at_the_launch(run_python, tiny_kernels, tmp_path):
    code = AHEAD.replace("again = []", "raise SystemExit")
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": "1"}
    assert run_python(code, **options).stdout == "[] []\n"


def test_a_process_that_dies_costs_nothing_but_time(run_python, tiny_kernels, tmp_path):
    code = AHEAD.replace("reports = []", "reports = []\nahead.sys.executable = '/bin/false'")
    code = code.replace("again = []", "scale(x, out)\nassert (out == 2 * x).all()\nraise SystemExit")
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": "2"}
    assert run_python(code, **options).stdout == "[] []\n"


def test_the_same_launch_is_noted_once_and_nothing_else():
    a, b = np.ones(4, np.float32), np.ones(4)
    with noted_launches() as wanted:
        add(a, a, a)
        add(a, a, a)
        add(b, b, b)
    multiply(a, a, a)
    assert [kernel for kernel, _ in wanted] == [add, add]
    assert (a == 1).all()
    reports: list[str] = []
    add(a, a, a)
    add(b, b, b)
    compile_ahead(wanted, lambda name, ready, total: reports.append(name))
    assert reports == [], "they are loaded"
