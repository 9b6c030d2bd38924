"""The rules of the house as functions: sources in ({module: text}), a list of what breaks the rule out.

They read the text and import nothing, so small wrong sources can test them.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Sources = dict[str, str]

MAX_LINES = 500

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

# Imports inside functions that close a circle of modules, each with the reason why it may.
LATE_IMPORTS = {
    ("convcore.autograd.variable", "convcore.autograd.sweep"): "Variable.backward only starts the sweep",
}

DOCSTRING_LINES = ("Computes", "Requires", "Writes", "Parallel", "Why")


def read(root: Path, *packages: str) -> Sources:
    """The sources of packages, by module name; a package's own name stands for its __init__.py."""
    sources = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return sources


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
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        names = set()
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names = {f"{base}.{alias.name}" if f"{base}.{alias.name}" in sources else base for alias in node.names}
        for name in sorted(names):
            yield Import(module, name, getattr(node, "lineno", 0), late)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, late)

    yield from visit(ast.parse(sources[module]), late=False)


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
        for node in ast.walk(ast.parse(text)):
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
    return [
        f"{module}: {ast.unparse(node)} belongs into convcore/data/images.py"
        for module, text in sources.items()
        if module != "convcore.data.images"
        for node in ast.walk(ast.parse(text))
        if ast.unparse(node) in ("Image.open", "PIL.Image.open", "PIL.open", "plt.imread", "pyplot.imread")
        or (isinstance(node, ast.ImportFrom) and node.module == "PIL.Image" and "open" in {a.name for a in node.names})
    ]


def warning_filters(sources: Sources) -> list[str]:
    """The filters of warnings belong to the whole program: changed in a thread, they are lost for all others."""
    names = {"catch_warnings", "simplefilter", "filterwarnings", "resetwarnings"}
    return [
        f"{module}:{node.lineno}: {ast.unparse(node)}"
        for module, text in sources.items()
        if module.split(".")[0] == "convcore"
        for node in ast.walk(ast.parse(text))
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
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "np"
    ]


def long_files(sources: Sources) -> list[str]:
    """A file has one subject."""
    lengths = {module: len(text.splitlines()) for module, text in sources.items()}
    return [
        f"{module}: {length} lines, at most {MAX_LINES}" for module, length in lengths.items() if length > MAX_LINES
    ]


def undocumented(sources: Sources) -> list[str]:
    """Modules, public functions and public classes say what they are.

    A Function's file says it for its passes, and the command line's functions are not called by users.
    """
    wrong = []
    for module, text in sources.items():
        tree = ast.parse(text)
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


def kernels_in(text: str) -> list[ast.FunctionDef]:
    """The functions of a source that are marked `@kernel`."""
    return marked(text, "kernel")


def marked(text: str, *marks: str) -> list[ast.FunctionDef]:
    """The functions of a source with one of these decorators, whose arguments do not matter."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return [node for node in functions if any(ast.unparse(m).split("(")[0] in marks for m in node.decorator_list)]


def kernel_docstrings(sources: Sources) -> list[str]:
    """A kernel's docstring has the five lines of the contract, in their order."""
    wrong = []
    for module, text in sources.items():
        for function in marked(text, "kernel", "kernel_named"):
            lines = (ast.get_docstring(function) or "").splitlines()
            starts = [next((i for i, line in enumerate(lines) if line.startswith(h)), None) for h in DOCSTRING_LINES]
            missing = [heading for heading, start in zip(DOCSTRING_LINES, starts, strict=True) if start is None]
            if missing:
                wrong.append(f"{module}.{function.name}: docstring lacks {', '.join(missing)}")
            elif starts != sorted(start for start in starts if start is not None):
                wrong.append(f"{module}.{function.name}: docstring lines out of order")
    return wrong


def kernel_loops(sources: Sources) -> list[str]:
    """Every parallel loop begins with `begin_chunk`, ends with `end_chunk`, and cannot be left between the two.

    Kernels on the GPU have no loops over chunks: its blocks are these.
    """
    wrong = []
    for module, text in sources.items():
        if module.startswith("kernels.cuda."):
            continue
        for function in marked(text, "kernel", "kernel_named"):
            name = f"{module}.{function.name}"
            loops = _prange_loops(function)
            if not loops:
                wrong.append(f"{name}: no prange loop")
            for loop in loops:
                if _prange_loops(loop) != [loop]:
                    wrong.append(f"{name}: a prange loop inside another")
                first, last = ast.unparse(loop.body[0]), ast.unparse(loop.body[-1])
                mode = re.fullmatch(r"(\w+) = begin_chunk\(\)", first)
                if mode is None or last != f"end_chunk({mode[1]})":
                    wrong.append(f"{name}: a prange loop must begin with begin_chunk, end with end_chunk")
                if any(isinstance(node, ast.Return | ast.Raise) for node in ast.walk(loop)) or _skips(loop.body):
                    wrong.append(f"{name}: a chunk is left before end_chunk")
    return wrong


