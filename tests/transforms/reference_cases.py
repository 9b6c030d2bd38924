"""The cases that `make_transform_references.py` ran through torchvision, and `test_references.py` runs here."""

import numpy as np

# name: (function of torchvision.transforms.v2.functional, keyword arguments)
FUNCTIONS = {
    "resize short": ("resize", {"size": 9}),
    "resize both": ("resize", {"size": [7, 26]}),
    "resize larger": ("resize", {"size": [20, 30]}),
    "resize bicubic": ("resize", {"size": [13, 17], "interpolation": "bicubic"}),
    "resize max_size": ("resize", {"size": 12, "max_size": 14}),
    "crop": ("crop", {"top": 3, "left": 5, "height": 10, "width": 12}),
    "center_crop": ("center_crop", {"output_size": [11, 14]}),
    "center_crop odd": ("center_crop", {"output_size": [13, 19]}),
    "center_crop larger": ("center_crop", {"output_size": [19, 22]}),
    "resized_crop": ("resized_crop", {"top": 2, "left": 4, "height": 13, "width": 15, "size": [8, 10]}),
    "pad": ("pad", {"padding": [1, 2, 3, 4], "fill": 7}),
    "pad two": ("pad", {"padding": [2, 3]}),
    "pad reflect": ("pad", {"padding": 4, "padding_mode": "reflect"}),
    "pad symmetric": ("pad", {"padding": 4, "padding_mode": "symmetric"}),
    "pad edge": ("pad", {"padding": 4, "padding_mode": "edge"}),
    "hflip": ("horizontal_flip", {}),
    "vflip": ("vertical_flip", {}),
    "brightness": ("adjust_brightness", {"brightness_factor": 1.4}),
    "darkness": ("adjust_brightness", {"brightness_factor": 0.3}),
    "contrast": ("adjust_contrast", {"contrast_factor": 1.7}),
    "less contrast": ("adjust_contrast", {"contrast_factor": 0.2}),
    "saturation": ("adjust_saturation", {"saturation_factor": 1.9}),
    "less saturation": ("adjust_saturation", {"saturation_factor": 0.1}),
    "hue": ("adjust_hue", {"hue_factor": 0.2}),
    "hue back": ("adjust_hue", {"hue_factor": -0.4}),
    "sharpness": ("adjust_sharpness", {"sharpness_factor": 1.8}),
    "less sharpness": ("adjust_sharpness", {"sharpness_factor": 0.1}),
    "grayscale": ("rgb_to_grayscale", {"num_output_channels": 3}),
    "grayscale one": ("rgb_to_grayscale", {"num_output_channels": 1}),
    "invert": ("invert", {}),
    "posterize": ("posterize", {"bits": 3}),
    "autocontrast": ("autocontrast", {}),
    "equalize": ("equalize", {}),
    "blur": ("gaussian_blur", {"kernel_size": [5, 3], "sigma": [1.2, 0.6]}),
    "blur default": ("gaussian_blur", {"kernel_size": 7}),
}

# Moved by Pillow: torchvision's tensors are moved by another algorithm, which differs where pixels meet the outside.
PILLOW_FUNCTIONS = {
    "rotate": ("rotate", {"angle": 33.0}),
    "rotate bilinear": ("rotate", {"angle": -12.5, "interpolation": "bilinear", "fill": [9, 99, 200]}),
    "rotate expand": ("rotate", {"angle": 70.0, "expand": True, "fill": 3}),
    "rotate center": ("rotate", {"angle": 10.0, "center": [0, 0]}),
    "affine": ("affine", {"angle": 20.0, "translate": [3, -2], "scale": 1.2, "shear": [5.0, -8.0]}),
    "affine bilinear": (
        "affine",
        {
            "angle": -7.0,
            "translate": [0, 4],
            "scale": 0.7,
            "shear": [0.0, 12.0],
            "interpolation": "bilinear",
            "fill": 50,
        },
    ),
    "affine center": ("affine", {"angle": 9.0, "translate": [0, 0], "scale": 1.0, "shear": 15.0, "center": [2, 5]}),
    "solarize": ("solarize", {"threshold": 100}),
}

# Operations of the policies: name, magnitude.
OPERATIONS = [
    ("ShearX", 0.25), ("ShearY", -0.4), ("TranslateX", 9.0), ("TranslateY", -5.6), ("Rotate", -28.0),
    ("Brightness", 0.5), ("Color", -0.6), ("Contrast", 0.8), ("Sharpness", -0.9), ("Posterize", 5.0),
    ("Solarize", 0.6), ("AutoContrast", 0.0), ("Equalize", 0.0), ("Invert", 0.0), ("Identity", 0.0),
]  # fmt: skip

# What each policy's ranges are asked for: bins, height, width.
RANGES = {"RandAugment": (31, 224, 100), "TrivialAugmentWide": (31, 224, 100), "AutoAugment": (10, 224, 100)}


def image():
    """A picture (16, 20, 3) with edges, gradients and noise; grey in one corner, and one flat patch."""
    draw = np.random.RandomState(0)
    y, x = np.mgrid[:16, :20]
    planes = [128 + 90 * np.sin(x / 5 + phase) * np.cos(y / (4 + phase)) for phase in range(3)]
    pixels = np.stack(planes, axis=2) + draw.randint(-20, 20, (16, 20, 3))
    pixels[:5, :7] = pixels[:5, :7].mean(axis=2, keepdims=True)
    pixels[12:, 15:] = (250, 10, 60)
    return np.clip(pixels, 0, 255).astype(np.uint8)
