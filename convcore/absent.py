"""Explains missing names: why a name of torch is absent and what to use instead, or a similar name.

`watch` gives modules a `__getattr__`, which Python calls for names that a module does not have. It raises
AttributeError, so `hasattr`, `getattr` with a default, `copy` and the like work as usual; the text of the error is
built only when it is read.
"""

from __future__ import annotations

import difflib
import functools
import importlib.abc
import opcode
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from convcore.absent_table import ELSEWHERE, INTERNAL, LACKING, Absent
from convcore.errors import AbsentError

WATCHED = (
    "convcore", "convcore.nn", "convcore.nn.functional", "convcore.nn.init", "convcore.nn.utils", "convcore.optim",
    "convcore.optim.lr_scheduler", "convcore.data", "convcore.utils", "convcore.utils.data", "convcore.transforms",
    "convcore.transforms.functional", "convcore.models", "convcore.autograd", "convcore.amp", "convcore.cuda",
)  # fmt: skip
"""The modules with torch's names."""

_ORIGINS = {
    "convcore.data": "torch.utils.data",
    **{f"convcore.{name}": f"torchvision.{name}" for name in ("models", "transforms", "transforms.functional")},
}
_CLASSES = {"convcore.tensor.Tensor": "torch.Tensor", "convcore.nn.base.module.Module": "torch.nn.Module"}
_IMPORT_FROM = opcode.opmap["IMPORT_FROM"]


@dataclass(frozen=True)
class Explanation:
    """Why a module or a class does not have a name; the text is built when it is read.

    Attributes:
        owner: the name of the module, or the class.
        name: the missing name.
        others: names of an object in addition to those of its class.
    """

    owner: str | type
    name: str
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        for origin in self._origins():
            entry = entry_of(origin)
            if entry is not None:
                instead = entry.instead.format(name=self.name, plain=self.name.rstrip("_"))
                use = f"; use {instead} instead" if instead else ""
                return f"convcore has no {origin} (README: what differs): {entry.reason}{use}"
        if isinstance(self.owner, type):
            return f"{self.owner.__name__!r} object has no attribute {self.name!r}{self._suggestion()}"
        return f"module {self.owner!r} has no attribute {self.name!r}{self._suggestion()}"

    def _origins(self) -> list[str]:
        """The corresponding names in torch and torchvision."""
        if isinstance(self.owner, type):
            bases = [f"{base.__module__}.{base.__name__}" for base in self.owner.__mro__]
            return [f"{_CLASSES[base]}.{self.name}" for base in bases if base in _CLASSES]
        if self.owner == "convcore":
            return [f"torch.{self.name}", f"torchvision.{self.name}"]
        return [f"{_ORIGINS.get(self.owner, self.owner.replace('convcore', 'torch', 1))}.{self.name}"]

    def _suggestion(self) -> str:
        owner_object = self.owner if isinstance(self.owner, type) else sys.modules[self.owner]
        if hasattr(owner_object, "__path__") and find_spec(f"{self.owner}.{self.name}"):
            return f" as long as nobody imports it: import {self.owner}.{self.name}"
        public = [name for name in (*self.others, *dir(owner_object)) if not name.startswith("_")]
        same = [name for name in public if name.casefold() == self.name.casefold()]
        elsewhere = [
            f"{owner}.{self.name}" for owner in WATCHED if self.name in getattr(sys.modules[owner], "__all__", ())
        ]
        meant = elsewhere or same or difflib.get_close_matches(self.name, public, 2, 0.7)
        return f"; did you mean {' or '.join(meant[:2])}?" if meant else ""


def entry_of(origin: str) -> Absent | None:
    """The table's entry for a name of torch or torchvision ("torch.fft.rfft"), or for a parent of the name."""
    name = origin.removeprefix("torch.")
    exact, patterns = _index()
    parts = name.split(".")
    wholes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next(
        (exact[whole] for whole in wholes if whole in exact),
        next((entry for pattern, entry in patterns if pattern.fullmatch(name)), None),
    )


@functools.cache
def _index() -> tuple[dict[str, Absent], list[tuple[re.Pattern[str], Absent]]]:
    entries = [(name, entry) for entry in (*ELSEWHERE, *LACKING, *INTERNAL) for name in entry.names.split()]
    exact = {name: entry for name, entry in entries if "*" not in name}
    patterns = [(re.compile(re.escape(name).replace(r"\*", r"\w*")), entry) for name, entry in entries if "*" in name]
    return exact, patterns


def watch() -> None:
    """Make the modules in WATCHED, which must be imported, explain missing names."""
    for owner in WATCHED:
        sys.modules[owner].__dict__["__getattr__"] = _explaining(owner)
    sys.meta_path.append(_Finder())


def _explaining(owner: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module."""

    def explain(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module {owner!r} has no attribute {name!r}")
        explanation = Explanation(owner, name)
        caller = sys._getframe(1)
        # `from convcore import fft`: Python would replace the text of an AttributeError by its own.
        if caller.f_code.co_code[caller.f_lasti] == _IMPORT_FROM:
            raise ImportError(str(explanation), name=owner)
        raise AbsentError(explanation)

    return explain


class _Finder(importlib.abc.MetaPathFinder):
    """Explains `import convcore.fft`. Called last, for modules that no other finder knows; finds nothing itself."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        owner, _, name = fullname.rpartition(".")
        # Only for an import: importlib.util.find_spec, a test whether a module exists, must get None.
        is_import = sys._getframe(2).f_code.co_name == "_find_and_load_unlocked"
        if owner in WATCHED and is_import and not name.startswith("_"):
            raise ModuleNotFoundError(str(Explanation(owner, name)), name=fullname)
