"""Matrix products.

    gemm.py         the general product on the micro-kernel, and the steps around it: sums of parts, transposed results
    skinny_gemm.py  products with few rows or few terms, bound by reading the large operand once
    sparse.py       a sparse matrix (CSR) times a dense one

`convcore/ops/linear` chooses between them; pointwise convolutions are products, too.
"""
