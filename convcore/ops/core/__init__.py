"""What every operation uses; no operation of its own but conversions and copies.

arguments         integers, pairs, tensors: checked once, with errors that name the argument
axes              `dim` arguments
dtypes            element types, the type of a result, conversion
layout, rows      channels-last blocks, contiguous arrays, arrays as matrices
parallel_ufuncs   sums and products of large arrays on all threads
device, transfer  device and memory format; .to(), .cuda()
filters           the weight of a convolution or linear layer, and what an algorithm packs it into
weight_cache      keeps what was packed until the weight changes
public_api        the guard around public functions: arguments that must be tensors, NumPy's names
"""
