"""Small files that use the same data again and again: written out, or read each time, it would be endless."""

import io as streams
import json
import pickle
import re
import tarfile
import tracemalloc
import zipfile

import pytest
from test_hostile_files import REBUILD, STORAGE, archive_of, refused, stream_of

DEFAULTDICT = b"ccollections\ndefaultdict\n"


def nested(depth, width=10):
    """The pickle of a list of `width` times the same list, of as many, and so on: 14 bytes and more a level."""
    content = b"]"
    for level in range(depth):
        again = b"h" + bytes([level])
        content = b"](" + content + b"q" + bytes([level]) + again * (width - 1) + b"e"
    return content


def chain(depth):
    """The pickle of a list in a list in a list, and so on."""
    return b"]" * depth + b"a" * (depth - 1)


def tar_of(content):
    """A file of PyTorch's format of 2016 around the bytes of a pickle."""
    stream = streams.BytesIO()
    empty = pickle.dumps(0, 2)
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, record in (("storages", empty + pickle.dumps([], 2)), ("tensors", empty), ("pickle", content)):
            member = tarfile.TarInfo(name)
            member.size = len(record)
            archive.addfile(member, streams.BytesIO(record))
    return stream.getvalue()


def legacy_with_keys(keys):
    """A stream of the format before 1.6 whose list of storages is the bytes of a pickle."""
    stream = stream_of(b"\x80\x02}.")
    return stream.removesuffix(pickle.dumps([], 2)) + b"\x80\x02](" + keys + b"e."


@pytest.mark.parametrize("value", [nested(7), chain(5000)], ids=["wide", "deep"])
@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda value: archive_of(b"\x80\x02cnumpy\ndtype\n" + value + b"\x85R."), r"calls numpy\.dtype with \(list\)"),
        (lambda value: archive_of(b"\x80\x02ctorch\nSize\n" + value + b"\x85R."), r"calls torch\.Size with \(list\)"),
        (lambda value: archive_of(b"\x80\x02}" + value + b"Ns."), "a dictionary's key is a list"),
        (lambda value: archive_of(b"\x80\x02" + value + b"Q."), "refers to something that is not a storage"),
        (lambda value: legacy_with_keys(value), "the list of storages is not that of the tensors"),
        (lambda value: tar_of(b"\x80\x02" + value + b"Q."), "refers to something that is not a tensor"),
    ],
    ids=["dtype", "size", "key", "storage", "keys of a stream", "id in a tar file"],
)
def test_what_is_refused_is_not_written_out(value, wrap, message):
    content = wrap(value)  # the widest would have 50 MB as text
    tracemalloc.start()
    refused(content, message)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("collections.defaultdict", b"(" + b"N" * 100_000 + b"t"),
        ("torch.device", b"(" + b"N" * 100_000 + b"t"),
        ("builtins.set", b"](" + b"N" * 100_000 + b"e\x85"),
        ("collections.OrderedDict", b"](U\x01aN\x86q\x02" + b"h\x02" * 100_000 + b"e\x85"),
    ],
)
def test_reading_the_same_again_and_again_is_counted(name, argument):
    """Little comes of each call; 50,000 of them would read billions of elements."""
    called = b"c" + name.replace(".", "\n", 1).encode() + b"\n"
    calls = b"h\x00h\x01R" * 50_000
    refused(archive_of(b"\x80\x02(" + called + b"q\x00" + argument + b"q\x01" + calls + b"t."), "most of it for copies")


def test_long_tuples_are_no_keys():
    """Python computes a tuple's hash anew each time."""
    long = b"(" + b"N" * 100_000 + b"tq\x00"
    refused(archive_of(b"\x80\x02](" + long + b"}(" + b"h\x00N" * 50_000 + b"ue."), "a dictionary's key is a tuple")


def npz_of(*headers, name="a.npy"):
    """An archive of NumPy with these headers, and no elements behind them."""
    stream = streams.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for header in headers:
            archive.writestr(name, b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return stream.getvalue()


@pytest.mark.parametrize(
    "header",
    [b"(" * 9000, b"{'descr': " + b"[" * 5000, b"{'descr':" + b"-" * 9000 + b"1}", b"nothing", b"{", b"'", b""],
)
def test_headers_of_arrays_that_python_cannot_read(header):
    refused(npz_of(header + b"\n"), r"load: BytesIO: damaged: the header of array 'a\.npy': ")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name():
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}\n"
    refused(npz_of(header, header), "damaged: the archive has two arrays of the name 'a'")


def safetensors_of(name, shape, size):
    """A file in the format safetensors with one tensor of this shape, and so many zeros."""
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.mark.parametrize("shape", [(0, 1 << 61), (1 << 61, 0, 1 << 61), (0, 1 << 31, 1 << 31)])
def test_no_elements_in_a_shape_beyond_all_memory(shape):
    """NumPy raises an error of its own where the other axes are too long, though there is no element."""
    refused(safetensors_of("w", shape, 0), f"damaged: tensor 'w' of shape {re.escape(str(shape))} is larger than any")
    sizes = b"".join(b"\x8a\x09" + n.to_bytes(9, "little") for n in shape)
    tensor = REBUILD + b"(" + STORAGE + b"K\x00(" + sizes + b"t(" + b"K\x00" * len(shape) + b"ttR."
    for wrap in (archive_of, stream_of):
        refused(wrap(b"\x80\x02" + tensor), "damaged: a tensor of size .* is larger than any memory")


def test_names_of_megabytes_are_not_repeated():
    refused(safetensors_of("w" * 2_000_000, (1,), 8), "damaged: tensor 'ww.* stands at bytes 0 to 8, expected 0 to 4")
