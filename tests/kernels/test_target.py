"""The vector unit follows what Numba really compiles for."""

import llvmlite.binding as llvm
import pytest

from kernels.cpu.vector import target
from kernels.cpu.vector.target import AVX2, AVX512, NEON, SSE, vector_unit

X86 = "x86_64-unknown-linux-gnu"
ALL_AVX512 = "+avx2,+fma,+avx512f,+avx512vl,+avx512dq"


@pytest.mark.parametrize(
    ("name", "features", "unit"),
    [
        ("haswell", "", AVX2),
        ("x86-64-v3", "+64bit,+sse2", AVX2),
        ("znver5", "", AVX512),
        ("x86-64-v4", "", AVX512),
        ("generic", "", SSE),
        ("nehalem", "", SSE),
        ("no-such-cpu", "", SSE),
        ("no-such-cpu", ALL_AVX512, AVX512),
        ("no-such-cpu", "+avx2,+fma", AVX2),
        ("haswell", ALL_AVX512, AVX512),
        ("haswell", "-fma", SSE),
        ("znver5", "-avx512f", AVX2),
        ("znver5", "+avx512f,-avx512vl", AVX2),
        ("znver5", "-avx2,-avx512f", SSE),
    ],
)
def test_names_and_features(name, features, unit):
    assert vector_unit(X86, name, features) is unit


def test_a_host_that_is_not_listed_goes_by_its_features(monkeypatch):
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: "made-next-year")
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: {"avx2": True, "fma": True, "avx512f": False})
    assert vector_unit(X86, "made-next-year", "") is AVX2
    assert vector_unit(X86, "made-next-year", "-avx2") is SSE


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin24"])
def test_arm(triple):
    assert vector_unit(triple, "apple-m1", "+neon") is NEON


@pytest.mark.parametrize(("unit", "rows"), [(AVX512, 12), (AVX2, 6), (SSE, 6), (NEON, 12)])
def test_a_tile_fits_into_the_registers(unit, rows):
    assert unit.tile_rows == rows
    assert unit.tile_rows * target.TILE_VECTORS + target.TILE_VECTORS + 1 <= unit.registers


@pytest.mark.parametrize(("text", "ways"), [("12\n", 12), ("8", 8), ("", 8), ("unknown", 8), ("0", 1), (None, 8)])
def test_ways_of_the_cache(tmp_path, text, ways):
    described = tmp_path / "ways_of_associativity"
    if text is not None:
        described.write_text(text)
    assert target.l1_ways(described) == ways


def test_sizes_in_elements():
    assert target.lanes(4) == 2 * target.lanes(8) == target.REGISTER_BYTES // 4
    assert target.tile_columns(4) == 2 * target.lanes(4)


REPORT = """
import re
import numpy as np
from kernels.cpu.vector import target
from kernels.cpu.tiny import scale
x = np.ones(64, np.float32)
scale(x, x)
assembly = "".join(scale.entry.inspect_asm().values())
print(target.REGISTER_BYTES, target.TILE_ROWS, target.lanes(4))
print(sorted(set(re.findall("[xyz]mm(?=[0-9])|%k[0-7]", assembly)) - {"xmm"}))
"""


X86_CASES = [("haswell", None, "32 6 8"), ("nehalem", None, "16 6 4"), ("x86-64", "+avx2,+fma", "32 6 8")]
ARM_CASES = [("generic", None, "16 12 4")]


@pytest.mark.parametrize(
    ("name", "features", "first_line"), X86_CASES if llvm.get_process_triple().startswith("x86_64") else ARM_CASES
)
def test_a_process_compiles_for_the_cpu_in_its_environment(
    run_python, tiny_kernels, tmp_path, name, features, first_line
):
    """The name must reach the code too: no instruction that the named CPU does not have."""
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = run_python(REPORT, **options, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
    sizes, registers = done.stdout.splitlines()
    assert sizes == first_line
    assert "zmm" not in registers
    assert "%k" not in registers
    assert name != "nehalem" or "ymm" not in registers
