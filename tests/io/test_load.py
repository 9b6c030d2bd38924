"""Reading PyTorch's two formats, safetensors and .npz: what comes back is what torch.load gives."""

import argparse
import collections
import io as streams
import re
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.torch_version import TorchVersion

import convcore as cc
from convcore import nn
from convcore.errors import CheckpointError, DTypeError, UnsupportedError
from convcore.io.torch_names import NAMES, refusal

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def every_kind():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    return {
        "float32": base,
        "transposed": base.t(),
        "row": base[2],
        "columns": base[:, 1::2],
        "window": base[1:3, 2:5],
        "float64": base.double(),
        "half": base.half(),
        "half view": base.half()[:, ::3],
        "bfloat16": base.bfloat16().t(),
        "channels last": torch.randn(2, 3, 4, 5, generator=generator).to(memory_format=torch.channels_last),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(3, 0, 2),
        "expanded": torch.ones(1, 3).expand(4, 3),
        "special": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
        "special half": torch.tensor([float("nan"), float("inf"), -0.0, 6e-8]).half(),
        "special bfloat16": torch.tensor([float("nan"), float("-inf"), -0.0, 1e-40]).bfloat16(),
        "bool": torch.tensor([[True, False], [False, True]]).t(),
        **{str(d): torch.tensor([[0, 1], [100, 7]], dtype=d) for d in (torch.int8, torch.int16, torch.uint8)},
        **{str(d): torch.tensor([0, -1, 7], dtype=d) for d in (torch.int32, torch.int64)},
        "parameter": torch.nn.Parameter(base[0].clone()),
        "frozen": torch.nn.Parameter(base[0].clone(), requires_grad=False),
        "model": model.state_dict(),
    }


