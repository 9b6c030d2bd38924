"""Micro-kernels, and what brings operands into the order in which they read: called inside of a kernel's chunk.

    brgemm.py              the micro-kernel: a batch-reduce matrix product up to a panel wide
    depthwise_tile.py      the micro-kernel for filters of one channel, and for small groups
    depthwise_variants.py  the tile variants that depthwise_tile.py selects from
    constant_matmul.py     a small constant matrix times vectors: the step of Winograd's transforms
    pack.py                packs right-hand operands into panels; kernels of its own, for what is packed once
    gather.py              copies the part of an image that a tile reads, with its zero padding
    replicate.py           gives each output channel of a group input channels of its own
    peak.py                measures the machine: multiply-adds and copies per second

They are single-threaded, check nothing, and write nothing beside the elements that their docstrings name.
"""
