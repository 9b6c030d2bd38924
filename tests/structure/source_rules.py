"""The rules of the house as functions: sources in ({module: text}), a list of what breaks the rule out.

They read the text and import nothing, so small wrong sources can test them.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Sources = dict[str, str]

MAX_LINES = 500
MAX_FILES = 20

# The floors of the house from the ground up. A module may import from its own floor and from those below.
FLOORS = (
    (
        "kernels",
        "convcore.memory",
        "convcore.errors",
        "convcore.config",
        "convcore.random",
        "convcore.absent",
        "convcore.absent_table",
        "convcore.interrupts",
    ),
    ("convcore.engine",),
    ("convcore.autograd", "convcore.io"),
    ("convcore.ops",),
    ("convcore.tensor", "convcore.tensor.data", "convcore.tensor.shape"),
    ("convcore",),  # the package's own names, gathered in its __init__.py
    (
        "convcore.nn",
        "convcore.amp",
        "convcore.cuda",
        "convcore.optim",
        "convcore.data",
        "convcore.transforms",
        "convcore.testing",
        "convcore.utils",
    ),
    (
        "convcore.models",
        "convcore.training",
        "convcore.summary",
        "convcore.plot",
        "convcore.examples",
        "benchmarks",
        "convcore.inspect",
        "convcore.lessons",
    ),
    ("convcore.explore",),
    ("convcore.cli", "convcore.__main__"),
)
FLOOR = {unit: number for number, units in enumerate(FLOORS) for unit in units}

# The floors inside folders, likewise, but units of one floor do not import each other.
INNER_FLOORS = {
    "convcore.ops": (
        ("core",),
        ("shape",),
        ("elementwise",),
        ("create",),
        ("rearrange",),
        ("reduce",),
        ("pool",),
        ("image",),
        ("activation",),
        ("norm",),
        ("linear",),
        ("loss",),
        ("conv",),
        ("cuda",),
    ),
    "kernels": (
        ("cache",),
        ("entry_points", "machine_code"),
        ("jit", "frame"),
        ("atomics", "denormals"),
        ("team",),
        ("launch", "threads"),
        ("program", "ahead"),
        ("cpu", "cuda", "reference"),
    ),
    "kernels.cpu": (
        ("vector",),
        ("micro",),
        ("activation", "conv", "elementwise", "image", "layout", "linear", "loss", "norm", "optim", "pool", "reduce"),
    ),
    "kernels.cuda": (
        ("jit",),
        ("driver", "micro", "philox", "reduce"),
        ("conv", "dropout", "elementwise", "linear", "loss", "norm", "optim", "pool"),
        ("calls",),
        ("calls16",),
    ),
}

# Imports between units of one inner floor, each with the reason why it may. The other way would close a circle.
SIDEWAYS = {
    ("kernels.cpu.activation", "kernels.cpu.elementwise"): "the error function of GELU",
    ("kernels.cpu.loss", "kernels.cpu.activation"): "cross entropy is the logarithm of softmax",
    ("kernels.cuda.conv", "kernels.cuda.linear"): "im2col multiplies matrices",
}

# Imports inside functions that close a circle of modules, each with the reason why it may.
LATE_IMPORTS = {
    ("convcore.autograd.variable", "convcore.autograd.sweep"): "Variable.backward only starts the sweep",
}


def read(root: Path, *packages: str) -> Sources:
    """The sources of packages, by module name; a package's own name stands for its __init__.py."""
    sources = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return sources


@cache
def parsed(text: str) -> ast.Module:
    """The syntax tree of a source: many rules read the same sources."""
    return ast.parse(text)


@dataclass(frozen=True)
class Import:
    """One import of a module of this project."""

    source: str
    target: str
    line: int
    late: bool  # inside a function


def _typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(module: str, sources: Sources) -> Iterator[Import]:
    """What a module imports when it runs: everything but imports for type checkers."""

    def visit(node: ast.AST, late: bool) -> Iterator[Import]:
        if _typing_only(node):
            return
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        names = set()
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names = {f"{base}.{alias.name}" if f"{base}.{alias.name}" in sources else base for alias in node.names}
        for name in sorted(names):
            yield Import(module, name, getattr(node, "lineno", 0), late)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):  # expressions hold no imports
                yield from visit(child, late)

    yield from visit(parsed(sources[module]), late=False)


def _unit(module: str) -> str:
    """The part of the house that a module belongs to: kernels, benchmarks, convcore or convcore.<part>."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "convcore" else parts[0]


def relative_imports(sources: Sources) -> list[str]:
    """Imports are absolute, so that a reader sees where a name comes from."""
    return [
        f"{module}:{found.line}: relative import"
        for module in sources
        for found in imports(module, sources)
        if found.target.startswith(".")
    ]


def upward_imports(sources: Sources) -> list[str]:
    """Imports run downwards; the package's own __init__.py gathers names from everywhere."""
    wrong = []
    for module in sources:
        unit = _unit(module)
        if unit not in FLOOR:
            wrong.append(f"{module}: {unit} stands on no floor; add it to FLOORS")
            continue
        for found in imports(module, sources):
            target = _unit(found.target)
            inside = target.split(".")[0] in ("convcore", "kernels", "benchmarks", "tests")
            if inside and module != "convcore" and FLOOR.get(target, len(FLOORS)) > FLOOR[unit]:
                wrong.append(f"{module}:{found.line}: {unit} may not import {found.target}, which stands above it")
    return wrong


