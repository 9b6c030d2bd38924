"""The definition of pooling (kernels/reference/pool.py) against PyTorch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pool_cases import ADAPTIVE, CASES, DILATED, UNDILATED, Case, image, name

from kernels.reference import pool as reference

N, C = 2, 3


def to_block(tensor: torch.Tensor | None) -> np.ndarray:
    assert tensor is not None
    return tensor.detach().permute(0, 2, 3, 1).numpy()


def to_torch(block: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(block.copy()).permute(0, 3, 1, 2).contiguous().requires_grad_()


@pytest.mark.parametrize("case", CASES, ids=name)
def test_max_pool2d_reference_against_torch(case: Case):
    x = to_torch(image((N, *case.size, C)))
    expected, places = F.max_pool2d(x, **case.settings(), dilation=case.dilation, return_indices=True)
    out, indices = reference.max_pool2d_forward(to_block(x), *case.taps())
    np.testing.assert_array_equal(out, to_block(expected))
    np.testing.assert_array_equal(indices, np.where(np.isneginf(out), -1, to_block(places)))
    if not np.isneginf(out).any():  # torch's gradient writes outside of the image for windows in the padding
        grad_out = image(out.shape, seed=1)
        expected.backward(to_torch(grad_out))
        grad_x = reference.max_pool2d_grad_input(grad_out, indices, *case.size)
        np.testing.assert_array_equal(grad_x, to_block(x.grad))


@pytest.mark.parametrize(
    "divide", [{}, {"count_include_pad": False}, {"divisor_override": 3}, {"divisor_override": -2}], ids=str
)
@pytest.mark.parametrize("case", UNDILATED, ids=name)
def test_avg_pool2d_reference_against_torch(case: Case, divide):
    x = to_torch(image((N, *case.size, C)))
    expected = F.avg_pool2d(x, **case.settings(), **divide)
    divisors = case.divisors(**divide)
    np.testing.assert_allclose(
        reference.avg_pool2d_forward(to_block(x), *case.taps(), divisors), to_block(expected), rtol=1e-13, atol=1e-14
    )
    grad_out = image(to_block(expected).shape, seed=1)
    expected.backward(to_torch(grad_out))
    grad_x = reference.avg_pool2d_grad_input(grad_out, *case.taps(), divisors, *case.size)
    np.testing.assert_allclose(grad_x, to_block(x.grad), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("size", "size_out"), ADAPTIVE, ids=name)
def test_adaptive_pooling_reference_against_torch(size, size_out):
    x = image((N, *size, C))
    taps_h, taps_w = (reference.adaptive_taps(size[i], size_out[i]) for i in range(2))
    divisors = np.outer([len(t) for t in taps_h], [len(t) for t in taps_w])
    average = F.adaptive_avg_pool2d(to_torch(x), size_out)
    largest, places = F.adaptive_max_pool2d(to_torch(x), size_out, return_indices=True)
    np.testing.assert_allclose(
        reference.avg_pool2d_forward(x, taps_h, taps_w, divisors), to_block(average), rtol=1e-13, atol=1e-14
    )
    out, indices = reference.max_pool2d_forward(x, taps_h, taps_w)
    np.testing.assert_array_equal(out, to_block(largest))
    np.testing.assert_array_equal(indices, to_block(places))


def test_reference_takes_the_last_nan_as_torch_does():
    x = image((1, 6, 6, 4))
    x[np.random.default_rng(2).random(x.shape) < 0.3] = np.nan
    expected, places = F.max_pool2d(to_torch(x), 3, return_indices=True)
    taps = reference.window_taps(6, 3, 3, 0)
    out, indices = reference.max_pool2d_forward(x, taps, taps)
    np.testing.assert_array_equal(out, to_block(expected))
    np.testing.assert_array_equal(indices, to_block(places))


def test_the_case_table_holds_what_its_names_say():
    cases = {case.name: case for case in CASES}
    assert any(not taps for taps in cases["windows_in_padding"].taps()[0])
    begins = [taps[0] for taps in cases["starts_that_fall"].taps()[0]]
    assert begins != sorted(begins)
    many = cases["many_taps"]
    assert many.kernel_size[0] * many.kernel_size[1] > 256
    assert all(case.dilation != (1, 1) for case in DILATED)
    assert all(case.dilation == (1, 1) for case in UNDILATED)
