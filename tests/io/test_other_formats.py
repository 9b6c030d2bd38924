"""Files that are not weights are named; the tar format of 2016 is read as torch reads it."""

import bz2
import collections
import gzip
import io as streams
import json
import lzma
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import convcore as cc
from convcore.errors import CheckpointError, UnsupportedError


def weights():
    stream = streams.BytesIO()
    torch.save({"w": torch.ones(2)}, stream)
    return stream.getvalue()


def zipped(*names):
    stream = streams.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return stream.getvalue()


def picture(kind):
    stream = streams.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, kind)
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258da\n"
INDEX = json.dumps({"metadata": {"total_size": 9}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}).encode()

FILES = [
    (b"", "the file is empty; download or save it again"),
    (LFS + b"size 46830571\n", "a pointer of Git LFS in the place of the file; `git lfs pull` fetches it"),
    (b"<!DOCTYPE html><html>not found</html>", r"a web page \(HTML\); .*: download the file itself"),
    (b"\n\n  <!doctype HTML>\n", r"a web page \(HTML\)"),
    (b"\xef\xbb\xbf<html lang='en'>", r"a web page \(HTML\)"),
    (b"<!-- saved from -->\n<html>", r"a web page \(HTML\)"),
    (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document, perhaps a server's error"),
    (b"<Error><Code>NoSuchKey</Code></Error>", "an XML document"),
    (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file, as Keras writes; read it with h5py"),
    (gzip.compress(weights()), "compressed with gzip; unpack it first"),
    (bz2.compress(weights()), "compressed with bzip2; unpack it first"),
    (lzma.compress(weights()), "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd\x04\x00\x41", "compressed with Zstandard; unpack it first"),
    (b"\x08\x07\x12\x07pytorch\x1a\x05" + bytes(range(99)), "an ONNX model; read it with the package onnx"),
    (b"\x08\x03\x12\x0cbackend-test:" + bytes(range(99)), "an ONNX model"),
    (b"\x08\x08\x3a\xd0\x01\x0a" + bytes(range(99)), "an ONNX model"),
    (b"\x1c\0\0\0TFL3" + bytes(99), "a TensorFlow Lite model"),
    (b"GGUF\x03\0\0\0", "a GGUF file"),
    (picture("PNG"), "a picture; pass a file of weights"),
    (picture("JPEG"), "a picture"),
    (INDEX, "the index of a checkpoint in several files; load each of the files that it names"),
    (b'{"epoch": 3}', "JSON; pass the file of weights"),
    ("epoch 1: loss 2.31 ä\n".encode() * 300, r'text \("epoch 1: loss 2.31 \\u00e4" \.\.\)'),
    (bytes(5000), "nothing but zeros; download it again"),
    (pickle.dumps({"w": [1]}, 0), "a pickle of protocol 0 or 1"),
    (pickle.dumps({"w": [1]}, 1), "a pickle of protocol 0 or 1"),
    (pickle.dumps(collections.OrderedDict(w=1), 0), "a pickle of protocol 0 or 1"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), FILES)
def test_files_of_others_are_named(tmp_path, content, message):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"^load: {path}: no weights that can be read: {message}") as caught:
        cc.load(path)
    assert "\n" not in str(caught.value)
    if content:
        with pytest.raises(CheckpointError, match=rf"^load_file: {path}: not a safetensors file, but {message}"):
            cc.io.load_file(path)


def test_archives_of_others_are_named():
    for content, message in (
        (zipped("config.json", "model.weights.h5", "metadata.json", "x"), r"\('config.json', 'model.weights.h5', "),
        (zipped("resnet18.pth"), r"0 data.pkl among 1 files \('resnet18.pth'\); unpack it if one of them is the file"),
        (
            tarred(a=b"1", b=b"2"),
            r"a tar archive of other files \('a', 'b', \.\.\), not weights; unpack it \(tar -xf\)",
        ),
    ):
        with pytest.raises(CheckpointError, match=message):
            cc.load(streams.BytesIO(content))


def test_a_damaged_safetensors_file_is_not_taken_for_another():
    whole = streams.BytesIO()
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    whole.write(struct.pack("<Q", len(header)) + header + bytes(4))
    whole.seek(0)
    assert cc.load(whole)["w"].tolist() == [0]
    with pytest.raises(CheckpointError, match="not a safetensors file, or cut short at 60 bytes"):
        cc.load(streams.BytesIO(whole.getvalue()[:60]))
    header += b" " * (0x80 - len(header))  # a length whose first byte is that of a pickle
    stream = streams.BytesIO(struct.pack("<Q", len(header)) + header + bytes(4))
    assert cc.load(stream)["w"].tolist() == [0]


# The tar format


def tarred(**records):
    stream = streams.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name, content in records.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, streams.BytesIO(content))
    return stream.getvalue()


