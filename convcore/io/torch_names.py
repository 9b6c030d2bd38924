"""The names that may stand in PyTorch's files, and what each becomes: the list of all that a checkpoint can do."""

from __future__ import annotations

import argparse
import math
from collections import OrderedDict
from typing import Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import CheckpointError
from convcore.io.elements import ELEMENT_TYPES, ElementType
from convcore.io.unpickler import Buildable, Global

MAX_AXES = 32


class Storage:
    """A piece of memory that tensors of the file lie in.

    Attributes:
        element: the type of its elements in the file.
        base: a tensor of all its elements. The tensors made from it share its memory, and what counts its changes.
    """

    def __init__(self, element: ElementType, base: Any):
        self.element = element
        self.base = base

    @classmethod
    def empty(cls, element: ElementType, count: int) -> Storage:
        """Memory that is not filled yet."""
        return cls(element, wrap(np.empty(count, element.dtype)))

    def part(self, offset: int, count: int) -> Storage:
        """`count` elements from `offset` on, in the same memory."""
        if offset < 0 or count < 0 or offset + count > self.base.array.size:
            raise CheckpointError(f"damaged: a view of {count:,} elements at {offset:,} leaves its storage")
        return Storage(self.element, self.base.detach_as(self.base.array[offset : offset + count]))


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *_: Any) -> Any:
    """A tensor in a storage: element [i, j, ..] lies at offset + i * stride[0] + j * stride[1] + ..

    Raises:
        CheckpointError: it would leave the storage.
    """
    if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise TypeError
    if len(size) != len(stride) or len(size) > MAX_AXES:
        raise CheckpointError(f"damaged: a tensor has {len(size)} sizes and {len(stride)} strides")
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in (offset, *size, *stride)):
        raise CheckpointError("damaged: a tensor has an offset, sizes or strides that are not integers of at least 0")
    array, itemsize = storage.base.array, storage.base.array.itemsize
    empty = 0 in size
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if (empty and offset > array.size) or (not empty and last >= array.size):
        raise CheckpointError(
            f"damaged: a tensor of size {size} and stride {stride} at {offset:,} leaves its storage of "
            f"{array.size:,} elements"
        )
    if math.prod(size) * itemsize >= 1 << 62 or any(step * itemsize >= 1 << 62 for step in stride):
        raise CheckpointError(f"damaged: a tensor of size {size} and stride {stride} is larger than any memory")
    steps = tuple(itemsize * step for step in stride) if not empty else None
    view = np.ndarray(size, array.dtype, array if not empty else None, offset * itemsize if not empty else 0, steps)
    if any(n > 1 and step == 0 for n, step in zip(size, stride, strict=True)):
        view.flags.writeable = False  # several elements in one place, as after expand()
    return _marked(storage.base.detach_as(view), requires_grad)


def _rebuild_tensor_v2(*args: Any) -> Any:
    """As above; the seventh argument may say that the numbers are to be negated or conjugated when they are read."""
    if len(args) > 6 and isinstance(args[6], dict) and any(args[6].values()):
        raise CheckpointError("a tensor is a lazy negation or conjugation; save it with resolve_neg().resolve_conj()")
    return rebuild_tensor(*args)


def _rebuild_parameter(tensor: Any, requires_grad: Any = True, *_: Any) -> Any:
    """A parameter: here a tensor that requires a gradient. `nn.Parameter` stands on a higher floor."""
    if not isinstance(tensor, Variable):
        raise TypeError
    return _marked(tensor, requires_grad)


def _marked(tensor: Any, requires_grad: Any) -> Any:
    if requires_grad and tensor.array.dtype.kind != "f":
        raise CheckpointError(f"damaged: a tensor of {tensor.array.dtype} requires a gradient")
    return tensor.requires_grad_(bool(requires_grad))


def _rebuild_from_type(rebuild: Any, kind: Any, args: Any, _state: Any) -> Any:
    """A tensor with attributes of its own, which are left out."""
    if not callable(rebuild) or not isinstance(args, tuple):
        raise TypeError
    return rebuild(*args)


