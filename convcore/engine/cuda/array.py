"""DeviceArray: an array in the memory of a GPU, as far as NumPy's arrays have something to say about it.

What an array is apart from its numbers (shape, strides, views) NumPy knows already. So a DeviceArray holds a NumPy
array that stands at the device's address and is never read, and leaves transposing, slicing and broadcasting to it.
Operations that only look at shapes and move axes run on it as they are. Everything that reads numbers goes to kernels,
by the twins in `convcore.ops.cuda`, or is refused: nothing is ever copied to the host unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convcore.engine.cuda import dlpack
from convcore.engine.cuda.memory import pool
from convcore.errors import DTypeError, UnsupportedError

ALIGNMENT = 16  # bytes: kernels load four floats at once
MOST_AXES = 4  # of a view that a kernel copies
KINDS = (np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.int32))


class DeviceArray:
    """Numbers on the GPU.

    Attributes:
        numbers: the NumPy array that stands for them: same shape, strides and address. Reading it is an error.
        base: the array whose memory this one shows; None if it is its own.
    """

    __slots__ = ("__weakref__", "base", "numbers")

    def __init__(self, numbers: np.ndarray, base: DeviceArray | None = None):
        self.numbers = numbers
        self.base = base

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.numbers.shape

    @property
    def ndim(self) -> int:
        return self.numbers.ndim

    @property
    def size(self) -> int:
        return self.numbers.size

    @property
    def dtype(self) -> np.dtype:
        return self.numbers.dtype

    @property
    def itemsize(self) -> int:
        return self.numbers.itemsize

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        return self.numbers.strides

    @property
    def flags(self) -> Any:
        return self.numbers.flags

    @property
    def address(self) -> int:
        """Where it begins in the device's memory."""
        return self.numbers.__array_interface__["data"][0]

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"

    # Views

    def _view(self, numbers: np.ndarray) -> DeviceArray:
        return DeviceArray(numbers, self if self.base is None else self.base)

    def transpose(self, *axes: Any) -> DeviceArray:
        """The axes in another order."""
        return self._view(self.numbers.transpose(*axes))

    @property
    def T(self) -> DeviceArray:
        """The axes in reverse order."""
        return self._view(self.numbers.T)

    def reshape(self, *shape: Any) -> DeviceArray:
        """The elements in row-major order under another shape; a copy where they do not lie so."""
        if self.numbers.flags.c_contiguous:
            return self._view(self.numbers.reshape(*shape))
        return self.copy("C").reshape(*shape)

    def __getitem__(self, index: Any) -> DeviceArray:
        parts = index if isinstance(index, tuple) else (index,)
        if not all(part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice)) for part in parts):
            raise UnsupportedError("index: on cuda:0 an index is made of integers and slices; use .cpu() first")
        if Ellipsis not in parts:
            parts = (*parts, Ellipsis)  # with it NumPy returns a view, never a number
        return self._view(self.numbers[parts])

    def __setitem__(self, index: Any, value: Any) -> None:
        copy_into(self[index], value)

    def flat(self, order: Sequence[int] | None = None) -> DeviceArray:
        """All elements as kernels want them, with the axes in an order (default: as they stand): flat, and aligned."""
        dense = self if order is None else self.transpose(order)
        if dense.numbers.flags.c_contiguous and self.address % ALIGNMENT == 0:
            return dense._view(dense.numbers.reshape(-1))
        return dense.copy("C").reshape(-1)

    def span(self) -> DeviceArray:
        """The memory from its first element to its last, flat: for kernels that know the steps."""
        steps = self.steps()
        length = 1 + sum((size - 1) * step for size, step in zip(self.shape, steps, strict=True)) if self.size else 0
        return self._view(np.lib.stride_tricks.as_strided(self.numbers, (length,), (self.itemsize,)))

    def steps(self) -> tuple[int, ...]:
        """How many elements lie between neighbours along each axis."""
        return tuple([stride // self.itemsize for stride in self.strides])

    # Copies on the device

    def copy(self, order: str = "C") -> DeviceArray:
        """The same numbers in memory of their own: in row-major order, or with "K" in the order that they have."""
        out = empty_like(self) if order == "K" else empty(self.shape, self.dtype)
        copy_into(out, self)
        return out

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> DeviceArray:
        """A copy of the same dtype; no other is computed on the device."""
        if np.dtype(dtype) != self.dtype:
            raise UnsupportedError(
                f"to: {self.dtype} is not converted to {np.dtype(dtype)} on cuda:0; use .cpu() first"
            )
        return self.copy(order) if copy else self

    # Copies to the host, which somebody asked for

    def get(self) -> np.ndarray:
        """The numbers as a NumPy array with the same order in memory."""
        axes = memory_order(self.numbers)
        block = self.transpose(axes)
        dense = block if block.numbers.flags.c_contiguous else block.copy("C")
        host = np.empty(dense.shape, self.dtype)
        if host.size:
            memory = pool()
            memory.copies["to the host"] += 1
            memory.driver.download(dense.address, host)
        return host.transpose(np.argsort(axes)) if axes else host

    def item(self) -> Any:
        """The only element."""
        return self.get().item()

    def tolist(self) -> Any:
        """Nested lists of all elements."""
        return self.get().tolist()

    # Other libraries

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = None if self.numbers.flags.c_contiguous else self.strides
        data = self.address if self.size else 0, False
        return {
            "version": 3, "shape": self.shape, "typestr": self.dtype.str, "data": data, "strides": strides, "stream": 1
        }  # fmt: skip

    def __dlpack_device__(self) -> tuple[int, int]:
        return pool().driver.dlpack_device

    def __dlpack__(self, *, stream: Any = None, **_: Any) -> Any:
        if stream not in (None, -1, 0, 1):  # a stream of its own would not wait for ours
            pool().driver.synchronize()
        return dlpack.capsule(self.numbers, self.__dlpack_device__(), self)

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise UnsupportedError("numpy: this array lies on cuda:0, and nothing is copied unasked; use .cpu() first")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"{ufunc.__name__}: is not computed on cuda:0; use .cpu() first")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in _FUNCTIONS:
            raise UnsupportedError(f"{function.__name__}: is not computed on cuda:0; use .cpu() first")
        return _FUNCTIONS[function](*args, **kwargs)


def memory_order(numbers: np.ndarray) -> list[int]:
    """The axes from the largest stride to the smallest."""
    return sorted(range(numbers.ndim), key=lambda axis: -abs(numbers.strides[axis]))


def empty(shape: Sequence[int], dtype: Any = np.float32) -> Any:
    """A new row-major array; its numbers are not set."""
    return DeviceArray(pool().empty(shape, dtype))


def empty_like(model: DeviceArray, dtype: Any = None) -> Any:
    """A new dense array with the shape, dtype and order of axes in memory of another."""
    axes = memory_order(model.numbers)
    block = pool().empty([model.shape[axis] for axis in axes], model.dtype if dtype is None else dtype)
    return DeviceArray(block.transpose(np.argsort(axes)) if axes else block)


def full(shape: Sequence[int], value: float) -> Any:
    """A new array of one number."""
    out = empty(shape)
    _fill(out, value)
    return out


def full_like(model: DeviceArray, value: float, **_: Any) -> Any:
    """A new array of one number with the shape, dtype and order of another."""
    out = empty_like(model)
    _fill(out, value)
    return out


def put(array: np.ndarray) -> Any:
    """A copy of an array of the host, with the same order of axes in memory.

    Raises:
        DTypeError: it is neither of float32 nor of int64 or int32.
    """
    if array.dtype not in KINDS:
        names = ", ".join(str(kind) for kind in KINDS)
        raise DTypeError(
            f"to: tensors on cuda:0 are of {names}, got {array.dtype}; convert it with .float() or .long()"
        )
    axes = memory_order(array)
    block = np.ascontiguousarray(array.transpose(axes))
    out = pool().empty(block.shape, block.dtype)
    _upload(block, out.__array_interface__["data"][0])
    return DeviceArray(out.transpose(np.argsort(axes)) if axes else out)


def _upload(block: np.ndarray, address: int) -> None:
    if block.size:
        memory = pool()
        memory.copies["to the device"] += 1
        memory.driver.upload(block, address)


def _fill(out: DeviceArray, value: float) -> None:
    from kernels.cuda.micro.layout import THREADS, fill

    if out.dtype != np.float32:
        raise UnsupportedError(f"full: arrays of {out.dtype} are not filled on cuda:0; make it on the CPU and move it")
    flat = DeviceArray(out.numbers.transpose(memory_order(out.numbers)).reshape(-1))
    fill(-(-out.size // THREADS), flat, out.size, float(value))


def copy_into(out: Any, value: Any, **_: Any) -> None:
    """out[...] = value, broadcast; where one of them lies on the host this is a copy between the two.

    Raises:
        UnsupportedError: a view of more than four axes, or of integers.
    """
    if not isinstance(out, DeviceArray):
        out[...] = value.get()
        return
    if not isinstance(value, DeviceArray):
        host = np.asarray(value, out.dtype)
        if host.ndim == 0 and out.numbers.flags.c_contiguous and out.dtype == np.float32:
            _fill(out, float(host))
            return
        if out.numbers.flags.c_contiguous:
            _upload(np.ascontiguousarray(np.broadcast_to(host, out.shape)), out.address)
            return
        value = full((), float(host)) if host.ndim == 0 and out.dtype == np.float32 else put(host)
    if value.dtype != out.dtype or out.dtype != np.float32:
        raise UnsupportedError(f"copy: only float32 is copied on cuda:0, got {value.dtype} to {out.dtype}")
    # The axis whose neighbours lie closest in `out` comes last; axes of length 1 do not count.
    source, sizes, steps = np.broadcast_to(value.numbers, out.shape), out.shape, out.steps()
    axes = [axis for axis in memory_order(out.numbers) if sizes[axis] != 1]
    if len(axes) > MOST_AXES:
        raise UnsupportedError(f"copy: a view has up to {MOST_AXES} axes on cuda:0, got shape {out.shape}")
    missing = MOST_AXES - len(axes)
    source_steps = [stride // out.itemsize for stride in source.strides]
    lengths = [1] * missing + [sizes[axis] for axis in axes]
    read = [0] * missing + [source_steps[axis] for axis in axes]
    written = [0] * missing + [steps[axis] for axis in axes]

    from kernels.cuda.micro.layout import THREADS, copy_strided

    blocks = -(-out.size // THREADS)
    copy_strided(blocks, value.span(), out.span(), out.size, *lengths[1:], *read, *written)


def broadcast_to(array: DeviceArray, shape: Sequence[int]) -> Any:
    """A read-only view with axes repeated."""
    return array._view(np.broadcast_to(array.numbers, shape))


def may_share_memory(a: Any, b: Any) -> bool:
    """Whether two arrays may lie in the same memory."""
    if not (isinstance(a, DeviceArray) and isinstance(b, DeviceArray)):
        return False
    return np.may_share_memory(a.numbers, b.numbers)


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.broadcast_to: broadcast_to,
    np.may_share_memory: may_share_memory,
    np.copyto: copy_into,
    np.empty_like: lambda model, dtype=None, **_: empty_like(model, dtype),
    np.zeros_like: lambda model, **_: full_like(model, 0),
    np.ones_like: lambda model, **_: full_like(model, 1),
    np.full_like: full_like,
}


def device_name(array: Any) -> str:
    """ "cpu" or "cuda:0" """
    return "cuda:0" if isinstance(array, DeviceArray) else "cpu"
