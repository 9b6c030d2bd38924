"""Activations.

    functions.py  ELU, GELU, hardswish, Mish and others, as functions of vectors
    softmax.py    softmax and its logarithm along the rows of a matrix
    dropout.py    dropout, whose mask is computed and never stored

ReLU, sigmoid and tanh are in `elementwise/functions.py`. A new activation is a value and a gradient in functions.py,
and its definition in `kernels/reference/activation.py`.
"""
