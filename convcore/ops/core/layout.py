"""Memory layout: every image op computes on channels-last blocks, whatever strides its inputs have.

A batch has the logical shape (N, C, H, W). In memory its channels are adjacent: the array is a transposed view of a
C-contiguous block (N, H, W, C). The strides show the layout, so no tag is needed, and a chain of convolutions never
converts. Series (N, C, L) and volumes (N, C, D, H, W) are treated alike.
"""

import functools
import math

import numpy as np

from convcore import memory
from kernels.cpu.layout import transpose_matrices


@functools.cache
def nothing(ndim: int, dtype: np.dtype) -> np.ndarray:
    """An array of size 0, passed to a kernel in place of an absent optional array."""
    return np.empty((0,) * ndim, dtype)


@functools.lru_cache(maxsize=256)
def zeros(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros for kernels to read, such as the bias of a layer without one. Shared by all calls: never write to them.

    They are not marked as read-only, because Numba would compile the kernels once more for read-only arrays.
    """
    return np.zeros(shape, dtype)


def nhwc(array: np.ndarray) -> np.ndarray:
    """The block (N, H, W, C) of a logical (N, C, H, W) array: a view if it is channels-last already, else a copy."""
    block = array.transpose(_CHANNELS_LAST[array.ndim])
    if block.flags.c_contiguous:
        return block
    copy = memory.empty(block.shape, block.dtype)
    if _may_be_transposed(array):
        n, channels = array.shape[:2]
        pixels = math.prod(array.shape[2:])
        transpose_matrices(array.reshape(n, channels, pixels), copy.reshape(n, pixels, channels))
    else:
        np.copyto(copy, block)
    return copy


def _may_be_transposed(array: np.ndarray) -> bool:
    """Whether the kernel takes an array; Numba would compile it once more for arrays that nobody may write to."""
    return array.flags.c_contiguous and array.dtype in (np.float32, np.float64) and array.flags.writeable


def nchw(block: np.ndarray) -> np.ndarray:
    """The logical (N, C, H, W) view of a block (N, H, W, C)."""
    return block.transpose(_CHANNELS_FIRST[block.ndim])


_CHANNELS_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
_CHANNELS_FIRST = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array itself if it is C-contiguous, else a copy."""
    if array.flags.c_contiguous:
        return array
    dense = row_major(array)
    return array.copy() if dense is array else dense


def row_major(array: np.ndarray) -> np.ndarray:
    """A C-contiguous copy of images that are channels-last; the array itself if it is anything else."""
    if not isinstance(array, np.ndarray) or array.flags.c_contiguous or array.ndim not in _CHANNELS_LAST:
        return array
    block = array.transpose(_CHANNELS_LAST[array.ndim])
    if not _may_be_transposed(block):
        return array
    n, channels = array.shape[:2]
    pixels = math.prod(array.shape[2:])
    copy = memory.empty(array.shape, array.dtype)
    transpose_matrices(block.reshape(n, pixels, channels), copy.reshape(n, channels, pixels))
    return copy


def flat(array: np.ndarray) -> np.ndarray:
    """All elements in memory order, as a 1-D view; a copy if the array is not dense."""
    if array.flags.c_contiguous:
        return array.reshape(-1)
    block = array.transpose(memory_order(array))
    return contiguous(block).reshape(-1)


def memory_order(array: np.ndarray) -> list[int]:
    """The axes from the largest stride to the smallest; axes of equal strides keep their order."""
    if array.ndim == 4 and array.transpose(0, 2, 3, 1).flags.c_contiguous:  # channels-last, the usual case
        return [0, 2, 3, 1]
    strides = [-abs(stride) for stride in array.strides]
    return sorted(range(array.ndim), key=strides.__getitem__)


def inverse(order: list[int]) -> list[int]:
    """The inverse permutation: `x.transpose(order).transpose(inverse(order))` is x."""
    positions = [0] * len(order)
    for position, axis in enumerate(order):
        positions[axis] = position
    return positions


def like(array: np.ndarray, model: np.ndarray) -> np.ndarray:
    """`array` with the memory order of `model`: `array` itself if it has that order, else a copy."""
    if array.strides == model.strides and array.flags.c_contiguous:
        return array
    order = memory_order(model)
    block = array.transpose(order)
    if block.flags.c_contiguous:
        return array
    return contiguous(block).transpose(inverse(order))


def empty_like(model: np.ndarray) -> np.ndarray:
    """An uninitialised dense array with the shape, dtype and memory order of `model`."""
    if model.flags.c_contiguous:
        return memory.empty(model.shape, model.dtype)
    order = memory_order(model)
    block = memory.empty([model.shape[axis] for axis in order], model.dtype)
    return block.transpose(inverse(order))
