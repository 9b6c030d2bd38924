"""What computes on a GPU: the twins of the operations, by their families. To import a module here enters its twins.

A twin keeps the forward's bookkeeping and, where it is made of other operations, the backward of its operation; what it
does with arrays is to start kernels of `kernels.cuda`. Images lie channels-last, as on the CPU. The modules are
imported when the first tensor goes to a GPU; `import convcore` does not touch them.
"""
