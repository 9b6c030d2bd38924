"""DLPack: handing an array on the GPU to another library, which then shares its memory.

The capsule carries a `DLManagedTensor` of the DLPack standard (version 0.8, without flags), whose last field is a
function that whoever took the tensor calls when it is done. Source: the DLPack specification, "C API" and "Python
specification".
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

KIND = {"f": 2, "i": 0}  # the standard's codes of element types


class _Device(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int32), ("index", ctypes.c_int32)]


class _DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device", _Device), ("ndim", ctypes.c_int32), ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class _ManagedTensor(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_ManagedTensor))
_ManagedTensor._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]

# What other libraries still use, by address: its array, and the structure with what it points to.
_lent: dict[int, tuple[Any, ...]] = {}


@_Deleter
def _give_back(managed: Any) -> None:
    _lent.pop(ctypes.addressof(managed.contents), None)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _forget(capsule: int) -> None:
    """The end of a capsule: one that nobody took still has its first name, and gives its tensor back."""
    if ctypes.pythonapi.PyCapsule_IsValid(ctypes.c_void_p(capsule), b"dltensor"):
        _lent.pop(_pointer(ctypes.c_void_p(capsule), b"dltensor"), None)


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)
_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


def capsule(numbers: np.ndarray, device: tuple[int, int], owner: Any) -> Any:
    """A capsule for the memory that a NumPy array describes.

    Args:
        device: the standard's kind (2 for CUDA) and the number of the device.
        owner: kept alive until the memory is given back.
    """
    axes = ctypes.c_int64 * numbers.ndim
    shape, strides = axes(*numbers.shape), axes(*[step // numbers.itemsize for step in numbers.strides])
    dtype = _DataType(KIND[numbers.dtype.kind], 8 * numbers.itemsize, 1)
    data = numbers.__array_interface__["data"][0]
    tensor = _Tensor(data, _Device(*device), numbers.ndim, dtype, shape, strides, 0)
    managed = _ManagedTensor(tensor, None, _give_back)
    address = ctypes.addressof(managed)
    _lent[address] = managed, shape, strides, owner
    return _new(address, b"dltensor", ctypes.cast(_forget, ctypes.c_void_p))
