"""Activations, softmax and dropout.

    functions         gelu, silu, elu and others with their own kernels (ReLU, sigmoid, tanh: see elementwise)
    composed          activations composed of other operations
    softmax           softmax, log_softmax
    dropout           dropout of elements
    channel_dropout   dropout of whole channels, and dropout for SELU

To add an activation with a kernel: write the value and the gradient on vectors in kernels/cpu/activation/functions.py,
the reference in kernels/reference/activation.py, and a class in `functions`.
"""
