"""The filters of a forward convolution or linear layer, and their packed forms.

An algorithm packs filters into panels, transforms or reorders them before it multiplies. In training the filters change
at every step. In evaluation they do not, so the packed form is cached with the weight
(`convcore.ops.core.weight_cache`). In evaluation batch norm is an affine map of each channel, which can be folded into
the convolution before it:

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
    """Filters (C_out, C_in / groups, *taps) and a bias (C_out,) or None; packed forms are not cached."""

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
        """`make(weight, bias)`: an array or a tuple of arrays, read-only for the caller.

        `what` is the key of this packed form: the algorithm, and every setting that `make` depends on.
        """
        return make(*self.arrays())


class KeptFilters(Filters):
    """Filters in inference, perhaps with a batch norm folded in: packed forms are cached until they change."""

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
        # The key holds the norm object itself: while the entry lives, no other norm can have the same identity.
        return derived_from_all((self._weight, self._bias), (what, self._norm), lambda: make(*self._computed()))


def filters_of(weight: Tensor, bias: Tensor | None, trained: bool) -> Filters:
    """The filters of a call. A trained weight changes at every step, so caching its packed forms would not pay."""
    if trained:
        return Filters(weight.array, None if bias is None else bias.array)
    return KeptFilters(weight, bias)