class Id:
    def __init__(self, number):
        self.number = number


class TarPickler(pickle.Pickler):
    def persistent_id(self, obj):
        return str(obj.number) if isinstance(obj, Id) else None


def dumped(value):
    return pickle.dumps(value, 2)


STORAGES = {
    101: (torch.FloatStorage, "f", np.arange(12, dtype="<f4")),
    2**40: (torch.LongStorage, "q", np.array([1, -2, 3], "<i8")),
    103: (torch.HalfStorage, "e", np.array([0.5, 2], "<f2")),
}
VIEWS = [(104, 101, 6, 4)]
TENSORS = {
    201: (101, torch.FloatTensor, (3, 4), (4, 1), 0),
    202: (101, torch.FloatTensor, (4, 3), (1, 4), 0),
    203: (2**40, torch.LongTensor, (2,), (1,), 1),
    204: (104, torch.FloatTensor, (2, 2), (2, 1), 0),
    205: (103, torch.HalfTensor, (2,), (1,), 0),
}


def of_2016(storages=STORAGES, views=VIEWS, tensors=TENSORS, obj=None):
    """A file as torch 0.1.6 wrote it."""
    content = dumped(len(storages))
    for key, (kind, _, elements) in storages.items():
        content += dumped((key, "cpu", kind)) + struct.pack("<q", elements.size) + elements.tobytes()
    content += dumped(views)
    places = dumped(len(tensors))
    for key, (storage, kind, size, stride, offset) in tensors.items():
        places += dumped((key, storage, kind)) + struct.pack("<ii", len(size), 0)
        places += struct.pack(f"<{len(size)}q", *size) + struct.pack(f"<{len(size)}q", *stride)
        places += struct.pack("<q", offset)
    stream = streams.BytesIO()
    given = {key: Id(key) for key in tensors}
    whole = {"state_dict": collections.OrderedDict({f"t{key}": Id(key) for key in tensors}), "epoch": 3, "again": given}
    TarPickler(stream, 2).dump(whole if obj is None else obj)
    return tarred(sys_info=dumped({}), pickle=stream.getvalue(), storages=content, tensors=places)


def test_the_tar_format_of_2016(tmp_path):
    path = tmp_path / "resnet18-5c106cde.pth"
    path.write_bytes(of_2016())
    theirs, ours = torch.load(path, weights_only=False), cc.load(path)
    assert ours["epoch"] == 3
    assert list(ours["state_dict"]) == list(theirs["state_dict"])
    for key, value in theirs["state_dict"].items():
        wide = value.float() if value.dtype == torch.float16 else value
        np.testing.assert_array_equal(ours["state_dict"][key].array, wide.numpy())
        assert str(wide.dtype) == f"torch.{ours['state_dict'][key].dtype}"
    ours["state_dict"]["t201"][1, 2] = 50.0
    assert ours["state_dict"]["t202"][2, 1].item() == ours["state_dict"]["t204"][0, 0].item() == 50
    assert ours["again"][201] is ours["state_dict"]["t201"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (of_2016(storages={101: STORAGES[101]}), "refers to object 1099511627776, which is not in it"),
        (of_2016(tensors={201: (5, torch.FloatTensor, (1,), (1,), 0)}), "refers to object 5, which is not in it"),
        (of_2016(tensors={201: (101, torch.FloatTensor, (13,), (1,), 0)}), "leaves its storage of 12 elements"),
        (of_2016(views=[(104, 101, 6, 7)]), "a view of 7 elements at 6 leaves its storage"),
        (of_2016(views=[3]), "a view of a storage is not four numbers"),
        (of_2016(views={}), "a view of a storage is not four numbers"),
        (of_2016(obj=Id("x")), "refers to something that is not a tensor"),
        (of_2016(obj=Id(99)), "refers to object 99, which is not in it"),
        (tarred(storages=b"", tensors=b"", pickle=b""), "wants 1 more bytes, 0 are left"),
        (tarred(storages=dumped("a"), tensors=b"", pickle=b""), "a number of storages or tensors is missing"),
        (tarred(storages=dumped(1) + dumped((1, 2)), tensors=b"", pickle=b""), "is not described by three facts"),
        (tarred(storages=dumped(1) + dumped((1, "cpu", torch.FloatStorage)) + struct.pack("<q", 2**40), tensors=b"",
                pickle=b""), "a storage is to have 1,099,511,627,776 elements"),
        (tarred(storages=dumped(1) + dumped((1, "cpu", torch.FloatStorage)) + struct.pack("<q", -1), tensors=b"",
                pickle=b""), "a storage is to have -1 elements"),
        (tarred(storages=dumped(0) + dumped([]), tensors=dumped(1) + dumped((1, 1, torch.FloatTensor)) + b"\xff" * 8,
                pickle=b""), "a tensor is to have -1 axes"),
        (tarred(storages=dumped(0) + dumped([]), tensors=dumped(0), pickle=b"\x80\x02cos\nsystem\n."),
         r"wants 'os\.system'"),
    ],
)  # fmt: skip
def test_damaged_tar_files(content, message):
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message) as caught:
            cc.load(streams.BytesIO(content))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_sparse_records_promise_more_than_there_is():
    info = tarfile.TarInfo("storages")
    info.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:482] = bytes(96)
    block[386:410] = b"%011o\0%011o\0" % (0, 0)
    block[483:495] = b"%011o\0" % (1 << 32)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    rest = tarred(tensors=b"", pickle=b"")
    with pytest.raises(CheckpointError, match="storages in the tar archive is no plain file"):
        cc.load(streams.BytesIO(bytes(block) + rest))


