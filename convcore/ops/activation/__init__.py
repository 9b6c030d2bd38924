"""Activations and what stands beside them in a network.

    functions         gelu, silu, elu and others that have a kernel of their own (ReLU, sigmoid, tanh: elementwise)
    composed          activations made of other operations
    softmax           softmax, log_softmax
    dropout           of elements
    channel_dropout   of whole channels, and dropout for SELU

A new activation with a kernel: its value and gradient on vectors in kernels/cpu/activation/functions.py, its reference
in kernels/reference/activation.py, one line in `functions`.
"""
