"""Helpers that every operation uses. The only operations here are conversions and copies.

arguments         integers, pairs, tensors: checked once, with errors that name the argument
axes              `dim` arguments
dtypes            element types, the type of a result, conversion
layout, rows      channels-last blocks, contiguous arrays, arrays viewed as matrices
parallel_ufuncs   sums and products of large arrays on all threads
broadcast         whether shapes fit each other; the gradient of a repeated operand
device, transfer  device and memory format; .to(), .cuda()
filters           the weight of a convolution or linear layer, and its packed forms
budget            the numbers by which operations split their work into tasks
epilogue          what a kernel does with a result before it stores it: a residual, an activation
weight_cache      caches packed weights until the weight changes
public_api        the guard around public functions: rejects non-tensors, accepts NumPy's argument names
"""
