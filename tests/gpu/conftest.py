"""Tests that need a GPU: without one they fail, and say why; nobody shall take them for passed."""

import pytest

from benchmarks import BenchmarkError
from benchmarks.cuda import check_device


@pytest.fixture(autouse=True, scope="session")
def on_a_gpu() -> None:
    """Ends the run where there is none."""
    try:
        check_device()
    except BenchmarkError as error:
        pytest.exit(str(error), returncode=2)
