"""Whole training steps on a GPU: of small networks, simulated, against the CPU; of large ones, what is launched."""

import numpy as np
import pytest
from simulated_device import device

import convcore as cc
from convcore import models, nn
from convcore.models.blocks import SqueezeExcitation
from convcore.nn import functional as F


def small_cnn() -> nn.Module:
    """`models.CNN`, shrunken."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2, 2),
        nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2, 2),
        nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3),
    )  # fmt: skip


class SmallMobileNet(nn.Module):
    """What ResNet and MobileNetV3 have beyond that: strides, depthwise filters, scaled channels, a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.scale = SqueezeExcitation(4, 2, scale_activation=nn.Hardsigmoid)
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        x = F.hardswish(self.stem(x), inplace=True)
        x = F.relu(x + self.scale(self.norm(self.depthwise(x))))
        return self.last(F.adaptive_avg_pool2d(x, 1).flatten(1))


def train(make, place: str, optimizer, steps: int = 1):
    """The losses, and what is learnt: parameters, statistics, the optimizer's state."""
    cc.manual_seed(0)
    net = make()
    net.to(place)
    rng = np.random.default_rng(0)
    x, labels = cc.tensor(rng.standard_normal((2, 1, 8, 8), np.float32)).to(place), cc.tensor([0, 2]).to(place)
    step = optimizer(net.parameters())
    cc.manual_seed(1)
    losses = []
    for _ in range(steps):
        step.zero_grad()
        loss = F.cross_entropy(net(x), labels, label_smoothing=0.1)
        loss.backward()
        step.step()
        losses.append(loss.item())
    learnt = [tensor.cpu().numpy() for tensor in net.state_dict().values()]
    kept = [value.cpu().numpy() for state in step.state.values() for value in state.values()]
    return [np.array(losses), *learnt, *kept]


@pytest.mark.parametrize(
    ("make", "optimizer"),
    [
        (small_cnn, lambda parameters: cc.optim.SGD(parameters, lr=0.1, momentum=0.9)),
        (SmallMobileNet, lambda parameters: cc.optim.AdamW(parameters, lr=1e-3)),
    ],
)
def test_a_training_step_is_the_cpus(make, optimizer):
    expected = train(make, "cpu", optimizer)
    with device():
        got = train(make, "cuda", optimizer)
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


NETWORKS = {
    "CNN": (lambda: models.CNN(), (2, 1, 28, 28)),
    "SimpleCNN": (lambda: models.SimpleCNN(), (2, 3, 32, 32)),
    "ResNet-18": (lambda: models.resnet18(num_classes=10), (2, 3, 32, 32)),
    "MobileNetV3-small": (lambda: models.mobilenet_v3_small(num_classes=10), (2, 3, 32, 32)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("optimizer", [cc.optim.SGD, cc.optim.Adam])
def test_training_stays_on_the_device(name, optimizer):
    """Kernels are counted here and not run: no step copies anything, from the first one's tables on."""
    make, shape = NETWORKS[name]
    launched = []
    with device(run=lambda kernel, grid, args: launched.append(kernel.__name__)):
        net = make().cuda()
        step = optimizer(net.parameters(), lr=0.1)
        x, labels = cc.zeros(*shape).cuda(), cc.tensor([0, 2]).cuda()
        per_step, held = [], []
        for _ in range(3):
            before, first = cc.cuda.copies(), len(launched)
            step.zero_grad()
            loss = F.cross_entropy(net(x), labels)
            loss.backward()
            step.step()
            per_step.append(len(launched) - first)
            held.append(cc.cuda.memory_allocated())
            if len(per_step) > 1:
                assert cc.cuda.copies() == before
        assert per_step[1] == per_step[2] > 60
        assert held[1] == held[2]
        net.eval()
        with cc.no_grad():
            assert net(x).shape == (2, 10)
        assert cc.cuda.copies() == before
        assert loss.is_cuda


def test_a_label_out_of_range_is_nan():
    """The labels are not copied to the host to be looked at."""
    with device():
        logits = cc.zeros(3, 4).cuda()
        losses = F.cross_entropy(logits, cc.tensor([3, 4, -1]).cuda(), reduction="none")
        np.testing.assert_allclose(losses.tolist(), [np.log(4), np.nan, np.nan], rtol=1e-6)
