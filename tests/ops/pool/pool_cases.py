"""The named pooling shapes that the tests run over, and images for them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from kernels.reference import pool as reference


@dataclass(frozen=True)
class Case:
    """One call of ordinary pooling on images of size h_in x w_in."""

    name: str
    size: tuple[int, int]
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    def taps(self) -> tuple[list[list[int]], list[list[int]]]:
        """The reference's windows along height and width."""
        height, width = (
            reference.window_taps(
                self.size[i], self.kernel_size[i], self.stride[i], self.padding[i], self.dilation[i], self.ceil_mode
            )
            for i in range(2)
        )
        return height, width

    def divisors(self, count_include_pad: bool = True, divisor_override: int | None = None) -> np.ndarray:
        """What the average of each window is divided by."""
        taps_h, taps_w = self.taps()
        if divisor_override is not None:
            return np.full((len(taps_h), len(taps_w)), divisor_override)
        if not count_include_pad:
            return np.outer([len(taps) for taps in taps_h], [len(taps) for taps in taps_w])
        height, width = (
            reference.padded_counts(self.size[i], self.kernel_size[i], self.stride[i], self.padding[i], self.ceil_mode)
            for i in range(2)
        )
        return np.outer(height, width)

    def settings(self) -> dict:
        """The arguments of avg_pool2d, and but for the dilation those of max_pool2d."""
        names = ("kernel_size", "stride", "padding", "ceil_mode")
        return {name: getattr(self, name) for name in names}


UNDILATED = [
    Case("halves", (6, 8), (2, 2), (2, 2)),
    Case("halves_with_rest", (7, 5), (2, 2), (2, 2)),
    Case("halves_rounded_up", (7, 5), (2, 2), (2, 2), ceil_mode=True),
    Case("overlapping", (9, 8), (3, 3), (2, 2), (1, 1)),
    Case("overlapping_rounded_up", (10, 8), (3, 3), (2, 2), (1, 1), ceil_mode=True),
    Case("every_pixel", (5, 6), (3, 3), (1, 1), (1, 1)),
    Case("gaps_between", (11, 10), (2, 3), (4, 5), (1, 0)),
    Case("gaps_rounded_up", (11, 10), (2, 3), (4, 5), (1, 1), ceil_mode=True),
    Case("unequal_sides", (9, 12), (4, 2), (1, 3), (2, 1)),
    Case("whole_image", (4, 7), (4, 7), (1, 1)),
    Case("one_pixel", (1, 1), (3, 3), (2, 2), (1, 1)),
    Case("last_window_in_padding", (3, 3), (3, 3), (3, 3), (1, 1), ceil_mode=True),
    Case("smaller_than_window", (3, 1), (4, 2), (4, 2), ceil_mode=True),
    Case("many_taps", (20, 19), (17, 16), (4, 5), (8, 8)),
]
DILATED = [
    Case("dilated", (10, 9), (3, 2), (1, 2), (1, 0), (2, 3)),
    Case("dilated_rounded_up", (12, 11), (3, 3), (2, 3), (1, 1), (2, 2), ceil_mode=True),
    Case("dilated_past_the_start", (9, 8), (4, 5), (1, 1), (2, 2), (2, 1)),
    Case("starts_that_fall", (12, 13), (4, 4), (1, 1), (2, 2), (3, 4)),
    Case("windows_in_padding", (2, 3), (2, 2), (1, 1), (1, 1), (3, 3)),
]
CASES = UNDILATED + DILATED

# Images and outputs of adaptive pooling: divisible, not divisible, growing, one window, unchanged.
ADAPTIVE = [((6, 8), (3, 2)), ((7, 5), (3, 4)), ((3, 2), (7, 5)), ((9, 17), (1, 1)), ((4, 5), (4, 5)), ((5, 3), (0, 2))]


def name(case) -> str:
    """The case's name in a test's id."""
    return case.name if isinstance(case, Case) else "x".join(map(str, case))


def image(shape: tuple[int, ...], dtype: DTypeLike = np.float64, seed: int = 0) -> np.ndarray:
    """Random values on a coarse grid, so that ties within windows are common."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(dtype) / 4
