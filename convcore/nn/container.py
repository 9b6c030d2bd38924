"""Modules that hold modules: a sequence that is called in order, a list and a dict."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any

from convcore.nn.base.module import Module, indent

if TYPE_CHECKING:
    from typing_extensions import Self


class _Indexed(Module):
    """What Sequential and ModuleList have in common: ordered children, found by position."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def _position(self, index: Any) -> int:
        """`index` as 0 <= position < len; negative ones count from the end."""
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"{type(self).__name__}: index {position} is out of range for {len(self)} modules")
        return position % len(self)

    def _name(self, index: Any) -> str:
        return list(self._modules)[self._position(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        for name in names[index] if isinstance(index, slice) else [self._name(index)]:
            del self._modules[name]
        self._renumber()

    def _renumber(self) -> None:
        """Make the names equal to the positions again, as in a new container with these children."""
        self._modules = {str(position): module for position, module in enumerate(self._modules.values())}

    def append(self, module: Module) -> Self:
        """Add a module at the end. Returns self."""
        name = len(self)
        while str(name) in self._modules:  # a slice keeps the old names of its modules
            name += 1
        self.add_module(str(name), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end. Returns self."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at `index`; `len(self)` appends. Returns self."""
        if not -len(self) <= index <= len(self):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(self)} modules")
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: {type(module).__name__} is not a Module subclass")
        children: list[Any] = list(self._modules.values())
        children.insert(index, module)
        self._modules = {str(position): child for position, child in enumerate(children)}
        return self

    def pop(self, index: int) -> Any:
        """Take a module out and return it."""
        module = self._modules[self._name(index)]
        del self[index]
        return module


class Sequential(_Indexed):
    """Modules called in order: each gets the result of the one before.

    Sequential(a, b, c) names them "0", "1", "2"; Sequential(OrderedDict([("conv", a), ...])) uses the given names.
    A slice is a Sequential of the same modules, not of copies.
    """

    def __init__(self, *modules: Any):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], OrderedDict):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for position, module in enumerate(modules):
                self.add_module(str(position), module)

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._name(index)]

    def __add__(self, other: Sequential) -> Sequential:
        """A new Sequential of the modules of both."""
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        """A new Sequential that repeats the same modules."""
        if not isinstance(times, int):
            return NotImplemented
        if times <= 0:
            raise ValueError(f"{type(self).__name__}: can be repeated 1 time or more, got {times}")
        return Sequential(*list(self) * times)

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(list(self * times)[len(self) :])


class ModuleList(_Indexed):
    """A list of registered modules: their parameters belong to the model. It has no forward."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._modules[self._name(index)]

    def __contains__(self, module: Any) -> bool:
        return any(child is module for child in self)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        """A new list of the modules of both."""
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __repr__(self) -> str:
        """The usual repr, with equal neighbours merged into one line: `(0-2): 3 x ReLU()`."""
        runs: list[list[Any]] = []  # first position, last position, repr
        for position, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1][1] = position
            else:
                runs.append([position, position, text])
        if not runs:
            return f"{self._get_name()}()"
        lines = [
            indent(f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}")
            for first, last, text in runs
        ]
        return "\n  ".join([f"{self._get_name()}(", *lines]) + "\n)"


class ModuleDict(Module):
    """A dict of registered modules, in insertion order. It has no forward.

    Args:
        modules: a mapping from names to modules, or (name, module) pairs.
    """

    def __init__(self, modules: Any = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: Any) -> bool:
        return key in self._modules

    def keys(self) -> KeysView[str]:
        """The names, in insertion order."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Any]:
        """(name, module) pairs, in insertion order."""
        return self._modules.items()

    def values(self) -> ValuesView[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Add the modules of a mapping or of (key, module) pairs. An existing key gets the new module."""
        if isinstance(modules, (Mapping, ModuleDict)):
            modules = modules.items()
        for key, module in modules:
            self[key] = module

    def pop(self, key: str) -> Any:
        """Take a module out and return it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()
