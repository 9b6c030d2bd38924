"""Optimizers: twenty steps against torch, groups, states, and what they refuse."""

import copy
import pickle

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn, optim
from convcore.errors import CheckpointError

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.03, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.03, "momentum": 0.7, "centered": True, "eps": 1e-2}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.2, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.05, 0.4), "maximize": True}),
]
NAMES = sorted({name for name, _ in CASES})
SHAPES = [(7,), (4, 3), (5, 2, 3, 3), ()]


def starts(dtype):
    rng = np.random.default_rng(1)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def gradients(dtype, steps):
    """Gradients that change size and sign, sometimes 0."""
    rng = np.random.default_rng(2)
    for step in range(steps):
        yield [np.asarray(rng.standard_normal(shape) * (step % 4), dtype) for shape in SHAPES]


@pytest.mark.parametrize(("name", "settings"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-12)])
def test_twenty_steps_as_torchs(name, settings, dtype, tolerance):
    ours = [nn.Parameter(cc.tensor(a)) for a in starts(dtype)]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in starts(dtype)]
    optimizer, twin = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for grads in gradients(dtype, 20):
        for param, other, grad in zip(ours, theirs, grads, strict=True):
            param.grad, other.grad = cc.tensor(grad), torch.tensor(grad)
        optimizer.step()
        twin.step()
    for param, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(param.array, other.detach().numpy(), rtol=tolerance, atol=tolerance)
    state, other = optimizer.state_dict(), twin.state_dict()
    assert {k: set(v) for k, v in state["state"].items()} == {
        k: {key for key, value in v.items() if value is not None} for k, v in other["state"].items()
    }
    for position, entries in state["state"].items():
        for key, value in entries.items():
            expected = other["state"][position][key].numpy()
            np.testing.assert_allclose(value.array, expected, rtol=tolerance, atol=tolerance)
            assert value.shape == expected.shape
    assert state["param_groups"][0]["params"] == other["param_groups"][0]["params"]
    for key, value in state["param_groups"][0].items():
        assert value == other["param_groups"][0][key]


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_torchs(name):
    ours = getattr(optim, name)([nn.Parameter(cc.zeros(1))]).defaults
    theirs = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(1))]).defaults
    assert ours == {key: theirs[key] for key in ours}


