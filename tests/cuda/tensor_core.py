"""The instruction mma.sync.m16n8k16 on a CPU, by the tables of the PTX ISA; and numbers of 16 bits.

Source: PTX ISA 9, section 9.7.14.5.8, "Matrix Fragments for mma.m16n8k16 with floating point type". For each of the
elements that a thread holds the section gives a row and a column, by the cases of its index i; they are written out
below as they stand there, without a look at what kernels make of them.
"""

from collections.abc import Callable

import numpy as np
import torch

LANES = 32


def _row_of_a(group: int, member: int, i: int) -> int:
    return group if 0 <= i < 2 or 4 <= i < 6 else group + 8


def _column_of_a(group: int, member: int, i: int) -> int:
    return member * 2 + (i & 1) if i < 4 else member * 2 + (i & 1) + 8


def _row_of_b(group: int, member: int, i: int) -> int:
    return member * 2 + (i & 1) if i < 2 else member * 2 + (i & 1) + 8


def _column_of_b(group: int, member: int, i: int) -> int:
    return group


def _row_of_c(group: int, member: int, i: int) -> int:
    return group if i < 2 else group + 8


def _column_of_c(group: int, member: int, i: int) -> int:
    return member * 2 + (i & 1)


Place = Callable[[int, int, int], int]


def _places(row: Place, column: Place, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, (lanes, count), of the elements that each lane holds."""
    places = [[(f(lane >> 2, lane % 4, i)) for lane in range(LANES) for i in range(count)] for f in (row, column)]
    rows, columns = (np.array(values).reshape(LANES, count) for values in places)
    return rows, columns


A, B, C = _places(_row_of_a, _column_of_a, 8), _places(_row_of_b, _column_of_b, 4), _places(_row_of_c, _column_of_c, 4)


def values(kind: str, bits: np.ndarray) -> np.ndarray:
    """What numbers of 16 bits are worth, as float32, from uint16."""
    return torch.from_numpy(bits.view(np.int16)).view(getattr(torch, kind)).float().numpy()


def bits(kind: str, numbers: np.ndarray) -> np.ndarray:
    """The nearest numbers of 16 bits to those of float32, as uint16, by PyTorch."""
    return torch.from_numpy(numbers).to(getattr(torch, kind)).view(torch.int16).numpy().view(np.uint16)


def rounded(kind: str, numbers: np.ndarray) -> np.ndarray:
    """What float32 is worth in 16 bits."""
    return values(kind, bits(kind, numbers))


def mma(kind: str, registers: list[tuple]) -> list[tuple]:
    """What each lane gets; a lane brings four words of A, two of B, and four floats of C.

    Sums are exact here, and rounded once. The hardware's order of adding is not documented.
    """
    words = np.array([given[:6] for given in registers], "<u4")
    a, b = np.empty((16, 16)), np.empty((16, 8))
    a[A] = values(kind, np.ascontiguousarray(words[:, :4]).view("<u2"))
    b[B] = values(kind, np.ascontiguousarray(words[:, 4:]).view("<u2"))
    c = np.array([given[6:] for given in registers], np.float64)
    d = np.empty((16, 8))
    d[C] = c
    with np.errstate(all="ignore"):
        return [tuple(line) for line in (a @ b + d)[C].astype(np.float32)]
