"""Compile every kernel in `kernels/cuda` for real GPUs, without one: is it machine code, and within its budget?

    python tests/cuda/offline.py            compile and check, and compare with the table in kernels/cuda/README.md
    python tests/cuda/offline.py --write    and write that table

Numba's PTX is assembled by ptxas, which says what a kernel takes. Of each it must hold that

- no register is spilled, and no array lies in local memory, which is as slow as the main one;
- registers and shared memory stay within what the kernel's decorator says;
- nothing is computed in float64, of which most GPUs are slow, and nothing divides numbers of 64 bits;
- what is for GPUs with tensor cores alone uses them, and nothing else does.

A kernel is compiled for the generations that it is for.

Needs the packages of the extra `cuda-offline`; no driver. Works in child processes; if they hang, that is an error.
"""

import argparse
import ast
import hashlib
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from multiprocessing import TimeoutError, get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "kernels" / "cuda"
ARCHITECTURES = ((7, 5), (8, 0), (9, 0), (10, 0), (12, 0))
SECONDS = 500  # for everything; it takes about a minute on two cores
BEGIN, END = "<!-- generated: python tests/cuda/offline.py --write; sources {} -->", "<!-- end -->"


class Resources(NamedTuple):
    """What ptxas and the PTX say of a kernel; sizes in bytes."""

    registers: int
    shared: int
    stack: int
    spills: int
    doubles: int
    long_divisions: int
    tensor_products: int


def load_kernels() -> list[Any]:
    """All kernels of the package, by name."""
    for path in sorted(FOLDER.rglob("*.py")):
        importlib.import_module(".".join(("kernels", "cuda", *path.relative_to(FOLDER).with_suffix("").parts)))
    return sorted(importlib.import_module("kernels.cuda.jit").kernels, key=lambda kernel: kernel.__name__)


def digest() -> str:
    """Of the code of all kernels: an edit of a comment or a docstring does not change it."""
    code = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            documented = isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            if documented and ast.get_docstring(node) is not None:
                node.body[0] = ast.Pass()
        code.update(ast.unparse(tree).encode())
    return code.hexdigest()[:12]


def problems(kernel: Any, found: Resources) -> list[str]:
    """What a kernel takes that it may not."""
    wrong = []
    if found.spills or found.stack:
        wrong.append(f"{found.spills} bytes of spilled registers, {found.stack} bytes of stack: none allowed")
    if found.registers > kernel.registers:
        wrong.append(f"{found.registers} registers, budget {kernel.registers}")
    if found.shared > kernel.shared:
        wrong.append(f"{found.shared} bytes of shared memory, budget {kernel.shared}")
    if found.doubles:
        wrong.append(f"{found.doubles} instructions in float64")
    if found.long_divisions:
        wrong.append(f"{found.long_divisions} divisions of 64 bits")
    if (found.tensor_products > 0) != uses_tensor_cores(kernel):
        wrong.append(f"{found.tensor_products} instructions of tensor cores")
    return wrong


def uses_tensor_cores(kernel: Any) -> bool:
    """Whether a kernel is for GPUs with tensor cores alone."""
    return kernel.generations[0] == importlib.import_module("kernels.cuda.micro.mma").GENERATION


def ptxas() -> str:
    """The assembler: from NVIDIA's wheel, or on the path."""
    packages = importlib.util.find_spec("nvidia")
    for folder in packages.submodule_search_locations or () if packages else ():
        for path in Path(folder).glob("cu*/bin/ptxas"):
            return str(path)
    found = shutil.which("ptxas")
    if found is None:
        raise SystemExit('offline: there is no ptxas; python -m pip install -e ".[cuda-offline]"')
    return found


