"""The sources keep the rules of the house; `test_rules.py` checks that the rules would notice."""

from pathlib import Path

import pytest
import source_rules as rules

ROOT = Path(__file__).resolve().parents[2]
SOURCES = rules.read(ROOT, "convcore", "kernels", "benchmarks")
TESTS = rules.read(ROOT, "tests")

# Kernels whose reference has another name, and steps on the way to an operation.
STEPS = {
    "conv_direct": "one walk for conv_forward and conv_grad_input",
    "conv2d_depthwise": "one walk for conv_forward and conv_grad_input",
    "conv2d_grouped": "one walk for conv_forward and conv_grad_input",
    "conv2d_winograd": "one walk for conv_forward and conv_grad_input",
    "conv2d_winograd_many_filters": "one walk for conv_forward and conv_grad_input",
    "transform_filters_winograd": "a step of the Winograd convolution",
    "transform_tiles_winograd": "a step of the Winograd convolution",
    "sum_winograd_parts": "a step of conv_grad_weight",
    "gemm": "reference: matmul",
    "take_pixels": "a step of the pointwise convolution",
    "put_pixels": "a step of the pointwise convolution",
    "sum_parts": "a step of gemm",
    "rows_times_rows": "reference: linear",
    "rows_times_matrix": "reference: matmul",
    "softmax_grad_input": "reference: softmax_backward",
    "log_softmax_grad_input": "reference: log_softmax_backward",
    "transpose_add": "a step of gemm",
    "batch_norm_grad_sums": "reference: batch_norm_backward",
    "batch_norm_grad_input": "reference: batch_norm_backward",
    "batch_norm_max_pool2d_forward": "references: batch_norm_forward, max_pool2d_forward",
    "batch_norm_max_pool2d_grad_sums": "references: batch_norm_backward, max_pool2d_grad_input",
    "batch_norm_max_pool2d_grad_input": "references: batch_norm_backward, max_pool2d_grad_input",
    "pack_filters": "moves numbers",
    "unscale": "defined in convcore/ops/elementwise/unscale.py, in plain NumPy",
    "pack_matrices": "moves numbers",
    "sum_filter_partials": "a step of conv_grad_weight",
    "column_sums": "reference: conv_grad_bias",
    "sum_blocks": "a step of sums",
    "join_statistics": "a step of batch_norm_statistics",
    "transpose": "moves numbers",
    "copy_strided": "moves numbers",
    "fill": "moves numbers",
    "im2col": "moves numbers",
    "col2im": "a step of conv_grad_input",
    "fma_peak": "measures the machine",
    "copy_bandwidth": "measures the machine",
}


def test_the_sources_were_found():
    assert {"convcore", "convcore.autograd.sweep", "kernels.jit", "kernels.cpu.micro.brgemm"} <= SOURCES.keys()
    assert len(SOURCES) > 40
    assert "tests.structure.test_structure" in TESTS


@pytest.mark.parametrize(
    "rule",
    [
        rules.relative_imports,
        rules.upward_imports,
        rules.kernels_importing_convcore,
        rules.import_circles,
        rules.foreign_compilers,
        rules.early_cuda,
        rules.foreign_readers,
        rules.warning_filters,
        rules.unseen_readers,
        rules.long_files,
        rules.undocumented,
        rules.kernel_docstrings,
        rules.kernel_loops,
        rules.returned_arrays,
        rules.thread_counts,
    ],
    ids=lambda rule: rule.__name__,
)
def test_sources_keep(rule):
    wrong = rule(SOURCES)
    assert not wrong, "\n".join(["", *wrong])


def test_every_kernel_is_called():
    """By convcore, or on the GPU by tests: im2col there is a second way, to compare with."""
    callers = {module: text for module, text in TESTS.items() if module.startswith("tests.cuda.")}
    wrong = rules.unused_kernels({**SOURCES, **callers})
    assert not wrong, "\n".join(["", *wrong])


def test_every_kernel_has_a_reference():
    wrong = rules.kernels_without_reference(SOURCES, STEPS)
    assert not wrong, "\n".join(["", *wrong])
    names = {function.name for text in SOURCES.values() for function in rules.kernels_in(text)}
    assert set(STEPS) <= names, "an excuse for a kernel that does not exist"


def test_files_of_tests_have_one_subject():
    assert rules.long_files(TESTS) == []


def test_late_imports_exist():
    """The list of excuses holds nothing that is no longer there."""
    late = {(i.source, i.target) for module in SOURCES for i in rules.imports(module, SOURCES) if i.late}
    assert set(rules.LATE_IMPORTS) <= late


def test_kernels_register_themselves():
    """What the rules read in the sources is what a running process has."""
    import importlib

    from kernels import jit
    from kernels.cuda import jit as cuda_jit

    for module in SOURCES:
        if module.startswith("kernels."):
            importlib.import_module(module)
    written = {f"{module}.{function.name}" for module, text in SOURCES.items() for function in rules.kernels_in(text)}
    kernels = [kernel for kernel in [*jit.kernels, *cuda_jit.kernels] if "kernels." in repr(kernel)]
    registered = {f"{kernel.__module__}.{kernel.__name__}" for kernel in kernels}
    makers = {module for module, text in SOURCES.items() if rules.marked(text, "kernel_named")}
    assert written <= registered
    assert {name.rpartition(".")[0] for name in registered - written} == makers
