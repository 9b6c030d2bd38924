"""The rules themselves: each finds what is wrong in a small source, and leaves what is right alone."""

import pytest
import source_rules as rules

GOOD_KERNEL = '''
"""Kernels."""
from kernels.cpu.vector.chunk import begin_chunk, end_chunk
from kernels.jit import kernel, prange


@kernel
def relu_forward(x, out):
    """Rectified linear unit.

    Computes: out[i] = max(x[i], 0).
    Requires: 1-D arrays.
    Writes: out.
    Parallel over: chunks.
    Why it is fast: it is.
    """
    for chunk in prange(4):
        mode = begin_chunk()
        for i in range(chunk, x.size, 4):
            if x[i] > 0:
                out[i] = x[i]
                continue
            out[i] = 0
        end_chunk(mode)
'''


def found(rule, sources):
    """The first words of what a rule finds: module, or module and name."""
    return [line.split(": ")[0] for line in rule(sources)]


def test_good_sources_break_no_rule():
    sources = {
        "kernels": '"""Kernels."""',
        "kernels.cpu.relu": GOOD_KERNEL,
        "kernels.reference.relu": '"""."""\ndef relu_forward(x):\n    """."""',
        "convcore.errors": '"""Errors."""\nimport os\n',
        "convcore.ops.relu": '"""."""\nfrom convcore import errors\nfrom kernels.cpu.relu import relu_forward\n'
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from convcore.tensor import Tensor\n",
        "convcore.tensor": '"""."""\nfrom convcore.ops.relu import relu\n',
        "convcore": '"""."""\nfrom convcore.nn import Module\nfrom convcore.tensor import Tensor\n',
        "convcore.nn": '"""."""\nimport convcore\n',
    }
    for rule in (
        rules.relative_imports,
        rules.upward_imports,
        rules.kernels_importing_convcore,
        rules.foreign_compilers,
        rules.foreign_readers,
        rules.warning_filters,
        rules.unseen_readers,
        rules.long_files,
        rules.undocumented,
        rules.kernel_docstrings,
        rules.kernel_loops,
        rules.thread_counts,
        rules.unused_kernels,
    ):
        assert rule(sources) == [], rule.__name__
    assert rules.kernels_without_reference(sources) == []
    assert rules.import_circles(sources) == ["convcore -> convcore.nn -> convcore"]


def test_relative_imports():
    assert found(rules.relative_imports, {"convcore.ops.a": "from . import b\nfrom .c import d"}) == [
        "convcore.ops.a:1",
        "convcore.ops.a:2",
    ]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("convcore.ops.a", "from convcore.tensor import Tensor"),
        ("convcore.ops.a", "def f():\n    from convcore.tensor import Tensor"),
        ("convcore.autograd.a", "import convcore.ops.b"),
        ("convcore.tensor", "from convcore import nn"),
        ("convcore.tensor", "import convcore"),
        ("kernels.cpu.a", "from convcore import memory, nn"),
        ("convcore.models.a", "from convcore.cli import main"),
        ("convcore.ops.a", "from benchmarks import b"),
        ("convcore.ops.a", "from tests.b import c"),
        ("convcore.new_part", ""),
    ],
)
def test_upward_imports(module, line):
    known = dict.fromkeys(("convcore.nn", "convcore.memory", "convcore.tensor", "convcore.ops.b"), "")
    assert len(rules.upward_imports({**known, module: line})) == 1


def test_kernels_import_nothing_of_convcore():
    text = "if TYPE_CHECKING:\n    from convcore import errors"
    assert rules.kernels_importing_convcore({"kernels.cpu.a": text}) != []
    assert rules.kernels_importing_convcore({"convcore.a": text}) == []


def test_circles_of_modules_and_of_parts():
    two = {"convcore.ops.a": "from convcore.ops.b import x", "convcore.ops.b": "def f():\n    import convcore.ops.a"}
    assert rules.import_circles(two) == ["convcore.ops.a -> convcore.ops.b -> convcore.ops.a"]
    parts = {
        "convcore.data.a": "import convcore.transforms.a",
        "convcore.transforms.a": "",
        "convcore.transforms.b": "import convcore.data.b",
        "convcore.data.b": "",
    }
    assert rules.import_circles(parts) == ["convcore.data -> convcore.transforms -> convcore.data"]


