"""Write references.npz with what torchvision makes of the cases; run it with torchvision installed.

python tests/transforms/make_transform_references.py (made with torch 2.14.1 and torchvision 0.29.1)
"""

from pathlib import Path

import numpy as np
from reference_cases import FUNCTIONS, OPERATIONS, PILLOW_FUNCTIONS, RANGES, image


def main() -> None:
    """Run all cases on a Pillow image and on a float tensor."""
    import torch
    from PIL import Image
    from torchvision.transforms import v2  # pyright: ignore[reportMissingImports]
    from torchvision.transforms.v2 import functional as F  # pyright: ignore[reportMissingImports]

    pixels = image()
    picture = Image.fromarray(pixels)
    floats = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    results = {}
    for name, (function, arguments) in {**FUNCTIONS, **PILLOW_FUNCTIONS}.items():
        results[f"{name}/pillow"] = np.asarray(getattr(F, function)(picture, **arguments))
        if name in FUNCTIONS:
            results[f"{name}/float"] = getattr(F, function)(floats, **arguments).numpy()
    policy = v2.RandAugment()
    for name, magnitude in OPERATIONS:
        moved = policy._apply_image_or_video_transform(
            picture, name, magnitude, interpolation=v2.InterpolationMode.NEAREST, fill=policy._fill
        )
        results[f"operation {name}/pillow"] = np.asarray(moved)
    for policy_name, sizes in RANGES.items():
        for name, (magnitudes, signed) in getattr(v2, policy_name)._AUGMENTATION_SPACE.items():
            steps = magnitudes(*sizes)
            values = np.zeros(sizes[0]) if steps is None else np.asarray(steps, np.float64)
            results[f"range {policy_name} {name} {'signed' if signed else 'unsigned'}"] = values
    labels, batch = torch.tensor([2, 0, 1]), torch.stack([floats, floats.flip(-1), 1 - floats])[:, :, ::3, ::3]
    results["mixup/batch"] = batch.numpy()
    mixup = v2.MixUp(num_classes=3)
    results["mixup/images"] = mixup.transform(batch, {"lam": 0.3, "labels": labels, "batch_size": 3}).numpy()
    results["mixup/labels"] = mixup.transform(labels, {"lam": 0.3, "labels": labels}).numpy()
    np.savez_compressed(Path(__file__).with_name("references.npz"), **results)


if __name__ == "__main__":
    main()
