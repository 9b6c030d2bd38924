"""The machinery of modules. Layers and models use only `Module`.

module                parameters, buffers and submodules; calls, modes, conversions
parameter_container   ParameterList, ParameterDict
state                 loading a state dict, completely or not at all
hooks                 the user's functions around forward and backward
modes                 temporary evaluation mode
"""