def test_a_late_import_that_is_listed_closes_no_circle():
    source, target = next(iter(rules.LATE_IMPORTS))
    late, early = f"def f():\n    import {target}", f"import {target}"
    assert rules.import_circles({source: late, target: f"import {source}"}) == []
    assert rules.import_circles({source: early, target: f"import {source}"}) != []


@pytest.mark.parametrize(
    "text",
    [
        "import numba\n@numba.njit\ndef f(): pass",
        "import numba as nb\nf = nb.jit(g)",
        "from numba import njit",
        "from numba.core.decorators import cfunc",
        "from numba import cuda\n@cuda.jit(fastmath=True)\ndef f(): pass",
    ],
)
def test_foreign_compilers(text):
    assert len(rules.foreign_compilers({"convcore.ops.a": text})) == 1 + ("cuda" in text)
    assert rules.foreign_compilers({"kernels.cuda.jit": text}) == []


def test_only_one_module_imports_numbas_cuda():
    for text in ("from numba import cuda", "import numba.cuda", "from numba.cuda import extending"):
        assert len(rules.foreign_compilers({"kernels.cuda.pool": text})) == 1
        assert rules.foreign_compilers({"kernels.cuda.jit": text}) == []


def test_early_cuda():
    text = "from kernels.cuda import pool"
    sources = {"kernels.cuda": "", "kernels.cuda.pool": ""}
    assert found(rules.early_cuda, {**sources, "convcore.ops.a": text}) == ["convcore.ops.a:1"]
    assert rules.early_cuda({**sources, "convcore.ops.a": f"def f():\n    {text}", "kernels.cuda.b": text}) == []


@pytest.mark.parametrize(
    "text",
    ["from PIL import Image\nImage.open(f)", "import PIL.Image\nPIL.Image.open(f)", "from PIL.Image import open"],
)
def test_foreign_readers(text):
    assert len(rules.foreign_readers({"convcore.cli.a": text})) == 1
    assert rules.foreign_readers({"convcore.data.images": text}) == []
    assert rules.foreign_readers({"convcore.cli.a": "import PIL.Image\nopen(f)\nPIL.Image.new('L', (1, 1))"}) == []


@pytest.mark.parametrize(
    "text", ["import warnings\nwith warnings.catch_warnings():\n    pass", "from warnings import catch_warnings, warn"]
)
def test_warning_filters(text):
    assert len(rules.warning_filters({"convcore.cli.a": text})) == 1
    assert rules.warning_filters({"benchmarks.a": text, "convcore.b": "import warnings\nwarnings.warn('x')"}) == []


def test_unseen_readers():
    text = "import numpy as np\nx = np.ascontiguousarray(y)\nz = np.where(x, 1, 2)\n"
    assert found(rules.unseen_readers, {"convcore.ops.a": text, "convcore.nn.b": text}) == ["convcore.ops.a:2"]


def test_long_files():
    line = "x = 1\n"
    assert rules.long_files({"a": line * rules.MAX_LINES}) == []
    assert found(rules.long_files, {"a": line * (rules.MAX_LINES + 1)}) == ["a"]


def test_undocumented():
    text = "def f(): pass\nclass C: pass\ndef _private(): pass\nclass Relu(Function): pass\ndef g():\n    '''.'''\n"
    assert found(rules.undocumented, {"m": text}) == ["m", "m:1", "m:2"]


@pytest.mark.parametrize("heading", rules.DOCSTRING_LINES)
def test_kernel_docstrings_need_every_line(heading):
    text = GOOD_KERNEL.replace(f"    {heading}", "    Something")
    assert rules.kernel_docstrings({"k": text}) == [f"k.relu_forward: docstring lacks {heading}"]


def test_kernels_that_a_function_makes_obey_the_contract():
    text = GOOD_KERNEL.replace("@kernel", '@kernel_named("relu_forward")')
    assert rules.kernels_in(text) == []
    assert rules.kernel_docstrings({"k": text}) == []
    assert rules.kernel_docstrings({"k": text.replace("Why", "Because")}) == ["k.relu_forward: docstring lacks Why"]
    assert rules.kernel_loops({"k": text.replace("prange", "range")}) == ["k.relu_forward: no prange loop"]
    assert rules.kernel_loops({"kernels.cuda.k": text.replace("prange", "range")}) == []


