"""What a tensor is apart from computations: sizes, types, its numbers for Python and NumPy, printing, copying."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable, is_grad_enabled, wrap
from convcore.engine.capture import looked_at
from convcore.errors import DeviceError, DTypeError, GraphError, ShapeError
from convcore.ops.core import dtypes, transfer
from convcore.ops.core.device import CPU, CUDA, Device
from convcore.ops.core.public_api import guard_methods
from convcore.ops.shape.views import contiguous

if TYPE_CHECKING:
    from convcore.tensor import Tensor

# Inside the class the names int, float and bool mean its methods.
Integer = int
Number = float
Truth = bool


class Size(tuple):
    """The sizes of a tensor's axes."""

    def numel(self) -> int:
        """The number of elements: the product of the sizes."""
        return int(np.prod(self, dtype=np.int64))

    def __repr__(self) -> str:
        return f"convcore.Size({list(self)})"


@guard_methods
class TensorData(Variable):
    """The half of `convcore.Tensor` that knows no operation but conversion."""

    __slots__ = ()
    __array_priority__ = 1000  # NumPy arrays leave operators with a tensor to the tensor

    # What it is

    @property
    def shape(self) -> Size:
        """The sizes of its axes."""
        return Size((self.deferred or self.array).shape)

    def size(self, dim: Integer | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def dtype(self) -> np.dtype:
        """The type of its elements, as a NumPy dtype."""
        return (self.deferred or self.array).dtype

    @property
    def device(self) -> Device:
        """Where it lies: "cpu" or "cuda:0"."""
        return transfer.device_of(self)

    @property
    def ndim(self) -> Integer:
        """The number of axes."""
        return (self.deferred or self.array).ndim

    def dim(self) -> Integer:
        """The number of axes."""
        return (self.deferred or self.array).ndim

    ndimension = dim

    def numel(self) -> Integer:
        """The number of elements."""
        return self.array.size

    nelement = numel

    def stride(self, dim: Integer | None = None) -> Any:
        """How many elements lie between neighbours in memory along each axis, or along one."""
        strides = tuple([step // self.array.itemsize for step in self.array.strides])
        return strides if dim is None else strides[dim]

    @property
    def itemsize(self) -> Integer:
        """Bytes of one element."""
        return self.array.itemsize

    @property
    def nbytes(self) -> Integer:
        """Bytes of all elements."""
        return self.array.nbytes

    @property
    def is_cpu(self) -> Truth:
        """Whether it lies on the CPU."""
        return transfer.device_of(self) == CPU

    @property
    def is_cuda(self) -> Truth:
        """Whether it lies on a GPU."""
        return transfer.device_of(self) == CUDA

    def element_size(self) -> Integer:
        """Bytes of one element."""
        return self.array.itemsize

    def is_floating_point(self) -> Truth:
        """Whether it is float32 or float64."""
        return (self.deferred or self.array).dtype.kind == "f"

    def is_nonzero(self) -> Truth:
        """Whether the only element is not 0."""
        return self.__bool__()

    def is_signed(self) -> Truth:
        """Whether its elements may be negative."""
        return (self.deferred or self.array).dtype.kind in "fi"

    def __len__(self) -> Integer:
        if self.array.ndim == 0:
            raise DTypeError("len: a tensor without axes has no length")
        return len(self.array)

    def __repr__(self) -> str:
        array = self.detach().cpu().array
        finite = array[np.isfinite(array)]
        floats = "maxprec" if (finite == np.floor(finite)).all() else "fixed"
        notes = [
            np.array2string(array, separator=", ", prefix="tensor(", threshold=1000, precision=4, floatmode=floats)
        ]
        if self.is_cuda:
            notes.append(f"device='{self.device}'")
        if self.array.size == 0 and self.array.ndim > 1:
            notes.append(f"size={tuple(self.array.shape)}")
        if self.array.dtype not in (dtypes.float32, dtypes.int64, dtypes.bool_):
            notes.append(f"dtype={self.array.dtype}")
        if self.node is not None:
            notes.append(f"grad_fn={self.node}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"tensor({', '.join(notes)})"

    # Its numbers outside the graph

    def numpy(self) -> np.ndarray:
        """The numbers as a NumPy array that shares the memory."""
        if self.requires_grad and is_grad_enabled():
            raise GraphError("numpy: changes of the array would be unknown to the graph; use x.detach().numpy()")
        if self.is_cuda:
            raise DeviceError("numpy: the tensor lies on cuda:0, and NumPy's arrays on the CPU; use x.cpu().numpy()")
        looked_at("numpy()")
        return self.version.watched().expose(self.array)

    def __array__(self, dtype: Any = None, copy: Truth | None = None) -> np.ndarray:
        array = self.numpy()
        if copy is False and dtype is not None and np.dtype(dtype) != array.dtype:
            raise ValueError(f"array: a tensor of {array.dtype} becomes {np.dtype(dtype)} only in a copy")
        return array.astype(dtype or array.dtype, copy=bool(copy))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if not self.is_cuda:
            raise AttributeError("__cuda_array_interface__: the tensor lies on the CPU")
        return self._lent().__cuda_array_interface__

    def __dlpack__(self, **settings: Any) -> Any:
        return self._lent().__dlpack__(**settings)

    def __dlpack_device__(self) -> tuple[Integer, Integer]:
        return self.array.__dlpack_device__()

    def _lent(self) -> Any:
        """The array for another library, which may write to it."""
        if not self.is_cuda:
            return self.numpy()
        if self.requires_grad:
            raise GraphError("dlpack: changes by others would be unknown to the graph; use x.detach()")
        self.version.watched().expose_for_ever()
        return self.array

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.array.size != 1:
            raise ShapeError(f"item: only a tensor of one element is a number, this has shape {self.array.shape}")
        looked_at("item()")
        return self.array.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number if there are no axes."""
        looked_at("tolist()")
        return self.array.tolist()

    def __bool__(self) -> Truth:
        if self.array.size != 1:
            raise ShapeError(
                f"bool: only a tensor of one element is true or false, this has shape {self.array.shape}; "
                "use x.any() or x.all()"
            )
        looked_at("bool()")
        return bool(self.array.item())

    def __int__(self) -> Integer:
        return int(self.item())

    def __float__(self) -> Number:
        return float(self.item())

    def __index__(self) -> Integer:
        if self.array.dtype.kind not in "iu":
            raise DTypeError(f"index: only an integer tensor can be an index, this is {self.array.dtype}")
        return self.item()

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.array.ndim == 0 else object.__format__(self, spec)

    @property
    def data(self) -> Tensor:
        """The same memory outside the graph; set it to replace the numbers of a tensor that others hold."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self.replace_array(value)

    def __deepcopy__(self, memo: dict) -> Any:
        if self.node is not None:
            raise GraphError("deepcopy: only tensors made by the user can be copied with copy.deepcopy; detach() first")
        result = _leaf(type(self), self.array.copy(order="K"), self.requires_grad)
        memo[id(self)] = result
        if self.grad is not None:
            result.grad = self.grad.detach().clone()
        result.__dict__.update(copy.deepcopy(self._attributes(), memo))
        return result

    def __copy__(self) -> Any:
        """`copy.copy`: a leaf on the same memory with the same attributes, as in torch without a gradient."""
        result = _leaf(type(self), self.array, self.requires_grad)
        result.version = self.version  # a change of either is a change of both
        result.__dict__.update(self._attributes())
        return result

    def __reduce__(self) -> Any:
        # Buffers that a pickle passes on beside itself are the tensor's memory in other hands.
        numbers = self.detach().cpu().array if self.is_cuda else self.version.watched().expose(self.array)
        return _restore, (type(self), numbers, self.requires_grad, self.is_cuda), self._attributes() or None

    def _attributes(self) -> dict[str, Any]:
        """What the user has set on this tensor; hooks, which the engine keeps there, have a default in the class."""
        return {name: value for name, value in self.__dict__.items() if not hasattr(Variable, name)}

    # Conversions

    def to(
        self, *targets: Any, dtype: Any = None, device: Any = None, non_blocking: Truth = False, copy: Truth = False,
        memory_format: Any = None,
    ) -> Any:  # fmt: skip
        """The tensor in another dtype or on another device, or as another tensor is; itself where nothing changes.

        Args:
            targets: a dtype, a device ("cpu", "cuda", "auto"), or a tensor whose dtype and device are meant; in any
                order.
            dtype, device: the same by keyword.
            non_blocking: without effect.
            copy: whether to copy also where nothing changes.
            memory_format: the order of axes in memory, such as `convcore.channels_last`.

        Raises:
            DeviceError: there is no GPU that can be used; says why, and what to do.
        """
        given = [target for target in targets if not isinstance(target, Truth)]  # of non_blocking and copy
        for target in given:
            if isinstance(target, Variable):
                dtype, device = target.array.dtype, transfer.device_of(target)
            elif isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda", "auto"):
                device = target
            else:
                dtype = target
        result: Any = self if dtype is None else dtypes.convert(self, dtypes.element_type("to", dtype))
        if device is not None:
            result = transfer.move(result, Device(device))
        if copy and result is self:
            result = dtypes.clone(result)
        return result if memory_format is None else contiguous(result, memory_format)

    def cpu(self) -> Any:
        """The tensor on the CPU: itself, or a copy."""
        return transfer.move(self, CPU)

    def cuda(self, device: Any = None) -> Any:
        """The tensor on the GPU: itself, or a copy.

        Raises:
            DeviceError: there is no GPU that can be used; says why, and what to do.
        """
        return transfer.move(self, transfer.gpu(device))

    def half(self) -> Any:
        """Refused: there are no floats of 16 bits."""
        raise DTypeError("half: there are no floats of 16 bits; use float()")

    bfloat16 = half

    def float(self) -> Tensor:
        """The tensor as float32."""
        return dtypes.convert(self, dtypes.float32)

    def double(self) -> Tensor:
        """The tensor as float64."""
        return dtypes.convert(self, dtypes.float64)

    def long(self) -> Tensor:
        """The tensor as int64, cut towards zero."""
        return dtypes.convert(self, dtypes.int64)

    def int(self) -> Tensor:
        """The tensor as int32, cut towards zero."""
        return dtypes.convert(self, dtypes.int32)

    def short(self) -> Tensor:
        """The tensor as int16, cut towards zero."""
        return dtypes.convert(self, dtypes.int16)

    def char(self) -> Tensor:
        """The tensor as int8, cut towards zero."""
        return dtypes.convert(self, dtypes.int8)

    def byte(self) -> Tensor:
        """The tensor as uint8, cut towards zero."""
        return dtypes.convert(self, dtypes.uint8)

    def bool(self) -> Tensor:
        """Whether each element is not 0."""
        return dtypes.convert(self, dtypes.bool_)

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the dtype of another."""
        return dtypes.convert(self, other.array.dtype)


def _leaf(cls: type, array: Any, requires_grad: bool) -> Any:
    """A leaf of a tensor class around an array, whatever the arguments of the class's own constructor are."""
    result: Any = object.__new__(cls)
    Variable.__init__(result, array, requires_grad)
    return result


def _restore(cls: type, array: np.ndarray, requires_grad: bool, on_gpu: Truth = False) -> Any:
    """What was pickled. An array in memory that is not its own, a buffer of whoever unpickles, is copied out of it."""
    numbers = array if array.flags.owndata else array.copy(order="K")
    return _leaf(cls, transfer.move(wrap(numbers), CUDA).array if on_gpu else numbers, requires_grad)
