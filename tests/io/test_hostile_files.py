"""Hostile and damaged checkpoints: one-line CheckpointErrors, nothing of them runs, memory stays bounded."""

import collections
import io as streams
import json
import os
import pickle
import random
import struct
import sys
import tracemalloc
import types
import zipfile
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import convcore as cc
from convcore.errors import CheckpointError
from convcore.io.torch_file import MAGIC_NUMBER

PICKLED = [MAGIC_NUMBER, 1001, {"little_endian": True}]
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def archive_of(content, storages=(b"\0" * 16,), compression=zipfile.ZIP_STORED, names=None):
    """A PyTorch archive around the bytes of a pickle."""
    stream = streams.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        for name, storage in zip(names or map(str, range(len(storages))), storages, strict=True):
            archive.writestr(f"archive/data/{name}", storage)
    return stream.getvalue()


def stream_of(content, keys=(), storages=b""):
    """A legacy stream around the bytes of a pickle."""
    head = b"".join(pickle.dumps(part, 2) for part in PICKLED)
    return head + content + pickle.dumps(list(keys), 2) + storages


def refused(content, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        cc.load(streams.BytesIO(content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


class Attack:
    """Pickles as a call of `function`, as an attacker's file does."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("wrap", [archive_of, stream_of])
def test_calls_are_refused_by_name(tmp_path, protocol, wrap):
    victim = tmp_path / "victim"
    for attack, name in (
        (Attack(os.mkdir, str(victim)), r"posix\.mkdir|nt\.mkdir"),
        (Attack(eval, f"__import__('os').mkdir({str(victim)!r})"), r"(builtins|__builtin__)\.eval"),
        (Attack(exec, "1"), r"(builtins|__builtin__)\.exec"),
        (Attack(getattr, "", "join"), r"(builtins|__builtin__)\.getattr"),
        (Attack(collections.OrderedDict, (), state=Attack(os.getcwd)), r"(posix|nt)\.getcwd"),
        (Attack(torch.load, str(victim)), r"torch\.serialization\.load"),
        (Attack(pickle.loads, b"."), r"(_pickle|c?[pP]ickle)\.loads"),
    ):
        refused(
            wrap(pickle.dumps({"weights": [attack]}, protocol)), f"refused: the file wants '({name})', which is not"
        )
        assert not victim.exists()


@pytest.mark.parametrize("wrap", [archive_of, stream_of])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cos\nsystem\n(X\x02\x00\x00\x00lstR.", r"wants 'os\.system'"),
        (b"(X\x02\x00\x00\x00lsios\nsystem\n.", r"wants 'os\.system'"),
        (b"(cos\nsystem\nX\x02\x00\x00\x00lso.", r"wants 'os\.system'"),
        (b"\x8c\x04my\nm\x8c\x05Ne\nt2\x93.", r"wants 'my\\nm\.Ne\\nt2', .* which holds a whole model"),
        (b"\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", r"wants 'os\.system'"),
        (b"ccollections\nOrderedDict.update\n.", r"wants 'collections\.OrderedDict\.update'"),
        (b"\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93.", r"wants 'collections\.OrderedDict\.__class__'"),
        (b"(iargparse\nNamespace\n.", "an instruction INST that weights never need"),
        (b"\x82\x01.", r"an instruction b'\\x82' that weights never need"),
        (b"\x96" + b"\xff" * 7 + b"\x7f.", "has a string of 9,223,372,036,854,775,807 bytes"),
        (b"\x97.", r"an instruction b'\\x97' that weights never need"),
        (b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", r"calls builtins\.bytearray with \(int\)"),
        (b"cbuiltins\nset\nX\x02\x00\x00\x00ab\x85R.", "a set has an item that is neither a number nor a string"),
        (b"cbuiltins\nset\n]]a\x85R.", "a set has an item that is neither a number nor a string"),
        (b"\x8f(]\x90.", "a set has an item that is neither a number nor a string"),
        (b"](K\x01\x90.", "adds to a set that is not there"),
        (b"(K\x01\x85\x85\x91.", "a set has an item that is neither a number nor a string"),
        (b"cbuiltins\ncomplex\nX\x02\x00\x00\x001jK\x00\x86R.", r"calls builtins\.complex with \(str, int\)"),
        (b"ctorch\nSize\nX\x02\x00\x00\x00ab\x85R.", r"calls torch\.Size with \(str\)"),
        (b"ctorch.torch_version\nTorchVersion\nK\x02\x85R.", r"calls torch\.torch_version\.TorchVersion with \(int\)"),
        (REBUILD + b"}X\x08\x00\x00\x00__code__N" + b"sb.", "sets the state of torch._utils._rebuild_tensor_v2"),
        (b"ccollections\nOrderedDict\n}X\x06\x00\x00\x00updateNsb.", "sets the state of collections.OrderedDict"),
        (b"]}X\x01\x00\x00\x00aNsb.", "sets the state of list"),
        (STORAGE + b"}X\x04\x00\x00\x00baseNsb.", "sets the state of Storage"),
        (b"K\x01)R.", "calls a int"),
        (b"ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"),
        (REBUILD + b")R.", r"calls torch\._utils\._rebuild_tensor_v2 with \(\)"),
        (REBUILD + b"(K\x01K\x01K\x01K\x01tR.", r"calls torch\._utils\._rebuild_tensor_v2 with \(int, int, int, int\)"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(X\x01\x00\x00\x00aN)NtR.", "calls torch._tensor._rebuild_from_type"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.", "calls _codecs.encode with"),
        (b"ccollections\nOrderedDict\n.", "uses collections.OrderedDict as if it were data"),
        (b"ctorch._utils\n_rebuild_tensor_v3\n)R.", "element types that convcore does not have"),
        (
            b"ctorch.nn.modules.linear\nLinear\n)\x81.",
            r"a whole model, which is code; in that .* save model\.state_dict\(\)",
        ),
        (b"cnumpy.core.multiarray\n_reconstruct\n)R.", "NumPy arrays are not read from pickles; save tensors"),
    ],
)
def test_instructions_that_reach_for_more(wrap, content, message):
    refused(wrap(b"\x80\x02" + content), message)


class OwnModel(torch.nn.Module):
    """A class of a user's script."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("module", ["__main__", "models.yolo", "ultralytics.nn.tasks"])
def test_whole_models_are_named(monkeypatch, zipped, module):
    for name in (module, *(module[:i] for i, letter in enumerate(module) if letter == ".")):
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name) or types.ModuleType(name))
    monkeypatch.setattr(sys.modules[module], "OwnModel", OwnModel, raising=False)
    monkeypatch.setattr(OwnModel, "__module__", module)
    for saved in (OwnModel(), {"epoch": 3, "model": OwnModel()}, [OwnModel]):
        stream = streams.BytesIO()
        torch.save(saved, stream, _use_new_zipfile_serialization=zipped)
        refused(
            stream.getvalue(),
            rf"wants '{module}\.OwnModel', .* nothing of it was run \(it belongs to the program that wrote the file, "
            r"which holds a whole model .*save model\.state_dict\(\) instead\)",
        )


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "__builtin__.eval", "posix.system", "subprocess.Popen"])
def test_functions_of_python_are_no_models(name):
    module, _, function = name.rpartition(".")
    refused(archive_of(b"\x80\x02c" + f"{module}\n{function}\n".encode() + b"."), "nothing of it was run$")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b".", "takes a value that is not there"),
        (b"0.", "an instruction b'0'"),
        (b"(.", "takes a value that is not there"),
        (b"t.", "wants a mark that is not there"),
        (b"h\x05.", "refers to object 5, which it has not made"),
        (b"q\x00.", "adds to a object that is not there"),
        (b"K\x01a.", "adds to a list that is not there"),
        (b"}(K\x01u.", "a key without a value"),
        (b"}]K\x01s.", "a dictionary's key is a list"),
        (b"}K\x01\x85\x85K\x01s.", "a dictionary's key is a tuple"),
        (b"X\x01\x00\x00\x00\xff.", "a string that is not UTF-8"),
        (b"X\xff\xff\xff\xff.", "has a string of 4,294,967,295 bytes"),
        (b"X\x00\x00\x10\x00.", "wants 1,048,576 more bytes, 1 are left"),
        (b"\x95" + b"\xff" * 8 + b"N", "wants 1 more bytes, 0 are left"),
        (b"\x80\x09N.", "has protocol 9"),
        (b"c" + b"a" * 1000 + b"\nb\n.", "a name without an end"),
        (b"K\x01K\x02\x93.", "looks up a name that is not a string"),
        (b"K\x01Q.", "refers to something that is not a storage"),
        (b"(X\x07\x00\x00\x00storageNNNNtQ.", "a storage without type, key or length"),
        (STORAGE[:-4] + b"J\xff\xff\xff\xfftQ.", "a storage without type, key or length"),
        (STORAGE[:-4] + b"J\xff\xff\xff\x7ftQ.", "'0' is to have 2,147,483,647 elements of float32, the file has"),
        (STORAGE[:-4] + b"\x8a\x08" + b"\xff" * 7 + b"\x7ftQ.", r"is to have 9,223,372,036,854,775,807 elements"),
        (STORAGE[:-4] + b"K\x05tQ.", r"'archive/data/0' has 16 bytes, its tensors need 20"),
        (STORAGE.replace(b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x001") + b".", "no item named 'archive/data/1'"),
        (STORAGE + STORAGE.replace(b"Float", b"Int") + b"\x86.", "storage '0' has two types or lengths"),
        (STORAGE[:-2] + b"(NK\x00K\x05ttQ.", r"a view of 5 elements at 0 leaves its storage"),
        (STORAGE[:-2] + b"NNtQ.", "refers to something that is not a storage"),
    ],
)  # fmt: skip
def test_damaged_pickles(content, message):
    refused(archive_of(b"\x80\x02" + content), message)


