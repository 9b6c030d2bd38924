"""How a network is compared with torchvision's: weights made from the keys' names, one pass forwards, one backwards.

`run` gets the library as an argument, `torch` or `convcore`, and uses only what both have in common. The weights are
drawn from a seed that is the checksum of the key, so that no weights need to be stored.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CLASSES = 10


@dataclass(frozen=True)
class Case:
    """A network small enough to be run by a test: the name of a function or class of `models`, and its arguments."""

    model: str
    size: int = 48
    images: int = 3
    dtype: str = "float64"
    settings: dict[str, Any] = field(default_factory=dict)


VIT = {"image_size": 48, "patch_size": 16, "num_layers": 2, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 96}

CASES = [
    Case("resnet18"),
    Case("resnet50"),
    Case("resnext50_32x4d", settings={"replace_stride_with_dilation": [False, False, True]}),
    Case("mobilenet_v1"),
    Case("efficientvit_b0", size=96),
    Case("vgg11_bn", images=2, dtype="float32"),
    Case("mobilenet_v2"),
    Case("mobilenet_v3_small"),
    Case("mobilenet_v3_large", settings={"reduced_tail": True, "dilated": True}),
    Case("efficientnet_b0"),
    Case("efficientnet_v2_s", images=2),
    Case("VisionTransformer", settings={**VIT, "representation_size": 32}),
    Case("convnext_tiny"),
    Case("densenet121"),
    Case("squeezenet1_0"),
    Case("squeezenet1_1"),
    Case("alexnet", size=64, dtype="float32"),
    Case("googlenet", settings={"transform_input": True, "init_weights": False}),
]

# All models that others build too: parameters, keys and shapes are compared.
STRUCTURES = [
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "wide_resnet50_2"),
    *(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"),
    *(f"efficientnet_b{i}" for i in range(8)),
    *("efficientnet_v2_s", "vit_b_16", "vit_b_32", "convnext_tiny", "convnext_small", "convnext_base"),
    *("densenet121", "squeezenet1_0", "squeezenet1_1", "alexnet", "googlenet"),
    *("mobilenet_v1", "efficientvit_b0", "efficientvit_b1"),
]


def weights(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of one entry of a state dict; they keep the size of signals about the same from layer to layer."""
    uniform = np.random.default_rng(zlib.crc32(key.encode())).random(shape, np.float32)
    name = key.rpartition(".")[2]
    if name == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if name == "running_var" or name == "layer_scale" or (len(shape) == 1 and name == "weight"):
        return uniform + 0.5
    if len(shape) < 2 or name in ("class_token", "pos_embedding"):
        return uniform * 0.4 - 0.2
    return (uniform * 2 - 1) * np.float32(np.sqrt(3 / np.prod(shape[1:])))


def structure(model: Any) -> dict[str, Any]:
    """The number of parameters, and a digest of all keys with their shapes, in order."""
    lines = [f"{key} {tuple(value.shape)}" for key, value in model.state_dict().items()]
    return {
        "parameters": sum(int(np.prod(tuple(p.shape))) for p in model.parameters()),
        "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def images(case: Case) -> np.ndarray:
    """The input."""
    return np.random.default_rng(3).standard_normal((case.images, 3, case.size, case.size))


def _array(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().numpy(), np.float64)


def fill(library: Any, model: Any) -> None:
    """Set all parameters and buffers by `weights`."""
    with library.no_grad():
        for key, tensor in model.state_dict().items():
            tensor.copy_(library.from_numpy(weights(key, tuple(tensor.shape))))


def without_chance(model: Any) -> None:
    """Dropout and stochastic depth draw other numbers in each library: leave them out."""
    for module in model.modules():
        if type(module).__name__ in ("Dropout", "StochasticDepth"):
            module.p = 0.0


def evaluate(library: Any, model: Any, case: Case, dtype: str) -> np.ndarray:
    """What the network gives in evaluation."""
    model.to(getattr(library, dtype)).eval()
    fill(library, model)
    with library.no_grad():
        return _array(model(library.from_numpy(images(case).astype(dtype))))


def train(library: Any, model: Any, case: Case, dtype: str) -> dict[str, np.ndarray]:
    """The loss, gradients and statistics of a step of training.

    Of every gradient the norm and the middle number are kept, of every buffer the norm.
    """
    model.to(getattr(library, dtype)).train()
    fill(library, model)
    without_chance(model)
    results = {}
    labels = library.from_numpy(np.arange(case.images) % CLASSES)
    outputs = model(library.from_numpy(images(case).astype(dtype)))
    logits = (outputs,) if hasattr(outputs, "shape") else tuple(outputs)
    losses = [library.nn.functional.cross_entropy(part, labels) for part in logits]
    loss = losses[0]
    for other in losses[1:]:
        loss = loss + other
    loss.backward()
    gradients = [_array(parameter.grad) for parameter in model.parameters()]
    results["loss"] = _array(loss)
    results["norms"] = np.array([np.linalg.norm(gradient) for gradient in gradients])
    results["middles"] = np.array([gradient.reshape(-1)[gradient.size // 2] for gradient in gradients])
    results["buffers"] = np.array([np.linalg.norm(_array(buffer)) for buffer in model.buffers()])
    return results
