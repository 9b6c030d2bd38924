"""Matrix products on the GPU.

    gemm.py  operands of float32, of any strides
    half.py  operands of 16 bits, sums of float32

`kernels/cuda/calls.py` and `calls16.py` start them.
"""
