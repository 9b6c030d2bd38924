"""The names allowed in PyTorch's files, and what each is replaced by: all that a checkpoint can do."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, OrderedDict
from typing import Any

import numpy as np

from convcore.autograd import Variable, wrap
from convcore.errors import CheckpointError
from convcore.io.elements import ELEMENT_TYPES, MAX_AXES, ElementType, is_too_large
from convcore.io.machine import Buildable, Global, made_set


class Storage:
    """The memory of tensors in a file.

    Attributes:
        element: the type of the elements in the file.
        base: a 1-D tensor of all elements. The tensors made from it share its memory and version counter.
    """

    def __init__(self, element: ElementType, base: Any):
        self.element = element
        self.base = base

    @classmethod
    def empty(cls, element: ElementType, count: int) -> Storage:
        """An uninitialised storage."""
        return cls(element, wrap(np.empty(count, element.dtype)))

    def part(self, offset: int, count: int) -> Storage:
        """A view of `count` elements from `offset` on."""
        if offset < 0 or count < 0 or offset + count > self.base.array.size:
            raise CheckpointError(f"damaged: a view of {count:,} elements at {offset:,} leaves its storage")
        return Storage(self.element, self.base.detach_as(self.base.array[offset : offset + count]))


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *_: Any) -> Any:
    """A tensor in a storage: element [i, j, ..] is at offset + i * stride[0] + j * stride[1] + ..

    Raises:
        CheckpointError: the tensor would exceed the storage.
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
    if is_too_large(size, itemsize) or any(step * itemsize >= 1 << 62 for step in stride):
        raise CheckpointError(f"damaged: a tensor of size {size} and stride {stride} is larger than any memory")
    steps = tuple(itemsize * step for step in stride) if not empty else None
    view = np.ndarray(size, array.dtype, array if not empty else None, offset * itemsize if not empty else 0, steps)
    if any(n > 1 and step == 0 for n, step in zip(size, stride, strict=True)):
        view.flags.writeable = False  # several elements share memory, as after expand()
    return _marked(storage.base.detach_as(view), requires_grad)


def _rebuild_tensor_v2(*args: Any) -> Any:
    """As above; the seventh argument may mark a lazy negation or conjugation, which is refused."""
    if len(args) > 6 and isinstance(args[6], dict) and any(args[6].values()):
        raise CheckpointError("a tensor is a lazy negation or conjugation; save it with resolve_neg().resolve_conj()")
    return rebuild_tensor(*args)


def _rebuild_parameter(tensor: Any, requires_grad: Any = True, *_: Any) -> Any:
    """A parameter, as a tensor that requires a gradient: `convcore.io` must not import `nn.Parameter`."""
    if not isinstance(tensor, Variable):
        raise TypeError
    return _marked(tensor, requires_grad)


def _marked(tensor: Any, requires_grad: Any) -> Any:
    if requires_grad and tensor.array.dtype.kind != "f":
        raise CheckpointError(f"damaged: a tensor of {tensor.array.dtype} requires a gradient")
    return tensor.requires_grad_(bool(requires_grad))


def _rebuild_from_type(rebuild: Any, kind: Any, args: Any, _state: Any) -> Any:
    """A tensor with additional attributes, which are dropped."""
    if not callable(rebuild) or not isinstance(args, tuple):
        raise TypeError
    return rebuild(*args)


