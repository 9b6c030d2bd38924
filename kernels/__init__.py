"""Hand-written kernels: arrays in, arrays out. See README.md in this folder for the contract.

The marker lets `import convcore` tell this package from another distribution's package of the same name.
"""

BELONGS_TO = "convcore"
