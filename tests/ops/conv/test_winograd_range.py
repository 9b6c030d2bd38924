"""How large numbers may become before Winograd's transforms overflow: the bounds that winograd.py states."""

import numpy as np
import pytest

import convcore
from convcore.nn import functional as F
from convcore.ops.conv import winograd as conv_winograd
from kernels.cpu.conv.winograd_matrices import winograd_matrices

INPUT = {4: 100, 2: 4}  # what the input's transform multiplies by, at most
ALL = {4: 36100, 2: 81}  # and what all three do together


def growth(matrix):
    """The largest sum of absolute values in a row, for both dimensions."""
    return max(sum(abs(v) for v in row) for row in matrix) ** 2


@pytest.mark.parametrize("m", [2, 4])
def test_the_bounds_are_those_of_the_matrices(m):
    matrices = winograd_matrices(m)
    assert growth(matrices.input) == INPUT[m]
    assert growth(matrices.input) * growth(matrices.filter) * growth(matrices.output) == ALL[m]
    assert f"{ALL[m]} C |x| |w|" in (conv_winograd.__doc__ or "")


@pytest.mark.parametrize(("m", "name"), [(2, "winograd2x2"), (4, "winograd")])
@pytest.mark.parametrize("channels", [8, 64])
def test_within_the_bounds_nothing_overflows(m, name, channels):
    rng = np.random.default_rng(0)
    largest = np.finfo(np.float32).max
    x = np.where(rng.random((1, channels, 8, 8)) < 0.5, -1, 1) * (largest / INPUT[m] * 0.99)
    weight = np.where(rng.random((16, channels, 3, 3)) < 0.5, -1, 1) * (INPUT[m] / ALL[m] / channels)
    a = convcore.tensor(x.astype(np.float32), requires_grad=True)
    b = convcore.tensor(weight.astype(np.float32))
    out, direct = (F.conv2d(a, b, padding=1, algorithm=algorithm) for algorithm in (name, "direct"))
    scale = np.abs(direct.detach().numpy()).max()
    assert np.isfinite(scale)
    np.testing.assert_allclose(out.detach().numpy() / scale, direct.detach().numpy() / scale, atol=1e-4)
