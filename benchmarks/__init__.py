"""Benchmarks against PyTorch and ONNX Runtime: `python -m benchmarks --help`.

    __main__.py   the command
    run.py        the groups by name; a run: the machine is measured, then every case with each number of threads
    groups/       what is measured: conv, ops, nets, start, memory, algorithms
    rivals/       the other side of each ratio: PyTorch, ONNX Runtime
    timing.py     times taken in turns, and the statistics of their ratios
    machine.py    the machine's peak of multiply-adds and its copy bandwidth
    row.py        one row of a result
    store.py      results as files, one row a line
    report.py     a result as Markdown tables
    picture.py    a result as a picture
    cuda.py       the same comparison on a GPU, with groups and tables of its own
    results/      one folder a machine: results.jsonl and algorithms.jsonl, and the pages that `report` makes of them
    RESULTS.md    how to measure, how to read the tables, and the latest result in short
    NOTES.md      what was tried, expected and measured: the conclusions, an index by file, and the experiments

A run goes from `__main__` to `run`, from there to the groups, which yield rows; `store` keeps them and `report` reads
them. A new case is one entry in its group's `CASES`, a new group one module in `groups/` and one entry in `run.GROUPS`.
"""

import os

# The environment as the user set it, for child processes: importing convcore sets a variable for its own threads,
# which must not change those of another library.
ENVIRONMENT = dict(os.environ)


class BenchmarkError(Exception):
    """A wrong request: the message says what would be right."""
