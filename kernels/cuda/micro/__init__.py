"""What kernels on the GPU are built of.

vectors.py    sixteen bytes in one load or store
tile.py       the product of two tiles in shared memory, by a block of threads
tile_half.py  the same for operands of 16 bits, by warps
mma.py        the tensor cores' instruction, and which thread holds which element
half.py       float16 and bfloat16: rounding, and matrices of them
layout.py     transposed copies, copies of views, one value everywhere
"""
