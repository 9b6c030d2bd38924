"""Parametrizations: a parameter that is computed from others each time it is read.

After `register_parametrization(layer, "weight", f)`, `layer.weight` is `f(layer.parametrizations.weight.original)`.
The original is trained and saved. The layer gets a new class, derived from its old class, in which `weight` is a
property. So the layer's forward, which reads `self.weight`, stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from convcore.autograd import no_grad
from convcore.errors import DTypeError, ShapeError
from convcore.nn.base.module import Module
from convcore.nn.container import ModuleDict, ModuleList
from convcore.nn.parameter import Parameter
from convcore.tensor import Tensor

_cache: dict[tuple[int, str], Tensor] | None = None


@contextmanager
def cached() -> Iterator[None]:
    """Inside the block, a parametrized tensor is computed at its first use and cached; for weights read often."""
    global _cache
    before, _cache = _cache, {} if _cache is None else _cache
    try:
        yield
    finally:
        _cache = before


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied in order, and the tensors they are applied to.

    Attributes:
        original: the parameter (or buffer) that is stored. There are several, original0, original1, .., if the
            right_inverse of the first parametrization returns several tensors.
        is_tensor: whether there is only one.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            kept: Any = self._inverse(original)
        self.is_tensor = isinstance(kept, Tensor)
        if not self.is_tensor and not (isinstance(kept, Sequence) and all(isinstance(k, Tensor) for k in kept)):
            raise DTypeError(
                f"register_parametrization: right_inverse must return a tensor or several, got {type(kept).__name__}"
            )
        self.ntensors = 1 if self.is_tensor else len(kept)
        tensors: list[Any] = [kept] if isinstance(kept, Tensor) else list(kept)
        for name, tensor in zip(self._names(), tensors, strict=True):
            if isinstance(original, Parameter):
                if self.is_tensor and tensor.shape == original.shape and tensor.dtype == original.dtype:
                    original.data = tensor.detach()  # an optimizer that holds it keeps working
                    tensor = original
                elif not isinstance(tensor, Parameter):
                    tensor = Parameter(tensor.detach(), original.requires_grad)
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)
        if not unsafe:
            self._check(original)

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def _inverse(self, value: Any) -> Any:
        for module in reversed(list(self)):
            inverse = getattr(module, "right_inverse", None)
            value = value if inverse is None else inverse(value)
        return value

    def _check(self, original: Tensor) -> None:
        with no_grad():
            value = self()
        if not isinstance(value, Tensor):
            raise DTypeError(f"register_parametrization: must return a tensor, got {type(value).__name__}")
        if value.shape != original.shape or value.dtype != original.dtype:
            raise ShapeError(
                "register_parametrization: the result must have the shape and dtype of the tensor, "
                f"{tuple(original.shape)} {original.dtype}, got {tuple(value.shape)} {value.dtype}; "
                "unsafe=True allows it"
            )

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor becomes `value`, as far as the parametrizations can."""
        with no_grad():
            found = self._inverse(value)
            for name, tensor in zip(self._names(), [found] if self.is_tensor else found, strict=True):
                getattr(self, name).copy_(tensor)

    def forward(self) -> Tensor:
        given = [getattr(self, name) for name in self._names()]
        value = self[0](*given)
        for module in list(self)[1:]:
            value = module(value)
        return value


def _parametrized(base: type, names: Sequence[str]) -> type:
    """A subclass of `base` in which the tensors of these names are computed."""

    def computed(name: str) -> property:
        def read(self: Any) -> Tensor:
            key = id(self), name
            if _cache is not None and key in _cache:
                return _cache[key]
            value = self.parametrizations[name]()
            if _cache is not None:
                _cache[key] = value
            return value

        def write(self: Any, value: Tensor) -> None:
            self.parametrizations[name].right_inverse(value)

        return property(read, write, doc=f"The parametrized {name}")

    members: dict[str, Any] = {name: computed(name) for name in names}
    # A class created at run time cannot be pickled by name; unpickling creates it again.
    members["__reduce__"] = lambda self: (_rebuilt, (base, tuple(names)), self.__dict__)
    members["__reduce_ex__"] = lambda self, protocol: self.__reduce__()
    return type(f"Parametrized{base.__name__}", (base,), members)


def _rebuilt(base: type, names: Sequence[str]) -> Any:
    return object.__new__(_parametrized(base, names))


def _base(module: Module) -> type:
    return type(module).__mro__[1] if is_parametrized(module) else type(module)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module, or the named tensor of it, has parametrizations."""
    tables = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(tables, ModuleDict):
        return False
    return len(tables) > 0 if tensor_name is None else tensor_name in tables


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer of a module be computed by `parametrization`; several are applied in order.

    Args:
        module: the layer; it is changed, and returned.
        tensor_name: "weight", say.
        parametrization: a module that maps the original to the tensor. Its method `right_inverse`, if there is one,
            computes the original from the tensor's present value, and from values assigned later.
        unsafe: allow another shape or dtype.

    Raises:
        ShapeError, DTypeError: the result has another shape or dtype, or is not a tensor.
    """
    if is_parametrized(module, tensor_name):
        table: Any = module.parametrizations[tensor_name]
        with no_grad():
            value = getattr(module, tensor_name)
            inverse = getattr(parametrization, "right_inverse", None)
            table.append(parametrization)
            if inverse is not None:
                table.right_inverse(value)
        if not unsafe:
            table._check(value)
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer {tensor_name!r}"
        )
    base = _base(module)
    original = getattr(module, tensor_name)
    table = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = table
    module.__class__ = _parametrized(base, list(module.parametrizations))
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Turn a parametrized tensor into a parameter again.

    Args:
        module: the layer; it is changed, and returned.
        tensor_name: "weight", say.
        leave_parametrized: keep the computed value; False restores the original.

    Raises:
        ValueError: the tensor has no parametrization, or several originals and leave_parametrized is False.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"remove_parametrizations: {tensor_name!r} of {type(module).__name__} is not parametrized")
    table = module.parametrizations[tensor_name]
    if not leave_parametrized and not table.is_tensor:
        raise ValueError(f"remove_parametrizations: {tensor_name!r} has several originals; leave_parametrized=True")
    with no_grad():
        value = getattr(module, tensor_name)
    original = table.original if table.is_tensor else table.original0
    base = _base(module)
    del module.parametrizations[tensor_name]
    left = list(module.parametrizations)
    module.__class__ = _parametrized(base, left) if left else base
    if not left:
        del module.parametrizations
    if table.is_tensor:
        if leave_parametrized:
            original.data = value
        kept: Any = original
    else:
        kept = Parameter(value, original.requires_grad) if isinstance(original, Parameter) else value
    if isinstance(kept, Parameter):
        module.register_parameter(tensor_name, kept)
    else:
        module.register_buffer(tensor_name, kept)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of a module without its parametrizations."""
    return _base(module)