def tensor(offset, size, stride, requires_grad=False, storage=STORAGE, dtype=b"Float"):
    """The pickle of a tensor in a storage of four elements."""

    def integer(value):
        content = pickle.encode_long(value)
        return b"\x8a" + bytes([len(content)]) + content

    def integers(values):
        return b"(" + b"".join(map(integer, values)) + b"t"

    flag = b"\x88" if requires_grad else b"\x89"
    storage = storage.replace(b"Float", dtype)
    return REBUILD + b"(" + storage + integer(offset) + integers(size) + integers(stride) + flag + b"NtR."


def test_tensors_must_stay_in_their_storage():
    for offset, size, stride in (
        (0, (4,), (1,)),
        (3, (1,), (9,)),
        (1, (2, 2), (1, 1)),
        (4, (0,), (1,)),
        (0, (9,), (0,)),
    ):
        assert cc.load(streams.BytesIO(archive_of(tensor(offset, size, stride)))).shape == size
    for offset, size, stride in (
        (0, (5,), (1,)), (1, (4,), (1,)), (0, (2, 2), (3, 1)), (4, (), ()), (5, (0,), (1,)),
        (0, (2,), (2**61,)), (2**61, (1,), (1,)), (0, (2**61, 2**61), (1, 1)),
    ):  # fmt: skip
        refused(archive_of(tensor(offset, size, stride)), "leaves its storage of 4 elements")
    refused(archive_of(tensor(0, (2**40, 2**40), (0, 0))), "larger than any memory")
    refused(archive_of(tensor(0, (1,), (2**61,))), "larger than any memory")
    for offset, size, stride in ((-1, (1,), (1,)), (0, (-1,), (1,)), (3, (2,), (-1,)), (0, (2**63,), (0,))):
        refused(archive_of(tensor(offset, size, stride)), "not integers of at least 0")
    refused(archive_of(tensor(0, (1, 1), (1,))), "has 2 sizes and 1 strides")
    refused(archive_of(tensor(0, (1,) * 65, (1,) * 65)), "has 65 sizes and 65 strides")
    refused(archive_of(tensor(0, (4,), (1,), True, dtype=b"Int")), "a tensor of int32 requires a gradient")


