"""convcore's operations against torch's database of operations; see `op_db.py`.

OPINFO_SAMPLES=1000 in the environment runs all samples of each operation in place of some.
"""

import fnmatch
import os

import op_db
import op_db_table as table
import pytest

from convcore.absent import entry_of
from convcore.absent_table import ELSEWHERE

LIMIT = int(os.environ.get("OPINFO_SAMPLES", "8"))


def lacking(name):
    """Whether one of the tables says that convcore does not have it, under any name."""
    entries = entry_of(name), entry_of(f"Tensor.{name}")
    return any(fnmatch.fnmatch(name, pattern) for pattern in table.LACKING) or any(
        entry is not None and entry not in ELSEWHERE for entry in entries
    )


def dtypes_of(name):
    supported = op_db.OPS[name].supported_dtypes("cpu")
    return [dtype for dtype, theirs in op_db.DTYPES.items() if theirs in supported]


def outcome_of(name, dtype):
    """What goes wrong in one dtype, or with wrong input where that is "errors"."""
    op = op_db.OPS[name]
    if dtype == op_db.ERRORS:
        return op_db.run_errors(op)
    return op_db.run(op, dtype, LIMIT, name in table.ONLY_FORM)


def cases():
    return [(name, dtype) for name in op_db.OPS if not lacking(name) for dtype in (*dtypes_of(name), op_db.ERRORS)]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of shapes that are broadcast, where torch warns too
@pytest.mark.parametrize(("name", "dtype"), cases())
def test_operation_is_that_of_torch(name, dtype):
    outcome = outcome_of(name, dtype)
    excused = {kind for op, kind, dtypes in table.DIFFERENCES if op == name and dtype in dtypes}
    wrong = {kind: message for kind, message in outcome.wrong.items() if kind not in excused}
    assert not wrong, "\n".join(f"[{kind}] {message}" for kind, message in wrong.items())
    assert bool(outcome.outside) == (dtype == op_db.ERRORS and name in table.OUTSIDE)
    assert excused <= set(outcome.wrong), f"works, so take it out of DIFFERENCES: {excused - set(outcome.wrong)}"


@pytest.mark.parametrize("name", [name for name in op_db.OPS if lacking(name)])
def test_what_is_listed_as_lacking_is_not_there(name):
    try:
        checked = [dtype for dtype in dtypes_of(name) if outcome_of(name, dtype).checked]
    except AttributeError:
        return
    assert not checked, f"{name} exists: take it out of LACKING or of absent_table.py"


def test_the_table_names_operations_that_exist():
    for pattern in table.LACKING:
        assert any(fnmatch.fnmatch(name, pattern) for name in op_db.OPS), pattern
    for name in (*table.ONLY_FORM, *table.OUTSIDE, *(name for name, _, _ in table.DIFFERENCES)):
        assert name in op_db.OPS, name
