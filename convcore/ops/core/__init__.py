"""Helpers that every operation uses. The only operations here are conversions and copies.

arguments         integers, pairs, tensors: checked once, with errors that name the argument
axes              `dim` arguments
dtypes            element types, the type of a result, conversion
layout, rows      channels-last blocks, contiguous arrays, arrays viewed as matrices
parallel_ufuncs   sums and products of large arrays on all threads
broadcast         the check of shapes, and the gradient of a broadcast operand
device, transfer  device and memory format; .to(), .cuda()
filters           the weight of a convolution or linear layer, and its packed forms
explanation       why each algorithm of an operation is chosen or not
budget            constants by which operations split their work into chunks
fusion            what an operation asks a lazy tensor: may it join the computation to come?
epilogue          operations on a kernel's result before it is stored: residual, activation
weight_cache      caches packed weights until the weight changes
public_api        the guard around public functions: rejects non-tensors, accepts NumPy's argument names
"""
