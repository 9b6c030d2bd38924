"""Functions of single elements.

    functions.py   makes the two kernels of a function from its value and its gradient; ReLU, exp, tanh, sigmoid, erf
    arithmetic.py  sums and products of two arrays, on all threads

Arrays come as flat memory: their shape and the order of their axes do not matter.
"""
