"""What the offline compilation decides, without a compiler; `.ci/run` runs it with one."""

import offline
import pytest
from offline import Resources

from kernels.cuda import jit
from kernels.cuda.micro import mma

GOOD = Resources(registers=32, shared=1024, stack=0, spills=0, doubles=0, long_divisions=0, tensor_products=0)


class Budget:
    registers = 32
    shared = 1024
    generations = jit.ALL_GENERATIONS


class ForTensorCores(Budget):
    generations = mma.GENERATION, jit.ALL_GENERATIONS[1]


def test_a_kernel_within_its_budget_has_no_problems():
    assert offline.problems(Budget, GOOD) == []


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("registers", 33, "33 registers, budget 32"),
        ("shared", 1025, "1025 bytes of shared memory, budget 1024"),
        ("stack", 8, "0 bytes of spilled registers, 8 bytes of stack: none allowed"),
        ("spills", 4, "4 bytes of spilled registers, 0 bytes of stack: none allowed"),
        ("doubles", 2, "2 instructions in float64"),
        ("long_divisions", 1, "1 divisions of 64 bits"),
        ("tensor_products", 16, "16 instructions of tensor cores"),
    ],
)
def test_problems(field, value, message):
    assert offline.problems(Budget, GOOD._replace(**{field: value})) == [message]


def test_kernels_for_tensor_cores_use_them():
    assert offline.problems(ForTensorCores, GOOD) == ["0 instructions of tensor cores"]
    assert offline.problems(ForTensorCores, GOOD._replace(tensor_products=16)) == []


def test_reading_reports():
    report = (
        "ptxas info    : Function properties for k\n"
        "    16 bytes stack frame, 20 bytes spill stores, 24 bytes spill loads\n"
        "ptxas info    : Used 32 registers, used 1 barriers, 16 bytes cumulative stack size, 1024 bytes smem\n"
    )
    ptx = "cvt.f64.f32 %fd1;\nfma.rn.f64 %fd2;\ndiv.u64 %rd1;\nrem.s64 %rd2;\nfma.rn.f32 %f1;\n.reg .f64 %fd<3>;"
    ptx += "".join(f"mma.sync.aligned.m16n8k16.row.col.f32.{kinds}.f32 {{%f1}};" for kinds in ("f16.f16", "f16.bf16"))
    assert offline.read(ptx, report) == Resources(32, 1024, 16, 44, 2, 2, 1)


def test_the_table_in_the_readme_is_of_these_kernels():
    """`python tests/cuda/offline.py --write` measures it again."""
    begin, *lines, _ = offline.present_table().splitlines()
    assert begin == offline.BEGIN.format(offline.digest()), "the sources have changed since; run it"
    written = [tuple(cell.strip(" `") for cell in line.split("|")[1:5]) for line in lines[2:]]
    kernels = offline.load_kernels()
    assert written == [(k.__name__, str(k.threads), str(k.shared), str(k.registers)) for k in kernels]
    taken = [[cell.strip() for cell in line.split("|")[5:-1]] for line in lines[2:]]
    for kernel, cells in zip(kernels, taken, strict=True):
        served = [kernel.serves(architecture) for architecture in offline.ARCHITECTURES]
        assert [cell != "-" for cell in cells] == served
        assert all(int(cell) <= kernel.registers for cell in cells if cell != "-")


def test_the_digest_is_of_code_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "FOLDER", tmp_path)
    digests = []
    for text in ('"""Head."""\nx = 1  # why', '"""Another."""\nx = 1', '"""Another."""\nx = 2'):
        (tmp_path / "a.py").write_text(text)
        digests.append(offline.digest())
    assert digests[0] == digests[1] != digests[2]
