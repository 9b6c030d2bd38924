"""A snapshot of everything besides its inputs that the result of a model depends on, to detect changes.

`ModelState` follows everything that can be reached from a module: the tables of parameters, buffers and modules, plain
attributes, the contents of lists, dictionaries and objects, the classes of modules and of the user's own objects, and
the outside variables that the model's functions name, also in other Python files (`config.scale`). Values are compared
by identity, numbers and strings also by value and type, and containers by their contents. A tensor counts changes of
its memory.

The search stops at code that is not the user's: Python's standard library, convcore, NumPy, and installed packages
other than those of the model's modules.

The comparison runs before each call of a compiled model, and a network has thousands of attributes. So it consists of
a few loops that Python runs in C.
"""

from __future__ import annotations

import array
import contextvars
import functools
import gc
import pickle
import random
import struct
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from operator import attrgetter, is_
from typing import Any

import numpy as np

from convcore.autograd import Variable
from convcore.nn.base.module import Module

MOST_BYTES = 1 << 16  # the largest NumPy array that is compared; comparing larger ones would cost more than it saves
_ABSENT = object()
_LIBRARIES = {"convcore", "kernels", "numpy", "scipy", *sys.stdlib_module_names}  # hold no state of a model
_TABLES = ("_parameters", "_buffers", "_modules")
# Internal attributes that no result depends on; a compiled model inside another one changes its own.
_BOOKKEEPING = ("_non_persistent", "_plans", "_warned", "_lock")
# Modules of the standard library whose objects refer to all others of their kind, or change with each use.
_NOT_FOLLOWED = {"_io", "asyncio", "concurrent", "io", "logging", "multiprocessing", "queue", "threading", "weakref"}
_memory_of = attrgetter("version.memory")
_changes_of = attrgetter("changes")
_requires_grad_of = attrgetter("_requires_grad")


def frozen(value: Any) -> Any:
    """A key equal only for identical numbers, strings or tuples of these; None for any other value."""
    if isinstance(value, tuple):
        items = [frozen(item) for item in value]
        return None if None in items else (type(value), *items)
    if type(value) is float:
        return float, struct.pack("d", value)  # 0.0 == -0.0, and nan != nan
    return (type(value), value) if type(value) in (bool, int, str, bytes, type(None)) else None


def _is_same(now: Any, then: Any) -> bool:
    if now is then:
        return True
    value = frozen(then)
    return value is not None and frozen(now) == value


def _first_name(module_name: Any) -> str:
    return module_name.partition(".")[0] if isinstance(module_name, str) else ""


def _is_installed(package: str) -> bool:
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


