"""Every public name is documented: what pdoc publishes, of the modules named in `.ci/run`."""

import builtins
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import convcore.errors

ROOT = Path(__file__).resolve().parents[2]
COMMAND = next(line for line in (ROOT / ".ci/run").read_text().splitlines() if " pdoc " in line)
MODULES = [word for word in COMMAND.split() if word.split(".")[0] == "convcore"]

# Named in a docstring of the module or of what the name inherits from, or plain from the name: the size of `rand`, an
# element type, a device, the one array that a function is about.
PLAIN = {"size_", "dtype", "device", "img", "input"}


def documented(text: str | None, section: str) -> list[str]:
    """The names in a section of a docstring: "a, b: .." and "c (d): .." give a, b and c."""
    found = re.search(rf"^{section}:\n((?: {{4}}.*\n|\n)+)", inspect.cleandoc(text or "") + "\n", re.M)
    heads = [
        line.strip().split(":")[0] for line in (found[1] if found else "").splitlines() if re.match(r" {4}\S", line)
    ]
    return [name.strip(" *") for head in heads for name in head.split("(")[0].split(",")]


def parameters(function: Any) -> list[str]:
    """The names of a function's parameters."""
    try:
        return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    except ValueError:  # a type of C, such as an exception
        return []


def complaints(name: str, function: Any, text: str | None, around: str = "") -> Iterator[str]:
    """What is wrong with the docstring of a function, or of a class with this `__init__`.

    `around` is text that also speaks of parameters: the docstrings of the module and of base classes.
    """
    if not text:
        yield f"{name} has no docstring"
        return
    names, listed = parameters(function), documented(text, "Args")
    yield from (f"{name}: Args documents {entry!r}, which is no parameter" for entry in listed if entry not in names)
    words = set(re.findall(r"\w+", text + around)) | PLAIN
    # What comes first is what the docstring is about.
    rest = [parameter for parameter in names[1:] if listed and not parameter.startswith("_")]
    yield from (f"{name}: its docstring lists Args, but not {missing}" for missing in rest if missing not in words)
    errors = [*documented(text, "Raises")]
    module = inspect.getmodule(function)
    known = (vars(builtins), vars(convcore.errors), vars(module) if module else {})
    yield from (f"{name}: Raises names {error!r}" for error in errors if not any(error in names for names in known))


def methods(owner: type) -> Iterator[tuple[str, Any]]:
    """A class's own public methods and properties. `forward` says more only where the class does not say it."""
    for name, value in vars(owner).items():
        function = getattr(value, "__func__", value)
        function = function.fget if isinstance(function, property) else function
        if not name.startswith("_") and name != "forward" and inspect.isfunction(function):
            yield name, function


def public(modules: list[str]) -> Iterator[tuple[str, Any, str]]:
    """(name, what it names, docstring of the module) for all that the modules and those they name publish."""
    for module in map(importlib.import_module, modules):
        here = {name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
        for name in getattr(module, "__all__", None) or sorted(n for n in here if not n.startswith("_")):
            value = getattr(module, name)
            if inspect.ismodule(value):
                yield from public([value.__name__])
            elif callable(value):
                yield f"{module.__name__}.{name}", value, inspect.getdoc(inspect.getmodule(value)) or ""


def all_complaints(modules: list[str]) -> list[str]:
    wrong = set()
    for name, value, around in public(modules):
        if isinstance(value, type):
            inherited = " ".join(base.__doc__ or "" for base in value.__mro__)
            wrong |= set(complaints(name, value.__init__, value.__doc__, around + inherited))
            for method, function in methods(value):
                found = complaints(f"{name}.{method}", function, inspect.getdoc(getattr(value, method)), around)
                wrong |= set(found)
        else:
            wrong |= set(complaints(name, value, inspect.getdoc(value), around))
    return sorted(wrong)


def test_every_public_name_is_documented():
    assert not all_complaints(MODULES)


def test_the_command_and_its_description_agree():
    assert len(MODULES) > 5
    assert len(list(public(MODULES))) > 800
    described = next(line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if " -m pdoc " in line)
    assert [word.strip("`") for word in described.split() if word.split(".")[0] == "convcore"] == MODULES


def test_what_is_missing_is_noticed():
    def sample(x, scale, mode="a"):
        """Scale a map.

        Args:
            scale (float): by how much.
            size, mode: how.

        Raises:
            ScaleError: never.
            ValueError: sometimes.
        """

    def short(x, scale):
        """Args in the text only: no section, no duty."""

    def bare(x):
        pass

    assert list(complaints("sample", sample, sample.__doc__)) == [
        "sample: Args documents 'size', which is no parameter",
        "sample: Raises names 'ScaleError'",
    ]
    without_mode = (sample.__doc__ or "").replace("size, mode: how.", "")
    assert "sample: its docstring lists Args, but not mode" in list(complaints("sample", sample, without_mode))
    assert not list(complaints("sample", sample, without_mode.replace("ScaleError", "TypeError"), "mode: of all"))
    assert not list(complaints("short", short, short.__doc__))
    assert list(complaints("bare", bare, None)) == ["bare has no docstring"]
