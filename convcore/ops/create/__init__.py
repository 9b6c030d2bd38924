"""New tensors.

creation   from lists and arrays, constants, sequences
sampling   random values: equal seeds give equal tensors for any number of threads
queries    questions about tensors and element types
"""
