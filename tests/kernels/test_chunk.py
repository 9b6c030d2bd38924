"""Flush-to-zero holds inside a chunk, on every thread, and nowhere else."""


def test_denormals_are_zero_in_every_chunk_and_the_mode_is_restored(run_python, tiny_kernels, tiny_cache):
    code = """
import threading
import numpy as np
from kernels.cpu.tiny import scale_flushing_denormals, scale_keeping_denormals

tiny = np.full(64, 1e-40, np.float32)  # denormal as an input
small, factor = np.full(64, 1e-30, np.float32), np.full(1, 1e-10, np.float32)  # denormal as a result
one = np.ones(1, np.float32)

def run(kernel, x, by):
    out = np.full(64, np.nan, np.float32)
    kernel(x, by, out)
    return np.count_nonzero(out), np.isnan(out).any()

def all_cases():
    assert run(scale_keeping_denormals, tiny, one) == (64, False)
    assert run(scale_flushing_denormals, tiny, one) == (0, False)
    assert run(scale_flushing_denormals, small, factor) == (0, False)
    assert run(scale_flushing_denormals, small, one) == (64, False)
    assert run(scale_keeping_denormals, small, factor) == (64, False), "a thread kept flushing"
    assert (tiny * one).all(), "the caller kept flushing"
    assert (small * factor).all(), "the caller kept flushing"

all_cases()
worker = threading.Thread(target=all_cases)
worker.start()
worker.join()
from kernels import threads
threads._forked, threads.free_entry = True, False  # the serial twins
all_cases()
print("done")
"""
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": tiny_cache, "NUMBA_NUM_THREADS": "2"}
    assert run_python(code, **options).stdout == "done\n"
