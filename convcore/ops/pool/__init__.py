"""Pooling: each output is the maximum or the mean of a window of its channel.

functions    max_pool, avg_pool, adaptive pooling: the Functions and the public names
geometry     which positions of the image each window covers
passes       forward and backward on channels-last blocks: calls the kernels
unpool       max_unpool, lp_pool
fractional   windows at random positions
"""
