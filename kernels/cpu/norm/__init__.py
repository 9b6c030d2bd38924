"""Normalisation.

    batch_norm.py       per channel: statistics, the result with or without ReLU, gradients
    batch_norm_pool.py  the same, fused with the max pooling that follows
    layer_norm.py       per row: layer norm, RMS norm, group norm

Statistics and sums are written as parts in a fixed order; running statistics belong to `convcore/ops/norm`.
"""
