"""What the result of a model depends on besides its inputs, as it was at one moment: to find out what has changed.

`ModelState` follows everything that can be reached from a module: the tables of parameters, buffers and modules, plain
attributes, tensors and modules in lists or dictionaries, and the global and enclosing variables that the model's own
functions name. Numbers and texts are compared by value, all else by identity; of tensors the changes of their memory
are counted, and containers are compared by what they hold.

It is asked before each call of a compiled model, and a network has thousands of attributes. So they are compared in a
few loops that Python runs in C: 60 us for the 209 modules of a MobileNetV3-small, where a loop in Python took 520.
"""

from __future__ import annotations

import functools
import random
import sys
import types
from collections import deque
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter, is_
from typing import Any

import numpy as np

from convcore.autograd import Variable
from convcore.nn.module import Module

MOST_BYTES = 1 << 16  # of NumPy's arrays that are compared; to compare larger ones would cost more than it saves
_ABSENT = object()
_LIBRARIES = ("convcore", "kernels", "numpy", "scipy")  # whose functions keep nothing that a model could leave there
_TABLES = ("_parameters", "_buffers", "_modules")
# What modules keep for themselves, and no result depends on; a compiled model within another changes its own.
_BOOKKEEPING = ("_non_persistent", "_plans", "_warned", "_lock")
_memory_of = attrgetter("version.memory")
_changes_of = attrgetter("changes")


def _is_plain(value: Any) -> bool:
    """Whether a value is as good as any that is equal to it. 0.0 is not: -0.0 equals it."""
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return type(value) in (bool, int, str, bytes, type(None)) or (type(value) is float and value != 0)


def _is_pythons(value: Any) -> bool:
    """Whether an object is of Python's own library: a logger, for one, leads to all others and changes with each."""
    cls = type(value)
    return cls is not types.SimpleNamespace and cls.__module__.partition(".")[0] in sys.stdlib_module_names


