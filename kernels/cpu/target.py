"""What the CPU's vector unit looks like: how wide its registers are and how large a tile they hold.

The rules follow the target that Numba compiles for, so that NUMBA_CPU_NAME=haswell tests the AVX2 kernels
on a machine with AVX-512.
"""

import functools
from dataclasses import dataclass

import llvmlite.binding as llvm
from numba.core import config

# Names given in NUMBA_CPU_NAME say nothing of features, so those that people set are listed. An unlisted name
# gets 16-byte vectors, which every x86-64 and Arm CPU has.
_AVX512_NAMES = {
    "skylake-avx512", "cascadelake", "cooperlake", "cannonlake", "icelake-client", "icelake-server",
    "tigerlake", "rocketlake", "sapphirerapids", "emeraldrapids", "graniterapids", "znver4", "znver5", "x86-64-v4",
}  # fmt: skip
_AVX2_NAMES = {
    "haswell", "broadwell", "skylake", "alderlake", "raptorlake", "meteorlake", "znver1", "znver2", "znver3",
    "x86-64-v3",
}  # fmt: skip


@dataclass(frozen=True)
class VectorUnit:
    """The registers of one core's vector unit."""

    name: str
    register_bytes: int
    registers: int

    @property
    def tile_rows(self) -> int:
        """MR, the most rows of a micro-kernel tile two vectors wide.

        A tile keeps MR * 2 accumulators in registers and needs up to four more, two for B's vectors and two for A's
        values: (32 - 8) / 2 = 12 rows, or (16 - 4) / 2 = 6 rows on AVX2.
        """
        return 12 if self.registers == 32 else 6


AVX512 = VectorUnit("avx512", register_bytes=64, registers=32)
AVX2 = VectorUnit("avx2", register_bytes=32, registers=16)
SSE = VectorUnit("sse", register_bytes=16, registers=16)
NEON = VectorUnit("neon", register_bytes=16, registers=32)


@functools.cache
def vector_unit() -> VectorUnit:
    """The vector unit of the CPU that Numba compiles for."""
    if "aarch64" in llvm.get_process_triple() or "arm64" in llvm.get_process_triple():
        return NEON
    name = config.CPU_NAME
    if name is None or name == "host":
        features = llvm.get_host_cpu_features()
        if features.get("avx512f") and features.get("avx512vl") and features.get("avx512dq"):
            return AVX512
        return AVX2 if features.get("avx2") and features.get("fma") else SSE
    if name in _AVX512_NAMES:
        return AVX512
    return AVX2 if name in _AVX2_NAMES else SSE


REGISTER_BYTES = vector_unit().register_bytes
TILE_ROWS = vector_unit().tile_rows
TILE_VECTORS = 2


def lanes(itemsize: int) -> int:
    """VL, the number of elements of `itemsize` bytes in one vector register."""
    return REGISTER_BYTES // itemsize


def tile_columns(itemsize: int) -> int:
    """The columns of a full micro-kernel tile, TILE_VECTORS * VL: the width of a packed panel."""
    return TILE_VECTORS * lanes(itemsize)
