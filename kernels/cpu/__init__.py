"""Kernels for the CPU, compiled by Numba. The contract that all of them obey is kernels/README.md.

    vector/        vectors as values: the instruments
    micro/         micro-kernels and packing: functions that kernels call inside a chunk
    conv/ linear/ norm/ activation/ elementwise/ optim/
                   the kernels of a family, one file an algorithm or a kind of operation
    pool.py loss.py image.py reduce.py layout.py
                   families with one file

A family uses micro/ and vector/, and micro/ uses vector/. Families do not use each other, with two exceptions:
activation is built on elementwise, and loss on softmax. Arrays and integers come in, results are written into arrays of
the caller. The callers are in `convcore/ops` and `convcore/optim`.
"""
