"""Matrix products and what is made of them.

matmul        the product of matrices and the linear layer, and which kernel computes it
skinny_gemm   products of which one size is small
products      dot, mv, bmm, addmm
einsum        sums of products by letters
bilinear      products of two inputs' features
attention     scaled dot products, multi-head attention
embedding     tables that are looked up
sparse        sparse times dense
"""
