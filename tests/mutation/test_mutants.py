"""The table of mutants fits the sources, and a mutant that nobody notices is reported as such."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import mutation
from mutants import MUTANTS
from mutation import RESULTS, ROOT, Mutant, apply, outcome, report


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_changes_one_place(mutant, tmp_path):
    path = tmp_path / mutant.file
    path.parent.mkdir(parents=True)
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    apply(mutant, tmp_path)
    broken = path.read_text(encoding="utf-8")
    assert broken != source
    compile(broken, mutant.file, "exec")
    for test in mutant.tests.split(" -k ")[0].split():
        assert (ROOT / test).exists()


def test_names_are_unique():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 30


def test_the_kept_results_are_those_of_the_table():
    kept = RESULTS.read_text(encoding="utf-8")
    assert kept == report(MUTANTS, ["caught"] * len(MUTANTS))


@pytest.fixture
def tree(tmp_path):
    """A tree of one kernel and one test."""
    for folder in ("kernels", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "kernels" / "half.py").write_text("def half(x):\n    return x / 2  # of x\n")
    (tmp_path / "tests" / "test_half.py").write_text(
        "from kernels.half import half\n\n\ndef test_half():\n    assert half(4) == 2\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("x / 2", "x / 3", "caught"), ("# of x", "# of y", "survived"), ("x / 2", "__import__('os').abort()", "caught")],
)
def test_outcomes(tree, before, after, expected):
    mutant = Mutant("halving", "kernels/half.py", before, after, "tests/test_half.py")
    assert outcome(mutant, mutant.tests, tree) == expected
    assert f"{int(expected == 'caught')} of 1 mutants were caught." in report([mutant], [expected])


def test_tests_that_cannot_run_are_no_proof(tree):
    mutant = Mutant("halving", "kernels/half.py", "x / 2", "x / 3", "tests/no_such_test.py")
    with pytest.raises(RuntimeError, match=r"pytest tests/no_such_test.py ended with 4"):
        outcome(mutant, mutant.tests, tree)


def test_a_suite_that_fails_by_itself_is_no_proof(monkeypatch):
    monkeypatch.setattr(mutation, "outcome", lambda mutant, tests: "caught")
    with pytest.raises(RuntimeError, match="fails without any mutant"):
        mutation.check_unbroken(MUTANTS)


def test_a_piece_that_is_not_there(tree):
    mutant = Mutant("halving", "kernels/half.py", "x * 2", "x / 3", "tests/test_half.py")
    with pytest.raises(ValueError, match=r"'x \* 2' must occur once in kernels/half.py, it does 0x"):
        outcome(mutant, mutant.tests, tree)
