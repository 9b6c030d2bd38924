"""Functions of one element at a time, with broadcasting.

arithmetic                          + - * / **, and the sum over axes that broadcasting added
ufuncs                              how such a function is made from a NumPy ufunc and a derivative
functions                           exp, log, sqrt, tanh, sigmoid, relu, clamp, where
exponentials, trigonometry, rounding, division, comparison, special, real_numbers
in_place                            x.add_(y), x[index] = y: how any operation gets a form that works in place
unscale                             gradients of a scaled loss
"""
