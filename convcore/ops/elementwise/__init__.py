"""Elementwise functions, with broadcasting.

arithmetic                          + - * / **, and the sum over axes that broadcasting added
ufuncs                              builds such a function from a NumPy ufunc and a derivative
functions                           exp, log, sqrt, tanh, sigmoid, relu, clamp, where
exponentials, trigonometry, rounding, division, comparison, special, real_numbers
in_place                            x.add_(y), x[index] = y: builds the in-place variant of any operation
unscale                             unscales the gradients of a scaled loss
"""
