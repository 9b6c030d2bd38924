"""The GPU implementations of the operations. Importing a module registers its implementations.

    conv, linear, norm, pool, loss, elementwise   the families that have kernels on the GPU
    half                                          convolution and products of 16-bit values, inside autocast
    optim                                         the steps of optimizers
    arrays                                        what they share: float32 arrays, the order of axes

An implementation replaces the forward of an operation, and the backward unless that is composed of other operations. It
launches the kernels of `kernels.cuda`. Images are channels-last, as on the CPU. The modules are imported when the first
tensor goes to a GPU, and not by `import convcore`.
"""
