"""Hand-written kernels: arrays in, arrays out. See README.md in this folder for the contract.

The marker lets `import convcore` tell this package from another distribution's package of the same name.

    launch, program, frame                   kernels as chunks, launches of them, and many launches in one call
    ahead                                    kernels compiled ahead, by several processes
    team, atomics, denormals, threads        the threads that do the chunks, and how many they are
    jit, cache, entry_points, machine_code   the compiler, compiled kernels on disk, functions written as LLVM IR
    cpu/, cuda/                              the kernels
    reference/                               every operation in plain NumPy and float64
"""

BELONGS_TO = "convcore"
