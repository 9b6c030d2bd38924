"""ONNX's Resize, as far as it is torch's `interpolate`."""

from values import NoCounterpartError

import convcore.nn.functional as F


def resize(
    x, roi=None, scales=None, sizes=None, antialias=0, axes=None, coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75, exclude_outside=0, extrapolation_value=0.0, keep_aspect_ratio_policy="stretch", mode="nearest",
    nearest_mode="round_prefer_floor",
):  # fmt: skip
    factors = [1.0, 1.0] if scales is None else scales.tolist()
    if antialias or exclude_outside or keep_aspect_ratio_policy != "stretch" or axes:
        raise NoCounterpartError("a rule of resizing that torch lacks")
    if x.ndim != 4 or factors[:2] != [1, 1]:
        raise NoCounterpartError("resizing of anything but images")
    settings = {
        ("nearest", "asymmetric", "floor"): ("nearest", None),
        ("linear", "half_pixel", None): ("bilinear", False),
        ("linear", "align_corners", None): ("bilinear", True),
        ("cubic", "half_pixel", None): ("bicubic", False),
        ("cubic", "align_corners", None): ("bicubic", True),
    }
    key = mode, coordinate_transformation_mode, nearest_mode if mode == "nearest" else None
    if key not in settings or (mode == "cubic" and cubic_coeff_a != -0.75):
        raise NoCounterpartError("a rule of resizing that torch lacks")
    name, corners = settings[key]
    if corners and any(size * factor % 1 for size, factor in zip(x.shape, factors, strict=False)):
        raise NoCounterpartError("corners aligned with those of an image of fractional size")
    if sizes is not None:
        return F.interpolate(x, sizes.tolist()[2:], mode=name, align_corners=corners)
    return F.interpolate(x, scale_factor=factors[2:], mode=name, align_corners=corners)


def upsample(x, scales, mode="nearest"):
    return resize(x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
