"""Inference with ONNX Runtime, a third side for the networks; needs the extra `bench`."""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def available() -> bool:
    """Whether onnx and onnxruntime are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def inference(model: torch.nn.Module, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """A function that runs the exported and optimised model on x."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # This exporter needs no other package, but warns that it is deprecated.
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model.eval(), (torch.tensor(x),), path, dynamo=False, input_names=["x"])
        session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]
