"""Convolution on the GPU.

    implicit_gemm.py  all passes as a matrix product that reads patches from the image; packs filters
    half.py           the same with operands of 16 bits
    depthwise.py      one filter per channel
    im2col.py         with a matrix of patches: a second way, which tests compare with

`kernels/cuda/calls.py` and `calls16.py` start them.
"""
