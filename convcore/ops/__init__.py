"""The operations: each is a Function (forward and backward) and the public function with torch's name and arguments.

The families, from the ground up. A family imports only families above it in this list; `tests/structure` checks that.

    core          arguments, dtypes, memory layout, devices, packed weights: shared by all operations
    shape         views, joining, indexing: other shapes of the same elements
    elementwise   y = f(x), f(x, y), and changes in place
    create        new tensors: constants, sequences, random values
    rearrange     elements copied to other positions: flip, roll, scatter, as_strided
    reduce        sums, extremes, statistics, scans, sorting, distances
    pool          max and average pooling, unpooling
    image         padding, resizing, pixel_shuffle, grid_sample
    activation    activations, softmax, dropout
    norm          batch norm and its fusions, layer norm, instance norm
    linear        matrix products, einsum, attention, embedding, sparse matrices
    loss          cross-entropy, distances, margins, CTC
    conv          convolution: its geometry, its algorithms, their table
    cuda          the GPU implementations of the above, one file a family

Kernels and tests use the same family names: `kernels/cpu/conv`, `kernels/reference/conv.py`, `kernels/cuda/conv`,
`tests/ops/conv`.

The life of a call, `F.conv2d(x, weight)` while a network trains:

    conv.functions.convolve         checks the arguments (core.arguments), finds the geometry (conv.geometry)
    autograd.Function.apply         makes a node of the graph if an input requires a gradient
    conv.functions.Conv.forward     chooses the algorithm (conv.table)
    conv.direct.Direct.forward      packs the filters, splits the work into chunks; each algorithm has its file
    kernels.launch.Kernel           launches ONE kernel: its chunks, on all threads

`backward` takes the same path from `Conv.backward`: the gradient of the input and that of the weight are Functions with
algorithms and kernels of their own.

The second call reuses the decisions of the first: the geometry is cached by shapes and settings
(`conv.geometry`), the loop nests and the algorithm by geometry (`once_per_geometry`), the compiled kernel by the types
of its arguments. Packed filters are cached with the weight's memory until the weight changes, and only in inference
(`core.filters`, `core.weight_cache`).

The fused call. Where no gradient is recorded, conv2d returns a lazy tensor (`convcore.autograd.lazy`, `conv.fused`). A
batch norm, a sum and an activation that follow are added to it, and the first read of the values computes them all in
one kernel. `norm.fused` does the same for batch norm, ReLU and max pooling, in training too.
"""