def inner_imports(sources: Sources) -> list[str]:
    """Inside the folders of INNER_FLOORS imports run downwards too, and sideways only where SIDEWAYS says why."""
    wrong = []
    for folder, floors in INNER_FLOORS.items():
        floor = {f"{folder}.{unit}": number for number, units in enumerate(floors) for unit in units}
        depth = folder.count(".") + 2
        for module in sources:
            unit = ".".join(module.split(".")[:depth])
            if not unit.startswith(f"{folder}."):
                continue
            if unit not in floor:
                wrong.append(f"{module}: {unit} stands on no floor; add it to INNER_FLOORS")
                continue
            for found in imports(module, sources):
                target = ".".join(found.target.split(".")[:depth])
                above = floor.get(target, -1) - floor[unit]
                if above > 0 or (above == 0 and target != unit and (unit, target) not in SIDEWAYS):
                    where = "above" if above else "beside"
                    wrong.append(f"{module}:{found.line}: {unit} may not import {found.target}, which is {where} it")
    return wrong


def devices_in_autograd(sources: Sources) -> list[str]:
    """Gradients are the same on every device: `convcore.autograd` imports nothing of a GPU."""
    return [
        f"{module}:{found.line}: imports {found.target}"
        for module in sources
        if _unit(module) == "convcore.autograd"
        for found in imports(module, sources)
        if "cuda" in found.target.split(".")
    ]


def kernels_importing_convcore(sources: Sources) -> list[str]:
    """`kernels` knows arrays and integers, and nothing of convcore: not even for type checkers."""
    return [
        f"{module}: mentions convcore in an import"
        for module, text in sources.items()
        if _unit(module) == "kernels" and re.search(r"^\s*(from|import) convcore", text, re.MULTILINE)
    ]


def import_circles(sources: Sources) -> list[str]:
    """Neither modules nor the parts of the house import each other in a circle."""
    modules: dict[str, set[str]] = {module: set() for module in sources}
    units: dict[str, set[str]] = {_unit(module): set() for module in sources}
    for module in sources:
        for found in imports(module, sources):
            if found.target in sources and not (found.late and (module, found.target) in LATE_IMPORTS):
                modules[module].add(found.target)
                if module != "convcore" and _unit(found.target) != _unit(module):
                    units[_unit(module)].add(_unit(found.target))
    return [" -> ".join(circle) for graph in (modules, units) for circle in _circles(graph)]


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """For each circle that a depth-first walk closes, its nodes in order."""
    found, done = [], set()

    def walk(node: str, trail: list[str]) -> None:
        if node in trail:
            found.append([*trail[trail.index(node) :], node])
        elif node not in done:
            for target in sorted(graph[node]):
                walk(target, [*trail, node])
            done.add(node)

    for node in sorted(graph):
        walk(node, [])
    return found


def foreign_compilers(sources: Sources) -> list[str]:
    """Only kernels/jit.py and kernels/cuda/jit.py call Numba's compilers: flags are the same everywhere.

    And only the latter imports numba.cuda, which may be missing or broken where there is no GPU.
    """
    compilers = {"njit", "jit", "vectorize", "guvectorize", "generated_jit", "cfunc", "stencil"}
    wrong = []
    for module, text in sources.items():
        for node in ast.walk(parsed(text)):
            names: set[str] = set()
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "torch":  # torch.jit is another's
                names = {node.attr}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("numba"):
                names = {alias.name for alias in node.names}
            if names & compilers and module not in ("kernels.jit", "kernels.cuda.jit"):
                wrong.append(f"{module}: {ast.unparse(node)} belongs into kernels/jit.py or kernels/cuda/jit.py")
            imported = ast.unparse(node) if isinstance(node, ast.Import | ast.ImportFrom) else ""
            if re.search(r"from numba import .*\bcuda\b|numba\.cuda", imported) and module != "kernels.cuda.jit":
                wrong.append(f"{module}: {imported} belongs into kernels/cuda/jit.py")
    return wrong


def early_cuda(sources: Sources) -> list[str]:
    """What works without a GPU imports the kernels for GPUs, and what calls them, only when somebody asks for one."""
    lazy = "kernels.cuda", "convcore.ops.cuda"
    return [
        f"{module}:{found.line}: import {found.target} inside of the function that needs it"
        for module in sources
        if not module.startswith(lazy)
        for found in imports(module, sources)
        if found.target.startswith(lazy) and not found.late
    ]


