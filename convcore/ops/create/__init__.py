"""New tensors.

creation   from lists and arrays, constants, sequences
sampling   random values: equal seeds give equal tensors for any number of threads
queries    properties of tensors and element types
"""