def test_kernel_docstrings_keep_the_order():
    text = GOOD_KERNEL.replace("Requires:", "Later:").replace("Writes:", "Requires:").replace("Later:", "Writes:")
    assert rules.kernel_docstrings({"k": text}) == ["k.relu_forward: docstring lines out of order"]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("in prange(4)", "in range(4)", "no prange loop"),
        ("in range(chunk", "in prange(chunk", "a prange loop inside another"),
        ("        mode = begin_chunk()\n", "", "must begin with begin_chunk"),
        ("        end_chunk(mode)\n", "", "must begin with begin_chunk"),
        ("end_chunk(mode)", "end_chunk(other)", "must begin with begin_chunk"),
        ("                continue", "                return", "left before end_chunk"),
        ("        for i in", "        if x.size == 0:\n            continue\n        for i in", "left before end"),
    ],
)
def test_kernel_loops(good, bad, message):
    text = GOOD_KERNEL.replace(good, bad)
    assert text != GOOD_KERNEL
    assert any(message in line for line in rules.kernel_loops({"k": text}))


@pytest.mark.parametrize("returned", ["x", "x[1:]", "i, x[0, :]", "np.empty(3)", "x.reshape(-1)", "x[:3].copy()"])
def test_returned_arrays(returned):
    text = f"@inline\ndef f(x, i):\n    x[i] = 0\n    return {returned}"
    (line,) = rules.returned_arrays({"kernels.cpu.a": text})
    assert line.startswith("kernels.cpu.a.f: returns an array")


@pytest.mark.parametrize("returned", ["i", "x[i]", "x[i], x.shape[0]", "vload(x, i)", "", "vsum(a[1:])"])
def test_returned_numbers(returned):
    assert rules.returned_arrays({"a": f"@inline\ndef f(x, i):\n    x[i] = 0\n    return {returned}"}) == []


def test_thread_counts():
    text = "def f():\n    chunks = numba.get_num_threads()"
    assert found(rules.thread_counts, {"kernels.cpu.a": text, "kernels.threads": text}) == ["kernels.cpu.a"]


def test_kernels_without_reference():
    named = {"kernels.cpu.k": GOOD_KERNEL.replace("relu_forward", "relu_forward_blocked")}
    reference = {"kernels.reference.k": "def relu_forward(x): pass"}
    assert rules.kernels_without_reference({**named, **reference}) == []
    (line,) = rules.kernels_without_reference(named)
    assert line.startswith("kernels.cpu.k.relu_forward_blocked: no function of this name")
    assert rules.kernels_without_reference({"kernels.cpu.micro.k": GOOD_KERNEL}) == []


@pytest.mark.parametrize(
    ("kernel", "definition"),
    [
        ("conv2d_forward_direct", "conv_forward"),
        ("conv3d_grad_weight", "conv_grad_weight"),
        ("norm_grad_input", "norm_grads"),
        ("norm_grad_sums", "norm_grads"),
        ("gemm_skinny", "gemm"),
    ],
)
def test_a_definition_covers_kernels(kernel, definition):
    sources = {"kernels.cpu.k": GOOD_KERNEL.replace("relu_forward", kernel)}
    reference = {"kernels.reference.k": f"def {definition}(x): pass"}
    assert rules.kernels_without_reference({**sources, **reference}) == []
    assert rules.kernels_without_reference({**sources, "kernels.reference.k": "def other(x): pass"}) != []


def test_a_step_names_its_definition():
    reference = {"kernels.reference.k": "def relu_forward(x): pass"}
    for line, known in (("a step of `relu_forward`.", True), ("a step of `relu`.", False), ("a step.", False)):
        step = GOOD_KERNEL.replace("def relu_forward", "def pack").replace(
            "it is.\n", f"it is.\n    Reference  {line}\n"
        )
        assert (rules.kernels_without_reference({"kernels.cpu.k": step, **reference}) == []) == known


def test_unused_kernels():
    kernel = {"kernels.cpu.k": GOOD_KERNEL}
    assert found(rules.unused_kernels, {**kernel, "kernels.cpu.other": "relu_forward"}) == [
        "kernels.cpu.k.relu_forward"
    ]
    assert rules.unused_kernels({**kernel, "convcore.ops.k": "k.relu_forward(x)"}) == []
    assert rules.unused_kernels({**kernel, "kernels.cuda.calls": "relu_forward(x)"}) == []