class ModelState:
    """A model's modules, tensors and attributes, and how often these have been changed.

    Attributes:
        modules: all modules, also those in plain lists.
        tensors: all tensors, with names for messages.
    """

    def __init__(self, model: Module):
        self.modules: list[Module] = []
        self.tensors: list[tuple[str, Variable]] = []
        self._attributes: list[dict[str, Any]] = []  # of modules: most are settings, numbers
        self._references: list[tuple[dict[Any, Any], Any, Any]] = []  # those attributes that are something else
        self._tables: list[dict[Any, Any]] = []  # the other dictionaries
        self._empty: list[Any] = []  # containers that hold nothing
        self._sequences: list[tuple[str, Any, list[Any]]] = []
        self._arrays: list[tuple[str, np.ndarray, np.ndarray]] = []
        self._variables: list[tuple[str, Any, Any, Any]] = []
        self._drawn: list[tuple[str, Any, Any]] = []  # generators of random numbers, and how far they are
        self._names: dict[int, str] = {}  # of modules and tables, by id
        self._objection: str | None = None
        self._seen: dict[int, Any] = {}  # what has been followed, by id; held, so that no other object gets the id
        self._follow(model, type(model).__name__)
        self._copies = [dict(table) for table in self._attributes]
        self._sizes, self._keys = list(map(len, self._tables)), list(chain.from_iterable(self._tables))
        self._values = list(chain.from_iterable(map(dict.values, self._tables)))
        self._variables_of_tensors = [tensor for _, tensor in self.tensors]
        self._memories = [tensor.version.watched() for tensor in self._variables_of_tensors]
        self._changes = list(map(_changes_of, self._memories))

    # Following

    def _follow(self, value: Any, name: str) -> None:
        if id(value) in self._seen or isinstance(value, (type, types.ModuleType)) or _is_plain(value):
            return
        self._seen[id(value)] = value
        if isinstance(value, Module):
            self._follow_module(value, name)
        elif isinstance(value, Variable):
            self.tensors.append((name, value))
        elif isinstance(value, dict):
            self._follow_table(value, name)
        elif isinstance(value, (list, deque, set)):
            if value:
                self._sequences.append((name, value, list(value)))
            else:
                self._empty.append(value)
                self._names[id(value)] = name
            self._follow_items(value, name)
        elif isinstance(value, (tuple, frozenset)):
            self._follow_items(value, name)
        elif isinstance(value, np.ndarray):
            if value.nbytes > MOST_BYTES:
                self._objection = f"{name} is an array of NumPy, which may change unseen; make it a buffer"
            self._arrays.append((name, value, value.copy()))
        elif isinstance(value, (np.random.Generator, random.Random)):
            self._drawn.append((name, value, _position(value)))
        elif isinstance(value, Iterator):
            self._objection = f"{name} is an iterator, and what it gives next nobody can tell"
        elif isinstance(value, types.FunctionType):
            self._follow_function(value)
        elif isinstance(value, types.MethodType):
            self._follow_items((value.__func__, value.__self__), name)
        elif isinstance(value, functools.partial):
            self._follow_items((value.func, *value.args, *value.keywords.values()), name)
        elif isinstance(getattr(value, "__dict__", None), dict) and not _is_pythons(value):
            self._follow_table(value.__dict__, name)

    def _follow_items(self, items: Any, name: str) -> None:
        for item in items:
            self._follow(item, name)

    def _follow_table(self, table: dict[Any, Any], name: str) -> None:
        (self._tables if table else self._empty).append(table)
        self._names[id(table)] = name
        for key, value in table.items():
            self._follow(value, str(key))

    def _follow_module(self, module: Module, name: str) -> None:
        self.modules.append(module)
        attributes = vars(module)
        self._attributes.append(attributes)
        self._names[id(attributes)] = name
        for key, value in attributes.items():
            if key in _TABLES:
                self._seen[id(value)] = value
                self._follow_table(value, name)
            elif key not in _BOOKKEEPING and not _is_plain(value):
                self._references.append((attributes, key, value))
                self._follow(value, key)
        for cls in type(module).__mro__:
            if not cls.__module__.startswith(_LIBRARIES) and cls is not object:
                for key, value in vars(cls).items():
                    self._variables.append((f"{key} of the class {cls.__name__}", vars(cls), key, value))
                    self._follow(getattr(value, "__func__", value), key)  # of static and class methods the function

    def _follow_function(self, function: types.FunctionType) -> None:
        """The variables outside of a function that its code names."""
        if (function.__module__ or "").startswith(_LIBRARIES):
            return
        codes = [function.__code__]
        while codes:
            code = codes.pop()
            codes.extend(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
            for name in code.co_names:
                value = function.__globals__.get(name, _ABSENT)
                self._variables.append((f"the global variable {name}", function.__globals__, name, value))
                if value is not _ABSENT:
                    self._follow(value, name)
        for cell, name in zip(function.__closure__ or (), function.__code__.co_freevars, strict=True):
            value = _content(cell)
            self._variables.append((f"the variable {name}", cell, None, value))
            self._follow(value, name)
        self._follow_items(function.__defaults__ or (), function.__name__)

    # Comparing

    def is_as_it_was(self) -> bool:
        """Whether nothing has changed."""
        try:
            return (
                self._attributes == self._copies
                and not any(self._empty)
                and list(map(len, self._tables)) == self._sizes
                and list(chain.from_iterable(self._tables)) == self._keys
                and all(map(is_, chain.from_iterable(map(dict.values, self._tables)), self._values))
                and all(map(is_, map(_memory_of, self._variables_of_tensors), self._memories))
                and list(map(_changes_of, self._memories)) == self._changes
                and all(table.get(key) is value for table, key, value in self._references)
                and all(len(now) == len(then) and all(map(is_, now, then)) for _, now, then in self._sequences)
                and all(np.array_equal(now, then, equal_nan=now.dtype.kind in "fc") for _, now, then in self._arrays)
                and all(_value(place, key) is value for _, place, key, value in self._variables)
                and all(_position(generator) == position for _, generator, position in self._drawn)
            )
        except Exception:  # of comparing things that have become something else
            return False

    def change(self) -> str | None:
        """What is not as it was, for messages; None if all is."""
        if self.is_as_it_was():
            return None
        for table, copy in zip(self._attributes, self._copies, strict=True):
            for key in (*copy, *table):
                if table.get(key, _ABSENT) is not copy.get(key, _ABSENT):
                    return f"{key} of {self._names[id(table)]}"
        for (name, tensor), memory, changes in zip(self.tensors, self._memories, self._changes, strict=True):
            if tensor.version.memory is not memory or memory.changes != changes:
                return name
        for name, place, key, value in self._variables:
            if _value(place, key) is not value:
                return name
        for name, now, then in self._sequences:
            if len(now) != len(then) or not all(map(is_, now, then)):
                return name
        for name, generator, position in self._drawn:
            if _position(generator) != position:
                return name
        for container in self._empty:
            if container:
                return self._names[id(container)]
        return "one of its tables or arrays"

    def in_training(self) -> bool:
        """Whether a module is in training mode."""
        return any(module.training for module in self.modules)

    def objection(self) -> str | None:
        """What forbids to make a list of calls for a model in this state."""
        if self._objection is not None:
            return self._objection
        for module in self.modules:
            if module._hooks:
                return f"a {type(module).__name__} has hooks, which a list of kernels does not call"
        for (name, tensor), memory in zip(self.tensors, self._memories, strict=True):
            if not isinstance(tensor.array, np.ndarray):
                return f"{name} lies on a GPU"
            if memory.exposures:
                return f"an array of NumPy shares the memory of {name} and may change it unseen; let go of the array"
        return None


def _position(generator: Any) -> Any:
    """How far a generator of random numbers is: NumPy's or Python's."""
    return generator.getstate() if isinstance(generator, random.Random) else generator.bit_generator.state


def _value(place: Any, key: Any) -> Any:
    """A global variable, by its name, or what a function's cell holds."""
    return _content(place) if key is None else place.get(key, _ABSENT)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _ABSENT
