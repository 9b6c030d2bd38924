"""Writing PyTorch's format: torch.load(weights_only=True) reads it, and memory is shared and laid out as it was."""

import collections
import io as streams
import os
import zipfile

import numpy as np
import pytest
import torch

import convcore as cc
from convcore import nn
from convcore.errors import CheckpointError, DTypeError


def every_kind():
    base = cc.tensor(np.arange(24.0, dtype=np.float32).reshape(4, 6))
    return {
        "float32": base, "transposed": base.t(), "row": base[2], "columns": base[:, 1::2], "window": base[1:3, 2:5],
        "float64": cc.tensor([[1.5]], dtype=cc.float64), "alone": cc.randn(3, 4)[:, ::2], "flipped": cc.flip(base, [0]),
        "scalar": cc.tensor(2.5), "empty": cc.zeros(3, 0, 2), "expanded": cc.ones(1, 3).expand(4, 3),
        "special": cc.tensor([float("nan"), float("inf"), -0.0]), "flags": cc.tensor([True, False]),
        "channels last": nn.Conv2d(2, 3, 3)(cc.randn(1, 2, 5, 5)).detach(),
        **{str(d): cc.tensor([0, 1, 100], dtype=d) for d in (cc.int8, cc.int16, cc.int32, cc.int64, cc.uint8)},
        "parameter": nn.Parameter(cc.ones(2)),
    }  # fmt: skip


@pytest.mark.parametrize("mmap", [False, True])
def test_torch_reads_every_kind(tmp_path, mmap):
    path = tmp_path / "w.pth"
    saved = every_kind()
    cc.save(saved, path)
    loaded = torch.load(path, weights_only=True, mmap=mmap)
    again = cc.load(path)
    assert list(loaded) == list(again) == list(saved)
    for key, value in saved.items():
        assert str(loaded[key].dtype) == f"torch.{value.dtype}", key
        np.testing.assert_array_equal(loaded[key].detach().numpy(), value.array)
        np.testing.assert_array_equal(again[key].array, value.array)
        assert loaded[key].requires_grad == again[key].requires_grad == value.requires_grad
    for key in ("transposed", "row", "columns", "window", "channels last", "expanded"):
        strides = tuple(step // saved[key].array.itemsize for step in saved[key].array.strides)
        assert loaded[key].stride() == strides, key
    assert loaded["alone"].is_contiguous()
    storages = {key: loaded[key].untyped_storage().data_ptr() for key in loaded}
    assert len({storages[key] for key in ("float32", "transposed", "row", "columns", "window")}) == 1
    assert storages["flipped"] != storages["float32"]


def test_plain_data(tmp_path):
    saved = {
        "epoch": 3, "big": 2**40, "bigger": -(2**90), "loss": -0.25, "done": False, "nothing": None,
        "text": "ä\U0001f600", "bytes": b"\x00\xff", "tuple": (1, (2, "x")), "list": [[], [{}], ()], 7: {(1, "a"): 2.0},
        "set": {1, 2.5, "a", (1, "b")}, "no items": set(), "complex": 1.5 - 2j, "bytearray": bytearray(b"\x00\xff"),
        "ordered": collections.OrderedDict(b=1, a=2), "numbers": [2**31, -(2**31), -(2**31) - 1, 255, 256, -1],
    }  # fmt: skip
    cc.save(saved, tmp_path / "w.pt")
    loaded = torch.load(tmp_path / "w.pt", weights_only=True)
    assert loaded == cc.load(tmp_path / "w.pt") == saved
    assert type(loaded["ordered"]) is collections.OrderedDict
    cc.save([np.float32(0.5), np.int64(3), np.bool_(True), cc.Size([2])], tmp_path / "w.pt")
    assert torch.load(tmp_path / "w.pt", weights_only=True) == [0.5, 3, True, (2,)]


def test_a_training_goes_on_in_torch_and_back(tmp_path):
    def build(lib):  # a bias before batch norm has no gradient but rounding errors, which Adam would blow up
        return lib.Sequential(lib.Conv2d(1, 2, 3, bias=False), lib.BatchNorm2d(2), lib.Flatten(), lib.Linear(8, 2))

    ours, theirs = build(nn), build(torch.nn)
    optimizer, other = cc.optim.Adam(ours.parameters()), torch.optim.Adam(theirs.parameters())
    x = np.random.default_rng(0).standard_normal((3, 1, 4, 4)).astype(np.float32)

    def step(lib, model, optimizer):
        optimizer.zero_grad()
        model(lib.tensor(x)).square().sum().backward()
        optimizer.step()

    step(cc, ours, optimizer)
    cc.save({"model": ours.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "w.pth")
    checkpoint = torch.load(tmp_path / "w.pth", weights_only=True)
    theirs.load_state_dict(checkpoint["model"])
    other.load_state_dict(checkpoint["optimizer"])
    step(cc, ours, optimizer)
    step(torch, theirs, other)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].array, value.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)
    torch.save({"model": theirs.state_dict(), "optimizer": other.state_dict()}, tmp_path / "w.pth")
    checkpoint = cc.load(tmp_path / "w.pth")
    ours.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])


