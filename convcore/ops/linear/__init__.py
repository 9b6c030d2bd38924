"""Matrix products and what is made of them.

matmul        the product of matrices and the linear layer, for arrays and for tensors
geometry      the sizes and memory order of a product, on which the choice of its algorithm depends
algorithm     the protocol of an algorithm; `table` lists them in order and chooses, `explain` says why
skinny_gemm   the algorithm for products of which one size is small
transposed    the algorithm that computes out^T = b^T a^T
gemm          the algorithms of the blocked product, "packed" and "in place"; `blocking` splits it into chunks

products      dot, mv, bmm, addmm
einsum        sums of products by letters
bilinear      products of two inputs' features
attention     scaled dot products, multi-head attention
embedding     tables that are looked up
sparse        sparse times dense
"""