def returned_arrays(sources: Sources) -> list[str]:
    """A function inside of kernels counts no references, so an array that it returns would be freed while in use."""
    wrong = []
    for module, text in sources.items():
        for function in marked(text, "inline"):
            arrays = {ast.unparse(n.value) for n in ast.walk(function) if isinstance(n, ast.Attribute | ast.Subscript)}
            arrays &= {argument.arg for argument in function.args.args}
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                    wrong += [
                        f"{module}.{function.name}: returns an array, {ast.unparse(value)}"
                        for value in values
                        if ast.unparse(value) in arrays or _is_view(value)
                    ]
    return wrong


def _is_view(value: ast.expr) -> bool:
    """Whether an expression slices an array, reshapes it or makes one."""
    if isinstance(value, ast.Subscript):
        return any(isinstance(node, ast.Slice) for node in ast.walk(value.slice))
    return (
        isinstance(value, ast.Call)
        and re.search(r"^np\.|\.(reshape|ravel|view|copy)$", ast.unparse(value.func)) is not None
    )


def _prange_loops(tree: ast.AST) -> list[ast.For]:
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    return [loop for loop in loops if isinstance(loop.iter, ast.Call) and ast.unparse(loop.iter.func) == "prange"]


def _skips(body: list[ast.stmt]) -> bool:
    """Whether a `continue` or `break` belongs to the loop with this body, not to one inside it."""
    for node in body:
        if isinstance(node, ast.Continue | ast.Break):
            return True
        if not isinstance(node, ast.For | ast.While):
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            if _skips(inner):
                return True
    return False


def thread_counts(sources: Sources) -> list[str]:
    """Work is split by the problem, never by the number of threads: else results would depend on it."""
    return [
        f"{module}: reads the number of threads"
        for module, text in sources.items()
        if re.match(r"kernels\.(cpu|reference)", module) and re.search(r"num_threads|thread_id|cpu_count", text)
    ]


def kernels_without_reference(sources: Sources) -> list[str]:
    """Each kernel `<op>_<pass>[_<algorithm>]` has its definition `<op>_<pass>` in kernels/reference.

    The definition of conv2d and conv3d may be that of any number of axes, conv; `<op>_grads` defines every gradient of
    an operation. A kernel that is a step of an operation, or that fuses several, names their definitions in its
    docstring, in the line "Reference". Kernels in the folders `vector` and `micro` are tools and compute no operation.
    """
    defined = {
        node.name
        for module, text in sources.items()
        if module.startswith("kernels.reference")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    wrong = []
    for module, text in sources.items():
        for function in [] if {"vector", "micro"} & set(module.split(".")) else kernels_in(text):
            line = re.search(r"^Reference +(.*)$", ast.get_docstring(function) or "", re.MULTILINE)
            if line:
                stated = set(re.findall(r"`(\w+)`", line[1]))
                known = bool(stated) and stated <= defined
            else:
                known = bool(_definitions(function.name) & defined)
            if not known:
                wrong.append(f"{module}.{function.name}: no function of this name in kernels/reference")
    return wrong


def _definitions(kernel: str) -> set[str]:
    """The names that the definition of a kernel of this name may have."""
    spellings = (kernel, re.sub(r"[123]d_", "_", kernel))
    words = [spelling.split("_") for spelling in spellings]
    names = {"_".join(w[:count]) for w in words for count in range(1, len(w) + 1)}
    return names | {f"{name}s" for name in names if name.endswith("_grad")}


def unused_kernels(sources: Sources) -> list[str]:
    """No dead code: every kernel is called from outside `kernels/`, on the GPU also through kernels/cuda/calls.py."""
    callers = [text for module, text in sources.items() if _unit(module) != "kernels" or module == "kernels.cuda.calls"]
    users = "\n".join(callers)
    return [
        f"{module}.{function.name}: nobody calls it"
        for module, text in sources.items()
        for function in kernels_in(text)
        if not re.search(rf"\b{function.name}\b", users)
    ]
