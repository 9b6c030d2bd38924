"""Weight and spectral norm under torch's older names: parameters `weight_g`, `weight_v` or `weight_orig` in the layer.

Older checkpoints contain these names. Here a hook computes the weight before each forward;
`nn.utils.parametrizations` computes it whenever it is read.
"""

from __future__ import annotations

from typing import Any

from convcore.errors import GraphError
from convcore.nn.base.module import Module
from convcore.nn.parameter import Parameter
from convcore.nn.utils.parametrizations import output_axis, start_vectors
from convcore.ops.norm import reparametrisation as ops


class _Recomputed:
    """A forward pre-hook that computes one weight of a layer."""

    def __init__(self, name: str, dim: int):
        self.name, self.dim = name, dim

    def compute(self, module: Any) -> Any:
        raise NotImplementedError

    def forget(self, module: Any) -> None:
        """Delete the tensors from which the weight was computed."""
        raise NotImplementedError

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute(module))


class _WeightNorm(_Recomputed):
    def compute(self, module: Any) -> Any:
        return ops.weight_norm(getattr(module, f"{self.name}_v"), getattr(module, f"{self.name}_g"), self.dim)

    def forget(self, module: Any) -> None:
        for end in "gv":
            delattr(module, f"{self.name}_{end}")


class _SpectralNorm(_Recomputed):
    def __init__(self, name: str, dim: int, n_power_iterations: int, eps: float):
        super().__init__(name, dim)
        self.n_power_iterations, self.eps = n_power_iterations, eps

    def compute(self, module: Any, training: bool | None = None) -> Any:
        weight, u, v = (getattr(module, f"{self.name}_{end}") for end in ("orig", "u", "v"))
        if module.training if training is None else training:
            matrix = ops.as_matrix(weight.detach(), self.dim)
            ops.power_iterations(matrix, u, v, self.n_power_iterations, self.eps)
        return ops.spectral_norm(weight, u, v, self.dim)

    def forget(self, module: Any) -> None:
        for end in ("orig", "u", "v"):
            delattr(module, f"{self.name}_{end}")


def _registered(module: Module, kind: type, name: str) -> Any:
    """The key and the hook of this kind for this weight, or None."""
    hooks = {} if module._hooks is None else module._hooks.forward_pre
    for key, registered in hooks.items():
        if isinstance(registered.hook, kind) and registered.hook.name == name:
            return key, registered.hook
    return None


def _begin(op: str, module: Module, kind: type, name: str) -> Any:
    """Remove from the module the parameter that the hook will compute, and return it."""
    if _registered(module, kind, name) is not None:
        raise GraphError(f"{op}: {name!r} of {type(module).__name__} has one already; remove_{op} takes it away")
    weight = module._parameters.get(name)
    if weight is None:
        raise GraphError(f"{op}: {type(module).__name__} has no parameter {name!r}")
    del module._parameters[name]
    return weight


def _remove(op: str, module: Module, kind: type, name: str, weight: Any) -> Any:
    found = _registered(module, kind, name)
    if found is None or module._hooks is None:
        raise ValueError(f"remove_{op}: {name!r} of {type(module).__name__} has no {op}")
    value = weight(found[1]).detach()
    delattr(module, name)
    found[1].forget(module)
    module.register_parameter(name, Parameter(value))
    del module._hooks.forward_pre[found[0]]
    return module


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Let a layer learn the lengths `weight_g` and the directions `weight_v` of its filters separately.

    Args:
        module: the layer; it is changed, and returned.
        name: which parameter.
        dim: the axis whose slices have a length each; None is one length for the whole weight.

    Raises:
        GraphError: there is no such parameter, or it already has a weight norm.
    """
    weight = _begin("weight_norm", module, _WeightNorm, name)
    hook = _WeightNorm(name, -1 if dim is None else dim)
    lengths = ops.norm_except_dim(weight.detach(), 2, hook.dim)
    module.register_parameter(f"{name}_g", Parameter(lengths))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Make the weight an ordinary parameter again; ValueError if there is no weight norm."""
    return _remove("weight_norm", module, _WeightNorm, name, lambda hook: hook.compute(module))


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """Divide a layer's weight, kept as `weight_orig`, by its largest singular value.

    Args:
        module: the layer; it is changed, and returned.
        name: which parameter.
        n_power_iterations: steps of the power method at each forward in training, at least 1.
        eps: the smallest divisor of a vector in the power method.
        dim: the axis of the outputs; by default 0, and 1 for transposed convolutions.

    Raises:
        GraphError: there is no such parameter, or it already has a spectral norm.
    """
    if n_power_iterations <= 0:
        raise ValueError(f"spectral_norm: n_power_iterations must be at least 1, got {n_power_iterations}")
    weight = _begin("spectral_norm", module, _SpectralNorm, name)
    hook = _SpectralNorm(name, output_axis(module, dim), n_power_iterations, eps)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    for end, vector in zip("uv", start_vectors(weight, hook.dim, eps), strict=True):
        module.register_buffer(f"{name}_{end}", vector)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Make the divided weight an ordinary parameter again; ValueError if there is no spectral norm."""
    return _remove("spectral_norm", module, _SpectralNorm, name, lambda hook: hook.compute(module, training=False))
