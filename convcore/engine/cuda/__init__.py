"""Arrays on a GPU: whether there is one, its memory, and arrays in it; see `convcore.ops.cuda` for what computes there.

    probe    whether there is a GPU that can be used, else why not
    memory   blocks of its memory, used again and again
    array    DeviceArray: as much of a NumPy array as lies in such a block
    dlpack   handing an array to another library

Nothing here imports `numba.cuda` before somebody asks for a GPU.
"""
