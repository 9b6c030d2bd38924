"""Threads: how many work, forked children, concurrent callers, and the same bits in all cases."""

import re

import pytest

from kernels import threads

# What each interpreter below starts with: the tiny kernels, and a batch whose sums depend on the order of additions.
START = """
import multiprocessing, os, signal, sys, threading, time
import numpy as np
from kernels import threads
from kernels.cpu.tiny import row_sums, scale, thread_ids
from kernels.program import Program
x = np.random.default_rng(0).standard_normal((64, 1001)).astype(np.float32)

def sums():
    out = np.full(64, np.nan, np.float32)
    row_sums(x, out)
    return out.tobytes()
"""


@pytest.fixture
def run_tiny(run_python, tiny_kernels, tiny_cache):
    """Run code after START, with two threads unless the environment says otherwise."""

    def run(code, **env):
        env = {"NUMBA_CACHE_DIR": tiny_cache, "NUMBA_NUM_THREADS": "2", **env}
        return run_python(START + code, path=tiny_kernels, **env).stdout

    return run


@pytest.mark.parametrize("n", [0, -1, threads.max_num_threads() + 1, True, 1.0, "1", None])
def test_set_num_threads_refuses(n):
    message = f"set_num_threads: n must be an integer from 1 to {threads.max_num_threads()} .*got {re.escape(repr(n))}"
    with pytest.raises(ValueError, match=message):
        threads.set_num_threads(n)


def test_set_num_threads_holds_for_every_python_thread(run_tiny):
    code = """
def used():
    x, out = np.ones((64, 1000)), np.zeros(64, np.int64)
    seen = set()
    for _ in range(200):  # a busy machine may keep a thread from helping, for a while
        thread_ids(x, out)
        seen.update(out.tolist())
        if len(seen) == threads.get_num_threads():
            time.sleep(0.001)
    return len(seen)

def used_in_a_new_thread():
    counts = []
    worker = threading.Thread(target=lambda: counts.append(used()))
    worker.start()
    worker.join()
    return counts[0]

seen = [(threads.get_num_threads(), used(), used_in_a_new_thread())]
for n in (np.int64(1), 2):
    threads.set_num_threads(n)
    seen.append((threads.get_num_threads(), used(), used_in_a_new_thread()))
print(seen)
"""
    assert run_tiny(code) == "[(2, 2, 2), (1, 1, 1), (2, 2, 2)]\n"


def test_the_same_bits_for_any_number_of_threads(run_tiny):
    code = """
threads.set_num_threads(1)
one = sums()
threads.set_num_threads(2)
two = sums()
print(one == two, np.isfinite(np.frombuffer(one, np.float32)).all())
"""
    assert run_tiny(code) == "True True\n"


@pytest.mark.parametrize("size", [1, 2, 8])
def test_several_python_threads_at_once(run_tiny, size):
    code = """
expected, wrong = sums(), []

def work():
    for _ in range(200):
        if sums() != expected:
            wrong.append(1)

workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(len(wrong))
"""
    assert run_tiny(code, NUMBA_NUM_THREADS=str(size)) == "0\n"


def test_the_first_call_may_come_from_several_threads(run_tiny, tmp_path):
    code = """
results = []
workers = [threading.Thread(target=lambda: results.append(sums())) for _ in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(len(results), len(set(results)))
"""
    assert run_tiny(code, NUMBA_CACHE_DIR=str(tmp_path)) == "4 1\n"


# Parents that have used their threads, whose children compute the same and see a serial process.
def test_a_forked_child_computes_the_same_bits(run_tiny):
    code = """
expected = sums()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(800)
    threads.set_num_threads(2)
    os.write(writer, sums())
    os._exit(0 if threads.get_num_threads() == 1 else 3)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), os.read(reader, 4096) == expected, sums() == expected)
print(threads.get_num_threads())
"""
    assert run_tiny(code) == "0 True True\n2\n"


def test_multiprocessing_with_fork_computes_the_same_bits(run_tiny):
    code = """
expected = sums()
with multiprocessing.get_context("fork").Pool(2) as pool:
    results = [pool.apply_async(sums) for _ in range(4)]
    print([result.get(timeout=800) == expected for result in results])
"""
    assert run_tiny(code) == "[True, True, True, True]\n"


def test_a_fork_waits_for_a_thread_that_compiles(run_tiny):
    code = """
from numba.core.compiler_lock import global_compiler_lock
expected, busy = sums(), threading.Event()

def compile_for_a_while():
    with global_compiler_lock:
        busy.set()
        time.sleep(0.5)

threading.Thread(target=compile_for_a_while).start()
busy.wait()
child = os.fork()
if child == 0:
    signal.alarm(800)  # ends the child if it waits for ever
    os._exit(0 if sums() == expected else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
sums()
out = np.empty(8, np.float32)
scale(x[0, :8].copy(), out)  # the parent still can compile
"""
    assert run_tiny(code) == "0\n"


@pytest.mark.parametrize("size", ["1", "2", "5"])
def test_programs_of_several_python_threads_with_forks_in_between(run_python, size):
    code = "import sys; sys.path.insert(0, 'tests/kernels'); import stress; print(stress.stress(2000))"
    assert run_python(code, NUMBA_NUM_THREADS=size).stdout == "0\n"
