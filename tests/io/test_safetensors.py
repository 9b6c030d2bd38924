"""Weights in safetensors files: whole, replaced in one step, and readable by others."""

import os
import stat

import numpy as np
import pytest
import safetensors.torch
import torch

import convcore as cc
from convcore import io, nn
from convcore.errors import CheckpointError, DTypeError


def state():
    base = cc.tensor(np.arange(24.0).reshape(2, 3, 4))
    return {
        "float32": cc.tensor([[1.5, -2.0]]),
        "float64": base,
        "shared": base[1],
        "turned": base.permute(2, 0, 1),
        "holes": base[..., ::2],
        "expanded": cc.tensor([7.0]).expand(3),
        "scalar": cc.tensor(3),
        "empty": cc.zeros(0, 4),
        "flags": cc.tensor([True, False]),
        **{f"{dtype}": cc.tensor([1, 2], dtype=dtype) for dtype in (cc.int8, cc.int16, cc.int32, cc.int64, cc.uint8)},
    }


def test_round_trip(tmp_path):
    path = tmp_path / "weights.safetensors"
    saved = state()
    io.save_file(saved, path, metadata={"epoch": "3"})
    loaded = io.load_file(path)
    assert set(loaded) == set(saved)
    for key, value in saved.items():
        assert loaded[key].dtype == value.dtype, key
        assert loaded[key].shape == value.shape, key
        assert np.array_equal(loaded[key].array, value.array), key
        assert loaded[key].array.flags.writeable
        assert not loaded[key].requires_grad
    assert not np.shares_memory(loaded["float64"].array, loaded["shared"].array)
    assert io.read_metadata(path) == {"epoch": "3"}
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_a_model_goes_to_torch_and_back(tmp_path):
    path = str(tmp_path / "model.safetensors")

    def build(lib):
        return lib.Sequential(lib.Conv2d(1, 2, 3), lib.BatchNorm2d(2), lib.Flatten(), lib.Linear(8, 2))

    ours, theirs = build(nn), build(torch.nn)
    io.save_file(ours.state_dict(), path)
    theirs.load_state_dict(safetensors.torch.load_file(path))
    for key, value in ours.state_dict().items():
        assert np.array_equal(theirs.state_dict()[key].numpy(), value.array), key
    safetensors.torch.save_file(build(torch.nn).state_dict(), path)
    ours.load_state_dict(io.load_file(path))
    for key, value in safetensors.torch.load_file(path).items():
        assert np.array_equal(ours.state_dict()[key].array, value.numpy()), key
    assert io.read_metadata(path) == {}


def test_tensors_with_gradients_are_saved(tmp_path):
    weight = nn.Parameter(cc.ones(2))
    io.save_file({"weight": weight, "computed": weight * 2}, tmp_path / "w")
    assert io.load_file(tmp_path / "w")["computed"].tolist() == [2, 2]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    io.save_file({"a": cc.ones(2)}, path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"save_file: .*weights: cannot be written: .*No space left"):
        io.save_file({"a": cc.zeros(2)}, path)
    assert io.load_file(path)["a"].tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["weights"]


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    io.save_file({"a": cc.ones(2)}, path)

    def interrupt(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        io.save_file({"a": cc.zeros(2)}, path)
    assert io.load_file(path)["a"].tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["weights"]


def test_a_link_goes_on_pointing_to_its_file(tmp_path):
    target, link = tmp_path / "run-1", tmp_path / "latest"
    io.save_file({"a": cc.ones(1)}, target)
    link.symlink_to(target)
    io.save_file({"a": cc.zeros(1)}, link)
    assert link.is_symlink()
    assert io.load_file(target)["a"].tolist() == [0]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    io.save_file({}, tmp_path / "a")
    (tmp_path / "b").touch()
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in "ab"]
    assert modes[0] == modes[1]
    assert io.load_file(tmp_path / "a") == {}


def test_missing_and_unreadable(tmp_path):
    for read in (io.load_file, io.read_metadata):
        with pytest.raises(CheckpointError, match=rf"^{read.__name__}: .*nothing\.safetensors: there is no such file"):
            read(tmp_path / "nothing.safetensors")
        with pytest.raises(CheckpointError, match="it is a folder, not a file"):
            read(tmp_path)
    with pytest.raises(CheckpointError, match=r"save_file: .*no_folder/w: cannot be written"):
        io.save_file({}, tmp_path / "no_folder" / "w")


@pytest.mark.parametrize("keep", [0, 5, 30, -1])
def test_truncated(tmp_path, keep):
    path = tmp_path / "cut"
    io.save_file(state(), path)
    content = path.read_bytes()[:keep]
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"cut: not a safetensors file, or cut short at {len(content)} bytes"):
        io.load_file(path)


def test_another_format(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"model\.pt: not a safetensors file"):
        io.load_file(path)


def test_unknown_element_type(tmp_path):
    path = str(tmp_path / "half")
    safetensors.torch.save_file({"w": torch.zeros(2, dtype=torch.float8_e5m2)}, path)
    with pytest.raises(CheckpointError, match="tensor 'w' has elements of type F8_E5M2; convcore reads F32, F64"):
        io.load_file(path)


def test_wrong_arguments(tmp_path):
    with pytest.raises(DTypeError, match="must map strings to tensors, got 'a': ndarray"):
        io.save_file({"a": np.zeros(2)}, tmp_path / "w")  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match="metadata must map strings to strings, got 'epoch': 3"):
        io.save_file({}, tmp_path / "w", metadata={"epoch": 3})  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "w").exists()