def test_every_cut_of_a_tar_file_is_noticed():
    content = of_2016()
    end = content.rstrip(b"\0")
    for length in range(0, len(end) - 600, 97):
        with pytest.raises(CheckpointError):
            cc.load(streams.BytesIO(content[:length]))


# What torch.load takes


def test_torch_s_ways_to_ask_for_the_cpu(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"w": torch.ones(2)}, path)
    for place in (
        None, "cpu", "cpu:0", torch.device("cpu"), torch.device("cpu", 0), {"cuda:0": "cpu"},
        {"cuda": torch.device("cpu")}, {}, lambda storage, location: storage, lambda storage, location: storage.cpu(),
    ):  # fmt: skip
        assert cc.load(path, map_location=place)["w"].tolist() == [1, 1]
        assert cc.load(path, place, None, weights_only=None, mmap=True)["w"].tolist() == [1, 1]
    for place in ("cuda:1", torch.device("cuda"), {"cuda:0": "cuda:1"}, "meta", 0):
        with pytest.raises(UnsupportedError, match=r'map_location must be None or "cpu", the only device, got'):
            cc.load(path, map_location=place)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"weights_only": False}, "weights_only must be True"),
        ({"pickle_module": pickle}, "pickle_module must be None"),
        ({"encoding": "nonsense"}, "encoding must be one of text"),
        ({"encoding": "hex"}, "encoding must be one of text"),
    ]
    for given, message in wrong:
        with pytest.raises(UnsupportedError, match=f"^load: {message}"):
            cc.load(path, **given)


def test_strings_of_python_2():
    def binary(text):
        return b"U" + bytes([len(text)]) + text

    storage = b"(" + binary(b"storage") + b"ctorch\nFloatStorage\n" + binary(b"0") + binary(b"cpu") + b"K\x02NtQ"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"K\x00K\x02\x85K\x01\x85tR"
    head = b"".join(dumped(part) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    keys, elements = b"\x80\x02](" + binary(b"0") + b"e.", struct.pack("<q2f", 2, 1, 2)
    content = head + b"\x80\x02}(" + binary("ä".encode("latin1")) + tensor + b"u." + keys + elements
    for encoding, key in (("latin1", "ä"), ("bytes", b"\xe4")):
        loaded = cc.load(streams.BytesIO(content), encoding=encoding)
        assert loaded[key].tolist() == [1, 2]
        assert list(torch.load(streams.BytesIO(content), weights_only=False, encoding=encoding)) == [key]
    with pytest.raises(CheckpointError, match='a string of Python 2 that is not utf-8; encoding="latin1" reads all'):
        cc.load(streams.BytesIO(content))
