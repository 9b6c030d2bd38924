"""The comparison with PyTorch: one training run, written once and executed with either library.

`train` gets the library as an argument, `torch` or `convcore`, and uses only what both have in common. So it also
shows that code for one runs with the other. Weights and data come from NumPy, so nothing but the library differs.
Dropout is switched off (p = 0): the two libraries draw different masks.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

STEPS = 10
IMAGES = {"cnn": (8, 1, 28, 28), "simple_cnn": (4, 3, 40, 36)}
CLASSES = 10


def convolutional_network(library: Any) -> Any:
    """The CNN for digits, 1x28x28."""
    nn = library.nn
    features = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2, 2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2, 2),
    )  # fmt: skip
    classifier = nn.Sequential(
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Dropout(0.0), nn.Linear(512, CLASSES)
    )  # fmt: skip
    return nn.Sequential(OrderedDict(features=features, classifier=classifier))


def simple_network(library: Any) -> Any:
    """SimpleCNN's layers in a row; its global average makes it work on images of any size."""
    nn = library.nn
    layers: list[tuple[str, Any]] = []
    for i, (c_in, c_out) in enumerate([(3, 32), (32, 64), (64, 128)], start=1):
        layers += [(f"conv{i}", nn.Conv2d(c_in, c_out, kernel_size=3, padding=1)), (f"bn{i}", nn.BatchNorm2d(c_out))]
        layers += [(f"relu{i}", nn.ReLU()), (f"pool{i}", nn.MaxPool2d(2, 2))]
    layers += [("gap", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("fc1", nn.Linear(128, 256))]
    layers += [("relu4", nn.ReLU()), ("dropout", nn.Dropout(0.0)), ("fc2", nn.Linear(256, CLASSES))]
    return nn.Sequential(OrderedDict(layers))


NETWORKS = {"cnn": convolutional_network, "simple_cnn": simple_network}
OPTIMISERS = ("sgd", "adam", "adamw")


def make_optimiser(library: Any, name: str, parameters: Any) -> Any:
    """Settings in which every term of the update is at work."""
    if name == "sgd":
        return library.optim.SGD(parameters, lr=0.02, momentum=0.9, weight_decay=1e-3, nesterov=True)
    cls = {"adam": library.optim.Adam, "adamw": library.optim.AdamW}[name]
    return cls(parameters, lr=1e-3, weight_decay=1e-2)


def initial_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights of every parameter from one seed, scaled as a network needs them; they do not depend on the library."""
    rng = np.random.default_rng(7)
    weights = {}
    for name, shape in sorted(shapes.items()):
        scale = np.sqrt(2.0 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        weights[name] = rng.standard_normal(shape) * scale + (1.0 if name.endswith("weight") and len(shape) == 1 else 0)
    return weights


def batches(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """A batch of images and labels for every step."""
    rng = np.random.default_rng(8)
    n = IMAGES[name][0]
    return [(rng.standard_normal(IMAGES[name]), rng.integers(0, CLASSES, n)) for _ in range(STEPS)]


def _array(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().numpy())


def train(library: Any, name: str, optimiser: str, dtype: str, model: Any = None) -> dict[str, np.ndarray]:
    """Ten steps of `model`, or of the network built here.

    Returns the losses, the first step's outputs and gradients, all weights and running statistics at the end, and the
    outputs that the trained network gives in eval mode.
    """
    model = (model or NETWORKS[name](library)).to(getattr(library, dtype))
    parameters = dict(model.named_parameters())
    with library.no_grad():
        for key, value in initial_weights({k: tuple(p.shape) for k, p in parameters.items()}).items():
            parameters[key].copy_(library.from_numpy(value.astype(dtype)))
    step = make_optimiser(library, optimiser, model.parameters())
    loss_function = library.nn.CrossEntropyLoss()
    results: dict[str, np.ndarray] = {}
    losses = []
    for i, (images, labels) in enumerate(batches(name)):
        step.zero_grad()
        outputs = model(library.from_numpy(images.astype(dtype)))
        loss = loss_function(outputs, library.from_numpy(labels))
        loss.backward()
        if i == 0:
            results["outputs"] = _array(outputs)
            results.update({f"grad.{key}": _array(p.grad) for key, p in parameters.items()})
        step.step()
        losses.append(loss.item())
    results["losses"] = np.array(losses)
    results.update({f"state.{key}": _array(value) for key, value in model.state_dict().items()})
    model.eval()
    with library.no_grad():
        results["eval"] = _array(model(library.from_numpy(batches(name)[0][0].astype(dtype))))
    return results


def condensed(results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is stored: small arrays whole; of large ones their norm and 16 values spread over them."""
    small = {}
    for key, value in results.items():
        if value.size <= 400:
            small[key] = value
        else:
            picked = value.reshape(-1)[:: value.size // 16][:16]
            small[key] = np.concatenate([[np.linalg.norm(value)], picked])
    return small
