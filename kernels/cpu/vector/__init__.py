"""The instruments: what a kernel is written with. Nothing here knows an operation.

    target.py      the vector unit of the CPU that Numba compiles for: register width, lanes, tile sizes
    values.py      `vload`, `vfma`, `vselect`, `vstore`, ..: a register as a value of kernel code
    integers.py    the same for integers as wide as a vector's floats
    math.py        exp, tanh, erf and related functions of vectors
    transpose.py   squares of VL x VL values, transposed in registers
    copy.py        copies and clears contiguous memory, a vector at a time
    philox.py      random numbers as a function of key and counter
    split.py       `ceil_div`, and even splits into parts
    fence.py       keeps LLVM from reordering an expression
    emit.py        for micro-kernels written as LLVM IR: loops, vectors (`Lanes`), prefetches, streamed stores

An edit here changes the machine code of every kernel.
"""
