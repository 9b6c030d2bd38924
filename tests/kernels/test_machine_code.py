"""Functions written as LLVM IR: translated once, loaded by the next process, rebuilt when their file is no good."""

from pathlib import Path

import pytest

# A module with one function, seven(), that a kernel calls by its name; prints how often the IR was written.
CODE = """
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from kernels import cache, jit
from kernels.launch import kernel
from kernels.machine_code import MachineCode

signature, built = ir.FunctionType(ir.IntType(64), []), []

def build(module):
    built.append(1)
    function = ir.Function(module, signature, "convcore_test_seven")
    ir.IRBuilder(function.append_basic_block()).ret(ir.IntType(64)(7))

code = MachineCode("seven", ["convcore_test_seven"], build)

@jit.intrinsic
def seven(typing_context):
    def codegen(context, builder, signature_, arguments):
        return builder.call(cgutils.get_or_insert_function(builder.module, signature, "convcore_test_seven"), [])
    return types.int64(), codegen

@kernel(9)
def sevens(chunk, out):
    out[chunk] = seven()

assert code.library is None, "nothing is translated before the first kernel"
out = np.zeros(9, np.int64)
sevens(out)
assert (out == 7).all()
print(len(built))
"""


@pytest.fixture
def built(run_python, tiny_kernels, tmp_path):
    """Run CODE in a new process with this test's own cache; returns how often the function was translated."""
    return lambda: int(run_python(CODE, path=tiny_kernels, NUMBA_CACHE_DIR=str(tmp_path)).stdout)


def test_the_second_process_loads(built):
    assert [built(), built()] == [1, 0]


def test_a_bad_file_is_rebuilt(built, tmp_path, run_python, tiny_kernels):
    assert built() == 1
    (path,) = Path(tmp_path).rglob("seven-*.bin")
    path.write_bytes(path.read_bytes()[:-5])
    assert built() == 1
    # Whole, with the right digest, and still not a library.
    run_python(f"from kernels.cache import *; write_entry(Path({str(path)!r}), ('no', 'library'))", path=tiny_kernels)
    assert [built(), built()] == [1, 0]


def test_without_a_cache(run_python, tiny_kernels):
    done = run_python("import kernels.cache\nkernels.cache.cache_directory = lambda: None\n" + CODE, path=tiny_kernels)
    assert done.stdout == "1\n"
