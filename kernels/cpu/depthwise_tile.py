"""The micro-kernel of depthwise convolution: sums of products of vectors, channel by channel.

    C[m, l] = start[m, l] + sum over i, j of A[i*a_i + j*a_j + m*a_row + l] * B[i*b_i + j*b_j + l]

for rows m and channels l of one tile. Every channel has its own filter, so there is no matrix product: the channels lie
side by side and are the lanes of the vectors. All three passes are this one function:

- forward and gradient of the input: rows = pixels of the destination, (i, j) = filter taps, B = filters;
- gradient of the filters: rows = filter taps, (i, j) = pixels, B = grad_out.

Why it is fast. A tile has up to 6 rows of NV vectors, all in registers. One step of (i, j) loads NV vectors of B, and
one vector of A for each multiply-add: 7 loads for 6 of them, and a core loads as many vectors per cycle as it
multiplies. More could be had only by keeping A in registers from tap to tap; the images then come from L2 or memory,
which sets the pace first.
"""

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from kernels.cpu.target import REGISTER_BYTES, TILE_ROWS, TILE_VECTORS
from kernels.jit import intrinsic
from kernels.machine_code import MachineCode

DEPTHWISE_ROWS = 6
DEPTHWISE_VECTORS = TILE_ROWS * TILE_VECTORS // DEPTHWISE_ROWS  # as many accumulators as a tile of the matrix product

_INT = ir.IntType(64)
_ELEMENTS = (ir.FloatType(), ir.DoubleType())
_ARGUMENTS = (
    "rows", "a", "a_row", "n_i", "a_i", "n_j", "a_j", "b", "b_i", "b_j", "c", "c_row", "channels", "start", "start_row",
)  # fmt: skip
_POINTERS = ("a", "b", "c", "start")
_SIGNATURE = ir.FunctionType(ir.VoidType(), [ir.PointerType() if name in _POINTERS else _INT for name in _ARGUMENTS])


@dataclass
class _Lanes:
    """Vectors of one element type, and the few ways to touch memory with them.

    With `used`, an LLVM integer, vectors are partial: only their first `used` lanes are read and written.
    """

    builder: Any
    element: Any  # LLVM's float or double
    used: Any = None

    def __post_init__(self):
        self.element_bytes = _element_bytes(self.element)
        self.lanes = REGISTER_BYTES // self.element_bytes
        self.vector = ir.VectorType(self.element, self.lanes)
        if self.used is not None:
            lane_type = ir.VectorType(_INT, self.lanes)
            used = self.builder.insert_element(ir.Constant(lane_type, ir.Undefined), self.used, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
            used = self.builder.shuffle_vector(used, used, zeros)
            lane = ir.Constant(lane_type, list(range(self.lanes)))
            self.mask = self.builder.icmp_signed("<", lane, used)

    def at(self, pointer, index, stride=None):
        """The address `index * stride` elements behind a pointer."""
        index = ir.Constant(_INT, index) if isinstance(index, int) else index
        offset = index if stride is None else self.builder.mul(index, stride)
        return self.builder.gep(pointer, [offset], source_etype=self.element)

    def load(self, row, v: int):
        """Vector v of a row."""
        pointer = self.builder.bitcast(self.at(row, v * self.lanes), self.vector.as_pointer())
        if self.used is None:
            return self.builder.load(pointer, align=self.element_bytes, typ=self.vector)
        return self.call("llvm.masked.load.{}.p0", self.vector, [pointer, self.mask, ir.Constant(self.vector, None)])

    def store(self, value, row, v: int) -> None:
        """Write vector v of a row."""
        pointer = self.builder.bitcast(self.at(row, v * self.lanes), self.vector.as_pointer())
        if self.used is None:
            self.builder.store(value, pointer, align=self.element_bytes)
        else:
            self.call("llvm.masked.store.{}.p0", ir.VoidType(), [value, pointer, self.mask])

    def fma(self, a, b, c):
        """a * b + c, rounded once."""
        return self.call("llvm.fma.{}", self.vector, [a, b, c])

    def call(self, name, result, arguments):
        """Call an LLVM intrinsic on vectors (llvmlite's own way to declare one refuses vector types)."""
        name = name.format(f"v{self.lanes}f{8 * self.element_bytes}")
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, name), arguments)


def _element_bytes(element) -> int:
    return 4 if isinstance(element, ir.FloatType) else 8