def test_tied_weights_are_written_once(tmp_path):
    model = nn.Sequential(nn.Linear(50, 50, bias=False), nn.Linear(50, 50, bias=False))
    model[1].weight = model[0].weight
    cc.save(model.state_dict(), tmp_path / "w.pth")
    assert os.path.getsize(tmp_path / "w.pth") < 12_000
    loaded = torch.load(tmp_path / "w.pth", weights_only=True)
    assert loaded["0.weight"].data_ptr() == loaded["1.weight"].data_ptr()


def test_memory_of_others_is_not_written(tmp_path):
    secret = cc.full((1000,), 7.0)
    cc.save({"w": secret[:2]}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        assert archive.getinfo("archive/data/0").file_size == 8


def test_equal_objects_give_equal_files(tmp_path):
    for name in "ab":
        cc.save({"w": cc.arange(5), "x": [cc.ones(2)]}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_streams_and_safetensors(tmp_path):
    stream = streams.BytesIO()
    cc.save({"w": cc.arange(3)}, stream)
    stream.seek(0)
    assert torch.load(stream, weights_only=True)["w"].tolist() == [0, 1, 2]
    cc.save({"w": cc.arange(3)}, tmp_path / "w.safetensors")
    assert cc.io.load_file(tmp_path / "w.safetensors")["w"].tolist() == [0, 1, 2]
    assert cc.load(tmp_path / "w.safetensors")["w"].tolist() == [0, 1, 2]


class Own:
    pass


def endless():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"a": [Own()]}, r"obj\['a'\]\[0\] is test_save\.Own"),
        ({"a": np.zeros(2)}, r"obj\['a'\] is numpy\.ndarray; convcore\.from_numpy makes a tensor of it"),
        ({Own: 1}, "keys of dicts must be strings, numbers or tuples of them"),
        (endless(), "lies 200 levels deep, or contains itself"),
        (
            {"s": {frozenset()}},
            r"items of sets must be strings, numbers or tuples of them, but obj\['s'\] has frozenset",
        ),
        ("a" * (2**26 + 1), "strings must have at most 67,108,864 bytes in UTF-8, but obj has 67,108,865"),
        ({"b": b"\xff" * (2**25 + 1)}, r"strings must have at most 67,108,864 bytes in UTF-8, but obj\['b'\] has"),
        (2**3000, "integers must have fewer than 2,040 bits, but obj has 3,001"),
        (cc.nn.Linear(2, 2), r"but obj is convcore\.nn\.linear\.Linear; save its state_dict\(\)"),
    ],
)
def test_what_is_no_data_is_refused(tmp_path, obj, message):
    (tmp_path / "w.pth").write_bytes(b"old")
    with pytest.raises(DTypeError, match=f"^save: .*{message}"):
        cc.save(obj, tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["w.pth"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    cc.save(cc.ones(2), path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"save: .*w\.pth: cannot be written: .*No space left"):
        cc.save(cc.zeros(2), path)
    assert cc.load(path).tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["w.pth"]


def test_storages_begin_at_multiples_of_64_bytes(tmp_path):
    cc.save({f"w{i}": cc.ones(i) for i in range(1, 6)}, tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        for info in archive.infolist():
            names = content[info.header_offset + 26 : info.header_offset + 30]  # lengths of the name and of extra data
            start = info.header_offset + 30 + sum(np.frombuffer(names, "<u2"))
            assert start % 64 == 0
            assert content[start : start + info.file_size] == archive.read(info)
