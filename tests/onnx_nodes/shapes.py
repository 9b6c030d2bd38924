"""ONNX's operators that make, move, pick and place elements."""

import numpy as np
import onnx
from values import NoCounterpartError, axes_of, converted, dtype_of, listed

import convcore as cc
import convcore.nn.functional as F


def reshape(x, shape, allowzero=0):
    sizes = shape.tolist()
    return x.reshape([x.shape[i] if size == 0 and not allowzero else size for i, size in enumerate(sizes)])


def squeeze(x, axes=None):
    return x.squeeze() if axes is None else x.squeeze(tuple(listed(axes)))


def unsqueeze(x, axes):
    rank = x.ndim + len(listed(axes))
    for axis in sorted(axes_of(axes, rank)):
        x = x.unsqueeze(axis)
    return x


def flatten(x, axis=1):
    rows = int(np.prod(x.shape[:axis])) if axis % max(x.ndim, 1) or axis > 0 else 1
    return x.reshape(rows, -1)


def transpose(x, perm=None):
    return x.permute(*(perm if perm is not None else reversed(range(x.ndim))))


def expand(x, shape):
    return x.expand(np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def tile(x, repeats):
    return x.repeat(*repeats.tolist())


def concat(*tensors, axis):
    return cc.cat(tensors, axis)


def split(x, sizes=None, axis=0, num_outputs=1):
    if sizes is not None:
        return cc.split(x, sizes.tolist(), axis)
    return cc.split(x, -(-x.shape[axis] // num_outputs), axis)


def slice_(x, starts, ends, axes=None, steps=None):
    each = steps.tolist() if steps is not None else [1] * starts.numel()
    places = axes_of(axes, x.ndim)[: starts.numel()]
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), places, each, strict=True):
        chosen = np.arange(x.shape[axis])[slice(start, end if step > 0 or end >= -x.shape[axis] else None, step)]
        x = x.index_select(axis, cc.tensor(chosen))
    return x


def gather(x, indices, axis=0):
    flat = indices.reshape(-1).long()
    chosen = x.index_select(axis, cc.where(flat < 0, flat + x.shape[axis], flat))
    axis %= x.ndim
    return chosen.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def along(x, indices, axis):
    return cc.where(indices < 0, indices + x.shape[axis], indices).long()


def gather_elements(x, indices, axis=0):
    return cc.gather(x, axis, along(x, indices, axis))


def gather_nd(x, indices, batch_dims=0):
    if batch_dims:
        return cc.stack([gather_nd(a, i, batch_dims - 1) for a, i in zip(x, indices, strict=True)])
    return x[tuple(indices[..., i] for i in range(indices.shape[-1]))]


def scatter_elements(x, indices, updates, axis=0, reduction="none"):
    place = along(x, indices, axis)
    if reduction not in ("none", "add"):
        raise NoCounterpartError("scattering with a product or an extreme")
    return (cc.scatter if reduction == "none" else cc.scatter_add)(x, axis, place, updates)


def scatter_nd(x, indices, updates, reduction="none"):
    depth = indices.shape[-1]
    numbers = cc.arange(int(np.prod(x.shape[:depth]))).reshape(x.shape[:depth])
    rows, flat = gather_nd(numbers, indices).reshape(-1), x.reshape(numbers.numel(), -1)
    place = rows.unsqueeze(1).expand(rows.numel(), flat.shape[1])
    out = scatter_elements(flat, place, updates.reshape(place.shape), 0, reduction)
    return out.reshape(x.shape)


def compress(x, condition, axis=None):
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return x.index_select(axis, condition.nonzero().reshape(-1))


def nonzero(x):
    return x.nonzero().T


def one_hot(indices, depth, values, axis=-1):
    classes = int(depth.item())
    places = cc.where(indices < 0, indices + classes, indices).unsqueeze(-1)
    return cc.where((places == cc.arange(classes)).movedim(-1, axis), values[1], values[0])


def trilu(x, k=None, upper=1):
    diagonal = 0 if k is None else int(k.item())
    return cc.triu(x, diagonal) if upper else cc.tril(x, diagonal)


def eye_like(x, dtype=None, k=0):
    return cc.ones(x.shape, dtype=x.dtype if dtype is None else dtype_of(dtype)).triu(k).tril(k)


def range_(start, limit, delta):
    return cc.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def constant_of_shape(shape, value=None):
    filling = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return cc.full(tuple(shape.tolist()), filling[0].item(), dtype=filling.dtype)


def constant(value=None, value_float=None, value_floats=None, value_int=None, value_ints=None):
    if value is not None:
        return converted(onnx.numpy_helper.to_array(value))
    floats = value_float if value_float is not None else value_floats
    if floats is not None:
        return cc.tensor(floats, dtype=cc.float32)
    return cc.tensor(value_int if value_int is not None else value_ints, dtype=cc.int64)


def shape_of(x, start=0, end=None):
    return cc.tensor(list(x.shape[start:end]), dtype=cc.int64)


def size_of(x):
    return cc.tensor(x.numel())


def depth_to_space(x, blocksize, mode="DCR"):
    if mode == "CRD":
        return F.pixel_shuffle(x, blocksize)
    n, c, h, w = x.shape
    parts = x.reshape(n, blocksize, blocksize, c // blocksize**2, h, w)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, c // blocksize**2, h * blocksize, w * blocksize)


def space_to_depth(x, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    if mode == "CRD":
        return F.pixel_unshuffle(x, blocksize)
    parts = F.pixel_unshuffle(x, blocksize).reshape(n, c, blocksize**2, h // blocksize, w // blocksize)
    return parts.transpose(1, 2).reshape(n, c * blocksize**2, h // blocksize, w // blocksize)


PAD_MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect", "wrap": "circular"}


def pad(x, pads, value=None, axes=None, mode="constant"):
    before_after = [(0, 0)] * x.ndim
    places = axes_of(axes, x.ndim)
    amounts = listed(pads)
    for i, axis in enumerate(places):
        before_after[axis] = amounts[i], amounts[len(places) + i]
    if mode != "constant":  # torch pads at most the last three axes so
        while before_after[0] == (0, 0) and len(before_after) > 1:
            before_after.pop(0)
    amounts = [amount for pair in reversed(before_after) for amount in pair]
    if mode == "constant":
        return F.pad(x, amounts, "constant", 0 if value is None else value.item())
    return F.pad(x, amounts, PAD_MODES[mode])


def col2im(x, image_shape, block_shape, dilations=None, pads=None, strides=None):
    size, block = image_shape.tolist(), block_shape.tolist()
    if len(size) != 2 or (pads and pads[:2] != pads[2:]):
        raise NoCounterpartError("fold of other than images, or with uneven padding")
    return F.fold(x, size, block, dilations or 1, pads[:2] if pads else 0, strides or 1)