def _emit_tile(lanes: _Lanes, value: dict[str, Any], rows: int, vectors: int) -> None:
    """Emit one tile. Its accumulators are stack slots, which LLVM turns into registers."""
    builder = lanes.builder
    grid = [(m, v) for m in range(rows) for v in range(vectors)]
    start_rows = [lanes.at(value["start"], m, value["start_row"]) for m in range(rows)]
    accumulator = {}
    for m, v in grid:
        accumulator[m, v] = cgutils.alloca_once(builder, lanes.vector)
        builder.store(lanes.load(start_rows[m], v), accumulator[m, v])
    with cgutils.for_range(builder, value["n_i"]) as i:
        a_i, b_i = lanes.at(value["a"], i.index, value["a_i"]), lanes.at(value["b"], i.index, value["b_i"])
        with cgutils.for_range(builder, value["n_j"]) as j:
            a_j, b_j = lanes.at(a_i, j.index, value["a_j"]), lanes.at(b_i, j.index, value["b_j"])
            b = [lanes.load(b_j, v) for v in range(vectors)]
            for m in range(rows):
                a_row = lanes.at(a_j, m, value["a_row"])
                for v in range(vectors):
                    slot = accumulator[m, v]
                    total = builder.load(slot, typ=lanes.vector)
                    builder.store(lanes.fma(lanes.load(a_row, v), b[v], total), slot)
    for m in range(rows):
        c_row = lanes.at(value["c"], m, value["c_row"])
        for v in range(vectors):
            lanes.store(builder.load(accumulator[m, v], typ=lanes.vector), c_row, v)


def _build(module: ir.Module) -> None:
    """Write one function per element type, with a tile for every number of rows and vectors."""
    for element in _ELEMENTS:
        function = ir.Function(module, _SIGNATURE, _symbol(element))
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        value: dict[str, Any] = dict(zip(_ARGUMENTS, function.args, strict=True))
        lanes = ir.Constant(_INT, REGISTER_BYTES // _element_bytes(element))
        # Case vectors * DEPTHWISE_ROWS + rows; no whole vector means one partial vector.
        whole = builder.sdiv(value["channels"], lanes)
        case = builder.add(value["rows"], builder.mul(whole, ir.Constant(_INT, DEPTHWISE_ROWS)))
        done = function.append_basic_block("done")
        switch = builder.switch(case, done)
        for vectors in range(DEPTHWISE_VECTORS + 1):
            for rows in range(1, DEPTHWISE_ROWS + 1):
                block = function.append_basic_block(f"tile_{rows}x{vectors}")
                switch.add_case(ir.Constant(_INT, vectors * DEPTHWISE_ROWS + rows), block)
                builder.position_at_end(block)
                used = value["channels"] if vectors == 0 else None
                _emit_tile(_Lanes(builder, element, used), value, rows, max(vectors, 1))
                builder.branch(done)
        builder.position_at_end(done)
        builder.ret_void()


def _symbol(element: ir.Type) -> str:
    return f"convcore_depthwise_{element}"


MachineCode("depthwise_tile", [_symbol(element) for element in _ELEMENTS], _build)


@intrinsic
def depthwise_tile(
    typing_context,
    rows, a, a_offset, a_row, n_i, a_i, n_j, a_j, b, b_offset, b_i, b_j, c, c_offset, c_row, channels,
    start, start_offset, start_row,
):  # fmt: skip
    """Compute one tile of C.

    Computes   the formula at the top of this file, for m < rows and l < channels.
    Requires   1 <= rows <= DEPTHWISE_ROWS; channels is either 1 to DEPTHWISE_VECTORS whole vectors, or less than one.
               Arrays are flat and contiguous; offsets and strides count elements. `start` may be C itself.
    Writes     rows * channels elements of C, and nothing beside them.
    Parallel   not at all: callers give threads different tiles.
    Why        see the top of this file.
    """
    index = types.int64
    signature = types.void(
        index, a, index, index, index, index, index, index, b, index, index, index, c, index, index, index,
        start, index, index,
    )  # fmt: skip

    def codegen(context, builder, signature, arguments):
        names = (
            "rows a a_offset a_row n_i a_i n_j a_j b b_offset b_i b_j c c_offset c_row channels "
            "start start_offset start_row"
        )
        value: dict[str, Any] = dict(zip(names.split(), arguments, strict=True))
        element = context.get_value_type(a.dtype)
        for name, array_type in (("a", a), ("b", b), ("c", c), ("start", start)):
            pointer = context.make_array(array_type)(context, builder, value[name]).data
            value[name] = builder.gep(pointer, [value[f"{name}_offset"]], source_etype=element)
        function = cgutils.get_or_insert_function(builder.module, _SIGNATURE, _symbol(element))
        given = [value[name] for name in _ARGUMENTS]
        builder.call(function, [builder.bitcast(v, t) for v, t in zip(given, _SIGNATURE.args, strict=True)])
        return context.get_dummy_value()

    return signature, codegen
