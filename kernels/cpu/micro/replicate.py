"""Replication: each output channel of a grouped convolution gets input channels of its own (see `conv/grouped.py`)."""

from llvmlite import ir
from numba.core import types

from kernels.cpu.micro.gather import inside_range
from kernels.cpu.vector.copy import clear_line
from kernels.cpu.vector.emit import array_pointer
from kernels.cpu.vector.target import REGISTER_BYTES
from kernels.cpu.vector.values import Vector, lanes_of, vsplat, vstore
from kernels.jit import inline, intrinsic

_INT = ir.IntType(64)


@intrinsic
def _replicate_vector(typing_context, x, index, window, target, step, group):
    """window[target + c * step + k] = x[index + k // group * group + c] for c < group and the VL lanes k.

    `group` is a power of two greater than 1 that divides VL: one load, and a shuffle for each c.
    """

    def codegen(context, builder, sig, args):
        lanes = lanes_of(context, builder, Vector(x.dtype))
        value = lanes.load(array_pointer(context, builder, x, *args[:2]))
        begin = array_pointer(context, builder, window, *args[2:4])
        done = builder.append_basic_block("replicate_done")
        switch = builder.switch(args[5], done)
        size = 2
        while size <= lanes.lanes:
            block = builder.append_basic_block(f"replicate_{size}")
            switch.add_case(_INT(size), block)
            builder.position_at_end(block)
            for c in range(size):
                places = [k // size * size + c for k in range(lanes.lanes)]
                lanes.store(lanes.shuffle(value, places), lanes.at(begin, c, args[4]))
            builder.branch(done)
            size *= 2
        builder.position_at_end(done)
        return context.get_dummy_value()

    index_type = types.int64
    return types.void(x, index_type, window, index_type, index_type, index_type), codegen


@inline
def _divides(group, lanes):
    """Whether `_replicate_vector` takes groups of this size."""
    return 1 < group <= lanes and group & (group - 1) == 0


@inline
def _pieces(first, end, x_group, out_group, lanes, pieces):
    """Cut the output channels first to end - 1 into pieces within one group and one vector; return how many.

    pieces[0, p] is the first input channel of the group of piece p, pieces[1, p] how far the piece is behind `first`.
    """
    count, k = 0, first
    while k < end:
        group = k // out_group
        pieces[0, count] = group * x_group
        pieces[1, count] = k - first
        k = min((group + 1) * out_group, k + lanes)
        count += 1
    return count


@inline
def replicate(
    x, image_offset, h_in, w_in, c_in, x_group, out_group, first, end, h_first, w_first, window, rows, columns, pieces
):  # fmt: skip
    """window[i, j, c, k - first] = x[h_first + i, w_first + j, (k // out_group) * x_group + c] for first <= k < end.

    x is a flat (N, H, W, C) block, `image_offset` the place of the image in it; pixels outside are 0. Values are
    written a vector at a time, in rising order; the next vector overwrites what the last one wrote too far, so the
    window needs one vector more. Groups that divide a vector are replicated by a shuffle. `pieces` int64 (2, at least
    end - first) is scratch memory.
    """
    block = end - first
    pixel_size = x_group * block
    lanes = REGISTER_BYTES // x.itemsize
    whole_groups = x_group == out_group and _divides(x_group, lanes) and first % lanes == 0 and block % lanes == 0
    count = _pieces(first, end, x_group, out_group, lanes, pieces)
    inside_first, inside_end = inside_range(w_first, 1, w_in, columns)
    for i in range(rows):
        target = i * columns * pixel_size
        h = h_first + i
        inside = 0 <= h < h_in
        from_column, end_column = (inside_first, inside_end) if inside else (columns, columns)
        clear_line(window, target, from_column * pixel_size)
        for j in range(from_column, end_column):
            pixel = image_offset + (h * w_in + w_first + j) * c_in
            row = target + j * pixel_size
            if whole_groups:
                for k in range(0, block, lanes):
                    _replicate_vector(x, pixel + first + k, window, row + k, block, x_group)
            else:
                for c in range(x_group):
                    for p in range(count):
                        vstore(vsplat(x, x[pixel + pieces[0, p] + c]), window, row + c * block + pieces[1, p])
        clear_line(window, target + end_column * pixel_size, (columns - end_column) * pixel_size)
