"""Sparse matrices, and their product with dense ones.

    out[i, f] = sum over j of A[i, j] * x[j, f],  and so  dL/dx = A^T G  for a gradient G with respect to out.

A is kept by rows (compressed sparse rows, CSR); its transpose, which the gradient needs, is made once and kept with it.
A is a constant: a graph that is given, not learnt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Function, wrap
from convcore.errors import DTypeError, ShapeError
from convcore.ops.core.arguments import check_float_tensors
from convcore.ops.core.budget import ceil_div
from convcore.ops.core.layout import contiguous
from kernels.cpu.linear.sparse import csr_matmul

if TYPE_CHECKING:
    from convcore.tensor import Tensor

ENTRIES_PER_CHUNK = 2048  # enough work for a thread, and several chunks for it on graphs of more than some 10,000 edges


class SparseMatrix:
    """A constant sparse matrix (N, M), to be multiplied with tensors (M, F): `matrix @ x`.

    Args:
        matrix: anything of `scipy.sparse`, or a dense NumPy array; entries that stand twice are added up. It is copied.

    Attributes:
        shape: (N, M).
        nnz: the number of entries.

    Raises:
        DTypeError: not such a matrix, or complex numbers.
        ShapeError: not two axes, or entries outside of the shape.
    """

    def __init__(self, matrix: Any):
        import scipy.sparse  # not at the top: it takes a tenth of the time of importing convcore

        if not (scipy.sparse.issparse(matrix) or isinstance(matrix, np.ndarray)):
            raise DTypeError(
                f"SparseMatrix: matrix must be of scipy.sparse or a NumPy array, got {type(matrix).__name__}"
            )
        if matrix.ndim != 2:
            raise ShapeError(f"SparseMatrix: matrix must have two axes, got shape {matrix.shape}")
        if matrix.dtype.kind not in "fiub":
            raise DTypeError(f"SparseMatrix: matrix must hold real numbers, got {matrix.dtype}")
        rows = scipy.sparse.csr_array(matrix, copy=True)
        try:
            rows.check_format(full_check=True)
        except ValueError as error:
            raise ShapeError(f"SparseMatrix: matrix is not well formed: {error}") from error
        rows.sum_duplicates()
        self._set(rows)

    def _set(self, rows: Any) -> None:
        self.shape: tuple[int, int] = rows.shape
        self.nnz: int = rows.nnz
        self._rows = rows
        self._starts = rows.indptr.astype(np.int64)
        self._columns = rows.indices.astype(np.int64)
        self._values: dict[Any, np.ndarray] = {}  # by dtype
        self._transpose: SparseMatrix | None = None
        # Rows with many entries count more: a chunk is a run of rows with about ENTRIES_PER_CHUNK entries.
        chunks = max(1, ceil_div(self.nnz, ENTRIES_PER_CHUNK))
        shares = np.linspace(0, self.nnz, chunks + 1)
        self._bounds = np.searchsorted(self._starts, shares, side="left").astype(np.int64)
        self._bounds[0], self._bounds[-1] = 0, self.shape[0]

    @property
    def T(self) -> SparseMatrix:
        """The transpose; made once."""
        if self._transpose is None:
            transpose = SparseMatrix.__new__(SparseMatrix)
            transpose._set(self._rows.T.tocsr())
            transpose._transpose = self
            self._transpose = transpose
        return self._transpose

    def to_scipy(self) -> Any:
        """A `scipy.sparse.csr_array` of the same numbers."""
        return self._rows.copy()

    def times(self, x: np.ndarray) -> np.ndarray:
        """The product with an array (M, F) of float32 or float64, in its dtype."""
        values = self._values.get(x.dtype)
        if values is None:
            values = self._values[x.dtype] = self._rows.data.astype(x.dtype)
        features = x.shape[1]
        out = np.empty((self.shape[0], features), x.dtype)
        flat = contiguous(x).reshape(-1)
        csr_matmul(self._starts, self._columns, values, self._bounds, flat, out.reshape(-1), features)
        return out

    def __matmul__(self, x: Tensor) -> Tensor:
        return sparse_matmul(self, x)

    def __repr__(self) -> str:
        return f"SparseMatrix(shape={self.shape}, nnz={self.nnz})"


class SparseMatmul(Function):
    """out = A x, dL/dx = A^T G."""

    @staticmethod
    def forward(ctx: Any, matrix: SparseMatrix, x: Tensor):
        ctx.matrix = matrix
        return wrap(matrix.times(x.array))

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor):
        return None, SparseMatmul.apply(ctx.matrix.T, grad_out)


def sparse_matmul(matrix: SparseMatrix, x: Tensor) -> Tensor:
    """A sparse matrix (N, M) times a tensor (M, F), or (M,): (N, F), or (N,); gradients flow into x.

    Raises:
        DTypeError: `matrix` is no SparseMatrix, or x is not a tensor of float32 or float64.
        ShapeError: x does not have M rows.
    """
    if not isinstance(matrix, SparseMatrix):
        raise DTypeError(f"sparse_matmul: matrix must be a SparseMatrix, got {type(matrix).__name__}; make one of it")
    check_float_tensors("sparse_matmul", x=x)
    if x.ndim not in (1, 2) or x.shape[0] != matrix.shape[1]:
        raise ShapeError(
            f"sparse_matmul: the matrix {matrix.shape} needs an x of {matrix.shape[1]} rows, (M, F) or (M,), got "
            f"shape {tuple(x.shape)}"
        )
    if x.ndim == 1:
        return SparseMatmul.apply(matrix, x.unsqueeze(1)).squeeze(1)
    return SparseMatmul.apply(matrix, x)
