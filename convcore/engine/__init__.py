"""What lies between arrays and autograd: it knows no gradient and no operation.

capture        a computation as the list of the calls it made (`convcore.compile` replays it)
traced         arrays that tell a capture what NumPy computes from them
dispatch       which function computes on a GPU in the place of another
memory_watch   who must hear of changes of memory
cuda/          arrays and memory on a GPU
"""
