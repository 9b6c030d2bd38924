"""Graph convolutions against torch_geometric and their formulas on dense matrices in torch; the karate club."""

from pathlib import Path

import networkx
import numpy as np
import pytest
import scipy.sparse
import torch
from make_graph_references import C_IN, C_OUT, LAYERS

import convcore as cc
from convcore import nn
from convcore.errors import ShapeError
from convcore.examples import karate
from convcore.nn.graph import GCNConv, SAGEConv, gcn_matrix, mean_matrix


def random_graph(nodes=9, seed=0):
    rng = np.random.default_rng(seed)
    adjacency = np.where(rng.random((nodes, nodes)) < 0.3, rng.random((nodes, nodes)), 0)
    adjacency[:, 4] = adjacency[4] = 0  # a node without edges
    adjacency[2, 2] = 0.5  # and one with a loop of its own
    return adjacency


def test_gcn_matrix_by_its_formula():
    adjacency = random_graph()
    with_loops = adjacency + np.diag(np.where(np.diag(adjacency) == 0, 1, 0))
    scale = np.diag(with_loops.sum(1) ** -0.5)
    np.testing.assert_allclose(gcn_matrix(adjacency).to_scipy().toarray(), scale @ with_loops @ scale, rtol=1e-12)


def test_mean_matrix_by_its_formula():
    edges = random_graph() != 0
    expected = edges / np.maximum(edges.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(mean_matrix(random_graph()).to_scipy().toarray(), expected, rtol=1e-12)
    stored_zero = scipy.sparse.csr_array(([0.0, 3.0], ([0, 0], [0, 1])), (2, 2))
    assert mean_matrix(stored_zero).to_scipy().toarray().tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(("c_in", "c_out"), [(3, 5), (5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_gcn_conv(c_in, c_out, bias):
    matrix, layer = gcn_matrix(random_graph()), GCNConv(c_in, c_out, bias=bias).double()
    if layer.bias is not None:
        layer.bias.array[...] = np.arange(c_out)
    x = cc.tensor(np.random.default_rng(1).standard_normal((9, c_in)), requires_grad=True)
    dense, other = torch.tensor(matrix.to_scipy().toarray()), torch.tensor(x.detach().numpy(), requires_grad=True)
    weight = torch.tensor(layer.lin.weight.detach().numpy(), requires_grad=True)
    expected = dense @ other @ weight.T + (torch.arange(c_out) if bias else 0)
    out = layer(x, matrix)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    cotangent = np.random.default_rng(2).standard_normal((9, c_out))
    out.backward(cc.tensor(cotangent))
    expected.backward(torch.tensor(cotangent))
    assert x.grad is not None
    assert other.grad is not None
    assert weight.grad is not None
    assert layer.lin.weight.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=1e-11)
    np.testing.assert_allclose(layer.lin.weight.grad.numpy(), weight.grad.numpy(), rtol=1e-11)
    assert sorted(layer.state_dict()) == (["bias", "lin.weight"] if bias else ["lin.weight"])


@pytest.mark.parametrize("settings", [{}, {"normalize": True}, {"root_weight": False}, {"bias": False}])
def test_sage_conv(settings):
    adjacency = random_graph()
    matrix, layer = mean_matrix(adjacency), SAGEConv(4, 3, **settings).double()
    x = np.random.default_rng(1).standard_normal((9, 4))
    state = {key: torch.tensor(value.numpy()) for key, value in layer.state_dict().items()}
    expected = torch.tensor(matrix.to_scipy().toarray() @ x) @ state["lin_l.weight"].T + state.get("lin_l.bias", 0)
    if settings.get("root_weight", True):
        expected = expected + torch.tensor(x) @ state["lin_r.weight"].T
    if settings.get("normalize"):
        expected = torch.nn.functional.normalize(expected, dim=1)
    np.testing.assert_allclose(layer(cc.tensor(x), matrix).detach().numpy(), expected.numpy(), rtol=1e-12, atol=1e-14)
    assert "lin_l.weight" in layer.state_dict()


@pytest.mark.parametrize(("name", "variant"), [(name, variant) for name in LAYERS for variant in LAYERS[name]])
def test_values_and_gradients_are_those_of_torch_geometric(name, variant):
    with np.load(Path(__file__).with_name("graph_references.npz")) as file:
        shared = {key: file[key] for key in ("adjacency", "x", "cotangent")}
        expected = {key.split("/", 2)[2]: file[key] for key in file if key.startswith(f"{name}/{variant}/")}
    convolution, matrix = {"GCNConv": (GCNConv, gcn_matrix), "SAGEConv": (SAGEConv, mean_matrix)}[name]
    layer = convolution(C_IN, C_OUT, **LAYERS[name][variant]).double()
    state = {key.removeprefix("state/"): value for key, value in expected.items() if key.startswith("state/")}
    layer.load_state_dict({key: cc.tensor(value) for key, value in state.items()})
    x = cc.tensor(shared["x"], requires_grad=True)
    out = layer(x, matrix(shared["adjacency"]))
    out.backward(cc.tensor(shared["cotangent"]))
    results = {"out": out.detach(), "grad_x": x.grad}
    results |= {f"grad/{key}": parameter.grad for key, parameter in layer.named_parameters()}
    assert results.keys() == {key for key in expected if not key.startswith("state/")}
    for key, value in results.items():
        np.testing.assert_allclose(value.numpy(), expected[key], rtol=1e-12, atol=1e-13, err_msg=key)


def test_how_they_print():
    assert repr(GCNConv(2, 3)).splitlines()[0] == "GCNConv("
    assert "2, 3, bias=True" in repr(GCNConv(2, 3))
    assert "2, 3, normalize=False" in repr(SAGEConv(2, 3))


def test_a_network_of_both_learns():
    """A node's class is that of most of its neighbours, whose features tell it."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 60)
    same = labels[:, None] == labels
    adjacency = np.triu(rng.random((60, 60)) < np.where(same, 0.3, 0.03), 1)
    adjacency = (adjacency | adjacency.T).astype(float)
    x = cc.tensor((labels[:, None] + 1.5 * rng.standard_normal((60, 4))).astype(np.float32))
    cc.manual_seed(0)
    first, second = SAGEConv(4, 8), GCNConv(8, 2)
    optimizer = cc.optim.Adam([*first.parameters(), *second.parameters()], lr=0.02)
    by_mean, by_gcn, target = mean_matrix(adjacency), gcn_matrix(adjacency), cc.tensor(labels)
    for _ in range(40):
        out = second(nn.functional.relu(first(x, by_mean)), by_gcn)
        loss = nn.functional.cross_entropy(out, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (out.argmax(1).numpy() == labels).mean() > 0.95


def test_the_karate_club():
    club = networkx.karate_club_graph()
    assert np.array_equal(karate.adjacency().toarray() != 0, networkx.to_numpy_array(club, weight="") != 0)
    assert [club.nodes[i]["club"] != "Mr. Hi" for i in club] == karate.sides().astype(bool).tolist()
    guesses = karate.train()
    assert (guesses == karate.sides()).sum() >= 33


def test_the_karate_clubs_report(capsys):
    karate.main()
    assert "of 34 members on the right side, from two known ones" in capsys.readouterr().out


def test_what_is_refused():
    with pytest.raises(ShapeError, match=r"gcn_matrix: an adjacency matrix is square, got shape \(2, 3\)"):
        gcn_matrix(np.ones((2, 3)))
    with pytest.raises(ShapeError, match="mean_matrix: an adjacency matrix is square"):
        mean_matrix(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"edge weights must not be negative, the smallest is -1"):
        gcn_matrix(np.array([[0, -1.0], [1, 0]]))
