"""What the CPU's vector unit looks like: how wide its registers are and how large a tile they hold.

The rules follow the target that Numba compiles for, so that NUMBA_CPU_NAME=haswell tests the AVX2 kernels
on a machine with AVX-512.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import llvmlite.binding as llvm

from kernels.jit import compiler_target

# The names that people set in NUMBA_CPU_NAME; a name says nothing of features by itself. An unlisted one gets 16-byte
# vectors, which every x86-64 and Arm CPU has.
_AVX512_NAMES = {
    "skylake-avx512", "cascadelake", "cooperlake", "cannonlake", "icelake-client", "icelake-server",
    "tigerlake", "rocketlake", "sapphirerapids", "emeraldrapids", "graniterapids", "znver4", "znver5", "x86-64-v4",
}  # fmt: skip
_AVX2_NAMES = {
    "haswell", "broadwell", "skylake", "alderlake", "raptorlake", "meteorlake", "znver1", "znver2", "znver3",
    "x86-64-v3",
}  # fmt: skip
_AVX2_FEATURES = {"avx2", "fma"}
_AVX512_FEATURES = _AVX2_FEATURES | {"avx512f", "avx512vl", "avx512dq"}


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
def vector_unit(triple: str, name: str, features: str) -> VectorUnit:
    """The vector unit of a target as `compiler_target` describes it; features that are given overrule the name."""
    if triple.startswith(("aarch64", "arm64")):
        return NEON
    has = set()
    if name in _AVX512_NAMES:
        has = set(_AVX512_FEATURES)
    elif name in _AVX2_NAMES:
        has = set(_AVX2_FEATURES)
    elif name == llvm.get_host_cpu_name():  # a CPU newer than this list
        has = {feature for feature, present in llvm.get_host_cpu_features().items() if present}
    for feature in features.split(","):
        if feature.startswith("+"):
            has.add(feature[1:])
        else:
            has.discard(feature[1:])
    if has >= _AVX512_FEATURES:
        return AVX512
    return AVX2 if has >= _AVX2_FEATURES else SSE


def l1_ways(described: Path = Path("/sys/devices/system/cpu/cpu0/cache/index0/ways_of_associativity")) -> int:
    """How many lines whose addresses differ by a multiple of 4 KiB the L1 data cache of a core keeps.

    12 on today's servers, 8 before them, and where the system does not say. It decides what is copied, not what is
    computed: results are the same.
    """
    try:
        return max(int(described.read_text()), 1)
    except (OSError, ValueError):
        return 8


# Results of this size and more are written past the caches, see `vstream`. It is half of the L3 that a few cores of a
# server share: with results of 26 MB and more, a convolution and the pooling after it took 15 % less time, with 13 MB
# 5 % more (benchmarks/NOTES.md, "Zen 5").
STREAM_BYTES = 16 * 1024**2

UNIT = vector_unit(*compiler_target())
L1_WAYS = l1_ways()
REGISTER_BYTES = UNIT.register_bytes
TILE_ROWS = UNIT.tile_rows
TILE_VECTORS = 2


def lanes(itemsize: int) -> int:
    """VL, the number of elements of `itemsize` bytes in one vector register."""
    return REGISTER_BYTES // itemsize


def tile_columns(itemsize: int) -> int:
    """The columns of a full micro-kernel tile, TILE_VECTORS * VL: the width of a packed panel."""
    return TILE_VECTORS * lanes(itemsize)
