"""Constants by which operations split their work into chunks: the number of chunks, and the share of a cache for each.

A split depends on sizes alone, never on the number of threads. So results are bitwise equal for any number of threads.
"""

MIN_CHUNKS = 16
"""Enough chunks to balance the load of two to sixteen threads, few enough that each is worth its start-up cost."""

L2_BYTES = 1024 * 1024
"""The L2 cache of a core: 1 to 2 MiB on current servers, less on laptops."""


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)