def compare(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        wide = theirs.float() if theirs.dtype in (torch.float16, torch.bfloat16) else theirs
        assert isinstance(ours, cc.Tensor)
        assert str(wide.dtype) == f"torch.{ours.dtype}"
        assert tuple(ours.shape) == tuple(wide.shape)
        np.testing.assert_array_equal(ours.detach().numpy(), wide.detach().numpy())
        if theirs.numel():
            assert tuple(s // ours.array.itemsize for s in ours.array.strides) == tuple(theirs.stride())
        assert ours.requires_grad == theirs.requires_grad
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        assert isinstance(ours, collections.OrderedDict) == isinstance(theirs, collections.OrderedDict)
        for key in theirs:
            compare(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for left, right in zip(ours, theirs, strict=True):
            compare(left, right)
    else:
        assert (type(ours), ours) == (type(theirs), theirs)


@FORMATS
def test_every_kind_of_tensor(tmp_path, zipped):
    path = tmp_path / "checkpoint.pth"
    torch.save(every_kind(), path, _use_new_zipfile_serialization=zipped)
    compare(cc.load(path), torch.load(path, weights_only=True))


@FORMATS
def test_a_training_script_s_checkpoint(tmp_path, zipped):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = {
        "epoch": 3, "best": 2**40, "loss": -0.25, "done": False, "nothing": None, "tuple": (1, (2, "x")),
        "unicode": "ä\U0001f600", "bytes": b"\x00\xff", "list": [[], [{}]], "device": "cpu", "big": -(2**90),
        "optimizer": optimizer.state_dict(), "model": model.state_dict(), 7: {(1, "a"): 2.0},
    }  # fmt: skip
    path = tmp_path / "checkpoint.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    compare(cc.load(path), saved)
    torch.save({**saved, "schedule": schedule.state_dict()}, path, _use_new_zipfile_serialization=zipped)
    assert cc.load(path)["schedule"]["milestones"] == {2: 2, 5: 1}


@FORMATS
def test_what_scripts_keep_beside_the_weights(tmp_path, zipped):
    path = tmp_path / "checkpoint.pth"
    saved = {
        "numpy": np.float64(1.5), "numpy int": np.int64(-3), "numpy flag": np.bool_(True),
        "args": argparse.Namespace(lr=0.1, name="net"), "dtype": torch.float16, "device": torch.device("cpu"),
        "size": torch.Size([2, 3]), "lists": collections.defaultdict(list, a=[1]),
    }  # fmt: skip
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    loaded = cc.load(path)
    assert [loaded[key] for key in ("numpy", "numpy int", "numpy flag")] == [1.5, -3, True]
    assert vars(loaded["args"]) == {"lr": 0.1, "name": "net"}
    assert (loaded["dtype"], loaded["device"], loaded["size"]) == (cc.float32, "cpu", (2, 3))
    assert loaded["lists"] == {"a": [1]}


def compare_plain(ours, theirs):
    assert type(ours) is type(theirs)
    assert ours == theirs


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_python_objects(tmp_path, zipped, protocol):
    saved = {
        "set": {1, 2.5, "a", (1, "b"), None}, "empty": set(), "bytearray": bytearray(b"\x00\xff"), "none": bytearray(),
        "complex": 1.5 - 2j, "counts": collections.Counter("aab"), "nested": [({1}, {"s": {2}})], "bytes": b"\x80",
        "keys": {1j: 2, (1, 2j): 3}, "frozen": frozenset({1}), "list": [{"a"}, bytearray(b"a")],
    }  # fmt: skip
    path = tmp_path / "w.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    loaded = cc.load(path)
    assert loaded == saved
    for key, value in saved.items():
        compare_plain(loaded[key], value)
    if protocol == 2:
        del saved["frozen"]
        torch.save(saved, path, _use_new_zipfile_serialization=zipped)
        assert torch.load(path, weights_only=True) == cc.load(path)


@FORMATS
def test_names_of_torch_beside_the_weights(tmp_path, zipped):
    """What torch reads with weights_only=True and convcore has no object for comes as a string."""
    saved = {
        "dtype": torch.complex64, "wide": torch.uint16, "eight": torch.float8_e4m3fn, "layout": torch.strided,
        "scheme": torch.per_tensor_affine, "version": TorchVersion("2.1.0+cpu"),
    }  # fmt: skip
    path = tmp_path / "w.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    loaded = cc.load(path)
    assert loaded.pop("version") == "2.1.0+cpu"
    assert loaded == {key: str(value) for key, value in saved.items() if key != "version"}
    assert all(type(value) is str for value in loaded.values())


def test_every_name_that_torch_takes_is_read_or_explained():
    """Of what torch reads with weights_only=True, only elements that convcore does not have are left."""
    from torch import _weights_only_unpickler

    other = (
        r"Complex|QU?Int|sparse|_rebuild_(device|meta|nested|qtensor|sparse|tensor_v3|wrapper)|(Typed|Untyped)Storage"
    )
    lacking = [name for name in _weights_only_unpickler._get_allowed_globals() if name not in NAMES]
    assert [name for name in lacking if not re.search(other, name)] == []
    assert [name for name in lacking if refusal(name) == ""] == []


@FORMATS
def test_memory_is_shared_as_it_was(tmp_path, zipped):
    path = tmp_path / "checkpoint.pth"
    base = torch.zeros(3, 4)
    saved = {"base": base, "row": base[1], "half": base.half(), "tied": [base, base.t()]}
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    loaded = cc.load(path)
    loaded["base"][1, 2] = 5.0
    assert loaded["row"].tolist() == [0, 0, 5, 0]
    assert loaded["tied"][1].tolist()[2] == [0, 5, 0]
    assert loaded["half"].array.max() == 0


def test_in_place_changes_of_shared_memory_are_noticed(tmp_path):
    path = tmp_path / "checkpoint.pth"
    base = torch.ones(4)
    torch.save([base, base[:2]], path)
    whole, part = cc.load(path)
    weight = cc.ones(4, requires_grad=True)
    loss = (weight * whole).sum()
    part[0] = 2.0
    with pytest.raises(RuntimeError, match="changed"):
        loss.backward()


def test_an_expanded_tensor_is_read_only(tmp_path):
    torch.save(torch.ones(1).expand(3), tmp_path / "w.pt")
    expanded = cc.load(tmp_path / "w.pt")
    assert expanded.tolist() == [1, 1, 1]
    assert not expanded.array.flags.writeable


@FORMATS
def test_a_model_is_loaded(tmp_path, zipped):
    def build(lib):
        return lib.Sequential(lib.Conv2d(1, 2, 3), lib.BatchNorm2d(2), lib.Flatten(), lib.Linear(8, 2))

    theirs, ours = build(torch.nn), build(nn)
    wrapped = {f"module.{key}": value.half() if value.is_floating_point() else value
               for key, value in theirs.state_dict().items()}  # fmt: skip
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    checkpoint = cc.load(tmp_path / "w.pth", map_location="cpu")
    with pytest.raises(CheckpointError, match=r"find_state_dict\(checkpoint\) takes the weights out"):
        ours.load_state_dict(checkpoint)
    with pytest.raises(CheckpointError, match=r"find_state_dict\(checkpoint\) takes the weights out"):
        ours.load_state_dict(checkpoint["state_dict"])
    ours.load_state_dict(cc.io.find_state_dict(checkpoint))
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(value.array, theirs.state_dict()[key].half().float().numpy())


def test_open_files_and_big_endian(tmp_path):
    stream = streams.BytesIO()
    torch.save({"w": torch.arange(3.0), "h": torch.ones(2).bfloat16()}, stream)
    stream.seek(0)
    assert cc.load(stream)["w"].tolist() == [0, 1, 2]
    swapped = streams.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(swapped, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("byteorder"):
                content = b"big"
            if name.endswith("data/0"):
                content = np.arange(3.0, dtype=">f4").tobytes()
            if name.endswith("data/1"):
                content = struct.pack(">HH", 0x3F80, 0x3F80)
            new.writestr(name, content)
    swapped.seek(0)
    assert cc.load(swapped)["w"].tolist() == [0, 1, 2]
    swapped.seek(0)
    assert cc.load(swapped)["h"].tolist() == [1, 1]


def test_checksums_may_be_left_out(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(3.0)}, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert cc.load(tmp_path / "w.pt")["w"].tolist() == [0, 1, 2]


def test_safetensors(tmp_path):
    tensors = {"a": torch.randn(3, 2), "h": torch.randn(4).half(), "b": torch.randn(2, 2).bfloat16(),
               "i": torch.tensor(3), "f": torch.tensor([True, False]), "e": torch.zeros(0, 2)}  # fmt: skip
    path = str(tmp_path / "w.bin")
    safetensors.torch.save_file(tensors, path)
    loaded = cc.load(path)
    assert set(loaded) == set(tensors)
    for key, value in tensors.items():
        compare(loaded[key], value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    arrays = {
        "a.weight": np.arange(6.0).reshape(2, 3),
        "turned": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "half": np.ones(3, np.float16),
        "big": np.arange(3, dtype=">i4"),
        "flag": np.array(True),
        "none": np.zeros((0, 4)),
    }
    save(tmp_path / "w.npz", **arrays)
    loaded = cc.load(tmp_path / "w.npz")
    assert list(loaded) == list(arrays)
    for key, value in arrays.items():
        np.testing.assert_array_equal(loaded[key].numpy(), value)
        assert loaded[key].dtype == ("float32" if key == "half" else value.dtype.newbyteorder("="))
        assert loaded[key].array.flags.writeable


def test_arguments(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({}, path)
    assert cc.load(str(path), torch.device("cpu")) == {}
    with pytest.raises(UnsupportedError, match=r'map_location must be None or "cpu", the only device, got \'cuda\''):
        cc.load(path, map_location="cuda")
    wrong: Any = 3
    for call in (lambda: cc.load(wrong), lambda: cc.save({}, wrong), lambda: cc.io.load_file(wrong)):
        with pytest.raises(DTypeError, match=r"needs a path, or a file open in binary mode, got int"):
            call()
    with pytest.raises(UnsupportedError, match="weights_only must be True: files are read as data"):
        cc.load(path, weights_only=False)


def test_find_state_dict():
    w, b = cc.ones(2), cc.zeros(2)
    find = cc.io.find_state_dict
    plain = {"a.weight": w, "a.bias": b}
    assert find(plain) == plain
    assert find(plain)["a.weight"] is w
    assert find({"epoch": 3, "model": plain, "optimizer": {"state": {0: {"m": w}}}}) == plain
    assert find({"state": 1, "checkpoint": 2, "model": {"state_dict": plain}}) == plain
    assert find({"state_dict": {f"module._orig_mod.{k}": v for k, v in plain.items()}}) == plain
    mixed = {"module.a": w, "head.b": b}
    assert find({"net": mixed}) == mixed
    assert find({**plain, "version": 3}) == plain
    averaged = {"n_averaged": cc.tensor(3), **{f"module.{k}": v for k, v in plain.items()}}
    assert find(averaged) == find({"model_ema": averaged}) == find({"x": averaged}, key="x") == plain
    assert find({"n_averaged": cc.tensor(3), **{f"module.module.{k}": v for k, v in plain.items()}}) == plain
    scaled = {"scale": cc.tensor(3.0), **{f"module.{k}": v for k, v in plain.items()}}
    assert find(scaled) == scaled
    compiled = {"stem._orig_mod.a": w, "head._fsdp_wrapped_module.b": b}
    assert find(compiled) == {"stem.a": w, "head.b": b}
    for name in ("model", "net"):
        attribute = {f"{name}.{k}": v for k, v in plain.items()}
        assert find({"state_dict": attribute, "pytorch-lightning_version": "2.0"}) == plain
        assert find({"state_dict": attribute}) == attribute
    mixed = {"model.a": w, "loss.b": b}
    assert find({"state_dict": mixed, "pytorch-lightning_version": "2.0"}) == mixed
    both = {"model": plain, "model_ema": {"a.weight": b}, "mine": {"best": {"x": w}}}
    assert find(both) == plain
    assert find(both, key="model_ema") == {"a.weight": b}
    assert find(both, key="mine.best") == {"x": w}
    with pytest.raises(CheckpointError, match=r"no weights found; the checkpoint has the keys 'epoch', 'mine', and"):
        find({"epoch": 1, "mine": {"x": w}})
    with pytest.raises(CheckpointError, match=r"has no 'other'; its keys are 'model', 'model_ema', 'mine'"):
        find(both, key="other")
    with pytest.raises(CheckpointError, match="'mine' holds no weights but a dict"):
        find(both, key="mine")
    with pytest.raises(TypeError, match="checkpoint must be a dictionary, got Tensor"):
        find(w)
