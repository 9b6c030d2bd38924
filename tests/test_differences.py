"""The page "Differences from PyTorch": every row of the table is shown, so that the table stays true and short."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import convcore as cc
import convcore.nn.functional as F
from convcore import models, nn
from convcore.data import DataLoader, Dataset, ImageFolder, TensorDataset, read_image
from convcore.errors import AbsentError, CheckpointError, ConvcoreError, DTypeError, ShapeError, UnsupportedError
from convcore.io import load_file
from convcore.optim import SGD
from convcore.transforms import RandomHorizontalFlip, Resize
from convcore.transforms.functional import adjust_brightness
from kernels.threads import max_num_threads

PAGE = Path(cc.__file__).with_name("DIFFERENCES.md")


def rows() -> list[str]:
    """The first column."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line.split("|")[1].strip() for line in lines if line[:1] == "|"][2:]


def image(*shape: int) -> cc.Tensor:
    return cc.tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def element_types(tmp_path):
    assert F.conv2d(image(1, 1, 3, 3).double(), image(1, 1, 2, 2).double()).dtype == np.float64
    with pytest.raises(DTypeError):
        F.conv2d(cc.ones(1, 1, 3, 3, dtype=cc.int64), cc.ones(1, 1, 2, 2, dtype=cc.int64))
    with pytest.raises(DTypeError):
        cc.ones(2, dtype="float16")


def devices(tmp_path):
    assert cc.ones(2, device="cpu").sum() == 2
    with pytest.raises(UnsupportedError):
        cc.ones(2, device="cuda:1")
    assert torch.autocast("cpu")
    with pytest.raises(UnsupportedError):
        cc.autocast("cpu")


def memory_of_batches(tmp_path):
    x, weight = image(2, 3, 6, 6), image(4, 3, 3, 3)
    theirs = torch.nn.functional.conv2d(torch.tensor(x.numpy()), torch.tensor(weight.numpy()))
    assert F.conv2d(x, weight).shape == tuple(theirs.shape) == (2, 4, 4, 4)
    assert theirs.is_contiguous()
    assert F.conv2d(x, weight).numpy().transpose(0, 2, 3, 1).flags.c_contiguous


def fusion(tmp_path):
    x, weight = image(2, 5, 40, 40), image(24, 5, 3, 3)
    waiting = F.relu(F.conv2d(x, weight))
    assert waiting.deferred is not None
    with cc.no_fusion():
        at_once = F.relu(F.conv2d(x, weight))
        assert at_once.deferred is None
    np.testing.assert_array_equal(waiting.numpy(), at_once.numpy())
    recorded = F.relu(F.batch_norm(F.conv2d(x, weight.requires_grad_()), None, None, training=True))
    assert repr(recorded.grad_fn) == "<BatchNormBackward>"


def threads(tmp_path):
    before, results = cc.get_num_threads(), []
    try:
        for count in (1, max_num_threads(), max_num_threads()):
            cc.set_num_threads(count)
            results.append(F.conv2d(image(2, 16, 20, 20), image(16, 16, 3, 3)).numpy().tobytes())
    finally:
        cc.set_num_threads(before)
    assert len(set(results)) == 1


def denormals(tmp_path):
    tiny, one = np.full((1, 1, 4, 4), 1e-42, np.float32), np.ones((1, 1, 1, 1), np.float32)
    assert F.conv2d(cc.tensor(tiny), cc.tensor(one)).sum() == 0
    assert torch.nn.functional.conv2d(torch.tensor(tiny), torch.tensor(one)).sum() > 0


def random_numbers(tmp_path):
    cc.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = cc.rand(5000).numpy(), torch.rand(5000).numpy()
    assert not np.any(ours == theirs)
    assert abs(ours.mean() - theirs.mean()) < 0.03


def algorithms(tmp_path):
    with cc.use_algorithm("im2col"):
        explanation = cc.explain_conv2d(image(1, 3, 6, 6), image(4, 3, 3, 3))
    assert explanation.chosen("forward") == "im2col"
    F.conv2d(image(1, 3, 6, 6), image(4, 3, 3, 3), algorithm="direct")


