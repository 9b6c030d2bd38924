"""What stands under a name is replaced in one step, or left as it is; killed writers leave nothing."""

import io as streams
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch

import convcore as cc
from convcore import io
from convcore.errors import CheckpointError, DTypeError, UnsupportedError


def save_torch(path):
    cc.save({"w": cc.ones(2)}, path)


def save_safetensors(path):
    io.save_file({"w": cc.ones(2)}, path)


WRITERS = pytest.mark.parametrize("save", [save_torch, save_safetensors])


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@WRITERS
def test_pipes_sockets_devices_and_folders_are_left_alone(tmp_path, save):
    pipe, end, folder, link = (tmp_path / name for name in ("pipe", "socket", "folder", "link"))
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to(pipe)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(end))
    cases = [(pipe, "a pipe"), (link, "a pipe"), (end, "a socket"), (os.devnull, "a device"), ("/dev/full", "a device")]
    for path, kind in cases:
        before = os.lstat(path)
        with pytest.raises(
            CheckpointError, match=rf"{path}: cannot be written: it is {kind}, not a file; open it, and "
        ):
            save(path)
        assert os.lstat(path) == before
    with pytest.raises(CheckpointError, match="folder: cannot be written: it is a folder; name a file in it"):
        save(folder)
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe", "socket"]
    listener.close()


def test_an_open_pipe_is_written_to():
    """As the error advises. Nothing is lost though a pipe cannot seek."""
    read, write = os.pipe()
    with open(read, "rb") as output, open(write, "wb") as target:
        cc.save({"w": cc.ones(2)}, target)
        target.close()
        assert torch.load(streams.BytesIO(output.read()), weights_only=True)["w"].tolist() == [1, 1]
    with open(os.devnull, "wb") as target:
        cc.save(cc.ones(2), target)
    with (
        open("/dev/full", "wb", buffering=0) as target,
        pytest.raises(CheckpointError, match="save: /dev/full: cannot"),
    ):
        cc.save(cc.ones(2), target)


def test_files_that_are_open_for_something_else(tmp_path):
    with (
        open(tmp_path / "t", "w", encoding="utf-8") as text,
        pytest.raises(DTypeError, match="binary mode, got TextIOWr"),
    ):
        cc.save({}, text)  # pyright: ignore[reportArgumentType]
    with open(tmp_path / "t", encoding="utf-8") as text, pytest.raises(DTypeError, match="binary mode, got TextIOWr"):
        cc.load(text)  # pyright: ignore[reportArgumentType]
    with (
        open(tmp_path / "t", "rb") as only_read,
        pytest.raises(CheckpointError, match=r"save: .*/t: cannot be written"),
    ):
        cc.save({}, only_read)


@WRITERS
def test_links_are_followed(tmp_path, save):
    target, link, far = tmp_path / "run" / "w", tmp_path / "link", tmp_path / "far"
    target.parent.mkdir()
    link.symlink_to(target)
    far.symlink_to(link)
    for _ in range(2):  # it points to nothing at first
        save(far)
        assert (link.is_symlink(), far.is_symlink(), target.is_symlink()) == (True, True, False)
        assert cc.load(target)["w"].tolist() == [1, 1]
        assert os.listdir(target.parent) == ["w"]
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(CheckpointError, match="loop: cannot be written"):
        save(loop)
    assert loop.is_symlink()


@WRITERS
def test_permissions_are_kept(tmp_path, save):
    path = tmp_path / "w"
    for mode in (0o600, 0o664):
        save(path)
        path.chmod(mode)
        save(path)
        assert mode_of(path) == mode


def as_nobody(code):
    """Run code in a process without root's rights."""
    drop = "import os\nif os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    command = [sys.executable, "-c", f"import convcore as cc\n{drop}{code}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_write_protection_is_respected():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w"
        cc.save(cc.zeros(2), path)
        path.chmod(0o444)
        os.chmod(folder, 0o777)
        result = as_nobody(f"cc.save(cc.ones(2), {str(path)!r})")
        assert "w: cannot be written: it is write-protected" in result.stderr
        path.chmod(0o666)
        os.chmod(folder, 0o555)
        result = as_nobody(f"cc.save(cc.ones(2), {str(path)!r})")
        assert "w: cannot be written: " in result.stderr
        assert "Permission denied" in result.stderr
        os.chmod(folder, 0o755)
        assert cc.load(path).tolist() == [0, 0]
        assert os.listdir(folder) == ["w"]


@WRITERS
def test_names(tmp_path, save):
    for name in ("n" * 255, "ä" * 127, "a b.pth", "-x", "[1]*?.pth"):
        save(tmp_path / name)
        save(tmp_path / name)
        assert cc.load(tmp_path / name)["w"].tolist() == [1, 1]
    assert len(os.listdir(tmp_path)) == 5
    with pytest.raises(CheckpointError, match=r"'a\\x00b': no file's name has a zero byte in it"):
        save("a\0b")
    with pytest.raises(CheckpointError, match=r"'a\\x00b': no file's name has a zero byte in it"):
        cc.load("a\0b")


WAITING = """
import sys, time
from convcore.io.files import replace_file

def write(file):
    file.write(bytes(1 << 20))
    file.flush()
    print("writing", flush=True)
    sys.stdin.readline()

replace_file("save", sys.argv[1], write)
"""


