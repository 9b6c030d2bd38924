"""The sum over one patch, taken apart, and the named filters."""

import numpy as np
import pytest
import torch

from convcore.errors import ShapeError
from convcore.inspect import FILTERS, gabor, geometry_of, nearest_output, output_size, window

DRAW = np.random.default_rng(0)
IMAGE = DRAW.standard_normal((9, 12)).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        (3, {}),
        (3, {"stride": 2, "padding": 1}),
        (5, {"padding": "same", "dilation": 2}),
        (2, {"padding": "same"}),
        (3, {"padding": 4, "stride": 3, "dilation": 2}),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")  # torch makes a copy
def test_every_window_adds_up_to_the_convolution(size, settings):
    kernel = DRAW.standard_normal((size, size)).astype(np.float32)
    image, weight = (torch.tensor(a.astype(np.float64))[None, None] for a in (IMAGE, kernel))
    expected = torch.nn.functional.conv2d(image, weight, **settings)[0, 0].numpy()
    geometry = geometry_of(IMAGE, kernel, **settings)
    assert (geometry.h_out, geometry.w_out) == expected.shape
    for row, column in np.ndindex(expected.shape):
        found = window(IMAGE, kernel, row, column, **settings)
        assert found.total == pytest.approx(expected[row, column], abs=1e-12)
        assert found.products.sum() == found.total
        for r, s in np.ndindex(size, size):
            h, w = found.rows[r], found.columns[s]
            inside = 0 <= h < 9 and 0 <= w < 12
            assert found.patch[r, s] == (IMAGE[h, w] if inside else 0)


def test_a_window_beyond_the_output_is_refused():
    with pytest.raises(ShapeError, match=r"rows 0 to 6 and columns 0 to 9, got row 7, column 0"):
        window(IMAGE, np.ones((3, 3), np.float32), 7, 0)


def test_the_output_nearest_to_a_pixel():
    kernel = np.ones((3, 3), np.float32)
    same = geometry_of(IMAGE, kernel, padding=1)
    assert all(nearest_output(same, *place) == place for place in np.ndindex(IMAGE.shape))
    strided = geometry_of(IMAGE, kernel, stride=3)
    for place in np.ndindex(IMAGE.shape):
        row, column = nearest_output(strided, *place)
        centres = [[3 * i + 1 for i in range(extent)] for extent in (strided.h_out, strided.w_out)]
        for chosen, wanted, along in zip((row, column), place, centres, strict=True):
            assert abs(along[chosen] - wanted) == min(abs(centre - wanted) for centre in along)


def test_the_formula_holds_the_numbers_of_the_geometry():
    geometry = geometry_of(IMAGE, np.ones((3, 3), np.float32), stride=2, padding=1, dilation=2)
    text = output_size(geometry.width)
    assert text == "floor((12 + 1 + 1 - 2 * (3 - 1) - 1) / 2) + 1 = 5"
    formula, result = text.rsplit(" = ", 1)
    assert eval(formula, {"floor": np.floor}) == int(result) == geometry.w_out


def test_what_the_filters_say_they_detect():
    """Sums of weights: 1 keeps brightness, 0 is blind to it; edges and stripes answer in their own direction only."""
    sums = {name: float(f.kernel.sum()) for name, f in FILTERS.items()}
    keep = {"identity", "box_blur", "gaussian_blur", "sharpen", "gaussian_blur_5", "motion_blur", "emboss"}
    assert {name for name, total in sums.items() if abs(total - 1) < 1e-5} == keep
    assert all(abs(total) < 0.02 for name, total in sums.items() if name not in keep)
    for name in ("edge", "sobel"):
        x, y = FILTERS[f"{name}_x"].kernel, FILTERS[f"{name}_y"].kernel
        assert np.array_equal(x, y.T)
        assert np.all(x[:, 2] > 0)
        assert np.all(x[:, 0] < 0)
    stripes = np.tile([1.0, 0.5, 0, 0.5], 4)[None].repeat(16, 0).astype(np.float32)
    for name, seen, unseen in (("gabor_0", stripes, stripes.T), ("gabor_90", stripes.T, stripes)):
        kernel = FILTERS[name].kernel
        answers = [max(abs(window(image, kernel, 4, i).total) for i in range(8)) for image in (seen, unseen)]
        assert answers[0] > 1
        assert answers[1] < 0.05


def test_gabor_turns_with_its_angle():
    assert np.allclose(gabor(7, 90), gabor(7, 0).T, atol=1e-6)
    assert np.allclose(gabor(7, 45), gabor(7, 45).T, atol=1e-6)
    assert gabor(1).shape == (1, 1)
    with pytest.raises(ShapeError, match=r"size must be odd and positive, got 4"):
        gabor(4)
    with pytest.raises(ShapeError, match=r"wavelength and sigma must be positive, got 0 and 1.6"):
        gabor(5, wavelength=0)
