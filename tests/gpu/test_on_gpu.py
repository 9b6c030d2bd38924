"""On a real GPU: layers as PyTorch computes them there, training steps as on the CPU. `python -m pytest -m gpu`."""

import numpy as np
import pytest
import torch

import convcore as cc
from benchmarks import cuda
from convcore import models, nn

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("kind", cuda.KINDS)
@pytest.mark.parametrize("case", cuda.LAYERS, ids=lambda case: case.name)
def test_layers_are_those_of_torch(case, kind):
    cuda.check_layer(case, kind=kind)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_tensor_cores_hold_what_the_documents_say(kind):
    """Sums of small integers are exact: one wrong place of a fragment shows. All four ways that operands lie."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 9, shape).astype(np.float32) for shape in ((200, 70), (70, 130)))
    x, y = (cc.tensor(matrix).cuda().requires_grad_() for matrix in (a, b))
    with cc.autocast("cuda", dtype=getattr(cc, kind)):
        out = x @ y
    np.testing.assert_array_equal(out.detach().cpu().numpy(), a @ b)
    upstream = rng.integers(-8, 9, (200, 130)).astype(np.float32)
    out.backward(cc.tensor(upstream).cuda())
    assert x.grad is not None
    assert y.grad is not None
    np.testing.assert_array_equal(x.grad.cpu().numpy(), upstream @ b.T)
    np.testing.assert_array_equal(y.grad.cpu().numpy(), a.T @ upstream)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_training_in_16_bits_is_close_to_float32(kind):
    losses = {}
    images = np.random.default_rng(0).standard_normal((8, 1, 28, 28), np.float32)
    x, labels = cc.tensor(images).cuda(), cc.tensor(np.arange(8)).cuda()
    for enabled in (False, True):
        cc.manual_seed(0)
        net = models.CNN().cuda()
        optimizer = cc.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
        scaler = cc.amp.GradScaler(init_scale=1024.0, enabled=enabled)
        cc.manual_seed(1)
        losses[enabled] = []
        for _ in range(5):
            optimizer.zero_grad()
            with cc.autocast("cuda", dtype=getattr(cc, kind), enabled=enabled):
                loss = nn.CrossEntropyLoss()(net(x), labels)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses[enabled].append(loss.item())
    np.testing.assert_allclose(losses[True], losses[False], rtol=0.05)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (models.CNN, (8, 1, 28, 28)),
        (models.SimpleCNN, (4, 3, 64, 64)),
        (lambda: models.resnet18(num_classes=10), (4, 3, 64, 64)),
        (lambda: models.mobilenet_v3_small(num_classes=10), (4, 3, 64, 64)),
    ],
    ids=["CNN", "SimpleCNN", "ResNet-18", "MobileNetV3-small"],
)
def test_training_steps_are_the_cpus(make, shape):
    losses = {}
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    for place in ("cpu", "cuda"):
        cc.manual_seed(0)
        net = make().to(place)
        step = cc.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
        x, labels = cc.tensor(images).to(place), cc.tensor(np.arange(shape[0]) % 10).to(place)
        cc.manual_seed(1)
        losses[place] = []
        for _ in range(3):
            step.zero_grad()
            loss = nn.CrossEntropyLoss()(net(x), labels)
            loss.backward()
            step.step()
            losses[place].append(loss.item())
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-3)


def test_memory_is_shared_with_torch():
    x = cc.arange(6).float().cuda()
    shared = torch.as_tensor(x, device="cuda")
    taken = cc.cuda.as_tensor(torch.arange(6.0, device="cuda"))
    np.testing.assert_array_equal((x - taken).cpu().numpy(), 0)
    shared += 1
    np.testing.assert_array_equal(x.cpu().numpy(), np.arange(6) + 1)
    assert torch.from_dlpack(x).sum().item() == 21


def test_out_of_memory_leaves_the_device_usable():
    x = cc.ones(1024, 1024).cuda()
    with pytest.raises(cc.cuda.OutOfMemoryError, match="cuda:0 has no room for a float32 tensor"):
        _held = [x.expand(1024, 1024, 1024).contiguous() for _ in range(1000)]  # 4 GiB each
    assert (x + x).sum().item() == 2 * 1024**2
