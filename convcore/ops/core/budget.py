"""The numbers by which operations split their work into tasks: how many tasks, and how much of a cache each may fill.

A split depends on sizes alone, never on the number of threads. So results are the same, bit for bit, for every number
of threads.
"""

MIN_TASKS = 16
"""Enough tasks that two to sixteen threads are evenly loaded, few enough that each one is worth its start."""

L2_BYTES = 1024 * 1024
"""A core's second cache: 1 to 2 MiB on today's servers, less on laptops."""


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)