def measured(content, match):
    """The most memory that refusing a file took."""
    tracemalloc.start()
    try:
        refused(content, match)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_huge_promises_take_no_memory():
    many = STORAGE[:-4] + b"J\x00\x00\x00\x10tQ."  # 2^28 elements, 1 GiB
    limit = 4 << 20
    assert measured(archive_of(b"\x80\x02" + many), "cut short or damaged: storage '0'") < limit
    assert measured(stream_of(b"\x80\x02" + many), "cut short or damaged: storage '0'") < limit
    keys = [b"X\x03\x00\x00\x00%03d" % i for i in range(900)]
    page = STORAGE.replace(b"K\x04", b"M\x00\x10")  # 4096 elements
    overlapping = b"\x80\x02(" + b"".join(page.replace(b"X\x01\x00\x00\x000", key) for key in keys) + b"t."
    assert measured(stream_of(overlapping), "the file has .* bytes left for it") < limit
    nested = b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b"t."
    assert measured(archive_of(nested), "wants a mark") < 64 << 20
    header = json.dumps({"w": {"dtype": "F32", "shape": [2**30], "data_offsets": [0, 2**32]}}).encode()
    assert measured(struct.pack("<Q", len(header)) + header, "the header describes 4,294,967,296 bytes") < limit
    assert measured(struct.pack("<Q", 2**63) + b"{}", "not a safetensors file, or cut short at 10 bytes") < limit


