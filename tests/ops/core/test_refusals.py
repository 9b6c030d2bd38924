"""What einsum, searching and counting refuse, by the text of their errors."""

import pytest

import convcore as cc
from convcore.errors import DTypeError, ShapeError

X = cc.ones(2, 3)
RISING = cc.tensor([1.0, 2.0, 4.0])
ORDER = cc.tensor([2, 1, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cc.einsum("ij,jk", X), "the equation has 2 operands, but 1 were given"),
        (lambda: cc.einsum("ij->iki", X), "each letter of the result must occur once there, and in an operand"),
        (lambda: cc.einsum("i1", X), "only letters and one ... may name axes, got 'i1'"),
        (lambda: cc.einsum(X, [0, 99]), "axes are numbered from 0 to 51, got 99"),
        (lambda: cc.einsum("i", X), "operand 0 has 2 axes, which 'i' does not name"),
        (lambda: cc.einsum("ij,jk", X, X), "the letter 'j' stands for axes of sizes 3 and 2"),
        (lambda: cc.einsum("ii", X[:1]), r"a repeated letter 'i' needs equal sizes, got \(1, 3\)"),
        (lambda: cc.einsum(), "needs an equation and at least one operand"),
        (lambda: cc.searchsorted(RISING, RISING, side="middle"), 'side must be "left" or "right" .* got \'middle\''),
        (lambda: cc.searchsorted(RISING, RISING, side="left", right=True), "agree with right=True"),
        (lambda: cc.searchsorted(X, RISING), r"the values' shape but for the last, got \(2, 3\) and \(3,\)"),
        (lambda: cc.searchsorted(RISING, RISING, sorter=ORDER[:2]), r"sorter must be int64 of the .* shape \(3,\)"),
        (lambda: cc.searchsorted(RISING, RISING, sorter=ORDER + 1), "sorter holds an index out of range"),
        (lambda: cc.bucketize(RISING, X), r"bucketize: boundaries must have 1 axis, got shape \(2, 3\)"),
        (lambda: cc.bincount(ORDER - 1), "bincount: input must be 1-D integers of at least 0"),
        (lambda: cc.bincount(ORDER, RISING[:2]), r"weights must have the input's shape \(3,\), got \(2,\)"),
        (lambda: cc.bincount(ORDER, minlength=-1), "bincount: minlength must be at least 0, got -1"),
        (lambda: cc.histc(RISING, bins=0), "histc: needs bins of at least 1"),
        (lambda: cc.histc(RISING, min=2, max=1), "min <= max, got bins=100, min=2, max=1"),
    ],
)
def test_shapes_and_settings(call, message):
    with pytest.raises(ShapeError, match=message):
        call()


def test_searching_needs_one_dtype():
    with pytest.raises(DTypeError, match="both must have one dtype, got float32 and int64"):
        cc.searchsorted(RISING, ORDER)


def test_searching_through_a_sorter_and_counting_with_weights():
    assert cc.searchsorted(cc.tensor([4.0, 2.0, 1.0]), RISING, sorter=ORDER, out_int32=True).tolist() == [0, 1, 2]
    assert cc.bucketize(cc.tensor([2.0, 3.0]), RISING, right=True).tolist() == [2, 2]
    assert cc.bincount(cc.tensor([0, 2, 2]), RISING).tolist() == [1, 0, 6]
