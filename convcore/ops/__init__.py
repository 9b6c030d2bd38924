"""The operations: each is a Function (forward and backward) and the public function with torch's name and arguments.

The families, from the ground up. A family imports only families above it in this list; `tests/structure` checks that.

    core          arguments, dtypes, memory layout, devices, kept weights: what every operation uses
    shape         views, joining, indexing: the same elements seen in another way
    elementwise   y = f(x), f(x, y), and changes in place
    create        new tensors: constants, sequences, random values
    rearrange     elements copied to other places: flip, roll, scatter, as_strided
    reduce        sums, extremes, statistics, scans, sorting, distances
    pool          max and average pooling, and the way back
    image         padding, resizing, pixel_shuffle, grid_sample
    activation    activations, softmax, dropout
    norm          batch norm and its fusions, layer norm, instance norm
    linear        matrix products, einsum, attention, embedding, sparse matrices
    loss          cross-entropy, distances, margins, CTC
    conv          convolution: its geometry, its algorithms, their table
    cuda          what computes on a GPU in the place of the above, one file a family

The kernels have the same names: `kernels/cpu/conv`, `kernels/reference/conv.py`, `kernels/cuda/conv`; so have the
tests, `tests/ops/conv`.

The life of a call, `F.conv2d(x, weight)` while a network trains:

    conv.functions.conv2d           checks the arguments (core.arguments), finds the geometry (conv.geometry)
    autograd.Function.apply         makes a node of the graph, if a gradient may be wanted
    conv.functions.Conv.forward     chooses the algorithm (conv.algorithm, from the table of its pass)
    the algorithm's forward         packs the filters, splits the work into chunks
    kernels.jit.Kernel              runs ONE compiled kernel on all threads

`backward` goes the same way from `Conv.backward`: the gradient of the input and that of the weight are Functions with
algorithms and kernels of their own.

The second call finds what the first one decided: the geometry and the loop nests are cached by sizes
(`conv.geometry.once_per_geometry`), the algorithm with them, and the compiled kernel by the types of its arguments.
Packed filters are kept only while nobody trains them, with the weight's memory, until it changes (`core.filters`,
`core.weight_cache`).

The fused call. Where no gradient is recorded, conv2d returns a tensor that is not computed yet
(`convcore.autograd.lazy`, `conv.fused`). A batch norm, a sum and an activation that follow join it, and whoever looks
at the values first makes one kernel compute them all. `norm.fused` does the same for batch norm, ReLU and max pooling,
in training too.
"""
