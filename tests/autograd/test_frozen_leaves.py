"""Whether a leaf requires a gradient is asked when one arrives, as in torch."""

from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.errors import GraphError

LIBRARIES = [convcore, torch]


def number(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().numpy().tolist()


def freeze(tensor: Any) -> Any:
    """A hook that freezes a tensor."""

    def hook(gradient):
        tensor.requires_grad_(False)

    return hook


def frozen_after_forward(library, x, w):
    y = (x * w).sum()
    w.requires_grad_(False)
    y.backward()


def frozen_by_attribute(library, x, w):
    y = (x * w).sum()
    w.requires_grad = False
    y.backward()


def frozen_before_a_second_backward(library, x, w):
    y = (x * w).sum()
    y.backward(retain_graph=True)
    w.requires_grad_(False)
    y.backward()


def frozen_between_and_thawed(library, x, w):
    y = (x * w).sum()
    w.requires_grad_(False)
    y.backward(retain_graph=True)
    w.requires_grad_(True)
    y.backward()


def frozen_and_thawed_before_backward(library, x, w):
    y = (x * w).sum()
    w.requires_grad_(False)
    w.requires_grad_(True)
    y.backward()


def thawed_after_forward(library, x, w):
    w.requires_grad_(False)
    y = (x * w).sum()
    w.requires_grad_(True)
    y.backward()


def frozen_by_a_hook_of_another(library, x, w):
    y = x * w
    y.register_hook(freeze(w))
    y.sum().backward()


def frozen_by_its_own_hook(library, x, w):
    w.register_hook(freeze(w))
    (x * w).sum().backward()


def frozen_with_create_graph(library, x, w):
    y = (x * w * w).sum()
    w.requires_grad_(False)
    y.backward(create_graph=True)


def frozen_and_passed_on(library, x, w):
    y = x + w
    w.requires_grad_(False)
    y.sum().backward()
    x.grad.mul_(2)


USES = [
    frozen_after_forward, frozen_by_attribute, frozen_before_a_second_backward, frozen_between_and_thawed,
    frozen_and_thawed_before_backward, thawed_after_forward, frozen_by_a_hook_of_another, frozen_by_its_own_hook,
    frozen_with_create_graph, frozen_and_passed_on,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True:UserWarning")
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_frozen_leaves_get_no_gradient(use):
    results = []
    for library in LIBRARIES:
        x = library.tensor([1.0, 2.0], requires_grad=True)
        w = library.tensor([3.0, 5.0], requires_grad=True)
        use(library, x, w)
        results.append([number(x.grad), number(w.grad)])
    assert results[0] == results[1]


def test_hooks_of_a_frozen_leaf_are_called():
    for library in LIBRARIES:
        w, seen = library.tensor([3.0], requires_grad=True), []
        w.register_hook(seen.append)
        y = (w * 2).sum()
        w.requires_grad_(False)
        y.backward()
        assert ([number(g) for g in seen], w.grad) == ([[2.0]], None)


def test_grad_refuses_inputs_that_were_frozen():
    x, w = convcore.ones(1, requires_grad=True), convcore.ones(1, requires_grad=True)
    y = x * w
    w.requires_grad_(False)
    with pytest.raises(GraphError, match=r"grad: inputs\[1\] does not require a gradient"):
        convcore.autograd.grad(y, [x, w])
    assert convcore.autograd.grad(y, x)[0].tolist() == [1]
    assert w.grad is None


def test_a_leaf_that_was_made_a_result_refuses_its_old_gradient():
    x = convcore.ones(2, requires_grad=True)
    y = (x * 2).sum()
    x.requires_grad_(False)
    x.mul_(convcore.ones(2, requires_grad=True))
    with pytest.raises(GraphError, match=r"backward: a leaf of shape \(2,\) was changed in place by a recorded"):
        y.backward()


@pytest.mark.parametrize("scaled", [False, True])
def test_a_discriminator_frozen_for_the_generators_loss(scaled):
    """Two losses, of which the second must not reach the discriminator: its step is that of the first."""
    results = []
    for library in LIBRARIES:
        rng = np.random.default_rng(0)
        x = library.tensor(rng.standard_normal((4, 3)))
        generator, judge = library.nn.Linear(3, 3).double(), library.nn.Linear(3, 1).double()
        with library.no_grad():
            for p in (*generator.parameters(), *judge.parameters()):
                p.copy_(library.tensor(rng.standard_normal(tuple(p.shape))))
        optimizer = library.optim.SGD([*generator.parameters(), *judge.parameters()], 0.1, momentum=0.9)
        scaler = library.amp.GradScaler("cpu", init_scale=8.0, enabled=scaled)
        for _ in range(3):
            optimizer.zero_grad()
            made = generator(x)
            scaler.scale((judge(made.detach()) ** 2).mean()).backward()
            loss = -judge(made).mean()
            judge.requires_grad_(False)
            scaler.scale(loss).backward()
            judge.requires_grad_(True)
            scaler.step(optimizer)
            scaler.update()
        results.append([p.detach().numpy() for p in (*generator.parameters(), *judge.parameters())])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_fused_layers_frozen_before_backward():
    for library in LIBRARIES:
        conv, norm = library.nn.Conv2d(3, 4, 3), library.nn.BatchNorm2d(4)
        x = library.ones((2, 3, 8, 8)).requires_grad_()
        y = library.nn.functional.max_pool2d(library.relu(norm(conv(x))), 2).sum()
        conv.requires_grad_(False)
        norm.requires_grad_(False)
        y.backward()
        assert all(p.grad is None for p in (*conv.parameters(), *norm.parameters()))
        assert x.grad is not None
