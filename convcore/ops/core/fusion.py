"""Fusion: what an operation may ask a lazy tensor before it computes anything.

A lazy tensor (`convcore.autograd.lazy`) has no numbers yet. An operation on it may become part of the computation that
is still to come: `pending` gives that computation, and the operation calls the method of its name. The computation
returns the fused tensor, or declines; then the operation runs as always, on the computed numbers.

    method              operations that call it                          fused by
    batch_norm          batch_norm in evaluation                         a convolution
    add, add_in_place   add, add_                                        a convolution
    activate, .._in_place   relu, relu_ and functions of one element     a convolution; batch norm (ReLU only)
    max_pool2d          max_pool2d, adaptive_max_pool2d                  batch norm

`convcore.ops.conv.fused` and `convcore.ops.norm.fused` are the two that fuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcore.autograd import Deferred, Variable

if TYPE_CHECKING:
    from convcore.tensor import Tensor


def pending(x: Variable) -> Fusable | None:
    """The computation that a lazy tensor waits for; None for an ordinary tensor."""
    deferred: Any = x.deferred
    return deferred


class Fusable(Deferred):
    """A computation that other operations may join. Each of these methods declines; a subclass overrides some."""

    __slots__ = ()

    def batch_norm(self, norm: Any) -> Tensor | None:
        """The normalised tensor, fused; None if it cannot be."""
        return None

    def add(self, other: Any) -> Tensor | None:
        """The sum with another tensor, fused; None if it cannot be."""
        return None

    def add_in_place(self, other: Any) -> bool:
        """Make the tensor itself that of `add`; False if it cannot be."""
        return False

    def activate(self, kernels: Any, settings: tuple[float, ...]) -> Tensor | None:
        """The tensor of a function of each element, given by its kernels, fused; None if it cannot be."""
        return None

    def activate_in_place(self, kernels: Any, settings: tuple[float, ...]) -> bool:
        """Make the tensor itself that of `activate`; False if it cannot be."""
        return False

    def max_pool2d(self, geometry: Any) -> Tensor | None:
        """The pooled tensor, fused; None if it cannot be."""
        return None
