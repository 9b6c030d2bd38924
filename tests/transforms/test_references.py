"""Against torchvision: the same pictures come out, of Pillow images exactly, of floating-point ones up to rounding."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference_cases import FUNCTIONS, OPERATIONS, PILLOW_FUNCTIONS, RANGES, image

import convcore as cc
from convcore.transforms import AutoAugment, MixUp, RandAugment, functional, policies
from convcore.transforms.images import fills
from convcore.transforms.policies import apply_operation

with np.load(Path(__file__).with_name("references.npz")) as file:
    REFERENCES = dict(file)
PIXELS = image()
FLOATS = np.moveaxis(PIXELS, 2, 0).astype(np.float32) / np.float32(255)
RENAMED = {"horizontal_flip": "hflip", "vertical_flip": "vflip"}
CASES = {**FUNCTIONS, **PILLOW_FUNCTIONS}


def run(name, x):
    function, arguments = CASES[name]
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and isinstance(arguments.get("fill"), list):
        arguments = {**arguments, "fill": [value / 255 for value in arguments["fill"]]}
    return getattr(functional, RENAMED.get(str(function), str(function)))(x, **arguments)


def planes(pixels):
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


@pytest.mark.parametrize("name", CASES)
def test_pillow_images_are_torchvision_s(name):
    result = run(name, Image.fromarray(PIXELS))
    assert isinstance(result, Image.Image)
    np.testing.assert_array_equal(np.asarray(result), REFERENCES[f"{name}/pillow"])


@pytest.mark.parametrize("name", CASES)
def test_uint8_arrays_are_pillow_s(name):
    array = np.moveaxis(PIXELS, 2, 0)
    result = run(name, array)
    np.testing.assert_array_equal(result, planes(REFERENCES[f"{name}/pillow"]))
    batch = run(name, cc.from_numpy(np.stack([array, array[:, ::-1]])))
    np.testing.assert_array_equal(batch.numpy()[0], result)
    np.testing.assert_array_equal(batch.numpy()[1], run(name, np.ascontiguousarray(array[:, ::-1])))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_floats_are_torchvision_s(name):
    result = run(name, FLOATS)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, REFERENCES[f"{name}/float"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(run(name, FLOATS.astype(np.float64)), result, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["rotate", "rotate center", "affine", "affine center"])
def test_nearest_floats_are_pillow_s(name):
    np.testing.assert_array_equal(run(name, FLOATS), planes(REFERENCES[f"{name}/pillow"]) / np.float32(255))


@pytest.mark.parametrize("name", ["rotate bilinear", "affine bilinear"])
def test_interpolated_floats_are_pillow_s_unrounded(name):
    function, arguments = CASES[name]
    fill = [value / 255 for value in fills("", arguments["fill"], 3)]
    result = getattr(functional, function)(FLOATS, **{**arguments, "fill": fill})
    # Pillow rounds to 1 / 255, and its weights to 8 bits.
    np.testing.assert_allclose(result, planes(REFERENCES[f"{name}/pillow"]) / 255, rtol=0, atol=1.01 / 255)


@pytest.mark.parametrize(("name", "magnitude"), OPERATIONS)
def test_operations_of_policies(name, magnitude):
    result = apply_operation(Image.fromarray(PIXELS), name, magnitude, "nearest", None)
    np.testing.assert_array_equal(np.asarray(result), REFERENCES[f"operation {name}/pillow"])


@pytest.mark.parametrize("policy", RANGES)
def test_ranges_of_policies(policy):
    tables = {"RandAugment": RandAugment.RANGES, "TrivialAugmentWide": policies.WIDE, "AutoAugment": AutoAugment.RANGES}
    written = {
        key.split()[2:4][0]: (key.split()[3], value) for key, value in REFERENCES.items() if f"range {policy} " in key
    }
    assert set(written) == set(tables[policy])
    for name, (sign, steps) in written.items():
        assert tables[policy][name].signed == (sign == "signed")
        np.testing.assert_allclose(tables[policy][name].steps(*RANGES[policy]), steps, rtol=1e-6, atol=1e-6)


def test_mixup():
    batch = REFERENCES["mixup/batch"]

    class Fixed(MixUp):
        """With the share that torchvision was given."""

        def mix(self, x, other, share):
            return super().mix(x, other, 0.3)

    images, labels = Fixed(num_classes=3)(batch, np.array([2, 0, 1]))
    np.testing.assert_allclose(images, REFERENCES["mixup/images"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(labels, REFERENCES["mixup/labels"], rtol=0, atol=1e-6)