class NumpyType(Buildable):
    """A NumPy dtype; only numeric ones."""

    _KNOWN = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str):  # formatting anything else for an error could take an unbounded time
            raise TypeError
        if code not in self._KNOWN:
            raise CheckpointError(f"the file has a NumPy number of type {code!r:.20}")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|"):
            raise CheckpointError("damaged: a NumPy number has no byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


def _numpy_scalar(kind: Any, content: Any) -> Any:
    """A NumPy scalar, such as an accuracy saved with the weights, as a Python number."""
    if not isinstance(kind, NumpyType) or not isinstance(content, bytes) or len(content) != kind.dtype.itemsize:
        raise TypeError
    return np.frombuffer(content, kind.dtype)[0].item()


def _encode(text: Any, encoding: Any) -> bytes:
    """Bytes; protocol 2 writes them as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise TypeError
    return text.encode("latin-1")


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    """An OrderedDict; Python 2 wrote its pairs as an argument."""
    pairs = OrderedDict()
    for pair in items:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], (str, int)):
            raise TypeError
        pairs[pair[0]] = pair[1]
    return pairs


def _counter(counts: Any = None) -> Counter[Any]:
    """A Counter, such as the milestones of a learning rate schedule."""
    if not isinstance(counts, (dict, type(None))):
        raise TypeError
    made: Counter[Any] = Counter()
    dict.update(made, counts or {})
    return made


def _set(items: Any = ()) -> set[Any]:
    """A set; protocols 2 and 3 write a call with the list of its items."""
    return made_set(items)


def _frozenset(items: Any = ()) -> frozenset[Any]:
    """A frozenset, as above."""
    return frozenset(made_set(items))


def _bytearray(content: Any = b"", encoding: Any = None) -> bytearray:
    """A bytearray; protocol 2 writes the bytes as text. A number, which would be a length, is refused."""
    if not isinstance(content, bytes):
        content = _encode(content, encoding)
    return bytearray(content)


def _complex(real: Any, imaginary: Any) -> complex:
    """A complex number."""
    if not isinstance(real, (int, float)) or not isinstance(imaginary, (int, float)):
        raise TypeError
    return complex(real, imaginary)


def _size(sizes: Any = ()) -> tuple[int, ...]:
    """A torch.Size, as a tuple."""
    if not isinstance(sizes, (list, tuple)) or not all(type(size) is int for size in sizes):
        raise TypeError
    return tuple(sizes)


def _version(text: Any) -> str:
    """torch.__version__, a subclass of str, as a string."""
    if not isinstance(text, str):
        raise TypeError
    return text


def _layout(name: Any) -> str:
    """The layout of a tensor, such as "torch.strided", by name."""
    if not isinstance(name, str):
        raise TypeError
    return name


def _namespace() -> argparse.Namespace:
    """The settings of a training script; the pickle sets them as the state."""
    return argparse.Namespace()


def _device(*names: Any) -> str:
    """A device, by name: it says where a tensor was; here all tensors are on the CPU."""
    return str(names[0]) if names and isinstance(names[0], str) else "cpu"


_DEFAULTS = ("dict", "float", "int", "list", "str", "bool")  # default factories of a defaultdict
_BUILTINS = {"set": _set, "frozenset": _frozenset, "bytearray": _bytearray, "complex": _complex}

# Element types that convcore does not have, and quantisation schemes: a file may mention them, so they load as names.
_OTHER_DTYPES = (
    "complex32", "complex64", "complex128", "uint16", "uint32", "uint64", "qint8", "quint8", "qint32", "quint4x2",
    "quint2x4", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
    "float4_e2m1fn_x2", *(f"bits{kind}" for kind in ("1x8", "2x4", "4x2", "8", "16")),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)), "per_tensor_affine", "per_tensor_symmetric",
    "per_channel_affine", "per_channel_symmetric", "per_channel_affine_float_qparams",
)  # fmt: skip

_ENTRIES = (
    Global("collections.OrderedDict", build=_ordered),
    Global("collections.defaultdict", build=lambda *_: {}),
    Global("collections.Counter", build=_counter),
    *(Global(f"{module}.{kind}", value=kind) for module in ("builtins", "__builtin__") for kind in _DEFAULTS),
    *(
        Global(f"{module}.{kind}", value=kind, build=build)
        for module in ("builtins", "__builtin__")
        for kind, build in _BUILTINS.items()
    ),
    Global("argparse.Namespace", build=_namespace),
    Global("_codecs.encode", build=_encode),
    Global("numpy.dtype", build=NumpyType),
    Global("numpy.core.multiarray.scalar", build=_numpy_scalar),
    Global("numpy._core.multiarray.scalar", build=_numpy_scalar),
    Global("torch.Size", build=_size),
    Global("torch.torch_version.TorchVersion", build=_version),
    Global("torch.serialization._get_layout", build=_layout),
    Global("torch.device", build=_device),
    Global("torch.Tensor", value="torch.Tensor"),
    Global("torch.nn.parameter.Parameter", value="torch.nn.Parameter", build=_rebuild_parameter),
    Global("torch._utils._rebuild_tensor", value=rebuild_tensor, build=rebuild_tensor),
    Global("torch._utils._rebuild_tensor_v2", value=_rebuild_tensor_v2, build=_rebuild_tensor_v2),
    Global("torch._utils._rebuild_parameter", value=_rebuild_parameter, build=_rebuild_parameter),
    Global("torch._utils._rebuild_parameter_with_state", value=_rebuild_parameter, build=_rebuild_parameter),
    Global("torch._tensor._rebuild_from_type_v2", build=_rebuild_from_type),
    *(
        Global(f"{module}.{element.storage}", value=element)
        for module in ("torch", "torch.cuda")
        for element in ELEMENT_TYPES
    ),
    *(
        Global(name, value=name)
        for module in ("torch", "torch.cuda")
        for element in ELEMENT_TYPES
        for name in (f"{module}.{element.storage.replace('Storage', 'Tensor')}",)
    ),
    *(Global(f"torch.{element.name}", value=element.dtype) for element in ELEMENT_TYPES),
    *(Global(f"torch.{name}", value=f"torch.{name}") for name in _OTHER_DTYPES),
)
NAMES = {entry.name: entry for entry in _ENTRIES}

# Patterns of refused names, and the reason. The last two match every other name.
_REASONS = (
    (r"torch\._utils\._rebuild_tensor_v3", "it makes tensors of element types that convcore does not have"),
    (r"torch\.(cuda\.)?Complex\w+Storage", "complex numbers are not supported"),
    (r"torch\.(_utils\._rebuild_sparse_\w+|(cuda\.)?sparse\.\w+)", "it makes sparse tensors"),
    (r"torch\.(_utils\._rebuild_qtensor|QU?Int\w+Storage)", "it makes quantized tensors"),
    (r"torch\._utils\._rebuild_\w+", "it makes a kind of tensors that convcore does not have; save plain ones"),
    (r"torch\.storage\.\w+", "it is a storage without a tensor; save tensors"),
    (r"numpy\..*", "NumPy arrays are not read from pickles; save tensors"),
    (r"(torch\.nn|torch\.fx|torchvision\.models)\..*", "the file holds a whole model, which is code; {remedy}"),
    (r"torch\..*", "weights are saved as tensors; {remedy}"),
    (
        r".*",
        "it belongs to the program that wrote the file, which holds a whole model or other objects of it; {remedy}",
    ),
)
_REMEDY = "in that program, save model.state_dict() instead"
_OTHER_NAMES = ("__builtin__", "copy_reg", "cPickle")  # modules of Python 2's standard library


def refusal(name: str) -> str:
    """Why a name is refused; "" for the standard library, whose names no program needs for weights."""
    module = name.partition(".")[0]
    if module in sys.stdlib_module_names or module in _OTHER_NAMES:
        return ""
    reason = next(reason for pattern, reason in _REASONS if re.fullmatch(pattern, name, re.DOTALL))
    return f" ({reason.format(remedy=_REMEDY)})"
