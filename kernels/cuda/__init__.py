"""The kernels for NVIDIA GPUs: what `kernels/cpu` computes, with the same names, written for numba.cuda.

README.md in this folder is their contract. Nothing here is imported by `import convcore`.
"""
