"""Arrays on a GPU: whether there is one, its memory, and arrays in it; see `convcore.ops.cuda` for what computes there.

Nothing here imports `numba.cuda` before somebody asks for a GPU.
"""
