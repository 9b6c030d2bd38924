"""Identifies files without weights, or in an unsupported format, by their first bytes."""

from __future__ import annotations

import json
import re

HEAD = 4096  # bytes to read

_UNPACK = "unpack it first"

# (first bytes, what the file is, what to do)
_SIGNATURES = (
    (
        b"version https://git-lfs.github.com",
        "a pointer of Git LFS in the place of the file",
        "`git lfs pull` fetches it",
    ),
    (b"PK", "a ZIP archive", "convcore.load reads those of torch.save and numpy.savez"),
    (b"\x80", "a pickle", "convcore.load reads those of torch.save"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes", "read it with h5py and make tensors of its arrays"),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "compressed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"GGUF", "a GGUF file of llama.cpp", "take the weights as safetensors"),
    (b"MATLAB", "a MATLAB file", "read it with scipy.io.loadmat and make tensors of its arrays"),
    (b"\x89PNG", "a picture", "pass a file of weights"),
    (b"\xff\xd8\xff", "a picture", "pass a file of weights"),
    (b"GIF8", "a picture", "pass a file of weights"),
    (b"%PDF-", "a PDF document", "pass a file of weights"),
)

_HTML = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_XML = re.compile(rb"\s*<[?!a-zA-Z]")
_OLD_PICKLE = re.compile(rb"(\(dp|\(lp|\(iopy|ccopy_reg\n|c__builtin__\n|ccollections\n|\}q|\]q|\}\()")
# A Protocol Buffers message: a small integer, then a field of ModelProto (producer, domain, graph, ..).
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]", re.DOTALL)


def named(head: bytes) -> str | None:
    """What a file with these first bytes is, and what to do about it; None if it is unknown."""
    found = _kind(head)
    return None if found is None else f"{found[0]}; {found[1]}"


def _kind(head: bytes) -> tuple[str, str] | None:
    if head[4:9] == b"\0\0\0\0{":
        return None  # a damaged safetensors file
    for signature, what, remedy in _SIGNATURES:
        if head.startswith(signature):
            return what, remedy
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", "take the weights as safetensors or from torch.save"
    if _ONNX.match(head):
        return "an ONNX model", "read it with the package onnx and make tensors of its initializers"
    if _OLD_PICKLE.match(head):
        return "a pickle of protocol 0 or 1", "convcore.load reads those of torch.save"
    if len(head) >= 16 and not head.strip(b"\0"):
        return "nothing but zeros", "download it again"
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(text):
        return "a web page (HTML)", "the address was that of a page: download the file itself"
    if _XML.match(text):
        return "an XML document, perhaps a server's error", "download the file again, or pass the file of weights"
    if _is_text(text):
        return _text_kind(text)
    return None


def _text_kind(text: bytes) -> tuple[str, str]:
    if b'"weight_map"' in text:
        return (
            "the index of a checkpoint in several files",
            "load each of the files that it names, and put them together",
        )
    if text.lstrip()[:1] in (b"{", b"["):
        return "JSON", "pass the file of weights beside it"
    beginning = json.dumps(text[:40].decode("utf-8", "ignore").split("\n")[0])
    return f"text ({beginning} ..)", "pass a file of weights"


def _is_text(head: bytes) -> bool:
    """Whether this is UTF-8 without control characters; the last character may be truncated."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return len(text) > 8 and all(letter.isprintable() or letter in "\t\n\r\f" for letter in text)
