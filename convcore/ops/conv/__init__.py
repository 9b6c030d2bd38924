"""Convolution of series, images and volumes.

functions     conv1d, conv2d, conv3d and their Functions: the forward pass and both gradients
transpose     conv_transpose: the gradient of a convolution's input as an operation
geometry      every size that follows from shapes and settings, checked once per distinct call
far           settings that reach far beyond the image, replaced by a geometry that does not
fused         a convolution that waits for the batch norm, residual and activation that follow it

algorithm     the protocol of an algorithm, and how one is chosen
table         the algorithms of each pass, in the order in which "auto" tries them
explain       which algorithm computes a pass, and why not the others
pointwise, depthwise, grouped, winograd, first_layer, direct, im2col, reference     one algorithm each

loop_nest     which outputs read which inputs, as the tables that kernels walk through
panels        filters packed for the micro-kernel
work          how work is split into chunks, and sums into parts

A call: functions.convolve finds the geometry, table.choose the algorithm; its `forward` packs the filters, and calls
one kernel of `kernels/cpu/conv`. A new algorithm is one file, which says what it refuses and what it advises against,
and one word in `table.ALGORITHMS`.
"""
