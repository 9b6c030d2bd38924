"""Even splits, and division that rounds up."""

import pytest

from kernels.cpu.vector.split import ceil_div, split_evenly


@pytest.mark.parametrize(("total", "parts"), [(14, 2), (13, 2), (7, 1), (37, 4), (12, 1), (25, 3)])
def test_split_evenly_covers_the_range_with_even_parts(total, parts):
    ranges = [split_evenly.py_func(total, parts, i) for i in range(parts)]
    assert [i for begin, end in ranges for i in range(begin, end)] == list(range(total))
    sizes = [end - begin for begin, end in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("a", "b", "quotient"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2), (7, 1, 7), (-4, 3, -1)])
def test_ceil_div_rounds_up(a, b, quotient):
    assert ceil_div.py_func(a, b) == quotient