@pytest.mark.parametrize(
    ("name", "settings"), [("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"amsgrad": True}), ("Rprop", {})]
)
def test_memory_order_does_not_matter(name, settings):
    """Parameters, gradients and states in any order, with holes or turned around, end at the same numbers."""
    rng = np.random.default_rng(3)
    start, grads = rng.standard_normal((4, 3, 2, 5)), rng.standard_normal((3, 4, 3, 2, 5))
    plain = nn.Parameter(cc.tensor(start))
    channels_last = nn.Parameter(cc.tensor(start.transpose(0, 2, 3, 1).copy()).permute(0, 3, 1, 2))
    room = np.full((4, 3, 2, 10), np.nan)
    room[..., ::2] = start
    holes = nn.Parameter(cc.from_numpy(room)[..., ::2])
    turned = nn.Parameter(cc.from_numpy(start[::-1].copy()[::-1]))
    params = [plain, channels_last, holes, turned]
    optimizer = getattr(optim, name)(params, **settings)
    for step, grad in enumerate(grads):
        for position, param in enumerate(params):
            order = [(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)][(step + position) % 3]
            block = np.ascontiguousarray(grad.transpose(order))
            param.grad = cc.from_numpy(block.transpose(np.argsort(order)))
        optimizer.step()
    for param in params[1:]:
        assert np.array_equal(param.array, plain.array)
    assert np.isnan(room[..., 1::2]).all()
    assert np.array_equal(room[..., ::2], plain.array)
    assert channels_last.array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_a_real_model_as_torchs():
    ours = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1)).double()
    ours.load_state_dict({key: cc.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    x = np.random.default_rng(4).standard_normal((8, 6))
    optimizer = optim.Adam(filter(lambda p: p.requires_grad, ours.parameters()), lr=0.01)
    twin = torch.optim.Adam(theirs.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (ours(cc.tensor(x)) ** 2).mean().backward()
        optimizer.step()
        twin.zero_grad()
        (theirs(torch.tensor(x)) ** 2).mean().backward()
        twin.step()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].array, value.numpy(), rtol=1e-12, atol=1e-14)


def test_groups_with_settings_of_their_own():
    a, b = nn.Parameter(cc.ones(2)), nn.Parameter(cc.ones(3))
    c = nn.Parameter(cc.ones(1))
    optimizer = optim.SGD([{"params": [a], "lr": 1.0}, {"params": b}], lr=0.5)
    optimizer.add_param_group({"params": iter([c]), "lr": 0.25, "momentum": 0.9})
    for param in (a, b, c):
        param.grad = cc.ones(*param.shape)
    optimizer.step()
    assert (a.tolist(), b.tolist(), c.tolist()) == ([0, 0], [0.5] * 3, [0.75])
    assert [group["momentum"] for group in optimizer.param_groups] == [0, 0, 0.9]
    twin = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    shown = [line for line in repr(twin).splitlines() if line.split(":")[0].strip() not in {"foreach", "fused"}]
    shown = [line for line in shown if "differentiable" not in line]
    assert repr(optim.SGD([c], lr=0.5)).splitlines() == shown


def test_parameters_without_gradient_stay():
    used, unused = nn.Parameter(cc.ones(2)), nn.Parameter(cc.ones(2))
    optimizer = optim.Adam([used, unused])
    used.grad = cc.ones(2)
    optimizer.step()
    assert unused.tolist() == [1, 1]
    assert list(optimizer.state) == [used]
    optimizer.zero_grad(set_to_none=False)
    assert used.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert used.grad is None


def test_a_step_is_noticed_by_backward():
    weight = nn.Parameter(cc.ones(2))
    x = cc.ones(2, requires_grad=True)
    out = (x * weight).sum()
    weight.grad = cc.ones(2)
    optim.SGD([weight]).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        out.backward()


def test_closure():
    weight = nn.Parameter(cc.tensor([3.0]))
    optimizer = optim.SGD([weight], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss

    with cc.no_grad():
        assert optimizer.step(closure).item() == 9
    assert weight.item() == 0


@pytest.mark.parametrize(("name", "settings"), CASES[2:])
@pytest.mark.parametrize("through", [lambda state: state, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_going_on_from_a_state_dict(name, settings, through):
    def run(steps, halt):
        params = [nn.Parameter(cc.tensor(a)) for a in starts(np.float32)]
        optimizer = getattr(optim, name)(params, **settings)
        for step, grads in enumerate(gradients(np.float32, steps)):
            if step == halt:
                state = through(optimizer.state_dict())
                optimizer = getattr(optim, name)(params, lr=99)
                optimizer.load_state_dict(state)
            for param, grad in zip(params, grads, strict=True):
                param.grad = cc.tensor(grad)
            optimizer.step()
        return params

    for whole, resumed in zip(run(6, None), run(6, 3), strict=True):
        assert np.array_equal(whole.array, resumed.array)


def test_a_loaded_state_is_a_copy():
    param = nn.Parameter(cc.ones(2))
    first, second = optim.Adam([param]), optim.Adam([param])
    param.grad = cc.ones(2)
    first.step()
    second.load_state_dict(first.state_dict())
    second.step()
    assert float(first.state[param]["step"].array) == 1
    assert float(second.state[param]["step"].array) == 2
    assert second.state[param]["exp_avg"] is not first.state[param]["exp_avg"]


def test_states_that_do_not_fit():
    param = nn.Parameter(cc.ones(2))
    optimizer = optim.Adam([param])
    param.grad = cc.ones(2)
    optimizer.step()
    state = optimizer.state_dict()
    with pytest.raises(CheckpointError, match=r"groups of \[2\] parameters, the saved one of \[1\]"):
        optim.Adam([nn.Parameter(cc.ones(2)), nn.Parameter(cc.ones(2))]).load_state_dict(state)
    other = optim.Adam([nn.Parameter(cc.ones(3))])
    with pytest.raises(CheckpointError, match=r"exp_avg of parameter 0 has shape \(2,\), the parameter \(3,\)"):
        other.load_state_dict(state)
    assert not other.state
    with pytest.raises(CheckpointError, match=r"needs the keys 'state' and 'param_groups', got \['state'\]"):
        other.load_state_dict({"state": {}})
    state["state"][4] = {}
    with pytest.raises(CheckpointError, match="a state for a parameter 4"):
        optimizer.load_state_dict(state)


def test_copies_of_an_optimizer():
    net = nn.Linear(2, 1)
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    net(cc.ones(1, 2)).sum().backward()
    optimizer.step()
    twin_net, twin = copy.deepcopy((net, optimizer))
    assert twin.param_groups[0]["params"][0] is twin_net.weight
    assert float(twin.state[twin_net.weight]["step"].array) == 1
    twin_net, twin = pickle.loads(pickle.dumps((net, optimizer)))
    assert twin.param_groups[0]["params"][0] is twin_net.weight
    assert twin.state[twin_net.weight]["exp_avg"].tolist() == optimizer.state[net.weight]["exp_avg"].tolist()


def test_the_state_follows_the_models_dtype():
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for dtype in (cc.float32, cc.float64):
        net.to(dtype)
        optimizer.zero_grad()
        net(cc.ones(1, 2, dtype=dtype)).sum().backward()
        optimizer.step()
        assert optimizer.state[net.weight]["momentum_buffer"].dtype == dtype
    assert np.allclose(optimizer.state[net.weight]["momentum_buffer"].array, 1.9)


WRONG_SETTINGS = [
    ("SGD", {"lr": -1}, "SGD: Invalid learning rate: -1"),
    ("SGD", {"lr": float("nan")}, "SGD: Invalid learning rate: nan"),
    ("SGD", {"momentum": -0.1}, "Invalid momentum value: -0.1"),
    ("SGD", {"weight_decay": -0.1}, "Invalid weight_decay value: -0.1"),
    ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov momentum requires"),
    ("Adam", {"lr": -1}, "Adam: Invalid learning rate: -1"),
    ("Adam", {"eps": -1}, "Invalid epsilon value: -1"),
    ("AdamW", {"betas": (1.0, 0.9)}, "AdamW: Invalid beta parameter at index 0: 1.0"),
    ("Adam", {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
    ("AdamW", {"weight_decay": -0.1}, "Invalid weight_decay value: -0.1"),
    ("RMSprop", {"alpha": -1}, "RMSprop: Invalid alpha value: -1"),
    ("RMSprop", {"momentum": -1}, "RMSprop: Invalid momentum value: -1"),
    ("Adagrad", {"lr_decay": -1}, "Adagrad: Invalid lr_decay value: -1"),
    ("Adagrad", {"initial_accumulator_value": -1}, "Adagrad: Invalid initial_accumulator_value value: -1"),
    ("Adadelta", {"rho": 1.5}, r"Adadelta: Invalid rho value: 1.5; it must be in \[0, 1\]"),
    ("Adamax", {"betas": (1.0, 0.9)}, "Adamax: Invalid beta parameter at index 0: 1.0"),
    ("NAdam", {"momentum_decay": -1}, "NAdam: Invalid momentum_decay value: -1"),
    ("RAdam", {"eps": -1}, "RAdam: Invalid epsilon value: -1"),
    ("Rprop", {"etas": (0.5, 0.9)}, "Rprop: Invalid eta values: 0.5, 0.9"),
]


@pytest.mark.parametrize(("name", "settings", "message"), WRONG_SETTINGS)
def test_wrong_settings(name, settings, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)([nn.Parameter(cc.zeros(1))], **settings)


def test_wrong_parameters():
    param = nn.Parameter(cc.zeros(2))
    used_up = iter([])
    with pytest.raises(ValueError, match="SGD: optimizer got an empty parameter list"):
        optim.SGD(used_up)
    with pytest.raises(TypeError, match="params must be an iterable of tensors or of dicts, got a Parameter"):
        optim.Adam(param)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="params must be an iterable of tensors or of dicts, got a dict"):
        optim.Adam({"params": [param]})
    with pytest.raises(ValueError, match=r"parameter 1, of shape \(2,\), appears twice"):
        optim.SGD([param, param])
    with pytest.raises(ValueError, match=r"parameter 0, of shape \(2,\), appears twice"):
        optim.SGD([{"params": [param]}, {"params": [param]}])
    with pytest.raises(ValueError, match="can't optimize a non-leaf tensor: parameter 0"):
        optim.SGD([param * 2])
    with pytest.raises(TypeError, match="can optimize only tensors, but parameter 0 is ndarray"):
        optim.SGD([np.zeros(2)])
    with pytest.raises(TypeError, match=r"parameter 0 is a \(name, tensor\) pair; pass parameters"):
        optim.SGD([("weight", param)])
    with pytest.raises(TypeError, match="a set does not keep"):
        optim.SGD([{"params": {param}}])
    with pytest.raises(TypeError, match="must be float32 or float64, got int64"):
        optim.SGD([cc.zeros(2, dtype=cc.int64)])
    with pytest.raises(TypeError, match="param_group must be a dict, got list"):
        optim.SGD([param]).add_param_group([param])  # pyright: ignore[reportArgumentType]