def winograd(tmp_path):
    x, weight = image(1, 64, 16, 16), image(64, 64, 3, 3)
    assert cc.explain_conv2d(x, weight, padding=1).chosen("forward").startswith("winograd")
    x.array[0, 0, 0, 0] = np.nan
    direct = F.conv2d(x, weight, padding=1, algorithm="direct").numpy()
    tiled = F.conv2d(x, weight, padding=1, algorithm="winograd").numpy()
    assert np.isnan(direct[0, 0]).sum() == 4
    assert np.isnan(tiled[0, 0]).sum() == 16
    finite = np.isfinite(tiled)
    assert np.abs(tiled[finite] - direct[finite]).max() < 5e-5 * np.abs(direct[finite]).max()


def compiled(tmp_path):
    x = cc.randn(1, 3, 16, 16)
    layer = nn.Conv2d(3, 16, 3).eval()
    model = cc.compile(layer)
    with cc.no_grad():
        assert np.array_equal(model(x).array, layer(x).array)
        assert [step.split()[0] for step in model.steps(x)] == [
            "transpose_matrices",
            "conv_forward_direct",
        ]  # to channels-last
        sampler = cc.compile(nn.RReLU())
        assert sampler.steps(x) == []
        hooked = cc.compile(nn.Sequential(layer))
        layer.register_forward_hook(lambda *_: None)
        with pytest.warns(UserWarning, match="compile: Sequential is evaluated as if it were not compiled: a Conv2d"):
            hooked.eval()(x)


def views(tmp_path):
    x = image(4, 3).requires_grad_() * 1
    view = x.view(12)
    with pytest.raises(UnsupportedError, match="a recorded in-place change"):
        view.mul_(2)


def optimizers(tmp_path):
    for setting in ("foreach", "fused", "differentiable"):
        torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0, **{setting: False})
        with pytest.raises(TypeError):
            SGD([nn.Parameter(cc.ones(1))], lr=1.0, **{setting: False})


def graphs(tmp_path):
    matrix = nn.graph.gcn_matrix(np.ones((3, 3)) - np.eye(3))
    assert nn.graph.GCNConv(2, 4)(image(3, 2), matrix).shape == (3, 4)


def not_here(tmp_path):
    for name in ("fft", "linalg", "sparse", "distributions", "complex64"):
        assert hasattr(torch, name)
        assert not hasattr(cc, name)
        with pytest.raises(AbsentError, match=rf"convcore has no torch\.{name} \(README: what differs\)"):
            getattr(cc, name)


