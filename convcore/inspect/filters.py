"""Named filters of image processing: what one small grid of weights can detect.

As usual in deep learning, filters are applied without flipping (cross-correlation): the weights lie over the pixels as
printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convcore.errors import ShapeError


@dataclass(frozen=True)
class Filter:
    """A filter for one channel.

    Attributes:
        name: the key in `FILTERS`.
        title: the usual name.
        kernel: (K_h, K_w) weights, float32, read-only.
        detects: what a large response means.
    """

    name: str
    title: str
    kernel: np.ndarray
    detects: str


def gabor(size: int = 5, angle: float = 0.0, wavelength: float = 4.0, sigma: float = 1.6) -> np.ndarray:
    """A wave times a bell curve: responds to stripes of one width and direction.

    cos(2 pi u / wavelength) * exp(-(u^2 + v^2) / (2 sigma^2)), where u runs across the stripes and v along them. The
    mean is subtracted, so that a uniform area gives 0. Source: J. Daugman, "Uncertainty relation for resolution in
    space, spatial frequency, and orientation" (1985).

    Args:
        size: rows and columns, odd.
        angle: between u and the rows, in degrees; 0 responds to vertical stripes.
        wavelength: pixels from one stripe to the next.
        sigma: width of the bell curve in pixels.

    Returns:
        (size, size), float32.

    Raises:
        ShapeError: the size is even or not positive, or a length is not positive.
    """
    if size < 1 or size % 2 == 0:
        raise ShapeError(f"gabor: size must be odd and positive, got {size}")
    if not (wavelength > 0 and sigma > 0):
        raise ShapeError(f"gabor: wavelength and sigma must be positive, got {wavelength} and {sigma}")
    y, x = np.indices((size, size)) - size // 2
    theta = math.radians(angle)
    u, v = x * math.cos(theta) + y * math.sin(theta), y * math.cos(theta) - x * math.sin(theta)
    wave = np.cos(2 * np.pi * u / wavelength) * np.exp(-(u**2 + v**2) / (2 * sigma**2))
    return (wave - wave.mean()).astype(np.float32)


def _filter(name: str, title: str, weights: object, detects: str, divisor: float = 1) -> Filter:
    kernel = np.array(weights, np.float32) / np.float32(divisor)
    kernel.setflags(write=False)
    return Filter(name, title, kernel, detects)


_SMOOTH = np.array([1, 2, 1])
_SMOOTH_5 = np.array([1, 4, 6, 4, 1])  # row 4 of Pascal's triangle, close to a bell curve

FILTERS = {
    f.name: f
    for f in (
        _filter("identity", "identity", [[0, 0, 0], [0, 1, 0], [0, 0, 0]], "the image itself"),
        _filter("box_blur", "box blur", np.ones((3, 3)), "brightness around: the mean of nine pixels", 9),
        _filter(
            "gaussian_blur", "Gaussian blur", np.outer(_SMOOTH, _SMOOTH), "brightness, near pixels counting more", 16
        ),
        _filter("sharpen", "sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]], "the image, its fine detail enlarged"),
        _filter("edge_x", "edge x", [[-1, 0, 1]] * 3, "vertical edges: dark left, bright right (Prewitt)"),
        _filter(
            "edge_y", "edge y", np.transpose([[-1, 0, 1]] * 3), "horizontal edges: dark above, bright below (Prewitt)"
        ),
        _filter("sobel_x", "Sobel x", np.outer(_SMOOTH, [-1, 0, 1]), "vertical edges, smoothed along the edge"),
        _filter("sobel_y", "Sobel y", np.outer([-1, 0, 1], _SMOOTH), "horizontal edges, smoothed along the edge"),
        _filter(
            "laplacian",
            "Laplacian",
            [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
            "changes in any direction: the second derivative",
        ),
        _filter(
            "outline", "outline", [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], "pixels unlike their eight neighbours"
        ),
        _filter("emboss", "emboss", [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], "relief, as if lit from one corner"),
        _filter(
            "diagonal", "diagonal line", [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]], "thin lines falling to the right"
        ),
        _filter(
            "gaussian_blur_5", "Gaussian blur 5x5", np.outer(_SMOOTH_5, _SMOOTH_5), "brightness of a wider area", 256
        ),
        _filter("motion_blur", "motion blur 5x5", np.eye(5), "streaks, as if the camera moved", 5),
        _filter(
            "laplacian_of_gaussian",
            "Laplacian of Gaussian 5x5",
            [[0, 0, 1, 0, 0], [0, 1, 2, 1, 0], [1, 2, -16, 2, 1], [0, 1, 2, 1, 0], [0, 0, 1, 0, 0]],
            "dark spots and thin dark lines",
        ),
        _filter("gabor_0", "Gabor 0° 5x5", gabor(angle=0).round(3), "vertical stripes four pixels apart"),
        _filter("gabor_45", "Gabor 45° 5x5", gabor(angle=45).round(3), "stripes rising to the right"),
        _filter("gabor_90", "Gabor 90° 5x5", gabor(angle=90).round(3), "horizontal stripes four pixels apart"),
    )
}
"""Filters for one channel by name, each a `Filter`."""
