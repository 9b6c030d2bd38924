"""The mutants: chosen ways to break the kernels, each with the tests that should notice."""

from mutation import Mutant

_CONV = "tests/ops/conv/test_conv.py"
_BRGEMM = "tests/kernels/test_brgemm.py"
_WINOGRAD = "tests/ops/conv/test_conv_winograd.py"
_GROUPED = "tests/ops/conv/test_conv_groups.py"
_MATMUL = "tests/ops/linear/test_matmul.py"
_FEW_ROWS = "tests/ops/linear/test_skinny_gemm.py"
_POOL = "tests/ops/pool/test_pool_kernels.py"
_NORM = "tests/ops/norm/test_batch_norm.py"
_SOFTMAX = "tests/ops/activation/test_softmax.py"
_LOSS = "tests/ops/loss/test_cross_entropy.py"

MUTANTS = [
    # The micro-kernel
    Mutant(
        "an edge tile writes one column too many",
        "kernels/cpu/vector/emit.py",
        'icmp_signed("<", ir.Constant(places.vector',
        'icmp_signed("<=", ir.Constant(places.vector',
        _BRGEMM,
    ),
    Mutant(
        "one tile too many has a row more",
        "kernels/cpu/vector/split.py",
        'icmp_signed("<", index, larger)',
        'icmp_signed("<=", index, larger)',
        _BRGEMM,
    ),
    Mutant(
        "ReLU in the store turns NaN into 0",
        "kernels/cpu/micro/brgemm.py",
        'fcmp_ordered("<=", value',
        'fcmp_unordered("<=", value',
        f"{_BRGEMM} tests/ops/conv/test_fused_conv.py",
    ),
    Mutant(
        "the rows of what is added lie where those of A do",
        "kernels/cpu/micro/brgemm.py",
        '"a_row" if name == "a" else "c_row"',
        '"c_row" if name == "c" else "a_row"',
        _BRGEMM,
    ),
    # Packing
    Mutant(
        "columns beyond the last are not zeroed",
        "kernels/cpu/micro/pack.py",
        "for r in range(used_rows, min(lanes, out_columns - i)):",
        "for r in range(used_rows + 1, min(lanes, out_columns - i)):",
        f"{_CONV} {_WINOGRAD} {_MATMUL}",
    ),
    Mutant(
        "rows that do not fill a square are left out",
        "kernels/cpu/micro/pack.py",
        "for r in range(used_rows):",
        "for r in range(1, used_rows):",
        f"{_CONV} {_MATMUL}",
    ),
    # Direct convolution
    Mutant(
        "the taps of another phase",
        "kernels/cpu/conv/direct.py",
        "offsets_w[first_w + u] - w_first",
        "offsets_w[u] - w_first",
        _CONV,
    ),
    Mutant(
        "every group gets the bias of the first",
        "kernels/cpu/conv/direct.py",
        "start, (g * n_panels + p) * lanes_per_panel",
        "start, p * lanes_per_panel",
        _CONV,
    ),
    Mutant(
        "strides of height and width are exchanged",
        "kernels/cpu/conv/direct.py",
        "src_step_w * channels, 1, taps",
        "src_step_h * channels, 1, taps",
        _CONV,
    ),
    Mutant(
        "the row's stride is forgotten",
        "kernels/cpu/conv/direct.py",
        "(j - j_first) * src_step_h * row_stride",
        "(j - j_first) * row_stride",
        _CONV,
    ),
    # Gradient of the weight
    Mutant(
        "all parts add to one accumulator, a race",
        "kernels/cpu/conv/grad_weight.py",
        "filter_row = ((part * groups + g)",
        "filter_row = ((0 * groups + g)",
        _CONV,
    ),
    Mutant(
        "the second part of the batch is not added",
        "kernels/cpu/conv/grad_weight.py",
        "for i in range(1, parts):",
        "for i in range(2, parts):",
        _CONV,
    ),
    Mutant(
        "the dilation of rows is forgotten",
        "kernels/cpu/conv/grad_weight.py",
        "(r * dil_h * window_columns",
        "(r * window_columns",
        _CONV,
    ),
    # im2col
    Mutant(
        "a pixel too many is inside the image",
        "kernels/cpu/conv/im2col.py",
        "if 0 <= h < h_in and 0 <= w < w_in:\n                    for c in range(columns):",
        "if 0 <= h < h_in and -1 < w <= w_in:\n                    for c in range(columns):",
        f"{_CONV} -k im2col",
    ),
    # Winograd
    Mutant(
        "sums over channels begin anew with each block",
        "kernels/cpu/conv/winograd.py",
        "product_plane, l > 0, taps",
        "product_plane, l > DEPTH, taps",
        _WINOGRAD,
    ),
    Mutant(
        "a block's sums begin anew",
        "kernels/cpu/conv/winograd_grad_weight.py",
        "block > first_block, False, False",
        "block > first_block + 1, False, False",
        _WINOGRAD,
    ),
    # Depthwise, grouped and first layers
    Mutant(
        "every channel of a group is its first",
        "kernels/cpu/micro/replicate.py",
        "x[pixel + pieces[0, p] + c]",
        "x[pixel + pieces[0, p]]",
        _GROUPED,
    ),
    Mutant(
        "the first row of a block is lost at its edge",
        "kernels/cpu/conv/first_layer.py",
        "first_oh = max(0, ceil_div(first_h + pad_top - reach",
        "first_oh = max(0, 1 + ceil_div(first_h + pad_top - reach",
        "tests/ops/conv/test_algorithms.py",
    ),
    # Matrix products
    Mutant(
        "the bias is added to every part of a sum",
        "kernels/cpu/linear/gemm.py",
        "(n_panels * panel_columns if is_first else 0)",
        "n_panels * panel_columns",
        _MATMUL,
    ),
    Mutant(
        "every block of a sum adds what is to be added once",
        "kernels/cpu/linear/gemm.py",
        "added = residual if is_first and has_residual",
        "added = residual if has_residual",
        "tests/ops/conv/test_fused_sum.py",
    ),
    Mutant(
        "every output of four gets the bias of the first",
        "kernels/cpu/linear/skinny_gemm.py",
        "sums[m, i] + bias[f + i]",
        "sums[m, i] + bias[f]",
        _FEW_ROWS,
    ),
    # Pooling
    Mutant(
        "a maximum begins at 0",
        "kernels/cpu/pool.py",
        "largest_0 = largest_1 = vsplat(x, -np.inf)",
        "largest_0 = largest_1 = vsplat(x, 0)",
        _POOL,
    ),
    Mutant(
        "the last vector of a pixel runs into the next",
        "kernels/cpu/pool.py",
        "                largest_0, place_0, largest_1, place_1 = _largest_of_two(\n"
        "                    flat_x, first + c, rows",
        "                largest_0, place_0, largest_1, place_1 = _largest_of_two(\n"
        "                    flat_x, first + block, rows",
        _POOL,
    ),
    # Normalisation
    Mutant(
        "evaluation uses the gradient of training",
        "kernels/cpu/norm/batch_norm.py",
        "    if frozen:\n        return scale",
        "    if not frozen:\n        return scale",
        _NORM,
    ),
    Mutant(
        "one repetition of the channels is not folded",
        "kernels/cpu/norm/batch_norm.py",
        "for j in range(channels, totals.shape[0]):",
        "for j in range(channels + 1, totals.shape[0]):",
        _NORM,
    ),
    # Softmax and losses
    Mutant(
        "softmax does not subtract the maximum",
        "kernels/cpu/activation/softmax.py",
        "sum_of_exponentials(flat_x, at, length, row_maximum(flat_x, at, length), flat_out)",
        "sum_of_exponentials(flat_x, at, length, x.dtype.type(0), flat_out)",
        _SOFTMAX,
    ),
    Mutant(
        "ignored labels count in the mean",
        "kernels/cpu/loss.py",
        "            chunk_weight += weight[t]\n    workspace",
        "        chunk_weight += weight[max(t, 0)]\n    workspace",
        _LOSS,
    ),
    Mutant(
        "label smoothing leaves out the label",
        "kernels/cpu/loss.py",
        "hit = grad_loss[r] * (1.0 - label_smoothing) * weight[t]",
        "hit = grad_loss[r] * weight[t]",
        _LOSS,
    ),
    # Elementwise, dropout, optimizers, sparse
    Mutant(
        "ReLU's gradient looks at the wrong sign",
        "kernels/cpu/elementwise/functions.py",
        "vselect(vless_equal(out, zero), zero, g)",
        "vselect(vless_equal(g, zero), zero, g)",
        "tests/ops/activation/test_relu.py",
    ),
    Mutant(
        "denormals stay flushed after a kernel",
        "kernels/denormals.py",
        "        _write_mode(builder, arguments[0])\n        return context.get_dummy_value()",
        "        return context.get_dummy_value()",
        "tests/kernels/test_denormals.py",
    ),
    Mutant(
        "a thread does a chunk of the next share",
        "kernels/team.py",
        "    return chunks * (share + 1) // shares",
        "    return chunks * (share + 1) // shares + share",
        "tests/kernels/test_threads.py",
    ),
    Mutant(
        "a launch does not wait for the other threads",
        "kernels/team.py",
        "    while load_acquire(slot + DONE) < chunks:",
        "    while load_acquire(slot + DONE) < 1:",
        "tests/kernels/test_threads.py",
    ),
    Mutant(
        "momentum adds the wrong share of the gradient",
        "kernels/cpu/optim/sgd_adam.py",
        "buffer = vmuladd(vsplat(param, share), g, buffer)",
        "buffer = vmuladd(vsplat(param, momentum), g, buffer)",
        "tests/optim/test_optim_kernels.py",
    ),
    Mutant(
        "a sparse row loses its last entry",
        "kernels/cpu/linear/sparse.py",
        "            for e in range(starts[i], starts[i + 1]):\n                neighbour",
        "            for e in range(starts[i], starts[i + 1] - 1):\n                neighbour",
        "tests/ops/linear/test_sparse.py",
    ),
]
