"""The same elements seen in another way: nothing is computed, and where NumPy can, nothing is copied.

views      reshape, transpose, permute, expand, squeeze
joining    cat, stack, split, chunk
indexing   x[index], gather, nonzero
"""