class NumpyType(Buildable):
    """A NumPy dtype; only the types of numbers."""

    _KNOWN = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")

    def __init__(self, code: Any, *_: Any):
        if code not in self._KNOWN:
            raise CheckpointError(f"the file has a NumPy number of type {code!r:.20}")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|"):
            raise CheckpointError("damaged: a NumPy number has no byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


def _numpy_scalar(kind: Any, content: Any) -> Any:
    """A NumPy number, as people keep with their weights (best accuracy), as Python's."""
    if not isinstance(kind, NumpyType) or not isinstance(content, bytes) or len(content) != kind.dtype.itemsize:
        raise TypeError
    return np.frombuffer(content, kind.dtype)[0].item()


def _encode(text: Any, encoding: Any) -> bytes:
    """Bytes, which protocol 2 writes as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError
    return text.encode("latin-1")


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    """Python 2 wrote the pairs of an OrderedDict as an argument."""
    pairs = OrderedDict()
    for pair in items:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], (str, int)):
            raise TypeError
        pairs[pair[0]] = pair[1]
    return pairs


def _counter(counts: Any = None) -> dict[Any, Any]:
    """A Counter, as schedules keep for their milestones, as the dictionary that it is."""
    if not isinstance(counts, (dict, type(None))):
        raise TypeError
    return dict(counts or {})


def _namespace() -> argparse.Namespace:
    """Settings of a training script; the pickle gives them as its state."""
    return argparse.Namespace()


def _device(*names: Any) -> str:
    """Devices are where tensors were; here all are on the CPU."""
    return str(names[0]) if names and isinstance(names[0], str) else "cpu"


_DEFAULTS = ("dict", "float", "int", "list")  # what a defaultdict makes

_ENTRIES = (
    Global("collections.OrderedDict", build=_ordered),
    Global("collections.defaultdict", build=lambda *_: {}),
    Global("collections.Counter", build=_counter),
    *(Global(f"{module}.{kind}", value=kind) for module in ("builtins", "__builtin__") for kind in _DEFAULTS),
    Global("argparse.Namespace", build=_namespace),
    Global("_codecs.encode", build=_encode),
    Global("numpy.dtype", build=NumpyType),
    Global("numpy.core.multiarray.scalar", build=_numpy_scalar),
    Global("numpy._core.multiarray.scalar", build=_numpy_scalar),
    Global("torch.Size", build=lambda sizes=(): tuple(sizes)),
    Global("torch.device", build=_device),
    Global("torch.Tensor", value="torch.Tensor"),
    Global("torch.nn.parameter.Parameter", value="torch.nn.Parameter", build=_rebuild_parameter),
    Global("torch._utils._rebuild_tensor", value=rebuild_tensor, build=rebuild_tensor),
    Global("torch._utils._rebuild_tensor_v2", value=_rebuild_tensor_v2, build=_rebuild_tensor_v2),
    Global("torch._utils._rebuild_parameter", value=_rebuild_parameter, build=_rebuild_parameter),
    Global("torch._utils._rebuild_parameter_with_state", value=_rebuild_parameter, build=_rebuild_parameter),
    Global("torch._tensor._rebuild_from_type_v2", build=_rebuild_from_type),
    *(Global(f"torch.{element.storage}", value=element) for element in ELEMENT_TYPES),
    *(Global(f"torch.{element.name}", value=element.dtype) for element in ELEMENT_TYPES),
)
NAMES = {entry.name: entry for entry in _ENTRIES}

_REASONS = {
    "torch._utils._rebuild_tensor_v3": "it makes tensors of element types that convcore does not have",
    "torch._utils._rebuild_sparse_tensor": "it makes sparse tensors",
    "torch._utils._rebuild_qtensor": "it makes quantized tensors",
    "torch.ComplexFloatStorage": "complex numbers are not supported",
    "torch.ComplexDoubleStorage": "complex numbers are not supported",
    "numpy.core.multiarray._reconstruct": "NumPy arrays are not read from pickles; save tensors",
    "numpy._core.multiarray._reconstruct": "NumPy arrays are not read from pickles; save tensors",
}


def refusal(name: str) -> str:
    """More about a name that is refused."""
    if name in _REASONS:
        return f" ({_REASONS[name]})"
    if name.startswith(("torch.nn.modules.", "torchvision.models.")):
        return " (the file holds a whole model, which is code; save model.state_dict() instead)"
    return ""
