"""`.grad`: how a gradient is kept once it has arrived at its tensor.

The first gradient of a leaf becomes its `.grad` as it is, without a copy, if nobody else holds it. Many may hold it: a
hook that it was shown to, or that returned it; a user's `Function`; the sweep, where it goes on to another tensor (of
a + b, both get the same one); a graph that was kept for another backward. They need not be known one by one, for Python
counts who refers to an object, and whatever holds memory refers to it. Where anybody does, `.grad` is a copy: later
changes of it in place, by the next backward, `zero_grad(set_to_none=False)`, clipping or an optimizer, are nobody
else's.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from convcore import memory
from convcore.autograd.variable import Variable
from convcore.engine.dispatch import ARRAYS
from convcore.errors import GraphError

# Threads may run backward through different graphs with the same leaves. An RLock: to add may settle deferred tensors.
_lock = threading.RLock()


def _after_fork_in_child() -> None:
    """Another thread of the parent may have held the lock; it does not exist in the child to release it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def accumulate(leaf: Variable, gradient: list[Any], under_way: Iterable[Any], create_graph: bool) -> None:
    """Add a gradient to a leaf's `.grad`, in place where that exists; nothing if the leaf requires none any more.

    Args:
        gradient: a list that holds it, so that it can be asked who else does.
        under_way: the gradients that have not arrived yet. They keep their values even where somebody gave them the
            memory of `.grad`: it is replaced then.
        create_graph: whether this sum can be differentiated again.
    """
    if leaf.node is not None:
        raise GraphError(
            f"backward: a leaf of shape {leaf.array.shape} was changed in place by a recorded operation after it had "
            "been used, and is a computed tensor now; change a clone() instead"
        )
    if not leaf._requires_grad:
        return
    with _lock:  # `_grad`, not `grad`: that the gradient fits has been checked
        total = leaf._grad
        if total is None:
            leaf._grad = _own(gradient, create_graph)
        elif create_graph or _is_needed(total.array, [gradient[0], *under_way]):
            leaf._grad = total + gradient[0]
        else:
            total.add_(gradient[0])


def _is_needed(array: np.ndarray, gradients: list[Any]) -> bool:
    """Whether a sum must not be written to: it is a view that repeats numbers, or some gradients are read from it."""
    return not array.flags.writeable or any(np.may_share_memory(array, gradient.array) for gradient in gradients)


def retain(tensor: Variable, gradient: Any) -> None:
    """Add a copy of a gradient that goes on to the `.grad` of a computed tensor, as `retain_grad` asked for."""
    with _lock:
        tensor.grad = gradient.clone() if tensor.grad is None else tensor.grad + gradient


def _own(gradient: list[Any], create_graph: bool) -> Any:
    """A gradient that `.grad` alone holds: the one in the list if the list is its only holder, else a copy."""
    if not _is_only_holder(gradient) or not gradient[0].array.flags.writeable:
        return gradient[0].clone()
    return gradient[0].detach() if gradient[0]._requires_grad and not create_graph else gradient[0]


_HELD_ONCE = 2  # references that `sys.getrefcount` finds: the holder's, and that of the call itself


def _is_only_holder(holder: list[Any]) -> bool:
    """Whether nobody but this list holds its tensor, and nobody but the tensor its array and the memory behind."""
    if sys.getrefcount(holder[0]) > _HELD_ONCE or sys.getrefcount(holder[0].array) > _HELD_ONCE:
        return False
    array = holder[0].array
    while array.base is not None and not memory.is_lease(array):
        # A base of another kind speaks for memory of somebody else: of NumPy code, of another library.
        if not isinstance(array.base, ARRAYS) or sys.getrefcount(array.base) > _HELD_ONCE:
            return False
        array = array.base
    return True
