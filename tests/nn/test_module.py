"""Module: registration, walking, changing, copying, and errors that say where they happened."""

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn
from convcore.errors import ConvcoreError, DTypeError, ShapeError, UnsupportedError


class Net(nn.Module):
    """Shares a layer and a parameter, has a buffer of each kind and a list."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(cc.tensor([2.0]))
        self.first = nn.Linear(3, 3)
        self.again = self.first
        self.body = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.BatchNorm1d(2))
        self.tied = nn.Linear(3, 3, bias=False)
        self.tied.weight = self.first.weight
        self.register_buffer("kept", cc.zeros(4))
        self.register_buffer("dropped", cc.ones(1), persistent=False)
        self.register_parameter("absent", None)

    def forward(self, x):
        return self.body(self.again(self.first(x))) * self.scale


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([2.0]))
        self.first = torch.nn.Linear(3, 3)
        self.again = self.first
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.BatchNorm1d(2))
        self.tied = torch.nn.Linear(3, 3, bias=False)
        self.tied.weight = self.first.weight
        self.register_buffer("kept", torch.zeros(4))
        self.register_buffer("dropped", torch.ones(1), persistent=False)
        self.register_parameter("absent", None)


def names(pairs):
    return [name for name, _ in pairs]


@pytest.mark.parametrize("kwargs", [{}, {"prefix": "p"}, {"remove_duplicate": False}])
def test_names_are_torchs(kwargs):
    ours, theirs = Net(), TorchNet()
    for method in ("named_parameters", "named_buffers", "named_modules"):
        assert names(getattr(ours, method)(**kwargs)) == names(getattr(theirs, method)(**kwargs)), method
    if "remove_duplicate" not in kwargs:
        assert names(ours.named_parameters(recurse=False, **kwargs)) == ["p.scale" if kwargs else "scale"]
    assert names(ours.named_children()) == names(theirs.named_children()) == ["first", "body", "tied"]
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_parameters_buffers_modules_come_once():
    net = Net()
    parameters = list(net.parameters())
    assert len({id(p) for p in parameters}) == len(parameters) == len(list(net.named_parameters())) == 7
    assert len(list(net.buffers())) == 5
    assert [type(m).__name__ for m in net.modules()] == [
        "Net", "Linear", "Sequential", "Linear", "ReLU", "BatchNorm1d", "Linear",
    ]  # fmt: skip
    assert [type(m).__name__ for m in net.children()] == ["Linear", "Sequential", "Linear"]


def test_assignment_moves_a_name_between_the_tables():
    module = nn.Module()
    module.thing = 3
    module.thing = nn.Parameter(cc.zeros(2))
    assert "thing" not in vars(module)
    assert names(module.named_parameters()) == ["thing"]
    module.thing = nn.ReLU()
    assert names(module.named_parameters()) == []
    assert names(module.named_children()) == ["thing"]
    module.thing = None
    assert module.thing is None
    assert names(module.named_children()) == []
    del module.thing
    assert not hasattr(module, "thing")
    module.register_buffer("state", cc.zeros(1), persistent=False)
    module.state = cc.ones(1)
    assert module.state.item() == 1
    assert names(module.named_buffers()) == ["state"]
    module.state = nn.Parameter(cc.zeros(1))
    assert list(module.state_dict()) == ["state"]
    module.plain = 1
    del module.plain
    assert "plain" not in dir(module)
    assert "state" in dir(module)


def test_wrong_assignments():
    net: Any = Net()
    with pytest.raises(TypeError, match="Net: cannot assign Tensor as parameter 'scale'"):
        net.scale = cc.zeros(1)
    with pytest.raises(TypeError, match="Net: cannot assign int as child module 'first'"):
        net.first = 3
    with pytest.raises(TypeError, match="Net: cannot assign list as buffer 'kept'"):
        net.kept = [1.0]
    net.scale = None
    assert "scale" not in names(net.named_parameters())


def test_wrong_registrations():
    net = Net()
    with pytest.raises(TypeError, match="the name of a parameter must be a string, got int"):
        net.register_parameter(3, None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(KeyError, match="must not be empty or contain"):
        net.register_buffer("a.b", cc.zeros(1))
    with pytest.raises(KeyError, match="must not be empty or contain"):
        net.add_module("", nn.ReLU())
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        net.add_module("forward", nn.ReLU())
    with pytest.raises(KeyError, match="attribute 'first' already exists"):
        net.register_buffer("first", cc.zeros(1))
    with pytest.raises(TypeError, match="parameter 'w' must be a Parameter or None, got Tensor"):
        net.register_parameter("w", cc.zeros(1))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="buffer 'w' must be a Tensor or None, got ndarray"):
        net.register_buffer("w", np.zeros(1))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        net.add_module("w", 3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match="Parameter: data must be a tensor, got ndarray"):
        nn.Parameter(np.zeros(3))  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match="only float32 and float64"):
        nn.Parameter(cc.zeros(3, dtype=cc.int64))


@pytest.mark.parametrize(
    ("value", "what"),
    [(lambda: nn.Linear(1, 1), "module 'part'"), (lambda: nn.Parameter(cc.zeros(1)), "parameter 'part'")],
)
def test_assignment_before_init(value, what):
    class Early(nn.Module):
        def __init__(self):
            self.part = value()
            super().__init__()

    with pytest.raises(AttributeError, match=f"Early: cannot assign {what} before Module.__init__\\(\\) call"):
        Early()


def test_buffer_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.register_buffer("state", None)
            super().__init__()

    with pytest.raises(AttributeError, match=r"buffer 'state' before Module.__init__\(\) call"):
        Early()


def test_unknown_attribute_names_class_and_attribute():
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'fc9'"):
        _ = Net().fc9
    with pytest.raises(AttributeError, match="fc9"):
        del Net().fc9


def test_get_submodule():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("body.2") is net.body[2]
    with pytest.raises(AttributeError, match="Sequential has no submodule '7'"):
        net.get_submodule("body.7")


def test_train_eval_apply_freeze():
    net, twin = Net(), TorchNet()
    order, twin_order = [], []
    assert net.apply(lambda m: order.append(type(m).__name__)) is net
    twin.apply(lambda m: twin_order.append(type(m).__name__.replace("TorchNet", "Net")))
    assert order == twin_order
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(ValueError, match="mode must be True or False, got 1"):
        net.train(1)  # pyright: ignore[reportArgumentType]
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert all(p.requires_grad for p in net.requires_grad_().parameters())


def test_zero_grad():
    layer = nn.Linear(2, 1)
    layer(cc.ones(3, 2)).sum().backward()
    gradient = layer.weight.grad
    assert gradient is not None
    array = gradient.array
    assert array.tolist() == [[3, 3]]
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad is not None
    assert layer.weight.grad.array is array
    assert array.tolist() == [[0, 0]]
    layer.zero_grad()
    assert layer.weight.grad is None
    layer.zero_grad(set_to_none=False)
    assert layer.bias.grad is None


def test_conversion_keeps_the_parameter_objects():
    net: Any = Net()
    before = dict(net.named_parameters())
    net.scale.grad = cc.ones(1)
    values = {name: p.array.copy() for name, p in before.items()}
    assert net.double() is net
    for name, parameter in net.named_parameters():
        assert parameter is before[name]
        assert parameter.dtype == np.float64
        assert np.array_equal(parameter.array, values[name])
    assert net.scale.grad.dtype == np.float64
    assert net.scale.requires_grad
    assert net.tied.weight is net.first.weight
    assert net.body[2].running_mean.dtype == np.float64
    assert net.body[2].num_batches_tracked.dtype == np.int64
    assert net(cc.ones(4, 3, dtype=cc.float64)).dtype == np.float64
    assert net.float().scale.dtype == net.to(cc.float32).scale.dtype == np.float32
    assert net.to("cpu").cpu().to(cc.zeros(1, dtype=cc.float64)).scale.dtype == np.float64
    with pytest.raises(DTypeError, match="a module can be converted to float32 or float64, got int64"):
        net.to(dtype=cc.int64)
    assert net.scale.dtype == np.float64
    with pytest.raises(UnsupportedError, match='there are "cpu", "cuda:0" and "auto"'):
        net.to(device="tpu")


def test_conversion_is_noticed_by_backward():
    layer = nn.Linear(2, 1)
    out = layer(cc.ones(3, 2, requires_grad=True)).sum()
    layer.double()
    with pytest.raises(ConvcoreError, match="changed in place"):
        out.backward()


def test_error_names_the_layer():
    model = nn.Sequential(OrderedDict(features=nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(5, 2, 3))))
    x = cc.zeros(1, 1, 8, 8)
    with pytest.raises(ShapeError, match=r"^in features\.2 \(Conv2d\): conv2d: input has 4 channels") as caught:
        model(x)
    assert caught.value.module_path == "features.2 (Conv2d)"
    with pytest.raises(ShapeError, match=r"^in 2 \(Conv2d\): conv2d"):
        model.features(x)
    with pytest.raises(ShapeError, match=r"^in Conv2d: conv2d"):
        model.features[2](x)


def test_error_of_a_function_names_the_module_that_called_it():
    class Head(nn.Module):
        def forward(self, x):
            return nn.functional.linear(x, cc.zeros(2, 3))

    with pytest.raises(ShapeError, match=r"^in 1 \(Head\): linear"):
        nn.Sequential(nn.Identity(), Head())(cc.zeros(1, 4))


def test_error_of_an_unregistered_layer_keeps_its_own_path():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = (nn.Sequential(nn.Linear(3, 2)),)

        def forward(self, x):
            return self.layers[0](x)

    with pytest.raises(ShapeError, match=r"^in 0 \(Linear\): linear"):
        Hidden()(cc.zeros(1, 4))


def test_forward_is_required():
    with pytest.raises(NotImplementedError, match='Module \\[Module\\] is missing the required "forward" function'):
        nn.Module()(1)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_independent_and_whole(copied):
    net = Net().eval()
    net.scale.requires_grad_(False)
    twin = copied(net)
    assert repr(twin) == repr(net)
    assert names(twin.named_parameters()) == names(net.named_parameters())
    assert twin.tied.weight is twin.first.weight
    assert twin.again is twin.first
    assert not twin.training
    assert not twin.scale.requires_grad
    assert isinstance(twin.scale, nn.Parameter)
    assert list(twin.state_dict()) == list(net.state_dict())
    x = cc.ones(2, 3)
    assert np.array_equal(twin(x).detach().numpy(), net(x).detach().numpy())
    with cc.no_grad():
        twin.first.weight.zero_()
    assert net.first.weight.array.any()


def test_a_copy_of_a_model_begins_without_gradients():
    """As in torch, where only the copy of a tensor that is no parameter takes the gradient along."""
    net, theirs = nn.Linear(2, 1), torch.nn.Linear(2, 1)
    x, other = cc.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    net(x).sum().backward()
    theirs(other).sum().backward()
    assert copy.deepcopy(net).weight.grad is None
    assert copy.deepcopy(theirs).weight.grad is None
    assert net.weight.grad is not None
    copied = copy.deepcopy(x)
    assert x.grad is not None
    assert copied.grad is not None
    np.testing.assert_array_equal(copied.grad.numpy(), x.grad.numpy())
    assert copy.deepcopy(other).grad is not None


def test_parameter_repr():
    assert repr(nn.Parameter(cc.tensor([1.0]))) == "Parameter containing:\ntensor([1.], requires_grad=True)"


def test_parameter_shares_memory():
    data = cc.zeros(3)
    parameter = nn.Parameter(data)
    data[0] = 1
    assert parameter.array[0] == 1
    assert parameter.version is data.version
