"""Denormals count as zero in kernels, on every thread, and nowhere else."""


def test_denormals_are_zero_in_every_chunk_and_the_mode_is_restored(run_python, tiny_kernels, tiny_cache):
    code = """
import threading
import numpy as np
from kernels.cpu.tiny import products
from kernels.program import Program

tiny = np.full((64, 8), 1e-40, np.float32)  # denormal as an input
small, factor = np.full((64, 8), 1e-30, np.float32), np.full(1, 1e-10, np.float32)  # denormal as a result
one = np.ones(1, np.float32)

def run(x, by):
    outs = np.full(x.shape, np.nan, np.float32), np.full(x.shape, np.nan, np.float32)
    products(x, by, outs[0])
    Program([products.step(x, by, outs[1])]).run()
    assert not np.isnan(outs).any()
    return [np.count_nonzero(out) for out in outs]

def all_cases():
    for rows in (1, 64):
        assert run(tiny[:rows], one) == [0, 0]
        assert run(small[:rows], factor) == [0, 0]
        assert run(small[:rows], one) == [8 * rows, 8 * rows]
    assert (tiny * one).all(), "the caller kept flushing"
    assert (small * factor).all(), "the caller kept flushing"

all_cases()
worker = threading.Thread(target=all_cases)
worker.start()
worker.join()
from kernels import threads
threads.set_num_threads(1)
all_cases()
print("done")
"""
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": tiny_cache, "NUMBA_NUM_THREADS": "2"}
    assert run_python(code, **options).stdout == "done\n"
