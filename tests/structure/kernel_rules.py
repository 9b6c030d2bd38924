"""The contract of the kernels as functions, like the rules of the house in `source_rules.py`."""

import ast
import re

from source_rules import Sources, parsed

DOCSTRING_LINES = ("Computes", "Requires", "Writes", "Parallel", "Why")
CALLS = "kernels.cuda.calls"


def kernels_in(text: str) -> list[ast.FunctionDef]:
    """The functions of a source that are marked `@kernel`."""
    return marked(text, "kernel")


def marked(text: str, *marks: str) -> list[ast.FunctionDef]:
    """The functions of a source with one of these decorators, whose arguments do not matter."""
    functions = [node for node in ast.walk(parsed(text)) if isinstance(node, ast.FunctionDef)]
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


def kernel_chunks(sources: Sources) -> list[str]:
    """A kernel of the CPU is what one chunk does: it says how many there are, and knows nothing of threads."""
    wrong = []
    for module, text in sources.items():
        if module.startswith("kernels.cuda."):
            continue
        for function in marked(text, "kernel", "kernel_named"):
            name = f"{module}.{function.name}"
            (mark,) = [m for m in function.decorator_list if ast.unparse(m).split("(")[0] in ("kernel", "kernel_named")]
            needed = 2 if ast.unparse(mark).startswith("kernel_named") else 1
            if not isinstance(mark, ast.Call) or len(mark.args) != needed:
                wrong.append(f"{name}: does not say how many chunks there are")
            if not function.args.args or function.args.args[0].arg != "chunk":
                wrong.append(f"{name}: the first argument is the number of the chunk, `chunk`")
            if re.search(r"\bprange\b", ast.unparse(function)):
                wrong.append(f"{name}: has a parallel loop of its own")
            if any(isinstance(node, ast.Raise) or (isinstance(node, ast.Return) and node.value is not None)
                   for node in ast.walk(function)):  # fmt: skip
                wrong.append(f"{name}: a chunk returns nothing and raises nothing")
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
        for node in ast.walk(parsed(text))
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
    """No dead code: every kernel is called from outside `kernels/`, on the GPU also through CALLS."""
    callers = [text for module, text in sources.items() if not module.startswith("kernels") or module == CALLS]
    words = {word for text in callers for word in re.findall(r"\w+", text)}
    return [
        f"{module}.{function.name}: nobody calls it"
        for module, text in sources.items()
        for function in kernels_in(text)
        if function.name not in words
    ]
