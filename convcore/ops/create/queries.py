"""Properties of tensors and element types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.autograd import Variable
from convcore.ops.core import dtypes
from convcore.ops.core.dtypes import element_type, float32
from convcore.ops.core.transfer import to_device
from convcore.ops.create.creation import from_numpy, tensor

if TYPE_CHECKING:
    from convcore.tensor import Tensor

dtype, finfo, iinfo = np.dtype, np.finfo, np.iinfo


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Variable)


def is_floating_point(input: Tensor) -> bool:
    """Whether the input is float32 or float64."""
    return input.is_floating_point()


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not 0.

    Raises:
        ShapeError: the input does not have exactly one element.
    """
    return input.__bool__()


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def get_default_dtype() -> np.dtype:
    """The dtype of tensors made from Python floats: always float32."""
    return float32


def result_type(tensor1: Tensor | float, tensor2: Tensor | float) -> np.dtype:
    """The dtype in which an operation on two tensors or numbers is computed."""
    return dtypes.result_type("result_type", tensor1, tensor2)


def promote_types(type1: Any, type2: Any) -> np.dtype:
    """The smallest dtype that both can be converted to."""
    return dtypes.promote(element_type("promote_types", type1), element_type("promote_types", type2))


def can_cast(from_: Any, to: Any) -> bool:
    """Whether a result of one dtype may be stored in another: no floats in integers, neither of them in bool."""
    return dtypes.category(element_type("can_cast", from_)) <= dtypes.category(element_type("can_cast", to))


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy if possible: a tensor is returned itself, a NumPy array shares its memory.

    Args:
        data: a number, nested lists, a NumPy array, or a tensor, which stays in the graph.
        dtype: by default as in `convcore.tensor`.
        device: "cpu" or "cuda"; by default a tensor stays on its device, and other data goes to the CPU.
    """
    if isinstance(data, Variable):
        result: Any = data
        return result.to(dtype=dtype, device=device)
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == element_type("as_tensor", dtype)):
        return to_device(from_numpy(data), device)
    return tensor(data, dtype, device)
