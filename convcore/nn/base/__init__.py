"""The machinery of modules; layers and models see only `Module`.

module                parameters, buffers and modules inside a module; calls, modes, moves
parameter_container   ParameterList, ParameterDict
state                 loading a state dict, wholly or not at all
hooks                 functions of the user around forward and backward
modes                 evaluation for a while
"""
