"""Where convcore and torch's database may differ, and why. `test_op_db.py` checks that the table is exact."""

# Operations that convcore does not have; * stands for any letters.
LACKING = {
    "fft.*": "Fourier transforms are not part of convolutional networks",
    "linalg.*": "solvers and decompositions",
    "special.*": "special functions that no network uses",
    "masked.*": "torch.masked is a prototype",
    "signal.*": "windows of signal processing",
    "sparse.*": "sparse tensors",
    "jiterator_*": "compiles CUDA source",
    "torch.ops.aten._*": "internal to torch",
    "torch._scaled_mm*": "8-bit floats",
    "_segment_reduce/*": "internal to torch",
    "bmm/triton_optimized": "internal to torch",
}

# (operation, what goes wrong, dtypes in which it does): reason
DIFFERENCES: dict[tuple[str, str, tuple[str, ...]], str] = {
    ("nn.functional.embedding", "value", ("float32",)): "max_norm shortens the table in place, as in torch",
    ("nn.functional.embedding", "refused", ("float32",)): "sparse gradients",
    ("nn.functional.embedding_bag", "value", ("float32",)): "max_norm shortens the table in place, as in torch",
}

# Operations that draw random numbers or leave memory unset: only the form of the result is compared.
ONLY_FORM: frozenset[str] = frozenset(
    {
        "bernoulli", "cauchy", "empty", "empty_like", "empty_permuted", "empty_strided", "exponential", "geometric",
        "log_normal", "multinomial", "new_empty", "new_empty_strided", "nn.functional.alpha_dropout",
        "nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d",
        "nn.functional.feature_alpha_dropout/with_train",
        "nn.functional.multi_head_attention_forward", "nn.functional.rrelu",
        "nn.functional.scaled_dot_product_attention", "normal", "normal/in_place",
        "normal/number_mean", "rand_like", "randint", "randint_like", "randn", "randn_like", "uniform",
    }
)  # fmt: skip