def loader(tmp_path):
    data = TensorDataset(cc.arange(20))
    first, again, other = ([b.tolist() for (b,) in DataLoader(data, 5, shuffle=True, seed=s)] for s in (1, 1, 2))
    assert first == again != other

    class Drawn(Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            workers.add(threading.current_thread())
            return cc.rand(1).item()

    workers: set[threading.Thread] = set()
    ways: list[Any] = [{}, {"prefetch": 2}, {"num_workers": 2, "multiprocessing_context": "spawn"}]
    alone, ahead, split = (
        [b.tolist() for b in DataLoader(Drawn(), 2, seed=1, pin_memory=True, in_order=False, **way)] for way in ways
    )
    assert alone == ahead == split
    assert len(workers) == 4


def transforms(tmp_path):
    with pytest.raises(UnsupportedError, match="antialias"):
        Resize(4, antialias=False)(cc.rand(1, 8, 8))
    batch = cc.rand(64, 1, 2, 3)
    flipped = RandomHorizontalFlip()(batch).numpy() != batch.numpy()
    assert {True, False} == set(flipped.any(axis=(1, 2, 3)).tolist()), "one draw for all images"
    with pytest.raises(ShapeError, match="more than 89,478,485 pixels"):
        Resize(256)(Image.new("L", (1, 30_000)))
    with pytest.raises(DTypeError, match="got CMYK"):
        adjust_brightness(Image.new("CMYK", (1, 1)), 2.0)


def pictures(tmp_path):
    (tmp_path / "ink" / ".hidden").mkdir(parents=True)
    (tmp_path / "ink" / "up").symlink_to(tmp_path)
    note = Image.Exif()
    note[0x0112] = 6  # to be turned by a quarter
    for name in ("a.png", ".hidden/b.png"):
        Image.new("LA", (3, 2)).save(tmp_path / "ink" / name, exif=note)
    ((image, _),) = ImageFolder(tmp_path)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (2, 3), (255, 255, 255))
    Image.fromarray(np.full((1, 1), 256, np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png", "L").getpixel((0, 0)) == 1
    (tmp_path / "cat.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(CheckpointError, match="cannot identify it as one of JPEG, PNG"):
        read_image(tmp_path / "cat.jpg")


def model_weights(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "TORCH_HOME", "CONVCORE_WEIGHTS"):
            patch.setenv(name, str(tmp_path))
        with pytest.raises(CheckpointError, match=r"resnet18-f37072fd\.pth"):
            models.resnet18(weights="IMAGENET1K_V1")


def load(tmp_path):
    torch.save({"x": torch.ones(2, dtype=torch.float16), "p": torch.nn.Parameter(torch.ones(1))}, tmp_path / "x.pt")
    loaded = cc.load(tmp_path / "x.pt")
    assert loaded["x"].dtype == np.float32
    assert loaded["p"].requires_grad
    assert type(loaded["p"]) is cc.Tensor
    with pytest.raises(UnsupportedError):
        cc.load(tmp_path / "x.pt", weights_only=False)


def save(tmp_path):
    cc.save({"x": cc.ones(2), "epoch": 3}, tmp_path / "x.pth")
    assert torch.load(tmp_path / "x.pth", weights_only=True)["epoch"] == 3
    cc.save({"x": cc.ones(2)}, tmp_path / "x.safetensors")
    assert load_file(tmp_path / "x.safetensors")["x"].tolist() == [1, 1]
    with pytest.raises(ConvcoreError):
        cc.save({"x": object()}, tmp_path / "y.pth")


def state_that_fits_nowhere(tmp_path):
    theirs, ours = torch.nn.Linear(2, 3), cc.nn.Linear(2, 3)
    state = {f"model.{name}": tensor for name, tensor in theirs.state_dict().items()}
    theirs.load_state_dict(state, strict=False)
    state = {f"model.{name}": tensor for name, tensor in ours.state_dict().items()}
    with pytest.warns(UserWarning, match=r"model\."):
        ours.load_state_dict(state, strict=False)


def wrong_input(tmp_path):
    with pytest.raises(RuntimeError):
        torch.nn.functional.conv2d(torch.ones(1, 2, 3, 3), torch.ones(1, 3, 2, 2))
    with pytest.raises(ShapeError, match=r"input has 2 channels but weight expects 3 (.|\n)*N, C_in, H, W"):
        F.conv2d(cc.ones(1, 2, 3, 3), cc.ones(1, 3, 2, 2))
    assert issubclass(ShapeError, ValueError)
    assert issubclass(DTypeError, TypeError)


# By the row, what shows it.
SHOWN = {
    "element types": element_types,
    "devices": devices,
    "memory of image batches": memory_of_batches,
    "batch norm of images; convolutions that record nothing": fusion,
    "number of threads": threads,
    "denormal numbers": denormals,
    "random numbers": random_numbers,
    "convolution algorithms": algorithms,
    "3x3 convolutions of stride 1, and both gradients": winograd,
    "`compile`": compiled,
    "recorded in-place change of a view's memory": views,
    "optimizers": optimizers,
    "graphs": graphs,
    "Fourier transforms, linear algebra, sparse and complex tensors, distributions": not_here,
    "`DataLoader`": loader,
    "`transforms`": transforms,
    "pictures from files, `data.ImageFolder`": pictures,
    "`torchvision.models`": model_weights,
    "`load`": load,
    "`save`": save,
    "`load_state_dict(strict=False)`": state_that_fits_nowhere,
    "wrong input": wrong_input,
}


@pytest.mark.parametrize("row", rows())
def test_the_difference_is_there(row, tmp_path):
    SHOWN[row](tmp_path)


def test_every_row_has_a_function_and_the_table_is_short():
    assert list(SHOWN) == rows()
    assert len(SHOWN) <= 25
