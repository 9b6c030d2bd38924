"""Frozen parts: no graph, no backward kernels, no drifting statistics; transfer learning as it is written for torch."""

from collections import Counter

import numpy as np
import pytest

import convcore
from convcore import models, nn, optim
from convcore.autograd import sweep
from convcore.nn import functional as F
from convcore.ops.conv import functions as conv
from convcore.training import train_unfrozen


@pytest.fixture
def passes(monkeypatch):
    """Counts the passes that convolutions compute, and the backward of every recorded operation."""
    counts: Counter[str] = Counter()
    select, make_ready = conv.choose, sweep._make_ready

    def counted_select(geometry, pass_name, request, dtype):
        counts[pass_name] += 1
        return select(geometry, pass_name, request, dtype)

    def counted_backward(node, grad_outs):
        counts[f"{node.name}.backward"] += 1
        make_ready(node, grad_outs)

    monkeypatch.setattr(conv, "choose", counted_select)
    monkeypatch.setattr(sweep, "_make_ready", counted_backward)
    return counts


def batch(n=2, size=32, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((n, 3, size, size)).astype(np.float32)
    return convcore.tensor(images), convcore.tensor(rng.integers(0, classes, n))


def graph(tensor):
    """The names of all recorded operations behind a tensor, and how many there are of each."""
    nodes, waiting = set(), [tensor.node]
    while waiting:
        node = waiting.pop()
        if node not in nodes:
            nodes.add(node)
            waiting += [edge[0] for edge in node.edges if isinstance(edge, tuple)]
    return Counter(node.name for node in nodes)


def small_resnet():
    convcore.manual_seed(0)
    model = models.resnet18()
    model.requires_grad_(False)
    model.fc = nn.Linear(model.fc.in_features, 5)
    return model


def test_a_frozen_backbone_costs_no_backward(passes):
    model = train_unfrozen(small_resnet())
    x, labels = batch()
    loss = F.cross_entropy(model(x), labels)
    assert graph(loss) == {"CrossEntropy": 1, "Linear": 1}
    loss.backward()
    assert {name for name in passes if name != "forward"} == {"CrossEntropy.backward", "Linear.backward"}
    assert all((p.grad is not None) == name.startswith("fc.") for name, p in model.named_parameters())


def test_backward_ends_at_the_first_trained_layer(passes):
    model = small_resnet()
    model.layer4.requires_grad_()
    x, labels = batch()
    F.cross_entropy(train_unfrozen(model)(x), labels).backward()
    # layer4 has four 3x3 convolutions and a shortcut; the two that read layer3's output send nothing there.
    assert passes["grad_weight"] == passes["Conv.backward"] == 5
    assert passes["grad_input"] == 3
    assert passes["BatchNorm.backward"] == 5
    passes.clear()
    F.cross_entropy(model.requires_grad_()(x), labels).backward()
    assert (passes["grad_weight"], passes["grad_input"]) == (20, 19)


def test_the_statistics_of_frozen_batch_norms_stay():
    model = small_resnet()
    model.layer4.requires_grad_()
    train_unfrozen(model)
    modes = {name: module.training for name, module in model.named_children()}
    assert modes == {**dict.fromkeys(modes, False), "relu": True, "maxpool": True, "avgpool": True} | {
        "layer4": True,
        "fc": True,
    }
    before = {name: buffer.numpy().copy() for name, buffer in model.named_buffers()}
    x, _ = batch(4)
    with convcore.no_grad():
        model(x)
    changed = {name for name, buffer in model.named_buffers() if not np.array_equal(buffer.numpy(), before[name])}
    assert changed == {name for name in before if name.startswith("layer4.")}
    model.train()
    with convcore.no_grad():
        model(x)
    assert not np.array_equal(model.bn1.running_mean.numpy(), before["bn1.running_mean"])


def test_dropout_follows_the_part_that_it_belongs_to():
    frozen = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
    frozen.requires_grad_(False)
    model = nn.Sequential(frozen, nn.Dropout(), nn.Linear(4, 2))
    assert train_unfrozen(model) is model
    assert [module.training for module in (model, frozen, frozen[1], model[1], model[2])] == [
        True, False, False, True, True
    ]  # fmt: skip
    model.requires_grad_()
    assert all(module.training for module in train_unfrozen(model).modules())


def test_transfer_learning_as_it_is_written_for_torch(tmp_path, monkeypatch):
    """The listings of the documents with other names, on small images, and with a file of weights made here."""
    monkeypatch.setenv("CONVCORE_WEIGHTS", str(tmp_path))
    convcore.manual_seed(1)
    published = models.resnet18()
    convcore.save(published.state_dict(), tmp_path / "resnet18-f37072fd.pth")

    net = models.resnet18(weights=models.ResNet18_Weights.IMAGENET1K_V1)
    for weight in net.parameters():
        weight.requires_grad = False
    kinds = 5
    net.fc = nn.Linear(net.fc.in_features, kinds)
    criterion = nn.CrossEntropyLoss()
    images, targets = batch(4, classes=kinds)

    def fit(optimizer, steps):
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = criterion(net(images), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    def moved(before):
        now = net.state_dict()
        return {name.split(".")[0] for name, _ in net.named_parameters() if not np.array_equal(now[name], before[name])}

    def snapshot():
        return {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()}

    start = snapshot()
    np.testing.assert_array_equal(start["conv1.weight"], published.state_dict()["conv1.weight"].numpy())
    losses = fit(optim.Adam(net.fc.parameters(), lr=1e-2), 6)
    assert losses[-1] < 0.5 * losses[0]
    assert moved(start) == {"fc"}

    for name, weight in net.named_parameters():
        if "layer4" in name or "layer3" in name:
            weight.requires_grad = True
    groups = [
        {"params": net.layer3.parameters(), "lr": 1e-5},
        {"params": net.layer4.parameters(), "lr": 1e-4},
        {"params": net.fc.parameters(), "lr": 1e-3},
    ]
    before = snapshot()
    fit(optim.Adam(groups), 1)
    assert moved(before) == {"layer3", "layer4", "fc"}
    # The first step of Adam is as long as the learning rate of the group, where gradients are not tiny.
    steps: dict[str, float] = {}
    for name, weight in net.named_parameters():
        part = name.split(".")[0]
        steps[part] = max(steps.get(part, 0), float(np.abs(weight.detach().numpy() - before[name]).max()))
    assert [steps[part] for part in ("conv1", "layer3", "layer4", "fc")] == pytest.approx(
        [0, 1e-5, 1e-4, 1e-3], rel=0.02
    )

    # The other listing: one optimizer for all that requires a gradient.
    for name, weight in net.named_parameters():
        weight.requires_grad = "layer4" in name or "fc" in name
    before = snapshot()
    fit(optim.Adam(filter(lambda p: p.requires_grad, net.parameters()), lr=1e-5), 1)
    assert moved(before) == {"layer4", "fc"}