def foreign_readers(sources: Sources) -> list[str]:
    """Only convcore/data/images.py opens pictures: upright, of which depth, on which ground is decided once."""
    readers = "Image.open", "PIL.Image.open", "PIL.open", "plt.imread", "pyplot.imread"
    return [
        f"{module}: {ast.unparse(node)} belongs into convcore/data/images.py"
        for module, text in sources.items()
        if module != "convcore.data.images"
        for node in ast.walk(parsed(text))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in readers)
        or (isinstance(node, ast.ImportFrom) and node.module == "PIL.Image" and "open" in {a.name for a in node.names})
    ]


def warning_filters(sources: Sources) -> list[str]:
    """The filters of warnings belong to the whole program: changed in a thread, they are lost for all others."""
    names = {"catch_warnings", "simplefilter", "filterwarnings", "resetwarnings"}
    return [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module, text in sources.items()
        if module.split(".")[0] == "convcore"
        for node in ast.walk(parsed(text))
        if (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.ImportFrom) and names & {alias.name for alias in node.names})
    ]


def unseen_readers(sources: Sources) -> list[str]:
    """NumPy does not tell traced arrays (`convcore.engine.traced`) that these read them: what follows is unseen."""
    names = {"ascontiguousarray", "asfortranarray", "asarray_chkfinite", "require", "frombuffer", "fromiter", "nditer"}
    return [
        f"{module}:{node.lineno}: np.{node.attr}; use convcore.ops.core.layout.contiguous, or a function of arrays"
        for module, text in sources.items()
        if module.startswith("convcore.ops.") and not module.startswith("convcore.ops.cuda")
        for node in ast.walk(parsed(text))
        if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "np"
    ]


def long_files(sources: Sources) -> list[str]:
    """A file has one subject."""
    lengths = {module: len(text.splitlines()) for module, text in sources.items()}
    return [
        f"{module}: {length} lines, at most {MAX_LINES}" for module, length in lengths.items() if length > MAX_LINES
    ]


def _folders(sources: Sources) -> dict[str, list[str]]:
    """The modules in each folder; a folder of tests has no `__init__.py` that would tell it from a file."""
    folders: dict[str, list[str]] = {}
    inner = {module.rpartition(".")[0] for module in sources}
    for module in sources:
        folders.setdefault(module if module in inner else module.rpartition(".")[0], []).append(module)
    return {folder: modules for folder, modules in folders.items() if folder}


def crowded_folders(sources: Sources) -> list[str]:
    """A folder is taken in at a glance; one that is fuller has parts with names of their own."""
    return [
        f"{folder}: {len(modules)} files, at most {MAX_FILES}"
        for folder, modules in _folders(sources).items()
        if len(modules) > MAX_FILES
    ]


def folders_without_map(sources: Sources) -> list[str]:
    """Each folder of code opens with a map, the docstring of `__init__.py`: who lives here, and what it is for."""
    return [
        f"{folder}: no docstring in __init__.py"
        for folder in _folders(sources)
        if not ast.get_docstring(parsed(sources.get(folder, "")))
    ]


# Folders with a file for each public name or group of names, which torch's users find without a map.
WITHOUT_LIST = re.compile(
    r"convcore(\.(nn|nn\.utils|optim.*|models|transforms.*|examples|amp|testing|utils.*|cli\.commands))?"
)


def incomplete_maps(sources: Sources) -> list[str]:
    """A map names every file and folder beside it, so that it does not grow stale."""
    wrong = []
    for folder in _folders(sources):
        text = ast.get_docstring(parsed(sources.get(folder, ""))) or ""
        beside = {m.removeprefix(f"{folder}.").split(".")[0] for m in sources if m.startswith(f"{folder}.")}
        wrong += [
            f"{folder}: its map does not name {name}"
            for name in sorted(beside - {"__main__"})
            if not WITHOUT_LIST.fullmatch(folder) and not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
        ]
    return wrong


def unfinished(sources: Sources) -> list[str]:
    """Nothing is kept for later."""
    return [f"{module}: {mark[0]}" for module, text in sources.items() for mark in re.finditer(r"TODO|FIXME", text)]


def undocumented(sources: Sources) -> list[str]:
    """Modules, public functions and public classes say what they are.

    A Function's file says it for its passes, and the command line's functions are not called by users.
    """
    wrong = []
    for module, text in sources.items():
        tree = parsed(text)
        if tree.body and not ast.get_docstring(tree):
            wrong.append(f"{module}: no docstring")
        for node in [] if _unit(module) == "convcore.cli" else tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                overload = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
                bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
                written = ast.get_docstring(node) or any("__doc__ =" in ast.unparse(inner) for inner in node.body)
                if not overload and "Function" not in bases and not written:
                    wrong.append(f"{module}:{node.lineno}: {node.name} has no docstring")
    return wrong