def compile_all(architecture: tuple[int, int]) -> dict[str, Resources]:
    """The resources of all kernels on one architecture."""
    from numba import cuda
    from numba.cuda import dispatcher

    assembler, name = ptxas(), "sm_{}{}".format(*architecture)
    # Numba asks the present device what it can do when it compiles a device function. There is none; answer for it.
    device = SimpleNamespace(compute_capability=architecture)
    results = {}
    with (
        mock.patch.object(dispatcher, "get_current_device", return_value=device),
        tempfile.TemporaryDirectory() as folder,
    ):
        for kernel in [kernel for kernel in load_kernels() if kernel.serves(architecture)]:
            compiler: Any = cuda
            ptx, _ = compiler.compile_ptx(kernel.body, kernel.signature, cc=architecture, launch_bounds=kernel.threads)
            source = Path(folder) / "kernel.ptx"
            source.write_text(ptx, encoding="utf-8")
            command = [assembler, f"-arch={name}", "-v", "-o", str(source.with_suffix(".cubin")), str(source)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                raise RuntimeError(f"{kernel.__name__}: ptxas refuses it for {name}\n{run.stderr}")
            results[kernel.__name__] = read(ptx, run.stdout + run.stderr)
    return results


def read(ptx: str, report: str) -> Resources:
    """The numbers in a kernel's PTX and in ptxas's report on it."""

    def number(pattern: str) -> int:
        return sum(int(found) for found in re.findall(pattern, report))

    return Resources(
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes smem"),
        number(r"(\d+) bytes stack frame"),
        number(r"(\d+) bytes spill (?:stores|loads)"),
        len(re.findall(r"\b(?:add|sub|mul|div|fma|cvt)\S*\.f64", ptx)),
        len(re.findall(r"\b(?:div|rem)\.[su]64", ptx)),
        len(re.findall(r"\bmma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.(f16|bf16)\.\1\.f32", ptx)),
    )


def table(results: dict[tuple[int, int], dict[str, Resources]]) -> str:
    """The kernels, their budgets, and the registers that each takes on each architecture that it is for."""
    names = ["sm_{}{}".format(*architecture) for architecture in results]
    lines = [
        f"| kernel | threads | shared memory | registers, at most | {' | '.join(names)} |",
        f"| --- {'| ---: ' * (3 + len(names))}|",
    ]
    for kernel in load_kernels():
        found = [of_all.get(kernel.__name__) for of_all in results.values()]
        taken = ["-" if resources is None else str(resources.registers) for resources in found]
        cells = [f"`{kernel.__name__}`", str(kernel.threads), str(kernel.shared), str(kernel.registers), *taken]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([BEGIN.format(digest()), *lines, END])


def present_table() -> str:
    """What stands in the README now."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    found = re.search(re.escape(BEGIN).replace(r"\{\}", r"\w*") + ".*?" + END, text, re.DOTALL)
    if found is None:
        raise SystemExit("offline: kernels/cuda/README.md has no place for the table")
    return found[0]


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description="Compile the CUDA kernels without a GPU and check what they take.")
    parser.add_argument("--write", action="store_true", help="write the table into kernels/cuda/README.md")
    write = parser.parse_args().write
    with get_context("spawn").Pool(2) as pool:  # left with an error, it ends its processes
        try:
            compiled = pool.map_async(compile_all, ARCHITECTURES, chunksize=1).get(SECONDS)
        except TimeoutError:
            raise SystemExit(f"offline: compiling took more than {SECONDS} seconds") from None
    results = dict(zip(ARCHITECTURES, compiled, strict=True))
    wrong = [
        f"{kernel.__name__} on sm_{major}{minor}: {problem}"
        for (major, minor), of_all in results.items()
        for kernel in load_kernels()
        if kernel.__name__ in of_all
        for problem in problems(kernel, of_all[kernel.__name__])
    ]
    if wrong:
        raise SystemExit("\n".join(["offline: these kernels take too much", *wrong]))
    new, present = table(results), present_table()
    if write:
        readme = FOLDER / "README.md"
        readme.write_text(readme.read_text(encoding="utf-8").replace(present, new), encoding="utf-8")
    elif new != present:
        raise SystemExit(f"offline: the table in kernels/cuda/README.md is out of date; --write it\n{new}")
    print(f"{len(load_kernels())} kernels compile for {len(results)} architectures, within their budgets")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
