"""The networks of `convcore.models` in torch, from the same sources, in which only the import lines are changed.

So both sides are the same network with the same names, and weights can be copied from one to the other. It also shows
that a network's code needs no change but that of the import lines. `tests/models` compares the same functions with
torchvision's own networks. `torch_models.resnet50` builds a network, as in `convcore.models`.
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

# The imports of modules of `convcore.models`, and where torch has the same names; others stay convcore's.
_IMPORTS = (
    (r"from convcore import nn\b", "from torch import nn"),
    (r"from convcore\.nn import", "from torch.nn import"),
    (r"from convcore\.(?:tensor|ops)[.\w]* import", "from torch import"),
    (r"from convcore\.models\.registry import", f"from {__name__} import"),
    (r"from convcore\.models\.([\w.]+) import", rf"from {__name__}.\1 import"),
)

_OVERWRITING = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.SiLU)


def model(build: Callable[..., Any], shape: tuple[int, int, int] = (3, 224, 224)) -> Callable[..., Any]:
    """Replaces the registry's decorator: nothing is registered, and there are no pretrained weights."""
    return build


def model_for(size: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like `model`."""
    return model


@functools.cache
def _translated(name: str) -> ModuleType:
    """The module `name` of `convcore.models` in torch; other translated modules import it below this module's name."""
    path = Path(convcore.models.__file__).parent.joinpath(*name.split(".")).with_suffix(".py")
    source = path.read_text(encoding="utf-8")
    for pattern, replacement in _IMPORTS:
        source = re.sub(rf"^{pattern}", replacement, source, flags=re.MULTILINE)
    for part in re.findall(rf"^from {re.escape(__name__)}\.([\w.]+) import", source, flags=re.MULTILINE):
        _translated(part)
    module = ModuleType(f"{__name__}.{name}")
    sys.modules[module.__name__] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def __getattr__(name: str) -> Callable[..., nn.Module]:
    """The function that builds the network of this name, with in-place activations, as in torchvision."""
    own = getattr(convcore.models, name, None)
    if own is None:
        raise AttributeError(f"convcore.models has no network {name!r}")

    def build(**arguments: Any) -> nn.Module:
        network = getattr(_translated(own.__module__.removeprefix("convcore.models.")), name)(**arguments)
        for module in network.modules():
            if isinstance(module, _OVERWRITING):
                module.inplace = True
        return network

    return build
