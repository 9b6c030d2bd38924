"""Places by tensors: what is refused, and what counts from the end, is as in torch; an error names value and range."""

import pytest
import torch

import convcore
from convcore.errors import DTypeError, ShapeError
from convcore.nn import functional as F

BASE = [[0, 1, 2, 0], [1, 0, 2, 1], [2, 1, 0, 2]]  # of places along both axes of a (3, 4) tensor
OPERATIONS = {
    "gather": lambda m, f, x, i: m.gather(x, 1, i),
    "gather, dim 0": lambda m, f, x, i: x.gather(0, i),
    "gather, no axes": lambda m, f, x, i: m.gather(x[0, 0], 0, i[0, 0]),
    "gather, an empty axis": lambda m, f, x, i: m.gather(x[:, :0], 1, i),
    "take": lambda m, f, x, i: m.take(x, i),
    "take_along_dim, no dim": lambda m, f, x, i: m.take_along_dim(x, i),
    "index_select": lambda m, f, x, i: m.index_select(x, 1, i.reshape(-1)),
    "index_add": lambda m, f, x, i: m.index_add(x, 1, i.reshape(-1), m.ones(3, 12)),
    "index_copy": lambda m, f, x, i: m.index_copy(x, 1, i[0], m.ones(3, 4)),
    "index_fill": lambda m, f, x, i: m.index_fill(x, 1, i.reshape(-1), 5.0),
    "index_fill, no axes": lambda m, f, x, i: m.index_fill(x[0, 0], 0, i[0, 0], 5.0),
    "index_reduce": lambda m, f, x, i: m.index_reduce(x, 1, i.reshape(-1), m.ones(3, 12), "amax"),
    "scatter": lambda m, f, x, i: m.scatter(x, 1, i, 5.0),
    "scatter_add": lambda m, f, x, i: m.scatter_add(x, 1, i, m.ones(3, 4)),
    "scatter_reduce": lambda m, f, x, i: m.scatter_reduce(x, 1, i, m.ones(3, 4), "amax"),
    "put": lambda m, f, x, i: x.clone().put_(i, m.ones(3, 4)),
    "put, accumulated": lambda m, f, x, i: x.clone().put_(i, m.ones(3, 4), accumulate=True),
    "index_put": lambda m, f, x, i: m.index_put(x, (i[0],), m.tensor(1.0)),
    "getitem": lambda m, f, x, i: x[i],
    "embedding": lambda m, f, x, i: f.embedding(i, x),
    "one_hot": lambda m, f, x, i: f.one_hot(i, 5),
    "cross_entropy": lambda m, f, x, i: f.cross_entropy(x, i[:, 0]),
    "nll_loss": lambda m, f, x, i: f.nll_loss(x, i[:, 0]),
    "multi_margin_loss": lambda m, f, x, i: f.multi_margin_loss(x, i[:, 0]),
}  # fmt: skip


def outcome(module, functional, operation, places):
    """The values, or None where the places are refused."""
    x = module.arange(12, dtype=module.float32).reshape(3, 4)
    try:
        return operation(module, functional, x, module.tensor(places)).tolist()
    except (RuntimeError, IndexError, ValueError):
        return None


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("value", [-1, -3, -4, -5, -12, -13, 3, 4, 11, 12, 2**40, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_places_out_of_range_are_refused_where_torch_refuses_them(name, value):
    places = [row[:] for row in BASE]
    places[0][0] = value
    got = outcome(convcore, F, OPERATIONS[name], places)
    wanted = outcome(torch, torch.nn.functional, OPERATIONS[name], places)
    assert got == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize("value", [-1, -4])
def test_negative_places_along_an_axis_count_from_the_end_in_take_along_dim(value):
    got, wanted = (m.take_along_dim(m.tensor([[1, 2, 3, 4]]), m.tensor([[value]]), 1) for m in (convcore, torch))
    assert got.tolist() == wanted.tolist()


@pytest.mark.parametrize("value", [-5, 4])
def test_take_along_dim_refuses_what_lies_beyond_both_ends(value):
    with pytest.raises(IndexError, match=f"take_along_dim: index must be from -4 to 3, got {value}"):
        convcore.take_along_dim(convcore.ones(1, 4), convcore.tensor([[value]]), 1)


def test_the_error_names_the_place_and_the_range():
    x = convcore.ones(2, 3)
    with pytest.raises(IndexError, match="gather: index must be from 0 to 2, got -1"):
        x.gather(1, convcore.tensor([[0], [-1]]))
    with pytest.raises(IndexError, match="gather: index 0 is out of range, for the axis is empty"):
        convcore.ones(2, 0).gather(1, convcore.tensor([[0]]))
    with pytest.raises(IndexError, match="take: index must be from -6 to 5, got 6"):
        convcore.take(x, convcore.tensor([5, 6]))
    with pytest.raises(IndexError, match="put: index must be from -6 to 5, got -7"):
        x.put_(convcore.tensor([-7]), convcore.ones(1))
    with pytest.raises(IndexError, match="scatter: index must be from 0 to 2, got 3"):
        x.scatter(1, convcore.tensor([[0, 3]]), 1.0)


def test_a_loss_by_gather_refuses_labels_that_mean_nothing():
    log_p = convcore.log_softmax(convcore.randn(4, 100), 1)
    for ignored in (-1, -100):
        with pytest.raises(IndexError, match=f"from 0 to 99, got {ignored}"):
            log_p.gather(1, convcore.tensor([[3], [ignored], [0], [99]]))


def test_bytes_as_an_index_are_refused():
    x, places = convcore.ones(3, 3), convcore.tensor([0, 1, 1]).byte()
    for read in (lambda: x[places], lambda: x[0, places], lambda: x[places.numpy()], lambda: x[places[0]],
                 lambda: x.__setitem__(places, 0.0), lambda: x.index_put((places,), x[0])):  # fmt: skip
        with pytest.raises(DTypeError, match=r"index.long\(\) for positions, index.bool\(\) for a mask"):
            read()


def test_one_hot_of_the_largest_integer_is_refused():
    with pytest.raises(ShapeError, match="one_hot: an axis cannot have 9223372036854775808 classes"):
        F.one_hot(convcore.tensor([2**63 - 1]))
