"""Convolutions on graphs: the new features of a node are computed from its own features and those of its neighbours.

An image is a graph, too: a grid in which every pixel has neighbours at the same relative positions, each position with
its own weight. Neighbours in a general graph have no positions. So they share one weight and are averaged, and the
convolution is a product with a sparse matrix, built once per graph, and a dense layer:

    adjacency A[i, j]      the weight of the edge from j to i, 0 for none
    gcn_matrix(A)          D^-1/2 (A + I) D^-1/2, D the degrees with the loops I
    mean_matrix(A)         D^-1 A: its product with x holds the mean of each node's neighbours
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convcore.errors import ShapeError
from convcore.nn import init
from convcore.nn.base.module import Module
from convcore.nn.linear import Linear
from convcore.nn.parameter import Parameter
from convcore.ops.create.creation import zeros
from convcore.ops.linear.sparse import SparseMatrix, sparse_matmul
from convcore.tensor import Tensor


def _adjacency(name: str, adjacency: Any) -> Any:
    matrix = SparseMatrix(adjacency).to_scipy().astype(np.float64)
    if matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"{name}: an adjacency matrix is square, got shape {matrix.shape}")
    return matrix


def gcn_matrix(adjacency: Any) -> SparseMatrix:
    """The matrix of a graph convolution, D^-1/2 (A + I) D^-1/2.

    Each node becomes its own neighbour, unless the graph has that edge already. The weights of the mean keep the matrix
    symmetric if A is: neighbours with many edges count less.

    Args:
        adjacency: (N, N), of scipy.sparse or a dense array; [i, j] is the weight of the edge from j to i, not negative.

    Raises:
        ShapeError: the matrix is not square.
        ValueError: a weight is negative.

    Source: T. Kipf and M. Welling, "Semi-Supervised Classification with Graph Convolutional Networks" (2017),
    equation 2.
    """
    import scipy.sparse  # not at the top, as in `convcore.ops.linear.sparse`

    matrix = _adjacency("gcn_matrix", adjacency)
    if matrix.nnz and matrix.data.min() < 0:
        raise ValueError(f"gcn_matrix: edge weights must not be negative, the smallest is {matrix.data.min()}")
    loops = np.where(matrix.diagonal() == 0, 1.0, 0.0)
    matrix = matrix + scipy.sparse.diags_array(loops)
    degrees = np.asarray(matrix.sum(axis=1)).reshape(-1)
    scale = scipy.sparse.diags_array(1 / np.sqrt(degrees))
    return SparseMatrix(scale @ matrix @ scale)


def mean_matrix(adjacency: Any) -> SparseMatrix:
    """The matrix that averages neighbours: 1 / (number of i's edges) at each edge [i, j], whatever the edge's weight.

    A node without neighbours gets zeros.

    Args:
        adjacency: (N, N), of scipy.sparse or a dense array; a nonzero entry at [i, j] is an edge from j to i.

    Raises:
        ShapeError: the matrix is not square.

    Source: W. Hamilton, R. Ying and J. Leskovec, "Inductive Representation Learning on Large Graphs" (2017),
    algorithm 1 with the mean aggregator.
    """
    matrix = _adjacency("mean_matrix", adjacency)
    matrix.eliminate_zeros()
    counts = np.diff(matrix.indptr)
    matrix.data = np.repeat(1 / np.maximum(counts, 1), counts)
    return SparseMatrix(matrix)


class GCNConv(Module):
    """A graph convolution: out = matrix (x weight^T) + bias.

    Shapes: x (N, in_channels), matrix (N, N) from `gcn_matrix`, out (N, out_channels). Weights are initialised with
    Glorot's uniform distribution, biases with 0; the names in the state dict are torch_geometric's.

    Args:
        in_channels: features of a node.
        out_channels: features of a node in the result.
        bias: whether to add a bias.

    Source: Kipf and Welling (2017), equation 2.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.lin = Linear(in_channels, out_channels, bias=False)
        self.bias = Parameter(zeros(out_channels)) if bias else None
        init.xavier_uniform_(self.lin.weight)

    def forward(self, x: Tensor, matrix: SparseMatrix) -> Tensor:
        # The product is associative: for speed, the sparse product is applied at the smaller of the two widths.
        if self.in_channels < self.out_channels:
            out = self.lin(sparse_matmul(matrix, x))
        else:
            out = sparse_matmul(matrix, self.lin(x))
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, bias={self.bias is not None}"


class SAGEConv(Module):
    """GraphSAGE with the mean aggregator: out = (matrix x) weight_l^T + bias_l + x weight_r^T.

    The features of a node and the mean over its neighbours have separate weights. Shapes: x (N, in_channels), matrix
    (N, N) from `mean_matrix`, out (N, out_channels). The names in the state dict are torch_geometric's. Weights and
    biases are initialised like those of `Linear`.

    Args:
        in_channels: features of a node.
        out_channels: features of a node in the result.
        normalize: whether to scale each node's result to length 1.
        root_weight: whether the node's own features contribute.
        bias: whether to add a bias.

    Source: Hamilton, Ying and Leskovec (2017), algorithm 1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, normalize: bool = False, root_weight: bool = True, bias: bool = True
    ):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.normalize = normalize
        self.lin_l = Linear(in_channels, out_channels, bias=bias)
        self.lin_r = Linear(in_channels, out_channels, bias=False) if root_weight else None

    def forward(self, x: Tensor, matrix: SparseMatrix) -> Tensor:
        out = self.lin_l(sparse_matmul(matrix, x))
        if self.lin_r is not None:
            out = out + self.lin_r(x)
        if self.normalize:
            out = out / (out * out).sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        return out

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, normalize={self.normalize}"
