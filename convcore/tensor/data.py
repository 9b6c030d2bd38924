"""The tensor without computations: shape, dtype, device, export to Python and NumPy, printing, copying, conversion."""

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

# Inside the class, int, float and bool are methods.
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
    """The base of `convcore.Tensor` that has no operations but conversions."""

    __slots__ = ()
    __array_priority__ = 1000  # for `array + tensor`, NumPy defers to the tensor's operator

    # Properties

    @property
    def shape(self) -> Size:
        """The sizes of the axes."""
        return Size((self.deferred or self.array).shape)

    def size(self, dim: Integer | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements, as a NumPy dtype."""
        return (self.deferred or self.array).dtype

    @property
    def device(self) -> Device:
        """The device that holds the tensor: "cpu" or "cuda:0"."""
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
        """The stride of each axis, or of one, counted in elements."""
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
        """Whether the tensor is on the CPU."""
        return transfer.device_of(self) == CPU

    @property
    def is_cuda(self) -> Truth:
        """Whether the tensor is on a GPU."""
        return transfer.device_of(self) == CUDA

    def element_size(self) -> Integer:
        """Bytes of one element."""
        return self.array.itemsize

    def is_floating_point(self) -> Truth:
        """Whether the dtype is float32 or float64."""
        return (self.deferred or self.array).dtype.kind == "f"

    def is_nonzero(self) -> Truth:
        """Whether the only element is not 0."""
        return self.__bool__()

    def is_signed(self) -> Truth:
        """Whether the dtype has negative values."""
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

    # Export of the values, outside the graph

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array that shares the memory."""
        if self.requires_grad and is_grad_enabled():
            raise GraphError("numpy: the graph would not see changes of the array; use x.detach().numpy()")
        if self.is_cuda:
            raise DeviceError("numpy: the tensor is on cuda:0, and NumPy's arrays on the CPU; use x.cpu().numpy()")
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
            raise AttributeError("__cuda_array_interface__: the tensor is on the CPU")
        return self._lent().__cuda_array_interface__

    def __dlpack__(self, **settings: Any) -> Any:
        return self._lent().__dlpack__(**settings)

    def __dlpack_device__(self) -> tuple[Integer, Integer]:
        return self.array.__dlpack_device__()

    def _lent(self) -> Any:
        """The array, for another library, which may write to it."""
        if not self.is_cuda:
            return self.numpy()
        if self.requires_grad:
            raise GraphError("dlpack: the graph would not see changes by other libraries; use x.detach()")
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
        """The same memory outside the graph; assign to it to replace the values of a tensor that others hold."""
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
        """`copy.copy`: a leaf with the same memory and attributes and, as in torch, without the gradient."""
        result = _leaf(type(self), self.array, self.requires_grad)
        result.version = self.version  # a change of either is a change of both
        result.__dict__.update(self._attributes())
        return result

    def __reduce__(self) -> Any:
        # Pickle may hand out the memory itself as an out-of-band buffer, so it counts as exposed.
        values = self.detach().cpu().array if self.is_cuda else self.version.watched().expose(self.array)
        return _restore, (type(self), values, self.requires_grad, self.is_cuda), self._attributes() or None

    def _attributes(self) -> dict[str, Any]:
        """The attributes set by the user. Hooks, which the engine stores here, too, have a default in the class."""
        return {name: value for name, value in self.__dict__.items() if not hasattr(Variable, name)}

    # Conversions

    def to(
        self, *targets: Any, dtype: Any = None, device: Any = None, non_blocking: Truth = False, copy: Truth = False,
        memory_format: Any = None,
    ) -> Any:  # fmt: skip
        """The tensor in another dtype or on another device; the tensor itself if nothing changes.

        Args:
            targets: a dtype, a device ("cpu", "cuda", "auto"), or a tensor with the wanted dtype and device; in any
                order.
            dtype, device: the same by keyword.
            non_blocking: without effect.
            copy: copy even if nothing changes.
            memory_format: the order of axes in memory, such as `convcore.channels_last`.

        Raises:
            DeviceError: there is no usable GPU; the message says why, and what to do.
        """
        given = [target for target in targets if not isinstance(target, Truth)]  # drops positional non_blocking, copy
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
            DeviceError: there is no usable GPU; the message says why, and what to do.
        """
        return transfer.move(self, transfer.gpu(device))

    def half(self) -> Any:
        """Refused: there are no 16-bit tensors."""
        raise DTypeError("half: there are no floats of 16 bits; use float()")

    bfloat16 = half

    def float(self) -> Tensor:
        """The tensor as float32."""
        return dtypes.convert(self, dtypes.float32)

    def double(self) -> Tensor:
        """The tensor as float64."""
        return dtypes.convert(self, dtypes.float64)

    def long(self) -> Tensor:
        """The tensor as int64, truncated towards zero."""
        return dtypes.convert(self, dtypes.int64)

    def int(self) -> Tensor:
        """The tensor as int32, truncated towards zero."""
        return dtypes.convert(self, dtypes.int32)

    def short(self) -> Tensor:
        """The tensor as int16, truncated towards zero."""
        return dtypes.convert(self, dtypes.int16)

    def char(self) -> Tensor:
        """The tensor as int8, truncated towards zero."""
        return dtypes.convert(self, dtypes.int8)

    def byte(self) -> Tensor:
        """The tensor as uint8, truncated towards zero."""
        return dtypes.convert(self, dtypes.uint8)

    def bool(self) -> Tensor:
        """Whether each element is not 0."""
        return dtypes.convert(self, dtypes.bool_)

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the dtype of another."""
        return dtypes.convert(self, other.array.dtype)


def _leaf(cls: type, array: Any, requires_grad: bool) -> Any:
    """A leaf of a tensor class around an array, without a call of the class's constructor."""
    result: Any = object.__new__(cls)
    Variable.__init__(result, array, requires_grad)
    return result


def _restore(cls: type, array: np.ndarray, requires_grad: bool, on_gpu: Truth = False) -> Any:
    """Unpickle. An array that does not own its memory, a buffer of the caller of pickle, is copied."""
    values = array if array.flags.owndata else array.copy(order="K")
    return _leaf(cls, transfer.move(wrap(values), CUDA).array if on_gpu else values, requires_grad)
