"""Parameter: a tensor that a module registers and an optimizer trains."""

from __future__ import annotations

from typing import Any

from convcore import memory
from convcore.autograd import wrap
from convcore.errors import DTypeError
from convcore.ops.core.dtypes import element_type, float32
from convcore.ops.core.transfer import to_device
from convcore.tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that requires a gradient. Assigning it to an attribute of a Module registers it.

    Args:
        data: the initial values; the memory is shared, not copied.
        requires_grad: False freezes the parameter.
    """

    def __init__(self, data: Tensor, requires_grad: bool = True):
        if not isinstance(data, Tensor):
            raise DTypeError(f"Parameter: data must be a tensor, got {type(data).__name__}")
        super().__init__(data.array)
        self.version = data.version
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo: dict) -> Any:
        """A parameter with the same values. Unlike the copy of a tensor, it has no gradient, as in torch."""
        result = super().__deepcopy__(memo)
        result.grad = None
        return result

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


def empty_parameter(layer: str, shape: tuple[int, ...], dtype: Any, device: Any) -> Parameter:
    """An uninitialised parameter; dtype None is float32, device None is "cpu"."""
    values = wrap(memory.empty(shape, element_type(layer, float32 if dtype is None else dtype)))
    return Parameter(to_device(values, device))
