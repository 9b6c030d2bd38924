"""Hand-written kernels: arrays in, arrays out. See README.md in this folder for the contract.

The marker lets `import convcore` tell this package from another distribution's package of the same name.

    jit, cache, entry_points, machine_code   the compiler, compiled kernels on disk, functions written as LLVM IR
    threads                                  how many threads, forked children
    cpu/, cuda/                              the kernels
    reference/                               every operation in plain NumPy and float64
"""

BELONGS_TO = "convcore"
