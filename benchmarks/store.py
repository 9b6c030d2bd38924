"""Stored results: JSON Lines, that is one JSON object a line.

The first line is the header: the date, the system, the versions of the libraries and what the machine was measured to
reach. Every further line is one row (`benchmarks.row`), so that a new run changes the lines of the rows it changes.

A file is written whole and then renamed, so an interrupted run leaves an older result as it was. A line that is cut
short is an error with the number of the line: a table with a row missing must not look like a result.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import BenchmarkError


def write(result: dict, path: Path) -> None:
    """Store a result; `read` returns an equal one.

    Raises:
        BenchmarkError: the file cannot be written; an older one is unchanged.
    """
    # Here, because a report reads results without loading convcore.
    from convcore.errors import CheckpointError
    from convcore.io.files import replace_file

    header = {key: value for key, value in result.items() if key != "rows"}
    lines = "".join(f"{json.dumps(line)}\n" for line in (header, *result["rows"]))
    try:
        replace_file("benchmarks", path, lambda file: file.write(lines.encode()))
    except CheckpointError as error:
        raise BenchmarkError(str(error)) from None


def read(path: Path) -> dict:
    """The header of a stored result, with its rows under "rows".

    Raises:
        BenchmarkError: a line is not a JSON object, or there is no line.
    """
    lines = []
    for number, text in enumerate(path.read_bytes().splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise _no_result(path, f"line {number} is not JSON, or was cut short: {error}") from None
        if not isinstance(line, dict):
            raise _no_result(path, f"line {number} is not an object, but {text[:20].decode(errors='replace')}")
        lines.append(line)
    if not lines:
        raise _no_result(path, "it is empty")
    return {**lines[0], "rows": lines[1:]}


def _no_result(path: Path, reason: str) -> BenchmarkError:
    return BenchmarkError(f"{path} is no result of a benchmark: {reason}")