LONG = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000
NUMBERS = b"](" + b"".join(b"M" + struct.pack("<H", i) for i in range(30_000)) + b"e"
COUNTS = b"}(" + b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(20_000)) + b"u"
WORDS = b"}(" + b"".join(b"X\x05\x00\x00\x00%05d" % i + b"N" for i in range(10_000)) + b"u"
PAIRS = b"](" + b"".join(b"M" + struct.pack("<H", i) + b"N\x86" for i in range(20_000)) + b"e"


@pytest.mark.parametrize("wrap", [archive_of, stream_of])
@pytest.mark.parametrize(
    ("given", "name", "copy"),
    [
        (LONG, b"c_codecs\nencode\n", b"h\x02h\x01X\x06\x00\x00\x00latin1\x86R"),
        (LONG, b"c_codecs\nencode\n", b"h\x02h\x03R"),
        (LONG, b"cbuiltins\nbytearray\n", b"h\x02h\x03R"),
        (b"B" + LONG[1:], b"cbuiltins\nbytearray\n", b"h\x02h\x01\x85R"),
        (NUMBERS, b"ctorch\nSize\n", b"h\x02h\x01\x85R"),
        (NUMBERS, b"cbuiltins\nset\n", b"h\x02h\x01\x85R"),
        (NUMBERS, b"c__builtin__\nfrozenset\n", b"h\x02h\x01\x85R"),
        (COUNTS, b"ccollections\nCounter\n", b"h\x02h\x01\x85R"),
        (PAIRS, b"ccollections\nOrderedDict\n", b"h\x02h\x01\x85R"),
        (WORDS, b"cargparse\nNamespace\n", b"h\x02)Rh\x01b"),
        (b"N", b"cargparse\nNamespace\n", b"h\x02)R"),
        (b"N", b"cbuiltins\nset\n", b"h\x02)R"),
        (b"N", b"N", b"\x8f"),
        (b"(X\x02\x00\x00\x00f4K\x00K\x01t", b"cnumpy\ndtype\n", b"h\x02h\x01R"),
        (b"(" + STORAGE + b"K\x00)))t", b"ctorch._utils\n_rebuild_tensor_v2\n", b"h\x02h\x01R"),
        (STORAGE[:-2] + b"(NK\x00K\x01tt", b"N", b"h\x01Q"),
    ],
)  # fmt: skip
def test_copies_take_memory_in_proportion(wrap, given, name, copy):
    """A few bytes each ask for one more object, or one more copy of a large one."""
    arguments = b"h\x01X\x06\x00\x00\x00latin1\x86q\x03" if b"h\x03" in copy else b"N"
    content = b"\x80\x02(" + given + b"q\x01" + name + b"q\x02" + arguments + copy * 50_000 + b"t."
    content = wrap(content)
    assert measured(content, "ask for .* bytes of memory, most of it for copies") < 50 * len(content) + (4 << 20)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_is_no_bomb(protocol):
    """What takes more memory than its pickle has bytes: many small objects."""
    numbers = range(30_000)
    small = {
        "numbers": set(numbers), "frozen": frozenset(numbers), "words": {f"{i}" for i in numbers},
        "counts": collections.Counter(numbers), "empty": [[] for _ in numbers],
        "ordered": [collections.OrderedDict() for _ in numbers], "bytes": [b"%d" % i for i in numbers],
        "arrays": [bytearray(b"%d" % i) for i in numbers], "complex": [complex(i, 1) for i in numbers],
        "sizes": [torch.Size([i]) for i in numbers],
    }  # fmt: skip
    for key, value in small.items():
        assert cc.load(streams.BytesIO(archive_of(pickle.dumps(value, protocol)))) == value, key
    whole = torch.arange(3)
    for tensors in ([torch.zeros(()) for _ in numbers[:5000]], [whole[0] for _ in numbers[:5000]]):
        stream = streams.BytesIO()
        torch.save(tensors, stream, pickle_protocol=protocol)
        stream.seek(0)
        assert [tensor.item() for tensor in cc.load(stream)] == [0] * 5000


