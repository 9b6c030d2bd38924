"""Convolution: one file an algorithm, with its passes.

    direct.py                forward and gradient of the input by the micro-kernel, on the input itself
    grad_weight.py           gradient of the filters by the same way, and the sum of its parts
    grouped.py               few channels per group
    depthwise.py             one filter per channel
    first_layer.py           gradient of the input for images of one to four channels
    im2col.py                all passes over a matrix of patches
    winograd.py              forward and gradient of the input by F(2x2, 3x3) and F(4x4, 3x3)
    winograd_grad_weight.py  gradient of the filters by the same
    winograd_transforms.py   the transforms of tiles and filters
    winograd_matrices.py     their matrices
    loop_table.py            the columns of the tables of phases and spans
    subsample.py             the pixels that a stride reads: a strided 1x1 convolution is a product of these

Images are blocks (N, H, W, C), volumes (N, D, H, W, C); filters come packed (`micro/pack.py`). The tables of loop
phases are made by `convcore/ops/conv`, which also chooses the algorithm.
"""