class ModelState:
    """A model's modules, tensors and attributes, and how often the tensors have been changed.

    Attributes:
        modules: all modules, including those in plain lists.
        tensors: all tensors, with names for messages.
    """

    def __init__(self, model: Module):
        self.modules: list[Module] = []
        self.tensors: list[tuple[str, Variable]] = []
        self._tables: list[dict[Any, Any]] = []  # attributes of modules, objects and classes, and dictionaries
        self._empty: list[Any] = []  # empty containers
        self._sequences: list[tuple[str, Any, list[Any]]] = []
        self._arrays: list[tuple[str, np.ndarray, np.ndarray]] = []
        self._variables: list[tuple[str, Callable[[], Any], Any]] = []  # how to read each, and its value then
        self._contents: list[tuple[str, Callable[[], Any], Any]] = []  # the same for those compared by value
        self._names: dict[int, str] = {}  # of tables, by id
        self._objection: str | None = None
        self._waiting: deque[tuple[Any, str]] = deque()  # to be followed; a queue, as chains may be long
        self._seen: dict[int, Any] = {}  # objects followed so far, by id; held, so that no other object gets the id
        self._own = {_first_name(cls.__module__) for module in model.modules() for cls in type(module).__mro__}
        self._files: list[types.ModuleType] = []
        self._used: set[str] = set()  # names and strings in the code of functions
        self._follow(model, type(model).__name__)
        self._follow_all()
        self._sizes, self._keys = list(map(len, self._tables)), list(chain.from_iterable(self._tables))
        self._values = list(chain.from_iterable(map(dict.values, self._tables)))
        self._variables_of_tensors = [tensor for _, tensor in self.tensors]
        self._memories = [tensor.version.watched() for tensor in self._variables_of_tensors]
        self._changes = list(map(_changes_of, self._memories))
        self._requirements = list(map(_requires_grad_of, self._variables_of_tensors))

    # Following

    def _follow_all(self) -> None:
        """Follow everything that can be reached, and the variables of Python files whose name some function uses."""
        followed: set[tuple[int, str]] = set()
        while self._waiting:
            while self._waiting:
                self._visit(*self._waiting.popleft())
            pairs = {(id(file), name): file for file in self._files for name in self._used.intersection(vars(file))}
            for file_and_name, file in pairs.items():
                if file_and_name not in followed:
                    name = file_and_name[1]
                    self._read(f"{name} of {file.__name__}", partial(vars(file).get, name, _ABSENT), name)
            followed.update(pairs)

    def _follow(self, value: Any, name: str) -> None:
        self._waiting.append((value, name))

    def _visit(self, value: Any, name: str) -> None:
        if id(value) in self._seen or frozen(value) is not None:
            return
        self._seen[id(value)] = value
        if isinstance(value, Module):
            self._follow_module(value, name)
        elif isinstance(value, Variable):
            self.tensors.append((name, value))
            self._follow_table(vars(value), name)
        elif isinstance(value, type):
            self._follow_class(value)
        elif isinstance(value, types.ModuleType):
            if not self._is_library(value.__name__):
                self._files.append(value)
        elif isinstance(value, types.FunctionType):
            self._follow_function(value)
        elif isinstance(value, (threading.local, contextvars.ContextVar)):
            self._objection = f"{name} is a {type(value).__name__}, which each thread sees with values of its own"
        elif isinstance(value, Iterator):
            self._objection = f"{name} is an iterator, and what it gives next nobody can tell"
        else:
            self._follow_parts(value, name)
            self._follow_object(value, name)

    def _follow_parts(self, value: Any, name: str) -> None:
        """Follow the contents of Python's and NumPy's own types."""
        if isinstance(value, dict):
            self._follow_table(value, name)
        elif isinstance(value, types.MappingProxyType):
            self._follow(gc.get_referents(value)[0], name)  # the dictionary behind the proxy
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
            if value.dtype.hasobject:
                self._follow_items(value.ravel().tolist(), name)
        elif isinstance(value, np.random.Generator):
            self._compare(name, partial(getattr, value.bit_generator, "state"))
        elif isinstance(value, np.random.RandomState):
            self._compare(name, partial(pickle.dumps, value))
        elif isinstance(value, random.Random):
            self._compare(name, value.getstate)
        elif isinstance(value, (bytearray, array.array)):
            self._compare(name, partial(bytes, value))
        elif isinstance(value, types.MethodType):
            self._follow_items((value.__func__, value.__self__), name)
        elif isinstance(value, functools.partial):
            self._follow_items((value.func, *value.args, *value.keywords.values()), name)
        elif isinstance(value, property):
            self._follow(value.fget, name)
        elif isinstance(value, (staticmethod, classmethod)):
            self._follow(value.__func__, name)
        elif isinstance(value, weakref.ref):
            self._follow(value(), name)

    def _follow_items(self, items: Any, name: str) -> None:
        for item in items:
            self._follow(item, name)

    def _follow_table(self, table: dict[Any, Any], name: str) -> None:
        (self._tables if table else self._empty).append(table)
        self._names[id(table)] = name
        for key, value in table.items():
            self._follow(value, str(key))

    def _follow_object(self, value: Any, name: str) -> None:
        """Follow the attributes and the class of an object."""
        cls = type(value)
        if _first_name(cls.__module__) in _NOT_FOLLOWED:
            return
        if isinstance(getattr(value, "__dict__", None), dict):
            self._follow_table(value.__dict__, name)
        self._follow_class(cls)
        for base in cls.__mro__:
            for key, slot in vars(base).items() if not self._is_library(base.__module__) else ():
                if isinstance(slot, types.MemberDescriptorType):
                    self._read(f"{key} of {name}", partial(getattr, value, key, _ABSENT), key)

    def _follow_module(self, module: Module, name: str) -> None:
        self.modules.append(module)
        attributes = vars(module)
        self._tables.append(attributes)
        self._names[id(attributes)] = name
        for key, value in attributes.items():
            if key in _TABLES:
                self._seen[id(value)] = value
                self._follow_table(value, name)
            elif key not in _BOOKKEEPING:
                self._follow(value, key)
        self._follow_class(type(module))

    def _follow_class(self, cls: type) -> None:
        for base in cls.__mro__:
            if not self._is_library(base.__module__):
                table = gc.get_referents(vars(base))[0]  # the dictionary itself; `vars` is only a proxy
                if id(table) not in self._seen:
                    self._seen[id(table)] = table
                    self._follow_table(table, f"the class {base.__name__}")

    def _follow_function(self, function: types.FunctionType) -> None:
        """Follow the outside variables that the code of a function names."""
        if self._is_library(function.__module__):
            return
        codes = [function.__code__]
        while codes:
            code = codes.pop()
            codes.extend(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
            self._used.update(code.co_names, (text for text in code.co_consts if type(text) is str))  # getattr(x, "y")
            for name in code.co_names:
                self._read(f"the global variable {name}", partial(function.__globals__.get, name, _ABSENT), name)
        for cell, name in zip(function.__closure__ or (), function.__code__.co_freevars, strict=True):
            self._read(f"the variable {name}", partial(_content, cell), name)
        for name in ("__code__", "__defaults__", "__kwdefaults__"):
            self._read(f"{name} of {function.__name__}", partial(getattr, function, name), name)
        self._follow_table(vars(function), function.__name__)

    def _is_library(self, module_name: Any) -> bool:
        """Whether a Python module is not the user's code."""
        package = _first_name(module_name)
        return package in _LIBRARIES or (package not in self._own and _is_installed(package))

    def _read(self, name: str, read: Callable[[], Any], short: str) -> None:
        value = read()
        self._variables.append((name, read, value))
        self._follow(value, short)

    def _compare(self, name: str, read: Callable[[], Any]) -> None:
        self._contents.append((name, read, read()))

    # Comparing

    def is_as_it_was(self) -> bool:
        """Whether nothing has changed since the snapshot."""
        try:
            return (
                not any(self._empty)
                and list(map(len, self._tables)) == self._sizes
                and list(chain.from_iterable(self._tables)) == self._keys
                and self._are_values_the_same()
                and all(map(is_, map(_memory_of, self._variables_of_tensors), self._memories))
                and list(map(_changes_of, self._memories)) == self._changes
                and list(map(_requires_grad_of, self._variables_of_tensors)) == self._requirements
                and all(len(now) == len(then) and all(map(is_, now, then)) for _, now, then in self._sequences)
                and all(np.array_equal(now, then, equal_nan=now.dtype.kind in "fc") for _, now, then in self._arrays)
                and all(_is_same(read(), value) for _, read, value in self._variables)
                and all(read() == value for _, read, value in self._contents)
            )
        except Exception:  # the comparison fails if a value has become something else
            return False

    def _are_values_the_same(self) -> bool:
        if all(map(is_, chain.from_iterable(map(dict.values, self._tables)), self._values)):
            return True
        values = list(chain.from_iterable(map(dict.values, self._tables)))
        if not all(map(_is_same, values, self._values)):
            return False
        self._values = values  # equal numbers may be new objects
        return True

    def change(self) -> str | None:
        """A description of what has changed, for messages; None if nothing has."""
        if self.is_as_it_was():
            return None
        keys, values = iter(self._keys), iter(self._values)
        for table, size in zip(self._tables, self._sizes, strict=True):
            then = {next(keys): next(values) for _ in range(size)}
            for key in (*then, *table):
                if not _is_same(table.get(key, _ABSENT), then.get(key, _ABSENT)):
                    return f"{key} of {self._names[id(table)]}"
        for (name, tensor), memory, changes in zip(self.tensors, self._memories, self._changes, strict=True):
            if tensor.version.memory is not memory or memory.changes != changes:
                return name
        for name, read, value in self._variables:
            if not _is_same(read(), value):
                return name
        for name, now, then in self._sequences:
            if len(now) != len(then) or not all(map(is_, now, then)):
                return name
        for name, read, value in self._contents:
            if read() != value:
                return name
        for container in self._empty:
            if container:
                return self._names[id(container)]
        return "one of its tables or arrays"

    def in_training(self) -> bool:
        """Whether a module is in training mode."""
        return any(module.training for module in self.modules)

    def objection(self) -> str | None:
        """Why a model in this state cannot be captured; None if it can."""
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


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _ABSENT