@WRITERS
@pytest.mark.parametrize("name", ["w.pth", "[w]*.pth", "w" * 100])
def test_what_killed_writers_leave_is_removed(tmp_path, save, name):
    path, command = tmp_path / name, [sys.executable, "-c", WAITING]
    with subprocess.Popen([*command, str(path)], stdin=-1, stdout=-1) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    assert len(os.listdir(tmp_path)) == 1
    others = [f"{name[:60]}.tmp", f"{name[:60]}.0a1b2c3d.tmp.x", "other.0a1b2c3d.tmp", f"{name[:60]}.0a1b2c3g.tmp"]
    for other in others:
        (tmp_path / other).touch()
    with subprocess.Popen([*command, str(path)], stdin=-1, stdout=-1) as alive:
        assert alive.stdout is not None
        assert alive.stdin is not None
        alive.stdout.readline()  # it has removed what the first has left
        assert len(os.listdir(tmp_path)) == 1 + len(others)
        save(path)  # which does not take away what the second is about to finish
        assert cc.load(path)["w"].tolist() == [1, 1]
        alive.stdin.write(b"\n")
        alive.stdin.close()
        assert alive.wait() == 0
    assert path.read_bytes() == bytes(1 << 20)
    assert sorted(os.listdir(tmp_path)) == sorted([name, *others])


def test_many_writers_at_once(tmp_path):
    """Each file that can be seen under the name is a whole one."""
    path, errors = tmp_path / "w", []
    cc.save(cc.zeros(3), path)
    until = time.monotonic() + 2

    def write(number):
        try:
            while time.monotonic() < until:
                cc.save(cc.full((3,), float(number)), path)
                assert len(set(cc.load(path).tolist())) == 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert os.listdir(tmp_path) == ["w"]


def test_the_file_and_its_name_go_down_to_the_disk(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def note(descriptor):
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "w").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    cc.save(cc.ones(2), tmp_path / "w")
    assert synced == [(False, False), (True, True)]


# What no file of weights can hold is refused when it is saved.


@pytest.mark.parametrize(
    ("state", "metadata", "message"),
    [
        (
            {"__metadata__": cc.ones(1)},
            None,
            "no tensor can be called '__metadata__': there the format keeps the metadata",
        ),
        ({"a\ud800": cc.ones(1)}, None, r"a tensor's name cannot be written in UTF-8: 'a\\ud800'"),
        ({"a": cc.ones(1)}, {"k": "\udfff"}, r"the metadata cannot be written in UTF-8: '\\udfff'"),
        ({"a": cc.ones(1)}, {"\udfff": "k"}, r"the metadata cannot be written in UTF-8: '\\udfff'"),
        ({"a": cc.ones(1)}, {"k": "x" * 10**8}, "the format cannot hold this: .*header too large"),
        ({1: cc.ones(1)}, None, "state_dict must map strings to tensors, got 1: Tensor"),
        ({"a": {"b": cc.ones(1)}}, None, "state_dict must map strings to tensors, got 'a': dict"),
        ({"a": None}, None, "state_dict must map strings to tensors, got 'a': NoneType"),
        ([cc.ones(1)], None, "state_dict must map strings to tensors, got list"),
    ],
)
def test_what_load_would_refuse_is_not_saved(tmp_path, state, metadata, message):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(DTypeError, match=f"^save_file: {message}"):
        io.save_file(state, path, metadata)
    if metadata is None:
        with pytest.raises(DTypeError, match=message):
            cc.save(state, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["w.safetensors"]


class Name(str):
    """Equal to no other, and written like one."""

    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


def test_two_tensors_of_one_name(tmp_path):
    with pytest.raises(DTypeError, match="two tensors are called 'a'"):
        io.save_file({Name("a"): cc.ones(1), "a": cc.ones(2)}, tmp_path / "w")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_what_is_saved_can_be_loaded(tmp_path, name):
    base = cc.arange(12).reshape(3, 4)
    saved = {
        "": cc.ones(1), "a.b c/ä\n\"\\": cc.ones(1), "overlap": base[:2], "lap": base[1:], "turned": base.t(),
        "many axes": cc.ones((1,) * 40), "empty": cc.ones(0, 3), "metadata": cc.tensor(3),
    }  # fmt: skip
    cc.save(saved, tmp_path / name)
    loaded = cc.load(tmp_path / name)
    assert loaded.keys() == saved.keys()
    for key, value in saved.items():
        assert loaded[key].shape == value.shape
        assert loaded[key].tolist() == value.tolist()


def test_torch_s_arguments_of_save(tmp_path):
    cc.save(cc.ones(2), tmp_path / "w", pickle_protocol=4, _use_new_zipfile_serialization=True)
    assert torch.load(tmp_path / "w", weights_only=True).tolist() == [1, 1]
    with pytest.raises(UnsupportedError, match=r"save: writes PyTorch's format since version 1\.6 by itself"):
        cc.save(cc.ones(2), tmp_path / "w", _use_new_zipfile_serialization=False)


def test_two_entries_of_one_name_are_damage():
    entry = b'"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    content = b"{" + entry + b"," + entry + b"}"
    with pytest.raises(CheckpointError, match="damaged: the header has two entries of one name"):
        cc.load(streams.BytesIO(len(content).to_bytes(8, "little") + content))
