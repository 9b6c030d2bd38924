"""The networks of `convcore.models` in torch: their very sources, in which only the import lines are changed.

So both sides are the same network with the same names, and weights go from one to the other; and the promise that the
code of a network needs other import lines only is kept here each time. `tests/models` compares the same functions with
torchvision's own networks. `torch_models.resnet50` is what builds it, as in `convcore.models`.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

import convcore.models

# What modules of `convcore.models` import, and where torch has it; what is no part of a network stays convcore's.
_IMPORTS = (
    (r"from convcore import nn\b", "from torch import nn"),
    (r"from convcore\.nn import", "from torch.nn import"),
    (r"from convcore\.(?:tensor|ops)[.\w]* import", "from torch import"),
    (r"from convcore\.models\.registry import", f"from {__name__} import"),
    (r"from convcore\.models\.(\w+) import", rf"from {__name__}.\1 import"),
)

_OVERWRITING = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.SiLU)


def model(build: Callable[..., Any], shape: tuple[int, int, int] = (3, 224, 224)) -> Callable[..., Any]:
    """In place of the registry's: nothing is registered, and there are no pretrained weights."""
    return build


def model_for(size: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `model`."""
    return model


@functools.cache
def _translated(name: str) -> ModuleType:
    """The module `name` of `convcore.models`, in torch; it takes its part in imports under this module's name."""
    path = Path(convcore.models.__file__).with_name(f"{name}.py")
    source = path.read_text(encoding="utf-8")
    for pattern, replacement in _IMPORTS:
        source = re.sub(rf"^{pattern}", replacement, source, flags=re.MULTILINE)
    for part in re.findall(rf"^from {re.escape(__name__)}\.(\w+) import", source, flags=re.MULTILINE):
        _translated(part)
    module = ModuleType(f"{__name__}.{name}")
    sys.modules[module.__name__] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def __getattr__(name: str) -> Callable[..., nn.Module]:
    """What builds the network of this name, with activations that overwrite their input, as torchvision has them."""
    own = getattr(convcore.models, name, None)
    if own is None:
        raise AttributeError(f"convcore.models has no network {name!r}")

    def build(**arguments: Any) -> nn.Module:
        network = getattr(_translated(own.__module__.rpartition(".")[2]), name)(**arguments)
        for module in network.modules():
            if isinstance(module, _OVERWRITING):
                module.inplace = True
        return network

    return build
