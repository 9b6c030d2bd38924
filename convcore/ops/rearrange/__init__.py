"""Elements copied to other positions.

functions        flip, roll, repeat, triangles, diagonals
scatter          index_add, scatter
scatter_reduce   many values reduced into one element
strided          as_strided
copies           the functions that torch names *_copy
"""
