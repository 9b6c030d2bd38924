"""The GPU implementations of the operations, one file a family. Importing a module registers its implementations.

An implementation replaces the forward of an operation, and the backward unless that is composed of other operations. It
launches the kernels of `kernels.cuda`. Images are channels-last, as on the CPU. The modules are imported when the first
tensor goes to a GPU, and not by `import convcore`.
"""
