"""Whole networks: a training step (forward, loss, backward, Adam) and inference, as a user of each library writes them.

torch is measured in both memory formats: training with the fused optimiser, inference under `inference_mode`. Against
`convcore.compile` a frozen torch model is measured, too.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import convcore
from benchmarks.rivals import onnx, torch_models
from benchmarks.rivals.formats import TORCH_FORMATS, channels_last
from benchmarks.row import check_same, row
from benchmarks.timing import LONG_PAUSE, PAUSE, compare

CLASSES = 10


@dataclass(frozen=True)
class NetCase:
    """A model of `convcore.models`, by the name of the function that builds it, and the shape of the input."""

    name: str
    model: str
    shape: tuple[int, int, int, int]
    train: bool


CASES = (
    NetCase("cnn-batch64", "CNN", (64, 1, 28, 28), train=True),
    NetCase("cnn-batch1", "CNN", (1, 1, 28, 28), train=False),
    NetCase("simple_cnn-batch8", "SimpleCNN", (8, 3, 224, 224), train=True),
    NetCase("simple_cnn-batch1", "SimpleCNN", (1, 3, 224, 224), train=False),
)
QUICK = tuple(case.name for case in CASES)
FAMOUS = ("resnet50", "vgg16", "mobilenet_v3_small", "efficientnet_b0", "vit_b_16", "convnext_tiny")
CASES += tuple(NetCase(f"{model}-batch{n}", model, (n, 3, 224, 224), train=False) for model in FAMOUS for n in (8, 1))
CASES += (NetCase("resnet18-batch16", "resnet18", (16, 3, 224, 224), train=True),)


AS_IT_IS = contextlib.nullcontext()


def training_step(
    library: Any, model: Any, x: Any, labels: Any, cast: Any = AS_IT_IS, **settings: Any
) -> Callable[[], Any]:
    """One training step with Adam, in code that both libraries run; the loss is computed inside `cast`."""
    optimizer = library.optim.Adam(model.train().parameters(), lr=1e-4, **settings)
    loss_function = library.nn.CrossEntropyLoss()

    def step():
        with cast:
            loss = loss_function(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def _torch_model(case: NetCase, state: dict[str, torch.Tensor], memory_format=torch.contiguous_format) -> Any:
    model: Any = getattr(torch_models, case.model)(num_classes=CLASSES)
    model.load_state_dict(state)
    return model.to(memory_format=memory_format)


def _counted_flops(function: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        function()
    return float(counter.get_total_flops())


def _frozen(case: NetCase, state, tensor: torch.Tensor) -> Callable[[], Any]:
    """torch's counterpart of a compiled model without a C++ compiler: traced, with batch norms folded into the filters.

    torch calls this deprecated, but what it recommends instead compiles C++.
    """
    model = _torch_model(case, state, torch.channels_last).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen: Any = torch.jit.freeze(torch.jit.trace(model, tensor))

    def run():
        with torch.inference_mode():
            return frozen(tensor)

    return run


def _inference_rows(case: NetCase, x: np.ndarray, own_model, state, rounds: int, threads: int) -> Iterator[dict]:
    """One row for the model as a user writes it, and one for the compiled model, against all variants of the rivals."""
    own_x = convcore.from_numpy(channels_last(x))
    own_compiled = convcore.compile(own_model.eval())

    def own():
        with convcore.no_grad():
            return own_model(own_x)

    def compiled():
        with convcore.no_grad():
            return own_compiled(own_x)

    def torch_side(memory_format):
        model = _torch_model(case, state, memory_format).eval()
        tensor = torch.tensor(x).to(memory_format=memory_format)

        def run():
            with torch.inference_mode():
                return model(tensor)

        return run

    contestants: dict[str, Callable[[], Any]] = {"convcore": own, "convcore compiled": compiled}
    pause = PAUSE
    contestants |= {name: torch_side(memory_format) for name, memory_format in TORCH_FORMATS.items()}
    contestants["torch frozen"] = _frozen(case, state, torch.tensor(x).to(memory_format=torch.channels_last))
    rivals = {"torch": list(TORCH_FORMATS)}
    flops = _counted_flops(contestants["torch NCHW"])
    expected = contestants["torch NCHW"]().numpy()
    check_same(f"nets {case.name} inference", own().numpy(), expected)
    check_same(f"nets {case.name} compiled inference", compiled().numpy(), expected)
    if onnx.available():
        contestants["onnxruntime"] = onnx.inference(_torch_model(case, state), x, threads)
        rivals["onnxruntime"] = ["onnxruntime"]
        pause = LONG_PAUSE
        check_same(f"nets {case.name} inference with ONNX Runtime", contestants["onnxruntime"](), expected)
    timing = compare(contestants, rounds, pause=pause)
    yield row(case.name, "inference", timing, rivals, flops=flops)
    rivals["torch"].append("torch frozen")
    yield row(case.name, "compiled inference", timing, rivals, flops=flops, own="convcore compiled")


def _training_row(case: NetCase, x: np.ndarray, labels: np.ndarray, own_model, state, rounds: int) -> dict:
    own_x, own_labels = convcore.from_numpy(channels_last(x)), convcore.from_numpy(labels)
    contestants = {"convcore": training_step(convcore, own_model, own_x, own_labels)}
    for name, memory_format in TORCH_FORMATS.items():
        tensor, model = torch.tensor(x).to(memory_format=memory_format), _torch_model(case, state, memory_format)
        contestants[name] = training_step(torch, model, tensor, torch.tensor(labels), fused=True)
    flops = _counted_flops(contestants["torch NCHW"])
    return row(case.name, "training step", compare(contestants, rounds), {"torch": list(TORCH_FORMATS)}, flops=flops)


def rows(cases: Sequence[NetCase], rounds: int, threads: int) -> Iterator[dict]:
    """Two rows for inference and, where the case says so, one for a training step; the weights are the same in all."""
    rng = np.random.default_rng(0)
    convcore.manual_seed(0)
    for case in cases:
        x = rng.standard_normal(case.shape, np.float32)
        labels = rng.integers(0, CLASSES, case.shape[0])
        own_model = getattr(convcore.models, case.model)(num_classes=CLASSES)
        for parameter in own_model.parameters():
            if not parameter.detach().numpy().any():  # a last layer that begins at zero would let all networks agree
                convcore.nn.init.normal_(parameter, std=0.02)
        state = {key: torch.tensor(np.array(value.numpy())) for key, value in own_model.state_dict().items()}
        yield from _inference_rows(case, x, own_model, state, rounds, threads)
        if case.train:
            yield _training_row(case, x, labels, own_model, state, rounds)
