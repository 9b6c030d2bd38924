"""Other shapes of the same elements, without computation, and without a copy where the strides allow a view.

views      reshape, transpose, permute, expand, squeeze
joining    cat, stack, split, chunk
indexing   x[index], gather, nonzero
"""
