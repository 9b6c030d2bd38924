"""Where convcore and torch's database may differ, and why. `test_op_db.py` checks that the table is exact."""

from op_db import GRADIENT, SECOND, VALUE

ALL = ("float32", "float64", "int64", "uint8", "bool")
INTEGERS = ("int64", "uint8")
TIES = "of equal elements convcore names the first, torch any"

# Operations that convcore does not have, beside the public names in `convcore/absent_table.py`; * for any letters.
LACKING = {
    "jiterator_*": "compiles CUDA source",
    "torch.ops.aten._*": "internal to torch",
    "torch._scaled_mm*": "8-bit floats",
    "_segment_reduce/*": "internal to torch",
    "_native_*": "internal to torch",
    "_batch_norm_with_update": "internal to torch",
    "_softmax_backward_data": "internal to torch",
    "_upsample_bilinear2d_aa": "internal to torch: interpolate(antialias=True)",
    "max_pool2d_with_indices_backward": "internal to torch",
    "_unsafe_masked_index*": "internal to torch",
    "_chunk_cat": "internal to torch",
    "slice": "internal to torch: x[a:b]",
}

# (operation, what goes wrong, dtypes in which it does): reason
DIFFERENCES: dict[tuple[str, str, tuple[str, ...]], str] = {
    **{
        (f"nn.functional.{name}", "refused", ("int64",)): "kernels of convolution and pooling compute with floats"
        for name in (
            "avg_pool1d", "avg_pool2d", "avg_pool3d", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
            "conv_transpose2d", "conv_transpose3d",
        )
    },
    **{
        (f"nn.functional.{name}", "refused", INTEGERS): "kernels of convolution and pooling compute with floats"
        for name in ("max_pool2d", "max_pool3d")
    },
    **{
        (f"nn.functional.{name}", "refused", INTEGERS): "products of layers compute with floats"
        for name in ("bilinear", "linear")
    },
    **{
        (f"nn.functional.{name}", "refused", ("uint8",)): "pixels are resized as floats"
        for name in ("interpolate/bicubic", "interpolate/bilinear", "upsample_bilinear")
    },
    **{
        (name, "refused", ("uint8",)): "a negative number is no uint8, where torch adds 256"
        for name in (
            "add", "full_like", "index_add", "nn.functional.cosine_embedding_loss", "rsub", "scalar_tensor", "sub",
        )
    },
    **{
        (name, kind, dtypes): reason
        for name in ("quantile", "nanquantile")
        for kind, dtypes, reason in (
            (VALUE, ("float32", "float64"), "quantiles of a single number get no axis from keepdim"),
            (GRADIENT, ("float64",), "q is a constant: no gradient flows into it"),
        )
    },
    ("argsort", VALUE, ("uint8", "bool")): TIES,
    ("cov", SECOND, ("float64",)): "weights of float32 are rounded in another order",
    ("kthvalue", VALUE, INTEGERS): TIES,
    ("nn.functional.ctc_loss", SECOND, ("float64",)): "torch has no second derivative of it",
    ("nn.functional.linear_cross_entropy/chunked", SECOND, ("float64",)): "torch's chunks have no second derivative",
    ("nn.functional.linear_cross_entropy/chunked_none", GRADIENT, ("float64",)): "torch's gradient of these fails",
    **{
        (f"nn.functional.{name}", VALUE, ("float32", "float64")): "running statistics move in place, as in torch"
        for name in ("batch_norm", "instance_norm")
    },
    ("bfloat16", "refused", ALL): "numbers of 16 bits",
    ("half", "refused", ALL): "numbers of 16 bits",
    ("norm/nuc", "refused", ("float32", "float64")): "the nuclear norm needs singular values",
    ("mode", VALUE, ("int64", "uint8", "bool")): TIES,
    ("as_strided_scatter", GRADIENT, ("float64",)): "in torch what a 0-d tensor replaces has a gradient",
    ("as_strided/partial_views", VALUE, ALL): "elements are counted from the tensor's own first one",
    ("as_strided/partial_views", "refused", ALL): "elements are counted from the tensor's own first one",
    ("sort", VALUE, ("uint8", "bool")): TIES,
    ("topk", VALUE, INTEGERS): TIES,
    ("nn.functional.embedding", "value", ("float32",)): "max_norm shortens the table in place, as in torch",
    ("nn.functional.embedding_bag", "value", ("float32",)): "max_norm shortens the table in place, as in torch",
}  # fmt: skip

# Wrong inputs that cannot be put to convcore.
OUTSIDE = {
    **dict.fromkeys(("amax", "amin", "aminmax"), "65 axes, where NumPy's tensors have 64 at most"),
    **dict.fromkeys(("dot", "vdot"), "numbers of 16 bits"),
    **{f"nn.functional.conv{n}d": "complex numbers" for n in (1, 2, 3)},
    "gradient": "complex numbers, and tensors on another device",
    "masked_fill": "complex numbers",
}

# Operations that draw random numbers or leave memory unset: only the form of the result is compared.
ONLY_FORM: frozenset[str] = frozenset(
    {
        "bernoulli", "cauchy", "empty", "empty_like", "empty_permuted", "empty_strided", "exponential", "geometric",
        "log_normal", "multinomial", "new_empty", "new_empty_strided", "nn.functional.alpha_dropout",
        "nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d",
        "nn.functional.feature_alpha_dropout/with_train",
        "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d",
        "nn.functional.multi_head_attention_forward", "nn.functional.rrelu",
        "nn.functional.scaled_dot_product_attention", "normal", "normal/in_place",
        "normal/number_mean", "rand_like", "randint", "randint_like", "randn", "randn_like", "uniform",
    }
)  # fmt: skip
