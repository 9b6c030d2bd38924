"""The rules of the kernels: each finds what is wrong in a small source, and leaves what is right alone."""

import kernel_rules
import pytest
from small_sources import GOOD_KERNEL, found


@pytest.mark.parametrize("heading", kernel_rules.DOCSTRING_LINES)
def test_kernel_docstrings_need_every_line(heading):
    text = GOOD_KERNEL.replace(f"    {heading}", "    Something")
    assert kernel_rules.kernel_docstrings({"k": text}) == [f"k.relu_forward: docstring lacks {heading}"]


def test_kernels_that_a_function_makes_obey_the_contract():
    text = GOOD_KERNEL.replace("@kernel(4)", '@kernel_named("relu_forward", 4)')
    assert kernel_rules.kernels_in(text) == []
    assert kernel_rules.kernel_docstrings({"k": text}) == []
    assert kernel_rules.kernel_docstrings({"k": text.replace("Why", "Because")}) == [
        "k.relu_forward: docstring lacks Why"
    ]
    assert kernel_rules.kernel_chunks({"k": text}) == []
    wrong = text.replace('"relu_forward", 4', '"relu_forward"')
    assert kernel_rules.kernel_chunks({"k": wrong}) == ["k.relu_forward: does not say how many chunks there are"]
    assert kernel_rules.kernel_chunks({"kernels.cuda.k": wrong}) == []


def test_kernel_docstrings_keep_the_order():
    text = GOOD_KERNEL.replace("Requires:", "Later:").replace("Writes:", "Requires:").replace("Later:", "Writes:")
    assert kernel_rules.kernel_docstrings({"k": text}) == ["k.relu_forward: docstring lines out of order"]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("@kernel(4)", "@kernel", "does not say how many chunks"),
        ("@kernel(4)", "@kernel()", "does not say how many chunks"),
        ("chunk, x", "task, x", "the first argument is the number of the chunk"),
        ("in range(", "in prange(", "a parallel loop of its own"),
        ("            continue", "            return 1", "returns nothing"),
        ("            continue", "            raise ValueError", "raises nothing"),
    ],
)
def test_kernel_chunks(good, bad, message):
    assert kernel_rules.kernel_chunks({"k": GOOD_KERNEL}) == []
    text = GOOD_KERNEL.replace(good, bad)
    assert text != GOOD_KERNEL
    assert any(message in line for line in kernel_rules.kernel_chunks({"k": text}))


@pytest.mark.parametrize("returned", ["x", "x[1:]", "i, x[0, :]", "np.empty(3)", "x.reshape(-1)", "x[:3].copy()"])
def test_returned_arrays(returned):
    text = f"@inline\ndef f(x, i):\n    x[i] = 0\n    return {returned}"
    (line,) = kernel_rules.returned_arrays({"kernels.cpu.a": text})
    assert line.startswith("kernels.cpu.a.f: returns an array")


@pytest.mark.parametrize("returned", ["i", "x[i]", "x[i], x.shape[0]", "vload(x, i)", "", "vsum(a[1:])"])
def test_returned_numbers(returned):
    assert kernel_rules.returned_arrays({"a": f"@inline\ndef f(x, i):\n    x[i] = 0\n    return {returned}"}) == []


def test_thread_counts():
    text = "def f():\n    chunks = numba.get_num_threads()"
    assert found(kernel_rules.thread_counts, {"kernels.cpu.a": text, "kernels.threads": text}) == ["kernels.cpu.a"]


def test_kernels_without_reference():
    named = {"kernels.cpu.k": GOOD_KERNEL.replace("relu_forward", "relu_forward_blocked")}
    reference = {"kernels.reference.k": "def relu_forward(x): pass"}
    assert kernel_rules.kernels_without_reference({**named, **reference}) == []
    (line,) = kernel_rules.kernels_without_reference(named)
    assert line.startswith("kernels.cpu.k.relu_forward_blocked: no function of this name")
    assert kernel_rules.kernels_without_reference({"kernels.cpu.micro.k": GOOD_KERNEL}) == []


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
    assert kernel_rules.kernels_without_reference({**sources, **reference}) == []
    assert kernel_rules.kernels_without_reference({**sources, "kernels.reference.k": "def other(x): pass"}) != []


def test_a_step_names_its_definition():
    reference = {"kernels.reference.k": "def relu_forward(x): pass"}
    for line, known in (("a step of `relu_forward`.", True), ("a step of `relu`.", False), ("a step.", False)):
        step = GOOD_KERNEL.replace("def relu_forward", "def pack").replace(
            "it is.\n", f"it is.\n    Reference  {line}\n"
        )
        assert (kernel_rules.kernels_without_reference({"kernels.cpu.k": step, **reference}) == []) == known


def test_unused_kernels():
    kernel = {"kernels.cpu.k": GOOD_KERNEL}
    assert found(kernel_rules.unused_kernels, {**kernel, "kernels.cpu.other": "relu_forward"}) == [
        "kernels.cpu.k.relu_forward"
    ]
    assert kernel_rules.unused_kernels({**kernel, "convcore.ops.k": "k.relu_forward(x)"}) == []
    assert kernel_rules.unused_kernels({**kernel, "kernels.cuda.calls": "relu_forward(x)"}) == []
