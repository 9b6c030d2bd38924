"""The kernels for NVIDIA GPUs: what `kernels/cpu` computes, with the same names, written for numba.cuda.

README.md in this folder is their contract. Nothing here is imported by `import convcore`.

    jit, driver                                 the compiler; memory, copies, waiting
    micro/, reduce, philox                      tiles, sums in a fixed order, random numbers
    conv/, linear/                              convolution and matrix products
    pool, norm, elementwise, loss, dropout      the other families
    optim                                       the steps of optimizers
    calls, calls16                              how kernels of several steps are launched
"""
