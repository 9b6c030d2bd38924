"""Benchmarks against PyTorch and ONNX Runtime: `python -m benchmarks --help`."""

import os

# The environment as the user set it, for child processes: importing convcore sets a variable for its own threads,
# which must not change those of another library.
ENVIRONMENT = dict(os.environ)


class BenchmarkError(Exception):
    """A wrong request: the message says what would be right."""
