"""The product of a sparse matrix and a tensor: values, gradients, forms of matrices, and what is refused."""

import numpy as np
import pytest
import scipy.sparse

import convcore as cc
from convcore.errors import DTypeError, ShapeError
from convcore.ops.linear.sparse import ENTRIES_PER_CHUNK, SparseMatrix, sparse_matmul
from convcore.testing import gradcheck, gradgradcheck
from kernels import threads
from kernels.cpu.linear import sparse as kernels
from kernels.reference import linear as reference


def random_matrix(rows, columns, density, seed=0):
    """With empty rows, and one row that has nearly all columns."""
    matrix = scipy.sparse.random_array((rows, columns), density=density, rng=seed).tolil()
    if rows > 2:
        matrix[1] = np.arange(columns)
        matrix[rows - 2] = 0
    return matrix.tocsr()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 3), (40, 60), (3, 500)])
@pytest.mark.parametrize("features", [1, 7, 8, 32, 33, 100])
def test_kernel(dtype, rows, columns, features):
    matrix = random_matrix(rows, columns, 0.3)
    x = np.random.default_rng(1).standard_normal((columns, features)).astype(dtype)
    starts, indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    values = matrix.data.astype(dtype)
    out = np.full((rows, features), np.nan, dtype)
    bounds = np.array([0, 0, rows // 2, rows])
    before = x.copy()
    kernels.csr_matmul(starts, indices, values, bounds, x.reshape(-1), out.reshape(-1), features)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    expected = reference.csr_matmul(starts, indices, values, x)
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance * max(1, np.abs(expected).max()))
    np.testing.assert_allclose(expected, matrix.toarray().astype(dtype).astype(float) @ x, rtol=1e-10, atol=1e-10)
    assert np.array_equal(x, before)


def test_the_same_bits_for_every_number_of_threads():
    matrix = SparseMatrix(random_matrix(3000, 3000, 0.004))
    assert matrix.nnz > 10 * ENTRIES_PER_CHUNK
    x = np.random.default_rng(2).standard_normal((3000, 20)).astype(np.float32)
    results = []
    for n in (1, min(2, threads.max_num_threads())):
        threads.set_num_threads(n)
        results.append(matrix.times(x))
    threads.set_num_threads(threads.max_num_threads())
    assert np.array_equal(*results)
    np.testing.assert_allclose(results[0], matrix.to_scipy() @ np.float64(x), rtol=1e-4, atol=1e-2)


def test_gradients():
    matrix = SparseMatrix(random_matrix(6, 4, 0.5))
    x = cc.tensor(np.random.default_rng(3).standard_normal((4, 3)), requires_grad=True)
    assert gradcheck(lambda x: matrix @ x, (x,))
    assert gradgradcheck(lambda x: (matrix @ x) ** 2, (x,))
    (matrix @ x).backward(cc.ones(6, 3, dtype=cc.float64))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.array, np.repeat(matrix.to_scipy().sum(axis=0)[:, None], 3, 1))
    assert matrix.T.T is matrix
    assert matrix.T.shape == (4, 6)


def test_forms_of_x():
    matrix = SparseMatrix(np.array([[0, 2.0], [1, 0], [0, 0]]))
    assert (matrix @ cc.tensor([3.0, 4.0])).tolist() == [8, 3, 0]
    wide = cc.arange(12, dtype=cc.float32).reshape(6, 2).permute(1, 0)
    assert (matrix @ wide).tolist() == [[2, 6, 10, 14, 18, 22], [0, 2, 4, 6, 8, 10], [0] * 6]
    assert (matrix @ cc.zeros(2, 0)).shape == (3, 0)
    nan = (matrix @ cc.tensor([[float("nan")], [1.0]])).numpy()
    assert np.isnan(nan).tolist() == [[False], [True], [False]]


@pytest.mark.parametrize("form", [scipy.sparse.coo_array, scipy.sparse.csc_matrix, scipy.sparse.csr_matrix, np.array])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_forms_of_the_matrix(form, dtype):
    dense = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 1]], dtype)
    assert SparseMatrix(form(dense)).to_scipy().toarray().tolist() == dense.tolist()
    assert SparseMatrix(form(dense)).nnz == 4


def test_entries_that_stand_twice_are_added_up():
    twice = scipy.sparse.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), (2, 2))
    matrix = SparseMatrix(twice)
    assert matrix.nnz == 2
    assert (matrix @ cc.tensor([1.0, 1.0])).tolist() == [3, 4]
    assert repr(matrix) == "SparseMatrix(shape=(2, 2), nnz=2)"


def test_empty_matrices():
    assert (SparseMatrix(scipy.sparse.csr_array((0, 4))) @ cc.ones(4, 2)).shape == (0, 2)
    assert (SparseMatrix(scipy.sparse.csr_array((3, 0))) @ cc.ones(0, 2)).tolist() == [[0, 0]] * 3


def test_what_is_refused():
    matrix = SparseMatrix(np.eye(3))
    with pytest.raises(ShapeError, match=r"the matrix \(3, 3\) needs an x of 3 rows, .* got shape \(2, 3\)"):
        sparse_matmul(matrix, cc.ones(2, 3))
    with pytest.raises(ShapeError, match=r"got shape \(3, 1, 1\)"):
        sparse_matmul(matrix, cc.ones(3, 1, 1))
    with pytest.raises(DTypeError, match="sparse_matmul: x must be float32 or float64"):
        sparse_matmul(matrix, cc.ones(3, 1, dtype=cc.int64))
    with pytest.raises(DTypeError, match="matrix must be a SparseMatrix, got csr_array; make one of it"):
        sparse_matmul(scipy.sparse.csr_array((3, 3)), cc.ones(3, 1))  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match=r"must be of scipy\.sparse or a NumPy array, got list"):
        SparseMatrix([[1]])
    with pytest.raises(DTypeError, match="must hold real numbers, got complex128"):
        SparseMatrix(np.eye(2) * 1j)
    with pytest.raises(ShapeError, match=r"must have two axes, got shape \(3,\)"):
        SparseMatrix(np.ones(3))
    broken = scipy.sparse.csr_array(np.eye(3))
    broken.indices = np.array([0, 1, 7])
    with pytest.raises(ShapeError, match="matrix is not well formed"):
        SparseMatrix(broken)
