"""The rules themselves: each finds what is wrong in a small source, and leaves what is right alone."""

import kernel_rules
import pytest
import source_rules as rules
from small_sources import GOOD_KERNEL, found


def test_good_sources_break_no_rule():
    sources = {
        "kernels": '"""Kernels."""',
        "kernels.cpu.activation": GOOD_KERNEL,
        "kernels.reference.activation": '"""."""\ndef relu_forward(x):\n    """."""',
        "convcore.errors": '"""Errors."""\nimport os\n',
        "convcore.ops.activation": '"""."""\nfrom convcore import errors\n'
        "from kernels.cpu.activation import relu_forward\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from convcore.tensor import Tensor\n",
        "convcore.tensor": '"""."""\nfrom convcore.ops.activation import relu\n',
        "convcore": '"""."""\nfrom convcore.nn import Module\nfrom convcore.tensor import Tensor\n',
        "convcore.nn": '"""."""\nimport convcore\n',
    }
    for rule in (
        rules.relative_imports,
        rules.upward_imports,
        rules.inner_imports,
        rules.devices_in_autograd,
        rules.kernels_importing_convcore,
        rules.foreign_compilers,
        rules.foreign_readers,
        rules.warning_filters,
        rules.unseen_readers,
        rules.long_files,
        rules.crowded_folders,
        rules.undocumented,
        kernel_rules.kernel_docstrings,
        kernel_rules.kernel_chunks,
        kernel_rules.thread_counts,
        kernel_rules.unused_kernels,
    ):
        assert rule(sources) == [], rule.__name__
    assert kernel_rules.kernels_without_reference(sources) == []
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


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("convcore.ops.shape.views", "from convcore.ops.elementwise.arithmetic import add"),
        ("convcore.ops.core", "def f():\n    import convcore.ops.cuda"),
        ("convcore.ops.new_family", ""),
        ("kernels.jit", "from kernels.cpu import pool"),
        ("kernels.reference.pool", "from kernels.cpu import pool"),
        ("kernels.cpu.vector.a", "from kernels.cpu.micro.b import c"),
        ("kernels.cpu.pool", "from kernels.cpu.norm.b import c"),
        ("kernels.cuda.micro.a", "from kernels.cuda import calls"),
    ],
)
def test_inner_imports(module, line):
    known = dict.fromkeys(("kernels.cpu.pool", "kernels.cuda.calls"), "")
    assert len(rules.inner_imports({**known, module: line})) == 1


def test_inner_imports_downwards_and_listed_ones():
    sources = {
        "convcore.ops": "from convcore.ops.cuda import a",
        "convcore.ops.conv.a": "from convcore.ops.conv.b import c\nfrom convcore.ops.core.d import e\nimport numpy",
        "kernels.cpu.norm.a": "from kernels.cpu.vector.b import c\nfrom kernels.jit import kernel",
    }
    assert rules.inner_imports(sources) == []
    for (source, target), reason in rules.SIDEWAYS.items():
        assert reason
        assert rules.inner_imports({source: f"import {target}"}) == []
        assert found(rules.inner_imports, {target: f"import {source}"}) == [f"{target}:1"]


def test_autograd_imports_no_device():
    text = "from convcore.engine.cuda.array import DeviceArray"
    assert found(rules.devices_in_autograd, {"convcore.autograd.a": f"import numpy\n{text}"}) == [
        "convcore.autograd.a:2"
    ]
    assert rules.devices_in_autograd({"convcore.ops.a": text, "convcore.autograd.b": "import convcore.engine"}) == []


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


def test_unfinished():
    assert found(rules.unfinished, {"a": "x = 1  # TODO: 2", "b": "x = 2"}) == ["a"]


def test_undocumented():
    text = "def f(): pass\nclass C: pass\ndef _private(): pass\nclass Relu(Function): pass\ndef g():\n    '''.'''\n"
    assert found(rules.undocumented, {"m": text}) == ["m", "m:1", "m:2"]


def test_crowded_folders():
    modules = {f"convcore.nn.m{number}": "" for number in range(rules.MAX_FILES - 1)}
    assert rules.crowded_folders({**modules, "convcore.nn": ""}) == []
    assert found(rules.crowded_folders, {**modules, "convcore.nn": "", "convcore.nn.m": ""}) == ["convcore.nn"]


def test_folders_without_map():
    sources = {
        "convcore": '"""Map."""',
        "convcore.a": "",
        "convcore.nn": "",
        "convcore.nn.a": '"""."""',
        "kernels.a": "",
    }
    assert found(rules.folders_without_map, sources) == ["convcore.nn", "kernels"]


def test_incomplete_maps():
    sources = {
        "kernels.cpu": '"""Map: split, and copies."""',
        "kernels.cpu.split": "",
        "kernels.cpu.copy": "",
        "kernels.cpu.conv": '"""Map: direct."""',
        "kernels.cpu.conv.direct": "",
        "convcore.nn": '"""Layers."""',
        "convcore.nn.conv": "",
    }
    assert rules.incomplete_maps(sources) == [
        "kernels.cpu: its map does not name conv",
        "kernels.cpu: its map does not name copy",
    ]