def test_compressed_bombs():
    zeros = bytes(64 << 20)
    limit = 96 << 20
    assert (
        measured(archive_of(zeros, compression=zipfile.ZIP_DEFLATED), "is compressed, which torch.save never") < limit
    )
    stream = streams.BytesIO()
    np.savez_compressed(stream, a=np.zeros(80 << 20, np.int8))
    del zeros
    assert measured(stream.getvalue(), r"array 'a\.npy' of shape \(83886080,\) is to have 83,886,080 bytes") < 4 << 20
    stream = streams.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        head = streams.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"shape": (2**40,), "fortran_order": False, "descr": "<f4"})
        archive.writestr("a.npy", head.getvalue())
    assert measured(stream.getvalue(), "is to have 4,398,046,511,104 bytes") < 4 << 20
    stream = streams.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 64 << 20) + bytes(64 << 20))
    assert measured(stream.getvalue(), r"has version \(2, 0\) of NumPy's format") < 4 << 20
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", b"\x93NUMPY")
    assert measured(stream.getvalue(), r"'a\.npy' is compressed in a way that NumPy does not use") < 4 << 20


def test_files_that_are_something_else(tmp_path):
    refused(pickle.dumps({"a": 1}), "a pickle, but not one of torch.save")
    refused(bytes(range(200, 216)), "not a safetensors file, or cut short at 16 bytes")
    refused(archive_of(b"").replace(b"data.pkl", b"data.xyz"), "without weights: 0 data.pkl among 2 files")
    stream = streams.BytesIO()
    np.save(stream, np.zeros(2))
    refused(stream.getvalue(), r"a single NumPy array \(\.npy\)")
    stream = streams.BytesIO()
    np.savez(stream, a=np.array([{}], dtype=object))
    refused(stream.getvalue(), r"'a\.npy' has elements of type object")
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"model/{name}", b"")
    refused(stream.getvalue(), "a TorchScript program")
    with pytest.raises(CheckpointError, match=r"load: .*nothing\.pth: there is no such file"):
        cc.load(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="it is a folder, not a file"):
        cc.load(tmp_path)


