"""The sources keep the rules of the house; `test_rules.py` checks that the rules would notice."""

from pathlib import Path

import kernel_rules
import pytest
import source_rules as rules

ROOT = Path(__file__).resolve().parents[2]
SOURCES = rules.read(ROOT, "convcore", "kernels", "benchmarks")
TESTS = rules.read(ROOT, "tests")


def test_the_sources_were_found():
    assert {"convcore", "convcore.autograd.sweep", "kernels.jit", "kernels.cpu.micro.brgemm"} <= SOURCES.keys()
    assert len(SOURCES) > 40
    assert "tests.structure.test_structure" in TESTS


@pytest.mark.parametrize(
    "rule",
    [
        rules.relative_imports,
        rules.upward_imports,
        rules.inner_imports,
        rules.devices_in_autograd,
        rules.kernels_importing_convcore,
        rules.import_circles,
        rules.foreign_compilers,
        rules.early_cuda,
        rules.foreign_readers,
        rules.warning_filters,
        rules.unseen_readers,
        rules.long_files,
        rules.crowded_folders,
        rules.folders_without_map,
        rules.incomplete_maps,
        rules.unfinished,
        rules.undocumented,
        kernel_rules.kernel_docstrings,
        kernel_rules.kernel_chunks,
        kernel_rules.returned_arrays,
        kernel_rules.thread_counts,
    ],
    ids=lambda rule: rule.__name__,
)
def test_sources_keep(rule):
    wrong = rule(SOURCES)
    assert not wrong, "\n".join(["", *wrong])


def test_every_kernel_is_called():
    """By convcore, or on the GPU by tests: im2col there is a second way, to compare with."""
    callers = {module: text for module, text in TESTS.items() if module.startswith("tests.cuda.")}
    wrong = kernel_rules.unused_kernels({**SOURCES, **callers})
    assert not wrong, "\n".join(["", *wrong])


def test_every_kernel_has_a_reference():
    wrong = kernel_rules.kernels_without_reference(SOURCES)
    assert not wrong, "\n".join(["", *wrong])


def test_files_of_tests_have_one_subject():
    assert rules.long_files(TESTS) == []
    assert rules.crowded_folders(TESTS) == []


def test_late_imports_exist():
    """The list of excuses holds nothing that is no longer there."""
    late = {(i.source, i.target) for module in SOURCES for i in rules.imports(module, SOURCES) if i.late}
    assert set(rules.LATE_IMPORTS) <= late


def test_sideways_imports_exist():
    edges = {(i.source, i.target) for module in SOURCES for i in rules.imports(module, SOURCES)}
    for unit, target in rules.SIDEWAYS:
        assert any(f"{s}.".startswith(f"{unit}.") and f"{t}.".startswith(f"{target}.") for s, t in edges)


def test_kernels_register_themselves():
    """What the rules read in the sources is what a running process has."""
    import importlib

    from kernels import launch
    from kernels.cuda import jit as cuda_jit

    for module in SOURCES:
        if module.startswith("kernels."):
            importlib.import_module(module)
    written = {
        f"{module}.{function.name}" for module, text in SOURCES.items() for function in kernel_rules.kernels_in(text)
    }
    kernels = [kernel for kernel in [*launch.kernels, *cuda_jit.kernels] if "kernels." in repr(kernel)]
    registered = {f"{kernel.__module__}.{kernel.__name__}" for kernel in kernels}
    makers = {module for module, text in SOURCES.items() if kernel_rules.marked(text, "kernel_named")}
    assert written <= registered
    assert {name.rpartition(".")[0] for name in registered - written} == makers
