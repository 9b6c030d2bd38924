"""The filters of a forward convolution or linear layer, and what an algorithm makes of them before it multiplies.

An algorithm packs filters into panels, transforms or reorders them. While a network trains they are new at every call.
In evaluation they stay, and so what was made of them is kept with the weight (`convcore.ops.core.weight_cache`). There
batch norm is an affine map of each channel, too, and can be folded into the convolution before it:

    (x * weight + bias - center) * scale + shift  =  x * (weight scale) + ((bias - center) scale + shift)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from convcore.ops.core.weight_cache import derived_from_all

if TYPE_CHECKING:
    from convcore.ops.norm.fused import Normalisation
    from convcore.tensor import Tensor


class Filters:
    """Filters (C_out, C_in / groups, *taps) and a bias (C_out,) or None, of which nothing is kept."""

    __slots__ = ("_bias", "_weight")

    are_kept = False

    def __init__(self, weight: np.ndarray, bias: np.ndarray | None = None):
        self._weight, self._bias = weight, bias

    @property
    def count(self) -> int:
        """C_out"""
        return self._weight.shape[0]

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Weight and bias."""
        return self._weight, self._bias

    def prepared(self, what: Hashable, make: Callable[..., Any]) -> Any:
        """`make(weight, bias)`, an array or a tuple of arrays that nobody may write to.

        `what` tells it from all else that is made of these filters: it says how, and names every other number that
        `make` depends on.
        """
        return make(*self.arrays())


class KeptFilters(Filters):
    """Filters of tensors that nobody trains, perhaps normalised: what is made of them is kept until they change."""

    __slots__ = ("_norm",)

    are_kept = True

    _weight: Any
    _bias: Any

    def __init__(self, weight: Tensor, bias: Tensor | None = None, norm: Normalisation | None = None):
        self._weight, self._bias, self._norm = weight, bias, norm

    @property
    def count(self) -> int:
        return self._weight.array.shape[0]

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        return self._computed() if self._norm is None else self.prepared("arrays", lambda weight, bias: (weight, bias))

    def _computed(self) -> tuple[np.ndarray, np.ndarray | None]:
        weight, bias = self._weight.array, None if self._bias is None else self._bias.array
        if self._norm is None:
            return weight, bias
        center, scale, shift = self._norm.coefficients[:, : weight.shape[0]]
        per_filter = scale.reshape(-1, *[1] * (weight.ndim - 1))
        return weight * per_filter, (-center if bias is None else bias - center) * scale + shift

    def prepared(self, what: Hashable, make: Callable[..., Any]) -> Any:
        # The norm itself is a part of the key: as long as the result is kept, no other one can be taken for it.
        return derived_from_all((self._weight, self._bias), (what, self._norm), lambda: make(*self._computed()))


def filters_of(weight: Tensor, bias: Tensor | None, trained: bool) -> Filters:
    """The filters of a call: of a weight that is trained, and hence will change, nothing is worth keeping."""
    if trained:
        return Filters(weight.array, None if bias is None else bias.array)
    return KeptFilters(weight, bias)