def test_legacy_storages_are_checked():
    keyed = b"\x80\x02" + STORAGE + b"."
    good = struct.pack("<q", 4) + bytes(16)
    refused(stream_of(keyed, ["1"], good), "the list of storages is not that of the tensors")
    refused(stream_of(keyed, [], good), "the list of storages is not that of the tensors")
    refused(stream_of(keyed, ["0", "0"], good * 2), "the list of storages is not that of the tensors")
    refused(stream_of(keyed, ["0"], struct.pack("<q", 5) + bytes(20)), "storage '0' does not have 4 elements")
    refused(stream_of(keyed, ["0"], good[:-1]), "cut short: 4 elements of float32 need 16 bytes, 15 are there")


def files():
    """Small real files of every format."""
    weights = {"a": torch.randn(3, 4), "b": torch.randn(5).half(), "c": torch.arange(3), "t": torch.randn(2, 3).t()}
    checkpoint = {"state_dict": collections.OrderedDict(weights), "epoch": 3, "note": "x", "p": [1.5, None]}
    for zipped in (True, False):
        stream = streams.BytesIO()
        torch.save(checkpoint, stream, _use_new_zipfile_serialization=zipped)
        yield ("zip" if zipped else "legacy"), stream.getvalue()
    plain = {
        "set": {1, 2},
        "bytes": bytearray(b"ab"),
        "complex": 1j,
        "counts": collections.Counter("ab"),
        "w": weights["a"],
    }
    stream = streams.BytesIO()
    torch.save(plain, stream, pickle_protocol=4, _use_new_zipfile_serialization=False)
    yield "legacy, protocol 4", stream.getvalue()
    yield "safetensors", safetensors.torch.save({k: v.contiguous() for k, v in weights.items()})
    for name, save in (("npz", np.savez), ("npz compressed", np.savez_compressed)):
        stream = streams.BytesIO()
        arrays: dict[str, Any] = {key: value.numpy() for key, value in weights.items()}
        save(stream, **arrays)
        yield name, stream.getvalue()


FILES = dict(files())


def survives(content):
    """Whether a damaged file still loads; any error but CheckpointError, or one of several lines, fails the test."""
    message = ""
    try:
        cc.load(streams.BytesIO(content))
    except CheckpointError as error:
        message = str(error)
    assert "\n" not in message
    return not message


@pytest.mark.parametrize("kind", FILES)
def test_every_truncation_is_noticed(kind):
    content = FILES[kind]
    step = max(1, len(content) // 400)
    for length in [*range(0, len(content), step), len(content) - 1]:
        assert not survives(content[:length]), length
    assert survives(content)


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bytes(kind):
    content, draw = FILES[kind], random.Random(0)
    for _ in range(600):
        damaged = bytearray(content)
        for _ in range(draw.choice((1, 1, 3, 20))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        survives(bytes(damaged))


@pytest.mark.parametrize("kind", FILES)
def test_cut_out_and_repeated_bytes(kind):
    content, draw = FILES[kind], random.Random(1)
    for _ in range(200):
        start, end = sorted(draw.randrange(len(content)) for _ in range(2))
        survives(content[:start] + content[end:])
        survives(content[:end] + content[start:])


def test_flipped_instructions():
    """Without the archive's checksum in the way."""
    with zipfile.ZipFile(streams.BytesIO(FILES["zip"])) as archive:
        content = archive.read("archive/data.pkl")
        storages = [archive.read(f"archive/data/{key}") for key in range(4)]
    draw = random.Random(2)
    loaded = 0
    for _ in range(3000):
        damaged = bytearray(content)
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        loaded += survives(archive_of(bytes(damaged), storages))
    assert 0 < loaded < 3000
